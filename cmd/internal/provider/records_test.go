// SPDX-License-Identifier: EUPL-1.2

package provider

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/own"
)

func entry(n uint64) own.Entry {
	return own.Entry{
		Subject: "RSSMRA80A01H501U", Origin: "registro.example/2026", Number: uint32(n), Index: n, Receipt: "inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", At: 1,
	}
}

func read(path string) (lines []string, err error) {
	for line, e := range Lines(path) {
		if e != nil {
			return lines, e
		}
		lines = append(lines, string(line))
	}
	return lines, nil
}

// TestRecords: whatever a crash cuts off, whole lines stay, and the next run goes on behind them.
func TestRecords(t *testing.T) {
	dir := t.TempDir()
	var whole []byte
	for n := range uint64(3) {
		e := entry(n)
		whole = own.AppendEntry(whole, &e)
	}
	for cut := 0; cut <= len(whole); cut += 7 {
		path := filepath.Join(dir, "own.ndjson")
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		left := bytes.Count(whole[:cut], []byte("\n"))
		if lines, err := read(path); err != nil || len(lines) != left {
			t.Fatalf("cut at %d: %d lines, %v; want %d", cut, len(lines), err, left)
		}
		r, err := OpenRecords(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Append([]own.Entry{entry(7), entry(8)}); err != nil {
			t.Fatal(err)
		}
		if err := r.Append(nil); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		lines, err := read(path)
		if err != nil || len(lines) != left+2 {
			t.Fatalf("cut at %d: %d lines, %v; want %d", cut, len(lines), err, left+2)
		}
		for _, line := range lines {
			if _, err := own.ParseEntry([]byte(line)); err != nil {
				t.Errorf("cut at %d: %v", cut, err)
			}
		}
	}
}

// TestRecordsRefused: a file of something else isn't cut.
func TestRecordsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.ndjson")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 3*own.MaxLine)), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := OpenRecords(path); !errors.Is(err, own.ErrLine) {
		t.Errorf("%v, %v", r, err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 2*own.MaxLine)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(path); !errors.Is(err, own.ErrLine) {
		t.Errorf("a line that is too long: %v", err)
	}
	if _, err := read(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := OpenRecords(filepath.Join(t.TempDir(), "no", "dir")); err == nil {
		t.Error("made a directory")
	}
}
