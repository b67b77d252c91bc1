// SPDX-License-Identifier: EUPL-1.2

package monitor

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/alertstest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// years is a ledger over two years, as a world's monitor sees it.
type years struct {
	*world
	next *verifiertest.Shard
}

// endOfYear is the last second of 2026, from its start.
const endOfYear = 365*24*3600 - 1

func newYears(t *testing.T) *years {
	y := &years{newWorld(t), verifiertest.NewShard("registro.example/2027")}
	y.log.Event(3)
	return y
}

func (y *years) config() Config {
	c := y.world.config()
	c.Log = func(epoch uint32) checkpoint.Fetcher {
		if epoch == 2026 {
			return y.world
		}
		return nextLog{y}
	}
	return c
}

// nextLog is the second year's log, which isn't there before it has leaves.
type nextLog struct{ *years }

func (n nextLog) Fetch(ctx context.Context, path string) ([]byte, error) {
	if len(n.next.Leaves) == 0 {
		return nil, fs.ErrNotExist
	}
	return n.next.Fetch(ctx, path)
}

func (y *years) open(change ...func(*Config)) *Monitor {
	y.t.Helper()
	c := y.config()
	for _, f := range change {
		f(&c)
	}
	m, err := Open(c)
	if err != nil {
		y.t.Fatal(err)
	}
	return m
}

// The last head of the old year is of its first minute, so that it has no gap.
const closing = 60

// end has the year end.
func (y *years) end(next *verifiertest.Shard) {
	y.log.Close(next, closing)
	y.now = y.log.Instant(closing + 1)
}

// begin has the next year begin.
func (y *years) begin(change ...func(p *ledger.Preamble, records [][]byte) [][]byte) {
	y.next.Follow(y.log, change...)
	y.next.Head(0.5)
	y.now = y.next.Instant(1)
}

// TestYearTurns: the monitor goes on with the next year by itself, over restarts, and reads the old year no more.
func TestYearTurns(t *testing.T) {
	y := newYears(t)
	var follows []string
	m := y.open(func(c *Config) { c.Follows = func(l note.Verifier) { follows = append(follows, l.Name()) } })
	y.look(m)
	y.end(y.next)
	y.look(m)
	if r := m.Report(); r.Checkpoint != y.log.Now() || !r.Final || m.Before() != nil {
		t.Errorf("at the end of the year: %+v, before %+v", r, m.Before())
	}
	y.look(m) // the next isn't open yet
	y.close(m)

	// A restart between the two.
	m = y.open()
	y.look(m)
	if r := m.Report(); r.Origin != y.next.Origin || r.Size != 0 || m.Before() == nil || m.Before().Checkpoint != y.log.Now() {
		t.Errorf("between the years: %+v, before %+v", r, m.Before())
	}
	y.begin()
	y.next.Event(2)
	y.next.Head(2)
	y.look(m)
	if r := m.Report(); r.Checkpoint != y.next.Now() || r.Alarm != "none" || len(r.Notices) != 0 {
		t.Errorf("in the new year: %+v", r)
	}
	if b := m.Before(); b == nil || b.Checkpoint != y.log.Now() || b.Alarm != "none" || len(b.Alarms) != 0 {
		t.Errorf("the year before: %+v", b)
	}
	y.close(m)
	if want := []string{y.log.Origin, y.next.Origin}; !slices.Equal(follows, want) {
		t.Errorf("follows %v, want %v", follows, want)
	}
	if err := os.RemoveAll(filepath.Join(y.dir, "2026")); err != nil {
		t.Fatal(err)
	}
	y.next.Event(1)
	y.next.Head(3)
	m = y.open()
	y.look(m)
	y.close(m)
	if r := m.Report(); r.Checkpoint != y.next.Now() {
		t.Errorf("after a restart: %+v", r)
	}
	if got := y.codes(); got != nil {
		t.Errorf("told %v", got)
	}
}

