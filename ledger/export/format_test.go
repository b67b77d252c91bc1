// SPDX-License-Identifier: EUPL-1.2

package export_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/export"
)

func manifest() *export.Manifest {
	return &export.Manifest{
		Format: export.Format, Ledger: "registro.example", MadeAt: "2026-11-22T09:30:00Z", Bodies: true,
		Logs: []export.Log{
			{Epoch: 2026, Origin: "registro.example/2026", Size: 4712, Root: ledger.Hex{1}, Records: 61, Events: 4600, Opened: 4598, Erased: 2},
			{Epoch: 2027, Origin: "registro.example/2027", Size: 2, Root: ledger.Hex{2}},
		},
	}
}

func TestManifest(t *testing.T) {
	data, err := export.FormatManifest(manifest())
	if err != nil {
		t.Fatal(err)
	}
	got, err := export.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(manifest(), got); diff != "" {
		t.Error(diff)
	}
	for _, change := range []func(*export.Manifest){
		func(m *export.Manifest) { m.Format = "traccia-export/2" },
		func(m *export.Manifest) { m.Ledger = "" },
		func(m *export.Manifest) { m.Logs[0].Origin = "another/2026" },
		func(m *export.Manifest) { m.Logs[1] = m.Logs[0] },
	} {
		m := manifest()
		change(m)
		data, err := export.FormatManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := export.ParseManifest(data); err == nil {
			t.Errorf("accepted %s", data)
		}
	}
}

func TestRecord(t *testing.T) {
	got, err := export.FormatRecord(7, []byte("{ \"kind\" : \"body\",\n\"name\":\"A & <B>\" }"))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"index":7,"record":{"kind":"body","name":"A & <B>"}}`; string(got) != want {
		t.Errorf("%s, expected %s", got, want)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"index":62,"nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","body":"e30"}`))
	f.Add([]byte(`{"index":63,"erased":true}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := export.ParseEvent(line)
		if err != nil {
			return
		}
		again, err := export.FormatEvent(e)
		if err != nil || !bytes.Equal(again, line) {
			t.Errorf("%q became %q: %v", line, again, err)
		}
	})
}

func FuzzSums(f *testing.F) {
	f.Add([]byte("5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456  log/2026/checkpoint\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := export.ParseSums(data)
		if err == nil && !bytes.Equal(export.FormatSums(sums), data) {
			t.Errorf("%q became %q", data, export.FormatSums(sums))
		}
	})
}

func TestEventRefused(t *testing.T) {
	for _, line := range []string{
		`{"index":62}`, `{"index":62,"erased":false}`, `{"index":62,"nonce":"AA","body":"e30"}`,
		`{"index":62,"nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		`{"index":62,"erased":true,"body":"e30"}`, `{"index":-1,"erased":true}`, `{"index":62,"erased":true} `, ``,
	} {
		if _, err := export.ParseEvent([]byte(line)); err == nil {
			t.Errorf("accepted %s", line)
		}
	}
}
