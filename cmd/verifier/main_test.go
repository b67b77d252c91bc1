// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

func TestMain(m *testing.M) {
	testscript.Main(cleaning{m}, map[string]func(){"verifier": main})
}

// cleaning removes the keys of sampleKeys after the tests.
type cleaning struct{ *testing.M }

func (c cleaning) Run() int {
	code := c.M.Run()
	if sampleDir != "" {
		os.RemoveAll(sampleDir)
	}
	return code
}

// TestScripts drives the binary over the vectors of package verifier and over
// logs that a test server shows.
func TestScripts(t *testing.T) {
	vectors, err := filepath.Abs("../../verifier/testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			if err := os.CopyFS(env.WorkDir, os.DirFS(vectors)); err != nil {
				return err
			}
			s := newLogServer()
			env.Defer(s.Close)
			env.Values["server"] = s
			env.Setenv("URL", s.URL)
			env.Setenv("HOST", strings.TrimPrefix(s.URL, "http://"))
			env.Setenv("YEAR", strconv.Itoa(s.year))
			for name, l := range map[string]*verifiertest.Log{"served.vkey": s.log, "stranger.vkey": s.stranger, "shard.vkey": s.shard.Log, "first.vkey": s.first.Log, "months.vkey": s.months.Log} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte("# a log for tests\n"+l.VKey+"\n"), 0o644); err != nil {
					return err
				}
			}
			return announce(env.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"grow": func(ts *testscript.TestScript, _ bool, args []string) {
				events, err := strconv.Atoi(args[0])
				ts.Check(err)
				ts.Value("server").(*logServer).grow(events)
			},
			"tell": func(ts *testscript.TestScript, _ bool, args []string) {
				more, err := strconv.ParseUint(args[0], 10, 64)
				ts.Check(err)
				ts.Value("server").(*logServer).tell(more)
			},
			"save": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(ts.Value("server").(*logServer).save(ts.MkAbs(args[0])))
			},
			"turn": func(ts *testscript.TestScript, _ bool, args []string) { ts.Value("server").(*logServer).turn(args[0]) },
			"lie":  func(ts *testscript.TestScript, _ bool, _ []string) { ts.Value("server").(*logServer).lie() },
			"show": func(ts *testscript.TestScript, _ bool, args []string) {
				if err := ts.Value("server").(*logServer).show(args[0]); err != nil {
					ts.Fatalf("%v", err)
				}
			},
		},
	})
}

// announce puts the thumbprint of INPS's key where the script's file of
// announcements wants it.
func announce(dir string) error {
	key, err := jws.ParseKey(verifiertest.InpsKey(1).JWK)
	if err != nil {
		return err
	}
	print, err := jws.Thumbprint(key.Public)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "announced.txt")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a script that has no use for it
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, bytes.Replace(data, []byte("KEYOFINPS"), []byte(print), 1), 0o644)
}

// logServer shows one log at /log/2026, honestly or not; at /shard/log/<this year>
// one with leaves that a monitor reads; and at /years/log/2024 one that ends, and
// the next.
type logServer struct {
	*httptest.Server
	log, stranger *verifiertest.Log
	year          int                 // of shard: this one
	shard         *verifiertest.Shard // guarded by mu
	first, second *verifiertest.Shard // likewise
	months        *verifiertest.Shard // likewise: one whose November is told

	mu     sync.Mutex // guards what follows
	shown  *verifiertest.Log
	faults int // answers with an error that are still to come
	mode   string
}

func newLogServer() *logServer {
	s := &logServer{log: verifiertest.NewLog("registro.example/2026"), stranger: verifiertest.NewLog("registro.example/2026")}
	s.log.Add(leaves("leaf", 0, 700)...)
	s.stranger.Add(leaves("leaf", 0, 700)...)
	s.year = time.Now().UTC().Year()
	origin := fmt.Sprintf("registro.example/%d", s.year)
	s.shard = verifiertest.NewShard(origin)
	s.shard = verifiertest.UsualShard(origin, time.Since(s.shard.Instant(0)).Seconds())
	s.first = verifiertest.UsualShard("registro.example/2024", 0)
	s.second = verifiertest.NewShard("registro.example/2025")
	s.months = verifiertest.UsualShard("registro.example/2024", 310*24*3600)
	s.Server = httptest.NewServer(s)
	s.shown = s.log.Fork(300)
	return s
}

