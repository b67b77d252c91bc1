// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

const origin = "registro.example/2026"

func addLeaves(l *verifiertest.Log, n int, kind string) {
	for range n {
		l.Add(fmt.Appendf(nil, "%s %d", kind, len(l.Leaves)))
	}
}

// follow checks a log and returns what to remember.
func follow(t *testing.T, l checkpoint.Fetcher, keys []note.Verifier, old *verifier.LogState) *verifier.LogReport {
	t.Helper()
	r, err := verifier.Log(t.Context(), l, keys, old)
	if err != nil {
		t.Fatal(err)
	}
	if (r.Alarm == verifier.AlarmNone) != (r.Problem == nil) {
		t.Errorf("alarm %s with problem %v", r.Alarm, r.Problem)
	}
	return r
}

func TestLog(t *testing.T) {
	l := verifiertest.NewLog(origin)
	keys := []note.Verifier{l.Verifier()}
	var state *verifier.LogState
	var last uint64
	for _, n := range []int{1, 1, 254, 1, 100, 512, 0} {
		addLeaves(l, n, "leaf")
		size := uint64(len(l.Leaves))
		r := follow(t, l, keys, state)
		if r.Alarm != verifier.AlarmNone || r.Old.Size != last || r.New != l.At(size) {
			t.Errorf("at size %d after %d: %+v", size, last, r)
		}
		if n == 0 && r.State != state {
			t.Error("another state of the same log")
		}
		state, last = r.State, size
	}

	// Less than before, and other leaves of the same number.
	for name, c := range map[string]struct {
		log  *verifiertest.Log
		want verifier.Alarm
	}{
		"rollback":               {l.Fork(300), verifier.AlarmRollback},
		"rollback to nothing":    {l.Fork(0), verifier.AlarmRollback},
		"fork of the same size":  {forked(l, 868, 1), verifier.AlarmFork},
		"fork that grew":         {forked(l, 868, 50), verifier.AlarmFork},
		"fork from the start":    {forked(l, 0, 1000), verifier.AlarmFork},
		"another log's":          {otherLog(origin, 869), verifier.AlarmBadSignature},
		"another log of another": {otherLog("registro.example/2027", 900), verifier.AlarmBadSignature},
	} {
		r := follow(t, c.log, keys, state)
		if r.Alarm != c.want {
			t.Errorf("%s: alarm %s, want %s", name, r.Alarm, c.want)
		}
		if c.want != verifier.AlarmFork {
			if r.State != state {
				t.Errorf("%s: another state", name)
			}
			continue
		}
		want := &verifier.LogState{Checkpoint: state.Checkpoint, Fork: c.log.Checkpoint()}
		if diff := cmp.Diff(want, r.State); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		// The evidence stays, whatever the log shows now, and needs no log.
		again := follow(t, nil, keys, r.State)
		if again.Alarm != verifier.AlarmFork || again.New != r.New || again.State != r.State {
			t.Errorf("%s, seen again: %+v", name, again)
		}
	}
}

func forked(l *verifiertest.Log, at, more int) *verifiertest.Log {
	f := l.Fork(at)
	addLeaves(f, more, "other")
	return f
}

func otherLog(origin string, size int) *verifiertest.Log {
	l := verifiertest.NewLog(origin)
	addLeaves(l, size, "leaf")
	return l
}

// damaged changes what a log serves under some path.
type damaged struct {
	*verifiertest.Log
	change func(path string, data []byte) ([]byte, error)
}

func (d damaged) Fetch(ctx context.Context, path string) ([]byte, error) {
	data, err := d.Log.Fetch(ctx, path)
	if err != nil {
		return nil, err
	}
	return d.change(path, data)
}

