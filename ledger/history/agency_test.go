// SPDX-License-Identifier: EUPL-1.2

package history

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
)

func sampleParts() []*AgencyPart {
	var parts []*AgencyPart
	for from := uint64(0); from < 6; from += 2 {
		shard := sample().Shards[0]
		shard.Lists = nil
		p := &AgencyPart{Agency: "c_a944", From: from, Pi: bytes.Repeat([]byte{7}, piSize), Shard: shard}
		for i, e := range p.Events {
			if from > 0 && e.Nonce != nil {
				p.Private = append(p.Private, Private{e.Index, [32]byte{byte(i)}, []byte(`{"case":"2026/1"}`)})
			}
		}
		parts = append(parts, p)
	}
	return parts
}

func agencyFile(t testing.TB, parts []*AgencyPart) []byte {
	t.Helper()
	var file []byte
	for _, p := range parts {
		member, err := FormatAgencyPart(p)
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, member...)
	}
	return file
}

func readParts(file []byte) (parts []*AgencyPart, whole int64, err error) {
	r := NewAgencyReader(bytes.NewReader(file))
	for {
		p, err := r.Next()
		if err != nil {
			return parts, r.Whole(), err
		}
		parts = append(parts, p)
	}
}

func TestAgencyReader(t *testing.T) {
	want := sampleParts()
	file := agencyFile(t, want)
	got, whole, err := readParts(file)
	if err != io.EOF || whole != int64(len(file)) {
		t.Errorf("%d of %d bytes: %v", whole, len(file), err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// As any tool reads it.
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || bytes.Count(text, []byte("\n")) != len(want) || text[len(text)-1] != '\n' {
		t.Errorf("not one line a part: %v", err)
	}
	// Wherever the file is cut, its whole parts are read, and it can go on behind them.
	var ends []int
	for n := range len(want) + 1 {
		ends = append(ends, len(agencyFile(t, want[:n])))
	}
	for n := range len(file) {
		parts, whole, err := readParts(file[:n])
		i := slices.IndexFunc(ends, func(end int) bool { return end > n }) - 1
		if len(parts) != i || int(whole) != ends[i] || ends[i] != n && !errors.Is(err, ErrCut) || ends[i] == n && err != io.EOF {
			t.Fatalf("cut at %d: %d parts, %d bytes whole, %v", n, len(parts), whole, err)
		}
	}
	for n := range 64 {
		changed := bytes.Clone(file)
		changed[ends[1]/2] ^= byte(1 + n)
		if parts, _, err := readParts(changed); len(parts) > 0 || err == io.EOF {
			t.Fatalf("a changed byte is taken: %v", err)
		}
	}
}

func TestRefusedParts(t *testing.T) {
	for name, change := range map[string]func(p *AgencyPart){
		"no agency":                  func(p *AgencyPart) { p.Agency = "" },
		"a reserved word":            func(p *AgencyPart) { p.Agency = ledger.ScopeLedger },
		"a number far away":          func(p *AgencyPart) { p.From = 1 << 53 },
		"a short VRF proof":          func(p *AgencyPart) { p.Pi = p.Pi[1:] },
		"no origin":                  func(p *AgencyPart) { p.Origin = "registro.example" },
		"lists":                      func(p *AgencyPart) { p.Lists = sample().Shards[0].Lists },
		"a head far away":            func(p *AgencyPart) { p.Head = 1 << 53 },
		"no index proof":             func(p *AgencyPart) { p.Index = nil },
		"too many events":            func(p *AgencyPart) { p.Events = make([]Event, MaxPartEvents+1) },
		"no checkpoint":              func(p *AgencyPart) { p.Checkpoint = nil },
		"no leaves":                  func(p *AgencyPart) { p.Leaves = nil },
		"events out of order":        func(p *AgencyPart) { slices.Reverse(p.Events) },
		"a nonce alone":              func(p *AgencyPart) { p.Events[0].Body = nil },
		"a private part of no event": func(p *AgencyPart) { p.Private[0].Index++ },
		"a private part twice":       func(p *AgencyPart) { p.Private = append(p.Private, p.Private...) },
		"an empty private part":      func(p *AgencyPart) { p.Private[0].Content = nil },
		"a long private part":        func(p *AgencyPart) { p.Private[0].Content = make([]byte, ledger.MaxPrivate+1) },
		"a private part of an event that isn't opened": func(p *AgencyPart) {
			p.Events[len(p.Events)-1].Nonce, p.Events[len(p.Events)-1].Body = nil, nil
			p.Private = []Private{{p.Events[len(p.Events)-1].Index, [32]byte{}, []byte("{}")}}
		},
	} {
		p := sampleParts()[1]
		change(p)
		var wrong *ledger.Problem
		if _, err := FormatAgencyPart(p); !errors.As(err, &wrong) {
			t.Errorf("%s is taken: %v", name, err)
		}
	}
}

func TestRefusedAgencyFiles(t *testing.T) {
	text, err := formatAgencyDocument(sampleParts()[0])
	if err != nil {
		t.Fatal(err)
	}
	pack := func(header gzip.Header, text string) []byte {
		var file bytes.Buffer
		w := gzip.NewWriter(&file)
		w.Header = header
		w.Write([]byte(text))
		w.Close()
		return file.Bytes()
	}
	plain := gzip.Header{OS: 255}
	line := string(text) + "\n"
	if _, _, err := readParts(pack(plain, line)); err != io.EOF {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{
		"no gzip":            []byte(line),
		"a name in it":       pack(gzip.Header{OS: 255, Name: "x"}, line),
		"no line end":        pack(plain, string(text)),
		"an empty member":    pack(plain, ""),
		"two lines":          pack(plain, line+line),
		"white space":        pack(plain, " "+line),
		"another schema":     pack(plain, strings.Replace(line, AgencySchema, Schema, 1)),
		"an unknown member":  pack(plain, strings.Replace(line, `{"schema"`, `{"x":1,"schema"`, 1)),
		"an empty list":      pack(plain, strings.Replace(line, `"index":"`, `"lists":[],"index":"`, 1)),
		"no head":            pack(plain, strings.Replace(line, `"head":4,`, ``, 1)),
		"something behind":   append(pack(plain, line), "x and more"...),
		"more than MaxPart":  pack(plain, line+strings.Repeat(" ", MaxPart)),
		"a bomb of nothings": pack(plain, strings.Repeat("\n", MaxPart+2)),
	} {
		parts, _, err := readParts(file)
		var wrong *ledger.Problem
		if !errors.As(err, &wrong) || len(parts) > 1 {
			t.Errorf("%s: %d parts, %v", name, len(parts), err)
		}
	}
}

func FuzzAgencyPart(f *testing.F) {
	text, err := formatAgencyDocument(sampleParts()[1])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.Replace(text, []byte(`"from":2`), []byte(`"from":02`), 1))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseAgencyDocument(text)
		if err != nil {
			return
		}
		if again, err := formatAgencyDocument(p); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("re-encodes otherwise: %v", err)
		}
	})
}

func FuzzAgencyReader(f *testing.F) {
	f.Add(agencyFile(f, sampleParts()[:2]))
	f.Fuzz(func(t *testing.T, file []byte) {
		parts, whole, err := readParts(file)
		if err == nil || whole > int64(len(file)) || len(parts) > 0 && whole == 0 {
			t.Fatalf("%d parts, %d bytes whole, %v", len(parts), whole, err)
		}
	})
}
