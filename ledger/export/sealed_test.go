// SPDX-License-Identifier: EUPL-1.2

package export

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sealedLine(t testing.TB) []byte {
	t.Helper()
	w := &Wrapped{Handle: make([]byte, 32), Day: bytes.Repeat([]byte{1}, 32), Wrap: make([]byte, 72), Sealed: []byte("sealed")}
	line, err := FormatSealed(&Sealed{Index: 62, Event: w, Tags: []byte("tags"), Private: w})
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func TestSealedRefused(t *testing.T) {
	good := string(sealedLine(t))
	if _, err := ParseSealed([]byte(good)); err != nil {
		t.Fatal(err)
	}
	event := good[strings.Index(good, `,"event"`):strings.Index(good, `,"tags"`)]
	for name, bad := range map[string]string{
		"nothing":         "",
		"no event":        strings.Replace(good, event, "", 1),
		"erased too":      strings.Replace(good, `,"tags"`, `,"erased":true,"tags"`, 1),
		"no tags":         strings.Replace(good, `,"tags":"dGFncw"`, "", 1),
		"erased and live": `{"index":63,"erased":true,"live":true,"private":{}}`,
		"a short handle":  strings.Replace(good, `"handle":"A`, `"handle":"`, 1),
		"another member":  strings.Replace(good, `"index"`, `"other":1,"index"`, 1),
		"white space":     strings.Replace(good, `,"tags"`, `, "tags"`, 1),
		"erased with key": `{"index":63,"tags":"dGFncw","erased":true}`,
	} {
		if _, err := ParseSealed([]byte(bad)); err == nil {
			t.Errorf("%s: read", name)
		}
	}
	for _, line := range []string{`{"index":63,"erased":true}`, `{"index":63,"erased":true,"live":true}`} {
		if _, err := ParseSealed([]byte(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// FuzzSealed: what parses is written in the same way.
func FuzzSealed(f *testing.F) {
	f.Add(sealedLine(f))
	f.Add([]byte(`{"index":63,"erased":true}`))
	f.Add([]byte(`{"origin":"registro.example/2026","day":"2026-11-22","stored":""}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if s, err := ParseSealed(line); err == nil {
			if again, err := json.Marshal(s); err != nil || !bytes.Equal(again, line) {
				t.Errorf("%q was written as %q, %v", line, again, err)
			}
		}
		if d, err := ParseDay(line); err == nil {
			if again, err := FormatDay(d); err != nil || !bytes.Equal(again, line) {
				t.Errorf("%q was written as %q, %v", line, again, err)
			}
		}
	})
}

// FuzzTags: likewise.
func FuzzTags(f *testing.F) {
	tags := &Tags{Subject: [80]byte{1}, Agency: [80]byte{2}, I: 3, J: 4, Lists: []TagList{{"+consent", [80]byte{5}, 6}, {"inps", [80]byte{7}, 8}}}
	text := FormatTags(tags)
	if again, err := ParseTags(text); err != nil || cmp.Diff(tags, again) != "" {
		f.Fatal(err, cmp.Diff(tags, again))
	}
	f.Add(text)
	f.Add(text[:172])
	f.Fuzz(func(t *testing.T, text []byte) {
		if tags, err := ParseTags(text); err == nil && !bytes.Equal(FormatTags(tags), text) {
			t.Errorf("%x was written as %x", text, FormatTags(tags))
		}
	})
}