// TestLogDamaged: what a server between does to a log is no alarm about its
// history.
func TestLogDamaged(t *testing.T) {
	l := otherLog(origin, 300)
	keys := []note.Verifier{l.Verifier()}
	state := follow(t, l, keys, nil).State
	addLeaves(l, 300, "leaf")
	gone := errors.New("connection reset")
	for name, change := range map[string]func(string, []byte) ([]byte, error){
		"tiles flipped": func(path string, data []byte) ([]byte, error) {
			if strings.HasPrefix(path, "tile/") {
				data[0] ^= 1
			}
			return data, nil
		},
		"tiles cut": func(path string, data []byte) ([]byte, error) {
			if strings.HasPrefix(path, "tile/") {
				data = data[:len(data)-1]
			}
			return data, nil
		},
		"no tiles": func(path string, data []byte) ([]byte, error) {
			if strings.HasPrefix(path, "tile/") {
				return nil, gone
			}
			return data, nil
		},
		"nothing": func(string, []byte) ([]byte, error) { return nil, gone },
	} {
		for _, old := range []*verifier.LogState{nil, state} {
			if r, err := verifier.Log(t.Context(), damaged{l, change}, keys, old); err == nil {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}

	signed := l.Checkpoint()
	for i := range signed {
		flip := func(path string, data []byte) ([]byte, error) {
			if path == verifier.CheckpointPath {
				data = bytes.Clone(data)
				data[i] ^= 1
			}
			return data, nil
		}
		if r := follow(t, damaged{l, flip}, keys, state); r.Alarm != verifier.AlarmBadSignature || r.State != state {
			t.Errorf("byte %d: %+v", i, r)
		}
	}
}

// TestLogState: the state is trusted no further than its signatures.
func TestLogState(t *testing.T) {
	l, other := otherLog(origin, 10), otherLog(origin, 10)
	keys := []note.Verifier{l.Verifier()}
	second := otherLog("registro.example/2027", 5)
	for name, c := range map[string]struct {
		keys  []note.Verifier
		state verifier.LogState
	}{
		"of another key":          {keys, verifier.LogState{Checkpoint: other.Checkpoint()}},
		"evidence of another key": {keys, verifier.LogState{Checkpoint: l.Checkpoint(), Fork: other.Checkpoint()}},
		"of another year":         {append(slices.Clone(keys), second.Verifier()), verifier.LogState{Checkpoint: second.Checkpoint()}},
	} {
		if r, err := verifier.Log(t.Context(), l, c.keys, &c.state); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}

	good := verifier.LogState{Checkpoint: l.Checkpoint(), Fork: forked(l, 3, 9).Checkpoint()}
	data, err := verifier.FormatLogState(&good)
	if err != nil {
		t.Fatal(err)
	}
	back, err := verifier.ParseLogState(data)
	if diff := cmp.Diff(&good, back); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	for _, bad := range []string{
		"", "{}", string(data[:len(data)-1]), string(data) + "\n", " " + string(data),
		strings.Replace(string(data), "state/1", "state/2", 1),
		strings.Replace(string(data), `"fork"`, `"Fork"`, 1),
		strings.Replace(string(data), `"schema"`, `"checkpoint":"x","schema"`, 1),
		strings.Replace(string(data), `"checkpoint":"`, `"checkpoint":"","x":"`, 1),
		`{"schema":"traccia/verifier-log-state/1","checkpoint":""}` + "\n",
		`{"schema":"traccia/verifier-log-state/1","checkpoint":"x","fork":""}` + "\n",
	} {
		if s, err := verifier.ParseLogState([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, s)
		}
	}
	// A noncharacter could stand in the name of a signature nobody knows.
	if data, err := verifier.FormatLogState(&verifier.LogState{Checkpoint: []byte("a\ufffe")}); err == nil {
		t.Errorf("%q", data)
	}
}

func FuzzParseLogState(f *testing.F) {
	f.Add([]byte(`{"schema":"traccia/verifier-log-state/1","checkpoint":"a\n1\n—"}` + "\n"))
	f.Add([]byte(`{"schema":"traccia/verifier-log-state/1","checkpoint":"x","fork":"y"}` + "\n"))
	f.Add([]byte(`{"schema":"traccia/verifier-log-state/1","checkpoint":"x","key":"` + verifiertest.NewLog(origin).VKey + `"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := verifier.ParseLogState(data)
		if err != nil {
			return
		}
		if back, err := verifier.FormatLogState(s); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%q is %q, %v", data, back, err)
		}
	})
}
