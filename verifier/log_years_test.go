// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// TestLogEnd: the end of a log, wherever in it the announcement is.
func TestLogEnd(t *testing.T) {
	next := verifiertest.NewShard("registro.example/2027")
	final := func(h *ledger.Head) { h.Final = true }
	for _, c := range []struct {
		name      string
		make      func(l *verifiertest.Shard)
		final     bool
		announced bool
		read      int // leaves at most
	}{
		{"open", func(l *verifiertest.Shard) { l.Event(3000); l.Head(30) }, false, false, checkpoint.TileWidth},
		{"announced, open", func(l *verifiertest.Shard) { l.Record(nextKey(2027)); l.Head(30) }, false, false, checkpoint.TileWidth},
		{"just before the end", func(l *verifiertest.Shard) { l.Event(10_000); l.Close(next, 30) }, true, true, checkpoint.TileWidth},
		{"at the beginning", func(l *verifiertest.Shard) {
			l.Record(registry.LogKey{Origin: next.Origin, VKey: next.VKey})
			l.Event(10_000)
			l.Head(30, final)
		}, true, true, 10_007},
		{"not at all", func(l *verifiertest.Shard) { l.Event(1000); l.Head(30, final) }, true, false, 1006},
		{"another year's", func(l *verifiertest.Shard) { l.Record(nextKey(2028)); l.Head(30, final) }, true, false, 1006},
		{"a record that isn't one", func(l *verifiertest.Shard) {
			l.JSON(`{"kind":"log-key","origin":"registro.example/2027"}`)
			l.Head(30, final)
		}, true, false, 1006},
		{"in a leaf of another epoch", func(l *verifiertest.Shard) {
			text, _ := registry.FormatRecord(registry.LogKey{Origin: next.Origin, VKey: next.VKey})
			l.Leaf(ledger.Record{Epoch: 2025, JSON: text})
			l.Head(30, final)
		}, true, false, 1006},
		{"a leaf after the end", func(l *verifiertest.Shard) { l.Close(next, 30); l.Event(1) }, false, false, checkpoint.TileWidth},
		{"malformed", func(l *verifiertest.Shard) { l.Raw([]byte("nothing")) }, false, false, checkpoint.TileWidth},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := usual()
			c.make(l)
			read := 0
			end, err := verifier.End(t.Context(), l, l.Now(), func(n int) { read += n })
			if err != nil {
				t.Fatal(err)
			}
			if end.Final != c.final || (end.Next != nil) != c.announced || c.announced && end.Next.VKey != next.VKey {
				t.Errorf("got %+v", end)
			}
			if read > c.read {
				t.Errorf("read %d leaves, want at most %d", read, c.read)
			}
			wrong := l.Now()
			wrong.Root[0] ^= 1
			if _, err := verifier.End(t.Context(), l, wrong, func(int) {}); !errors.Is(err, checkpoint.ErrTiles) {
				t.Errorf("the end of another log: %v", err)
			}
		})
	}
	if end, err := verifier.End(t.Context(), usual(), checkpoint.Checkpoint{Origin: origin}, func(int) {}); err != nil || end.Final {
		t.Errorf("an empty log: %+v, %v", end, err)
	}
}

// TestLogEndOfLongYear: in a log of a whole year the announcement is found where December begins, and not by reading back
// to there; one that stands elsewhere is found too.
func TestLogEndOfLongYear(t *testing.T) {
	const december = 334 // day of the year, from 0
	key, err := registry.FormatRecord(nextKey(2027))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		announced int // on which day
		most      int // leaves read
	}{
		"with December": {december, 12_000},
		"late":          {december + 2, 12_000},
		"in summer":     {200, 120_000},
	} {
		l := verifiertest.NewLog(origin)
		add := func(leaf ledger.Leaf) {
			raw, err := ledger.FormatLeaf(leaf)
			if err != nil {
				t.Fatal(err)
			}
			l.Add(raw)
		}
		for day := range 365 {
			if day == c.announced {
				add(ledger.Record{Epoch: 2026, JSON: key})
			}
			events := 100
			if day >= december {
				events = 700
			}
			for range events {
				add(ledger.Event{Epoch: 2026})
			}
			add(ledger.Head{Epoch: 2026, UnixMS: uint64(begun.AddDate(0, 0, day).Add(time.Hour).UnixMilli()), Final: day == 364})
		}
		read := 0
		end, err := verifier.End(t.Context(), &kept{Fetcher: l, got: map[string][]byte{}}, l.At(uint64(len(l.Leaves))), func(n int) { read += n })
		if err != nil || !end.Final || end.Next == nil {
			t.Fatalf("%s: %+v, %v", name, end, err)
		}
		if read > c.most {
			t.Errorf("%s: read %d leaves of %d, want at most %d", name, read, len(l.Leaves), c.most)
		}
	}
}

