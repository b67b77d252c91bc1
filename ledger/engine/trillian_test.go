// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"k8s.io/klog/v2"

	"github.com/traccia-ledger/traccia/ledger/pebble"
)

// TestClockSetBack appends with a wall clock that goes back, stands still, and
// goes back across a restart. Trillian would refuse each of those roots.
func TestClockSetBack(t *testing.T) {
	st, err := pebble.Create("/store", pebble.Options{FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	wall := time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)
	open := func() *Engine {
		e, err := New(st)
		if err != nil {
			t.Fatal(err)
		}
		e.clock.wall = func() time.Time { return wall }
		return e
	}
	s, err := open().CreateShard(t.Context(), 2026)
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []time.Duration{time.Second, -time.Hour, 0, 0, -24 * 365 * time.Hour, time.Minute} {
		wall = wall.Add(step)
		if i%2 == 1 {
			if s, err = open().OpenShard(t.Context(), 2026); err != nil {
				t.Fatal(err)
			}
		}
		before := s.state.Load().nanos
		if _, err := s.Append(t.Context(), [][]byte{{byte(i)}}, nil); err != nil {
			t.Errorf("step %d, of %v: %v", i, step, err)
		}
		if after := s.state.Load().nanos; after <= before {
			t.Errorf("step %d: the root's time went from %d to %d", i, before, after)
		}
	}
}

// TestTrillianIsQuiet checks that what Trillian logs comes to the default
// logger, and only its errors.
func TestTrillianIsQuiet(t *testing.T) {
	startTrillian()
	var log bytes.Buffer
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	klog.Infof("chatter")
	klog.Warningf("a worry")
	if log.Len() != 0 {
		t.Errorf("logged %q", log.String())
	}
	klog.Errorf("a failure")
	if !bytes.Contains(log.Bytes(), []byte("a failure")) || !bytes.Contains(log.Bytes(), []byte("level=ERROR")) {
		t.Errorf("an error was logged as %q", log.String())
	}
}
