// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"context"
	"io/fs"
	"syscall"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

const (
	million   = 1_000_000
	perSecond = 500 // receipts of one citizen each
	lookEvery = 5   // seconds
	headsAt   = 30  // seconds
)

// tiled is a log as the bytes of its tiles, of every size up to its own.
type tiled struct {
	leaves [][]byte
	hashes [][]byte // by level, one after the other
}

func newTiled(leaves [][]byte) *tiled {
	t := &tiled{leaves: leaves}
	var hashes []byte
	for _, l := range leaves {
		h := ledger.HashLeaf(l)
		hashes = append(hashes, h[:]...)
	}
	for len(hashes) > 0 {
		t.hashes = append(t.hashes, hashes)
		var above []byte
		for ; len(hashes) >= 32*checkpoint.TileWidth; hashes = hashes[32*checkpoint.TileWidth:] {
			tile := hashes[:32*checkpoint.TileWidth]
			for len(tile) > 32 {
				var half []byte
				for ; len(tile) > 0; tile = tile[64:] {
					half = append(half, rfc6962.DefaultHasher.HashChildren(tile[:32], tile[32:64])...)
				}
				tile = half
			}
			above = append(above, tile...)
		}
		hashes = above
	}
	return t
}

func (t *tiled) Fetch(_ context.Context, path string) ([]byte, error) {
	tile, err := checkpoint.ParsePath(path)
	if err != nil {
		return nil, fs.ErrNotExist
	}
	from, to := tile.Index*checkpoint.TileWidth, tile.Index*checkpoint.TileWidth+uint64(tile.Width)
	if tile.Level == checkpoint.EntryLevel {
		return verifiertest.FormatEntries(t.leaves[from:to])
	}
	return t.hashes[tile.Level][32*from : 32*to], nil
}

// busyLog makes a log of 500 events a second, with a head every 30 s, and its
// states every 5 s.
func busyLog(b *testing.B, events int) (*tiled, []checkpoint.Checkpoint) {
	b.Helper()
	s := verifiertest.UsualShard(origin, 0)
	var sizes []int
	for i := 0; i < events; i += perSecond * lookEvery {
		s.Event(min(perSecond*lookEvery, events-i))
		if seconds := i/perSecond + lookEvery; seconds%headsAt == 0 {
			s.Head(float64(seconds))
		}
		sizes = append(sizes, len(s.Leaves))
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	var states []checkpoint.Checkpoint
	for i, l := range s.Leaves {
		h := ledger.HashLeaf(l)
		if err := tree.Append(h[:], nil); err != nil {
			b.Fatal(err)
		}
		if i+1 == sizes[len(states)] {
			root, err := tree.GetRootHash(nil)
			if err != nil {
				b.Fatal(err)
			}
			states = append(states, checkpoint.Checkpoint{Origin: origin, Size: uint64(i + 1), Root: ledger.Hash(root)})
		}
	}
	return newTiled(s.Leaves), states
}

// processor is this process's time on processors, which other load on the machine
// doesn't add to.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func newMonitor(b *testing.B, f checkpoint.Fetcher) *verifier.Monitor {
	b.Helper()
	m, err := verifier.NewMonitor(verifier.MonitorConfig{Origin: origin, Fetch: f})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func forget(uint64, [][]byte) error { return nil }

// BenchmarkMonitorRead reads a million events in one go, from their tiles.
func BenchmarkMonitorRead(b *testing.B) {
	log, states := busyLog(b, million)
	last := states[len(states)-1]
	begun := processor(b)
	b.ResetTimer()
	for b.Loop() {
		m := newMonitor(b, log)
		if err := m.Public(b.Context(), last, time.Time{}, forget); err != nil {
			b.Fatal(err)
		}
		if r := m.Report(); r.Alarm != "none" || r.Events != million {
			b.Fatalf("%+v", r)
		}
	}
	n := float64(b.N) * float64(last.Size)
	b.ReportMetric(n/b.Elapsed().Seconds(), "leaves/s")
	b.ReportMetric(float64((processor(b)-begun).Nanoseconds())/n, "cpu-ns/leaf")
}

// BenchmarkMonitorFollow follows a log of a million events that grows by 500 a
// second, and looks every 5 s; one operation is one such look.
func BenchmarkMonitorFollow(b *testing.B) {
	log, states := busyLog(b, million+120*perSecond*lookEvery)
	from := million/perSecond/lookEvery - 1
	var m *verifier.Monitor
	at := from
	var spent time.Duration
	for b.Loop() {
		if m == nil || at+1 == len(states) {
			b.StopTimer()
			m, at = newMonitor(b, log), from
			if err := m.Public(b.Context(), states[at], time.Time{}, forget); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		at++
		begun := processor(b)
		if err := m.Public(b.Context(), states[at], time.Time{}, forget); err != nil {
			b.Fatal(err)
		}
		spent += processor(b) - begun
	}
	b.ReportMetric(100*spent.Seconds()/float64(b.N)/lookEvery, "%core")
}