// kept fetches each path once, of a log that makes its tiles anew each time.
type kept struct {
	checkpoint.Fetcher
	mu  sync.Mutex
	got map[string][]byte // guarded by mu
}

func (k *kept) Fetch(ctx context.Context, path string) (data []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if data = k.got[path]; data == nil {
		data, err = k.Fetcher.Fetch(ctx, path)
		k.got[path] = data
	}
	return data, err
}

// TestRoll: the next log is taken under the announced key alone, and if it follows on the old one.
func TestRoll(t *testing.T) {
	old, next := usual(), verifiertest.NewShard("registro.example/2027")
	old.Close(next, 30)
	next.Follow(old)
	next.Head(1)
	key := &registry.LogKey{Origin: next.Origin, VKey: next.VKey}
	r, err := verifier.Roll(t.Context(), next, old.Now(), key)
	if err != nil || r.Alarm != verifier.AlarmNone || r.New != next.Now() || r.State.Key != next.VKey {
		t.Fatalf("%+v, %v", r, err)
	}
	// From then on by the state alone, also when the reader has come to know the key.
	next.Event(3)
	next.Head(2)
	for _, keys := range [][]note.Verifier{nil, {next.Verifier()}, {old.Verifier()}} {
		again := follow(t, next, keys, r.State)
		if again.Alarm != verifier.AlarmNone || again.New != next.Now() || again.State.Key != next.VKey {
			t.Errorf("%+v", again)
		}
		data, err := verifier.FormatLogState(again.State)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := verifier.ParseLogState(data); err != nil || back.Key != next.VKey {
			t.Errorf("%+v, %v", back, err)
		}
	}
	if _, err := verifier.FormatLogState(&verifier.LogState{Checkpoint: next.Checkpoint(), Key: "x"}); err == nil {
		t.Error("a state with a key that is none")
	}
	stranger := verifiertest.NewLog(next.Origin)
	if r, err := verifier.Roll(t.Context(), next, old.Now(), &registry.LogKey{Origin: next.Origin, VKey: stranger.VKey}); err != nil || r.Alarm != verifier.AlarmBadSignature || r.State != nil {
		t.Errorf("another key: %+v, %v", r, err)
	}
	for name, change := range map[string]func(c *checkpoint.Checkpoint){"size": func(c *checkpoint.Checkpoint) { c.Size++ }, "root": func(c *checkpoint.Checkpoint) { c.Root[0] ^= 1 }} {
		before := old.Now()
		change(&before)
		if r, err := verifier.Roll(t.Context(), next, before, key); err != nil || r.Alarm != verifier.AlarmFork || r.State != nil || r.Problem.Code != verifier.CodePreviousLog {
			t.Errorf("another past, %s: %+v, %v", name, r, err)
		}
	}
	if _, err := verifier.Roll(t.Context(), checkpoint.FS{FS: emptyFS{}}, old.Now(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not open yet: %v", err)
	}
}

type emptyFS struct{}

func (emptyFS) Open(string) (fs.File, error) { return nil, fs.ErrNotExist }

// TestLatest: from the first of three years to the last that is open.
func TestLatest(t *testing.T) {
	years := []*verifiertest.Shard{usual(), verifiertest.NewShard("registro.example/2027"), verifiertest.NewShard("registro.example/2028")}
	years[0].Close(years[1], 30)
	years[1].Follow(years[0])
	years[1].Head(1)
	years[1].Close(years[2], 30)
	years[2].Follow(years[1])
	years[2].Head(1)
	for open := 1; open <= 3; open++ {
		epoch, next, err := verifier.Latest(t.Context(), logsOf(years[:open]...), 2026, []note.Verifier{years[0].Verifier()})
		if err != nil || epoch != 2025+uint32(open) || (next == nil) != (open == 1) || next != nil && next.VKey != years[open-1].VKey {
			t.Errorf("%d years open: %d, %+v, %v", open, epoch, next, err)
		}
	}
	if _, _, err := verifier.Latest(t.Context(), logsOf(), 2026, []note.Verifier{years[0].Verifier()}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
	other := verifiertest.NewShard("registro.example/2027")
	other.Follow(years[0])
	other.Head(1)
	for name, logs := range map[string][]*verifiertest.Shard{"another key": {years[0], other}, "another first log": {other}} {
		if _, _, err := verifier.Latest(t.Context(), logsOf(logs...), 2026, []note.Verifier{years[0].Verifier()}); err == nil {
			t.Errorf("%s was followed", name)
		}
	}
}
