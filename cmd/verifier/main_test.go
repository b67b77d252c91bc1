// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"verifier": main})
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
			for name, l := range map[string]*verifiertest.Log{"served.vkey": s.log, "stranger.vkey": s.stranger} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte("# a log for tests\n"+l.VKey+"\n"), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"show": func(ts *testscript.TestScript, _ bool, args []string) {
				if err := ts.Value("server").(*logServer).show(args[0]); err != nil {
					ts.Fatalf("%v", err)
				}
			},
		},
	})
}

// logServer shows one log at /log/2026, honestly or not.
type logServer struct {
	*httptest.Server
	log, stranger *verifiertest.Log

	mu     sync.Mutex // guards what follows
	shown  *verifiertest.Log
	faults int // answers with an error that are still to come
	mode   string
}

func newLogServer() *logServer {
	s := &logServer{log: verifiertest.NewLog("registro.example/2026"), stranger: verifiertest.NewLog("registro.example/2026")}
	s.log.Add(leaves("leaf", 0, 700)...)
	s.stranger.Add(leaves("leaf", 0, 700)...)
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