func leaves(kind string, from, to int) (list [][]byte) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Appendf(nil, "%s %d", kind, i))
	}
	return list
}

// grow adds events and a head to the shard.
func (s *logServer) grow(events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	time.Sleep(2 * time.Millisecond) // unix_ms grows
	s.shard.Event(events)
	s.shard.Head(time.Since(s.shard.Instant(0)).Seconds())
}

// turn has the first of two years end, or the second begin: honestly, or on another past.
func (s *logServer) turn(to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch to {
	case "end":
		s.first.Event(5000)
		s.first.Head(30)
		s.first.Close(s.second, 60)
	case "honest", "otherwise":
		s.second.Leaves = nil
		again := verifiertest.NewShard(s.second.Origin)
		again.Log, s.second = s.second.Log, again
		again.Follow(s.first, func(p *ledger.Preamble, r [][]byte) [][]byte {
			if to == "otherwise" {
				p.PreviousRoot[0] ^= 1
			}
			return r
		})
		again.Head(1)
		again.Event(3)
		again.Head(2)
	}
}

// tell has November be over, and its totals told, with some events more for a body than it had.
func (s *logServer) tell(more uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.months.Event(43)
	s.months.Head(335*24*3600 + 1)
	counts := map[string]uint64{"inps": 20, "c_a944": 15, "c_f205": 7, "c_h501": 1}
	s.months.Totals(s.months, "2024-11", counts, func(t *statistics.Totals) { t.Bodies[0].Events += more })
	s.months.Head(335*24*3600 + 2)
}

// save writes the log with months into a folder, as an export has it.
func (s *logServer) save(folder string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	width := len(s.months.Leaves)
	for _, path := range []string{"checkpoint", fmt.Sprintf("tile/entries/000.p/%d", width), fmt.Sprintf("tile/0/000.p/%d", width)} {
		data, err := s.months.Fetch(context.Background(), path)
		if err != nil {
			return err
		}
		file := filepath.Join(folder, "log", "2024", filepath.FromSlash(path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, data, 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// lie has the shard use a tag twice.
func (s *logServer) lie() {
	s.mu.Lock()
	s.shard.Leaf(s.shard.Tagged(0))
	s.mu.Unlock()
	s.grow(1)
}

// show switches what is served from now on.
func (s *logServer) show(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode, s.faults = what, 0
	switch what {
	case "300":
		s.shown = s.log.Fork(300)
	case "700":
		s.shown = s.log.Fork(700)
	case "fork":
		s.shown = s.log.Fork(299)
		s.shown.Add(leaves("other", 299, 400)...)
	case "stranger":
		s.shown = s.stranger
	case "faults": // that pass
		s.faults = 2
	case "bad-tiles", "huge", "redirect", "elsewhere", "down":
	default:
		return errors.New("nothing of that name to show")
	}
	return nil
}

func (s *logServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for prefix, l := range map[string]*verifiertest.Shard{fmt.Sprintf("/shard/log/%d/", s.year): s.shard, "/years/log/2024/": s.first, "/years/log/2025/": s.second, "/months/log/2024/": s.months} {
		path, ok := strings.CutPrefix(r.URL.Path, prefix)
		if !ok {
			continue
		}
		data, err := l.Fetch(r.Context(), path)
		if err != nil || len(l.Leaves) == 0 {
			http.NotFound(w, r)
			return
		}
		w.Write(data)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/log/2026/")
	tile := strings.HasPrefix(path, "tile/")
	switch {
	case s.mode == "down":
		http.Error(w, "down", http.StatusForbidden)
		return
	case s.faults > 0:
		s.faults--
		w.Header().Set("Retry-After", "0")
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	case s.mode == "elsewhere":
		http.Redirect(w, r, "https://registro.example"+r.URL.Path, http.StatusFound)
		return
	case s.mode == "redirect" && ok:
		http.Redirect(w, r, "/moved"+r.URL.Path, http.StatusFound)
		return
	case s.mode == "redirect":
		path, ok = strings.CutPrefix(r.URL.Path, "/moved/log/2026/")
	}
	data, err := s.shown.Fetch(r.Context(), path)
	if !ok || errors.Is(err, fs.ErrNotExist) {
		http.NotFound(w, r)
		return
	}
	switch {
	case s.mode == "bad-tiles" && tile:
		data[0] ^= 1
	case s.mode == "huge" && !tile:
		data = append(data, make([]byte, 1<<20)...)
	}
	w.Write(data)
}