// TestYearTurnsWrongly: what the next year must stand on, and what the old one shows after its end.
func TestYearTurnsWrongly(t *testing.T) {
	t.Run("no announcement", func(t *testing.T) {
		y := newYears(t)
		y.end(nil)
		y.begin()
		m := y.open()
		y.look(m)
		y.close(m)
		if r := m.Report(); r.Checkpoint != y.log.Now() || !slices.Contains(y.codes(), verifier.CodeNoLogKey) {
			t.Errorf("%+v, told %v", r, y.codes())
		}
		// Whoever knows the key from elsewhere goes on.
		m = y.open(func(c *Config) { c.Logs = append(c.Logs, y.next.Verifier()) })
		y.look(m)
		y.close(m)
		if r := m.Report(); r.Checkpoint != y.next.Now() || r.Alarm != "none" || m.Before().Alarm != verifier.CodeNoLogKey {
			t.Errorf("with a key given: %+v, %+v", r, m.Before())
		}
	})
	t.Run("a log under another key", func(t *testing.T) {
		y := newYears(t)
		y.end(y.next)
		y.begin()
		other := verifiertest.NewShard(y.next.Origin)
		other.Follow(y.log)
		other.Head(0.5)
		y.next = other
		m := y.open()
		y.look(m)
		y.close(m)
		if !slices.Contains(y.codes(), verifier.CodeBadSignature) || m.Report().Size != y.log.Now().Size {
			t.Errorf("told %v, at %+v", y.codes(), m.Report())
		}
	})
	t.Run("another past", func(t *testing.T) {
		y := newYears(t)
		y.end(y.next)
		y.begin(func(p *ledger.Preamble, r [][]byte) [][]byte { p.PreviousRoot[0] ^= 1; return r })
		m := y.open()
		y.look(m)
		y.close(m)
		if r := m.Report(); !r.Broken || r.Alarm != verifier.CodePreviousLog {
			t.Errorf("%+v", r)
		}
	})
	t.Run("no final head", func(t *testing.T) {
		y := newYears(t)
		y.next.Head(0.5)
		m := y.open()
		y.now = y.log.Instant(endOfYear + 1000)
		y.look(m)
		y.close(m)
		if r := m.Report(); r.Origin != origin || !slices.Contains(y.codes(), verifier.CodeNotFinal) {
			t.Errorf("%+v, told %v", r, y.codes())
		}
	})
	t.Run("the old log goes on", func(t *testing.T) {
		y := newYears(t)
		y.end(y.next)
		y.begin()
		m := y.open()
		y.look(m)
		y.log.Event(1)
		y.look(m)
		y.look(m)
		if got := y.codes(); !slices.Equal(got, []string{"after_final"}) {
			t.Errorf("told %v", got)
		}
		if b := m.Before(); b.Alarm != "after_final" || len(b.Alarms) != 1 {
			t.Errorf("%+v", b)
		}
		metrics := alertstest.NewRegistry()
		m.Register(metrics)
		alertstest.Check(t, metrics, "../../..", "monitor")
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			want, known := map[string]float64{"traccia_monitor_epoch": 2027, "traccia_monitor_alarms": 1, "traccia_monitor_broken": 0}[f.GetName()]
			if got := f.Metric[0].GetGauge().GetValue(); known && got != want {
				t.Errorf("%s is %v, want %v", f.GetName(), got, want)
			}
		}
		y.close(m)
		if r := m.Report(); r.Broken || r.Alarm != "none" {
			t.Errorf("the new log: %+v", r)
		}
	})
	t.Run("a directory that holds too little", func(t *testing.T) {
		y := newYears(t)
		y.end(y.next)
		y.begin()
		m := y.open()
		y.look(m)
		y.close(m)
		path := filepath.Join(y.dir, "2027", beforeFile)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Replace(data, []byte(`"size":`), []byte(`"size":1`), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		m = y.open()
		if r := m.Report(); r.Alarm != verifier.CodePreviousLog {
			t.Errorf("another past: %+v", r)
		}
		y.close(m)
		if err := os.WriteFile(path, append(data, ' '), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := Open(y.config()); err == nil || !strings.Contains(err.Error(), "before.json") {
			t.Errorf("%v, %v", m, err)
		}
		// A crash before anything of the year is there.
		if err := errors.Join(os.RemoveAll(filepath.Dir(path)), os.Mkdir(filepath.Dir(path), 0o700)); err != nil {
			t.Fatal(err)
		}
		m = y.open()
		y.look(m)
		y.close(m)
		if r := m.Report(); r.Checkpoint != y.next.Now() || r.Alarm != "none" {
			t.Errorf("after a crash: %+v", r)
		}
	})
}

// TestYearsCosigned: the old year's final checkpoint goes on being cosigned, nothing after it, and the new year's at once.
func TestYearsCosigned(t *testing.T) {
	y := newYears(t)
	secret, vkey, err := witness.NewKey("monitor.example")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "monitor.key")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(c *Config) {
		if c.Signer, err = witness.ReadKey(file); err != nil {
			t.Fatal(err)
		}
	}
	m := y.open(sign)
	server := httptest.NewServer(m.Witness())
	clients := map[string]*witness.Client{}
	submit := func(l *verifiertest.Shard) error {
		t.Helper()
		client := clients[l.Origin]
		if client == nil {
			var err error
			if client, err = witness.NewClient(server.URL, vkey); err != nil {
				t.Fatal(err)
			}
			clients[l.Origin] = client
		}
		_, err := client.Add(t.Context(), l.Now(), l.Checkpoint(), (&world{log: l}).prove)
		return err
	}
	if err := submit(y.log); err != nil {
		t.Fatal(err)
	}
	y.end(y.next)
	y.begin()
	for _, l := range []*verifiertest.Shard{y.log, y.next, y.log} {
		if err := submit(l); err != nil {
			t.Errorf("%s: %v", l.Origin, err)
		}
	}
	server.Close()
	y.close(m)

	m = y.open(sign)
	defer y.close(m)
	server = httptest.NewServer(m.Witness())
	defer server.Close()
	clients = map[string]*witness.Client{}
	y.next.Head(2)
	y.now = y.next.Instant(3)
	for _, l := range []*verifiertest.Shard{y.log, y.next, y.log} {
		if err := submit(l); err != nil {
			t.Errorf("after a restart, %s: %v", l.Origin, err)
		}
	}
	y.log.Event(1)
	if err := submit(y.log); !errors.Is(err, witness.ErrRefused) {
		t.Errorf("a leaf after the final head: %v", err)
	}
}

