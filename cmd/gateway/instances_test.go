// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// TestInstances has a gateway alone become the first of two behind a load balancer, that share a PostgreSQL and are called
// at once about the same few persons. The second is killed under way, then the database restarted: nothing is released that
// isn't recorded and remembered, no number is missing, and what was under way is found out about.
func TestInstances(t *testing.T) {
	notShort(t)
	database := pgtest.Own(t)
	r := newRig(t)
	r.people = 5
	if g := r.call("/consultazione"); g.status != http.StatusOK {
		t.Fatalf("%+v", g)
	}
	r.path.process.Process.Signal(syscall.SIGTERM)
	if err := r.path.process.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, r.stderr)
	}
	config := r.read("gateway.yaml") + "database: " + database.Database(t) + "\n"
	r.write("gateway.yaml", []byte(config), 0o644)
	r.command("share", r.config())
	r.start()
	first := r.ready.Listen

	// The other instance is another path to the same.
	second := &path{t: t, dir: filepath.Join(r.dir, "second")}
	if err := os.Mkdir(second.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"policy.txt", "inps.key", dev.PDNDKeysFile, dev.ClientKeysFile} {
		second.write(name, []byte(r.read(name)), 0o600)
	}
	second.write("gateway.yaml", []byte(config), 0o644)
	second.command("init", filepath.Join(second.dir, "gateway.yaml"), "--key", filepath.Join(r.dir, "memory", "memory.key"))
	second.start()
	r.eventually("the first is there still", func() bool { return r.state().Serving })

	var alive atomic.Pointer[[]string]
	alive.Store(&[]string{first, second.ready.Listen})
	var turn atomic.Uint32
	balancer := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			list := *alive.Load()
			p.SetURL(&url.URL{Scheme: "http", Host: list[int(turn.Add(1))%len(list)]})
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	t.Cleanup(balancer.Close)
	r.ready.Listen = strings.TrimPrefix(balancer.URL, "http://")

	var released, refused atomic.Int32
	stop := make(chan struct{})
	var callers sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); callers.Wait() })
	defer end()
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch g := r.call("/consultazione"); {
				case g.err != nil: // cut off
				case g.status == http.StatusOK:
					released.Add(1)
				case g.status == http.StatusServiceUnavailable:
					refused.Add(1)
				default:
					t.Errorf("%+v", g)
				}
			}
		})
	}
	more := func(n *atomic.Int32, by int32) {
		t.Helper()
		want := n.Load() + by
		r.eventually("calls are answered", func() bool { return n.Load() >= want })
	}
	more(&released, 20)
	kill(second.process)
	alive.Store(&[]string{first})
	more(&released, 10)
	database.Kill()
	if err := database.Start(); err != nil {
		t.Fatal(err)
	}
	more(&released, 10)
	end()
	r.eventually("no number is missing", func() bool { s := r.state(); return s.Unsettled == 0 && s.Missing == 0 })
	t.Logf("%d released, %d refused: %v", released.Load(), refused.Load(), r.compare())
}
