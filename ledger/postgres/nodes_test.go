// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"context"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// nodeDeath is how long commits may stand still when one of three nodes dies.
const nodeDeath = 30 * time.Second

// TestNodeDies kills a node under load, and starts it again, the first that the
// store asks first.
// Commits go on, and each happens once. On PostgreSQL the nodes are three ways to
// one server: what is checked is that the store takes another.
func TestNodeDies(t *testing.T) {
	t.Run("CockroachDB", func(t *testing.T) {
		n := pgtest.ThreeNodes(t)
		// One: a second one would have to wait until the first has caught up.
		nodeDies(t, n.Database(t), 1, n.KillNode, func(i int) {
			if err := n.StartNode(i); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		server := pgtest.Postgres(t)
		u, err := url.Parse(server.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		var proxies []*pgtest.Proxy
		var hosts []string
		for range 3 {
			p := pgtest.NewProxy(t, server)
			proxies, hosts = append(proxies, p), append(hosts, p.Addr)
		}
		u.Host = strings.Join(hosts, ",")
		nodeDies(t, u.String(), 3, func(i int) { proxies[i].Cut() }, func(i int) { proxies[i].Mend() })
	})
}

func nodeDies(t *testing.T, text string, nodes int, kill, start func(i int)) {
	s := mustCreate(t, text, nil)
	var done atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for n := 0; ctx.Err() == nil; n++ {
			if err := add(context.Background(), s, n); err != nil {
				ended <- err
				return
			}
			done.Add(1)
		}
		ended <- nil
	}()
	grows := func(after string) {
		t.Helper()
		from, begun := done.Load(), time.Now()
		for done.Load() < from+20 {
			select {
			case err := <-ended:
				t.Fatal(err)
			case <-time.After(time.Millisecond):
			}
			if time.Since(begun) > nodeDeath+10*time.Second { // twenty take their time, too
				t.Fatalf("%s commits don't go on within %s", after, nodeDeath)
			}
		}
		t.Logf("%s: 20 commits after %s", after, time.Since(begun).Round(time.Millisecond))
	}
	grows("at the beginning")
	for i := range nodes {
		kill(i)
		grows("after a node's death")
		start(i)
		grows("after its return")
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	holds(t, s, int(done.Load()))
}