func FuzzBefore(f *testing.F) {
	next := verifiertest.NewLog("registro.example/2027")
	whole := before{Alarm: "none", Ended: verifier.Ended{
		Checkpoint: checkpoint.Checkpoint{Origin: origin, Size: 4712, Root: ledger.Hash{1}}, UnixMS: 1_798_761_600_123,
		Next: next.Origin, NextKey: next.VKey, InForce: [][]byte{[]byte(`{"kind":"body","id":"inps","name":"<INPS>"}`)},
		Untold: []statistics.Span{{Origin: origin, Month: "2026-12", From: 4001, To: 4711, Events: 700}},
	}}
	for _, b := range []before{whole, {Alarm: "wrong_head", Broken: true, Ended: verifier.Ended{Checkpoint: whole.Checkpoint, Next: next.Origin}}} {
		data, err := formatBefore(&b)
		if err != nil {
			f.Fatal(err)
		}
		back, err := parseBefore(data)
		if err != nil || !cmp.Equal(*back, b) {
			f.Errorf("%+v came back as %+v, %v", b, back, err)
		}
		f.Add(data)
		for _, change := range [][2]string{{"/1", "/2"}, {`"root":"01`, `"root":"0X`}, {"2027", "2028"}, {`"size"`, `"sise"`}, {`"none"`, `"none" `}} {
			if bad := strings.Replace(string(data), change[0], change[1], 1); bad != string(data) {
				if _, err := parseBefore([]byte(bad)); err == nil {
					f.Errorf("%s was taken", bad)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBefore(data)
		if err != nil {
			return
		}
		if back, err := formatBefore(b); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%q re-encodes as %q", data, back)
		}
	})
}
