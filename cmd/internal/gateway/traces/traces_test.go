// SPDX-License-Identifier: EUPL-1.2

package traces

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func value(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestRotated: what many add at once is all there when it is closed, each line once and whole, whatever moves the file meanwhile.
func TestRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.log")
	r := prometheus.NewRegistry()
	w := New(slog.New(slog.DiscardHandler), r)
	w.Add([]byte("before there is a file\n"))
	w.Use(open(t, path))
	const writers, lines = 8, 500
	add := func(from int) {
		var all sync.WaitGroup
		for n := range writers {
			all.Go(func() {
				for i := range lines {
					w.Add(fmt.Appendf(nil, "line %d of %d\n", from+i, n))
				}
			})
		}
		all.Wait()
	}
	add(0)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	add(lines) // between: into the file that was moved
	w.Use(open(t, path))
	add(2 * lines)
	w.Close()
	seen := map[string]bool{}
	old, last := read(t, path+".1"), read(t, path)
	for line := range strings.Lines(old + last) {
		seen[line] = true
	}
	if n := 3 * writers * lines; len(seen) != n || strings.Count(old+last, "\n") != n || strings.Count(last, "\n") != writers*lines {
		t.Errorf("%d lines, %d of them after the file was opened again", strings.Count(old+last, "\n"), strings.Count(last, "\n"))
	}
	if lost := value(t, r, "traccia_gateway_traces_lost_total"); lost != 0 {
		t.Errorf("%v lost", lost)
	}
}

// TestFull: what a full disk doesn't take waits and is written to the next file; beyond the limit it is lost and counted.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.log")
	var log strings.Builder
	r := prometheus.NewRegistry()
	w := New(slog.New(slog.NewTextHandler(&log, nil)), r)
	w.Use(open(t, "/dev/full"))
	w.Add([]byte("one\n"))
	if w.flush() || value(t, r, "traccia_gateway_traces_failing") != 1 {
		t.Error("a full disk took a line")
	}
	w.Add([]byte("two\n"))
	big := []byte(strings.Repeat("x", maxWaiting/2) + "\n")
	w.Add(big)
	w.Add(big)
	if lost := value(t, r, "traccia_gateway_traces_lost_total"); lost != 1 {
		t.Errorf("%v lost", lost)
	}
	w.Use(open(t, path))
	w.Add([]byte("three\n"))
	w.Close()
	if got, want := read(t, path), "one\ntwo\n"+string(big)+"three\n"; got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	if value(t, r, "traccia_gateway_traces_failing") != 0 || !strings.Contains(log.String(), "no space left") || !strings.Contains(log.String(), "written again") {
		t.Errorf("%s", log.String())
	}
	// At the end there is no other time.
	r = prometheus.NewRegistry()
	w = New(slog.New(slog.DiscardHandler), r)
	w.Use(open(t, "/dev/full"))
	w.Add([]byte("one\n"))
	w.Add([]byte("two\n"))
	w.Close()
	if lost := value(t, r, "traccia_gateway_traces_lost_total"); lost != 2 {
		t.Errorf("%v lost", lost)
	}
}

// TestCut: a line that a crash cut doesn't spoil the next.
func TestCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.log")
	if err := os.WriteFile(path, []byte("one\ntw"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := New(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	w.Use(open(t, path))
	w.Add([]byte("three\n"))
	w.Close()
	if got := read(t, path); got != "one\ntw\nthree\n" {
		t.Errorf("%q", got)
	}
}
