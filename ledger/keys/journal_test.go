// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/traccia-ledger/traccia/ledger"
)

// threeErasures is a journal, and what it says.
func threeErasures() (string, []Erasure) {
	erasures := []Erasure{{ledger.Hash{1}, ledger.Hash{2}}, {ledger.Hash{3}, ledger.Hash{4}}, {ledger.Hash{1}, ledger.Hash{5}}}
	text, sum := []byte(journalHeader), [8]byte{}
	for _, e := range erasures {
		var line []byte
		line, sum = formatErasure(sum, e)
		text = append(text, line...)
	}
	return string(text), erasures
}

// What is on disk outlives this program, so its bytes are pinned.
func TestJournalIsStable(t *testing.T) {
	text, _ := threeErasures()
	zeros := strings.Repeat("00", 31)
	want := "traccia-erasures/1\n" +
		"01" + zeros + " 02" + zeros + " 12fd9191450506f3\n" +
		"03" + zeros + " 04" + zeros + " fa40c1203645478b\n" +
		"01" + zeros + " 05" + zeros + " 5b4c2050f10c45f8\n"
	if text != want {
		t.Errorf("the journal is\n%swant\n%s", text, want)
	}
}

func TestJournal(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	if err := d.AppendErasure(ledger.Hash{3}, ledger.Hash{4}); err != nil {
		t.Fatal(err)
	}
	want := []Erasure{{ledger.Hash{1}, ledger.Hash{2}}, {ledger.Hash{3}, ledger.Hash{4}}}
	for _, d := range []*Dir{d, open(t, path, "")} {
		if diff := cmp.Diff(want, d.Erasures()); diff != "" {
			t.Errorf("Erasures: %s", diff)
		}
	}
	if text, _ := threeErasures(); !strings.HasPrefix(text, contents(t, path)[journalFile]) {
		t.Error("the journal's bytes depend on more than its erasures")
	}
}

// A crash leaves any prefix of the line being written. The lines before it stay, and the journal can grow again.
func TestTornJournal(t *testing.T) {
	path := newDir(t, "")
	text, erasures := threeErasures()
	for size := len(journalHeader); size <= len(text); size++ {
		write(t, filepath.Join(path, journalFile), text[:size])
		d := open(t, path, "")
		whole := (size - len(journalHeader)) / journalLine
		if diff := cmp.Diff(erasures[:whole], d.Erasures(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%d bytes: %s", size, diff)
		}
		for _, e := range erasures[whole:] {
			if err := d.AppendErasure(e.Handle, e.Wrap); err != nil {
				t.Fatal(err)
			}
		}
		if got := contents(t, path)[journalFile]; got != text {
			t.Fatalf("%d bytes: grown to %q, want %q", size, got, text)
		}
		d.Close()
	}
}

func TestDamagedJournal(t *testing.T) {
	text, _ := threeErasures()
	refuse := func(what, damaged string) {
		t.Helper()
		if _, _, _, err := parseErasures([]byte(damaged)); err != ErrDamaged {
			t.Errorf("%s: %v, want ErrDamaged", what, err)
		}
	}
	for bit := range len(text) * 8 {
		flipped := []byte(text)
		flipped[bit/8] ^= 1 << (bit % 8)
		refuse("a bit flipped", string(flipped))
	}
	for size := range len(journalHeader) {
		refuse("a torn header", text[:size])
	}
	line := func(i int) string {
		from := len(journalHeader) + i*journalLine
		return text[from : from+journalLine]
	}
	refuse("the first line lost", journalHeader+line(1)+line(2))
	refuse("a line lost", journalHeader+line(0)+line(2))
	refuse("lines swapped", journalHeader+line(1)+line(0)+line(2))
	refuse("a line twice", journalHeader+line(0)+line(0))
	refuse("a short line that is complete", text+line(0)[:40]+"\n")
	refuse("a line of zeros", text+strings.Repeat("\x00", journalLine))
}

// After an append that may or may not be on disk, nothing is added until the journal is read again.
func TestJournalInDoubt(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	readOnly, err := os.Open(filepath.Join(path, journalFile))
	if err != nil {
		t.Fatal(err)
	}
	writable := d.journal.file
	d.journal.file = readOnly
	if err := d.AppendErasure(ledger.Hash{3}, ledger.Hash{4}); err == nil {
		t.Fatal("an append to a read-only file succeeded")
	}
	readOnly.Close()
	d.journal.file = writable
	if err := d.AppendErasure(ledger.Hash{3}, ledger.Hash{4}); err == nil {
		t.Error("an append after an error succeeded")
	}
	if got := len(d.Erasures()); got != 1 {
		t.Errorf("%d erasures, want 1", got)
	}
	if err := open(t, path, "").AppendErasure(ledger.Hash{3}, ledger.Hash{4}); err != nil {
		t.Errorf("after opening again: %v", err)
	}
}

func TestClosed(t *testing.T) {
	d := open(t, newDir(t, ""), "")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.AppendErasure(ledger.Hash{}, ledger.Hash{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("AppendErasure after Close = %v, want os.ErrClosed", err)
	}
	if _, _, err := d.Month("2026-12"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Month after Close = %v, want os.ErrClosed", err)
	}
}

func FuzzParseErasures(f *testing.F) {
	text, _ := threeErasures()
	f.Add([]byte(text))
	f.Add([]byte(text[:300]))
	f.Add([]byte(journalHeader))
	f.Fuzz(func(t *testing.T, data []byte) {
		erasures, last, whole, err := parseErasures(data)
		if err != nil {
			if err != ErrDamaged {
				t.Errorf("error %v", err)
			}
			return
		}
		text, sum := []byte(journalHeader), [8]byte{}
		for _, e := range erasures {
			var line []byte
			line, sum = formatErasure(sum, e)
			text = append(text, line...)
		}
		if sum != last || !bytes.Equal(text, data[:whole]) || len(data)-whole >= journalLine {
			t.Errorf("%q re-encodes as %q", data, text)
		}
	})
}
