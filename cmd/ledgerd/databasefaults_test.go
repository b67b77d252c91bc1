// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// insist is clients that submit until they are stopped, each the same again until
// it is acknowledged.
type insist struct {
	*acknowledged
	t       *testing.T
	world   *nodetest.World
	url     string
	stop    atomic.Bool
	clients sync.WaitGroup
}

func newInsist(t *testing.T, w *nodetest.World, url string) *insist {
	c := &insist{acknowledged: &acknowledged{answers: map[int]*ledger.Answer{}}, t: t, world: w, url: url}
	const clients = 4
	for i := range clients {
		c.clients.Go(func() {
			for n := i; !c.stop.Load(); n += clients {
				raw := w.Submission(t, n)
				for !c.stop.Load() && !c.submit(n, raw) {
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	return c
}

func (c *insist) submit(n int, raw []byte) bool {
	status, answer, err := post(c.url, raw)
	if answer == nil {
		if err == nil && status != http.StatusServiceUnavailable {
			c.t.Errorf("submission %d was answered %d", n, status)
		}
		return false
	}
	c.add(c.t, n, answer)
	return true
}

// databaseBack is how long writes may stand still once the database is back.
const databaseBack = 30 * time.Second

// grows waits for more acknowledgements.
func (c *insist) grows(when string, more int) {
	c.t.Helper()
	begun, want := time.Now(), c.count()+more
	for c.count() < want {
		if time.Since(begun) > databaseBack {
			c.t.Fatalf("%s: %d of %d acknowledgements within %s", when, c.count()+more-want, more, databaseBack)
		}
		time.Sleep(2 * time.Millisecond)
	}
	c.t.Logf("%s: %d acknowledgements within %s", when, more, time.Since(begun).Round(time.Millisecond))
}

func (c *insist) end() {
	c.stop.Store(true)
	c.clients.Wait()
}

// newDatabaseData makes a ledger in a database, whose settings name it by these
// hosts.
func newDatabaseData(t *testing.T, text string, hosts ...string) (*nodetest.World, string) {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(hosts) > 0 {
		u.Host = strings.Join(hosts, ",")
	}
	return newDataIn(t, u.String())
}

// TestDatabaseFaults does to a database under load what networks and operators
// do: nothing acknowledged is lost, and writes go on.
func TestDatabaseFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	t.Parallel() // it waits more than it works
	const connections = 20
	server := pgtest.Own(t, fmt.Sprintf("max_connections=%d", connections), "superuser_reserved_connections=0")
	text := server.Database(t)
	schema := text[strings.LastIndex(text, "=")+1:]
	first, second := pgtest.NewProxy(t, server), pgtest.NewProxy(t, server)
	w, dir := newDatabaseData(t, text+"&pool_max_conns=2", first.Addr, second.Addr)
	p := serve(t, "serve", "--data", dir)
	c := newInsist(t, w, p.ready.URL)
	c.grows("at the beginning", 40)

	first.Slow(25 * time.Millisecond)
	c.grows("while each message takes 25 ms", 12)
	first.Slow(0)

	first.Cut()
	c.grows("after one of two addresses is gone", 20)
	second.Cut()
	time.Sleep(time.Second)
	first.Mend()
	second.Mend()
	c.grows("after the network was cut off for a second", 20)

	server.Kill()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.grows("after a crash of the database", 20)

	// Others take every connection there is, and the ledger's are cut off.
	first.Cut()
	second.Cut()
	var taken []*pgx.Conn
	for end := time.Now().Add(databaseBack); len(taken) < connections && time.Now().Before(end); {
		if conn, err := pgx.Connect(t.Context(), text); err == nil {
			taken = append(taken, conn)
		}
	}
	first.Mend()
	second.Mend()
	before := c.count()
	time.Sleep(500 * time.Millisecond)
	t.Logf("%d acknowledgements while others have all %d connections", c.count()-before, len(taken))
	for _, conn := range taken {
		conn.Close(t.Context())
	}
	c.grows("after others had every connection", 20)

	var readers sync.WaitGroup
	var enough atomic.Bool
	var answered, put atomic.Int64
	leaves := fmt.Sprintf("%s/log/%d/tile/entries/000.p/20", p.ready.URL, ledger.EpochOf(time.Now()))
	for range 30 {
		readers.Go(func() {
			for !enough.Load() {
				switch status := get(leaves); status {
				case http.StatusOK:
					answered.Add(1)
				case http.StatusServiceUnavailable:
					put.Add(1)
				default:
					t.Errorf("a reader was answered %d", status)
					return
				}
			}
		})
	}
	c.grows("while 30 readers share two connections", 20)
	for end := time.Now().Add(databaseBack); answered.Load() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	enough.Store(true)
	readers.Wait()
	if answered.Load() == 0 {
		t.Error("no reader was answered")
	}
	t.Logf("%d reads answered, %d put off", answered.Load(), put.Load())

	server.Exec(t, `CREATE SEQUENCE `+schema+`.tries`)
	server.Exec(t, `CREATE FUNCTION `+schema+`.fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('`+schema+`.tries') % 4 > 0 THEN RAISE serialization_failure; END IF; RETURN NULL; END $$`)
	server.Exec(t, `CREATE CONSTRAINT TRIGGER fails AFTER UPDATE ON `+schema+`.store_use DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION `+schema+`.fails()`)
	c.grows("while three of four commits fail to serialise", 20)
	server.Exec(t, `DROP TRIGGER fails ON `+schema+`.store_use`)
	c.end()
	p.stop()
	c.holds(t, dir)
	if a := done(t, "fsck", "--data", dir); a["result"] != "proven" || a["receipts"].(float64) != float64(c.count()) {
		t.Errorf("%d were acknowledged, fsck says %v", c.count(), a)
	}
}

// TestDatabaseNodeDies kills one of three nodes of a CockroachDB under a ledger
// that records.
func TestDatabaseNodeDies(t *testing.T) {
	nodes := pgtest.ThreeNodes(t)
	w, dir := newDatabaseData(t, nodes.Database(t))
	p := serve(t, "serve", "--data", dir)
	c := newInsist(t, w, p.ready.URL)
	c.grows("at the beginning", 40)
	nodes.KillNode(0)
	c.grows("after a node's death", 40)
	if err := nodes.StartNode(0); err != nil {
		t.Fatal(err)
	}
	c.grows("after its return", 40)
	c.end()
	p.stop()
	c.holds(t, dir)
	if a := done(t, "fsck", "--data", dir); a["result"] != "proven" {
		t.Errorf("fsck: %v", a)
	}
}

func get(url string) int {
	response, err := http.Get(url)
	if err != nil {
		return 0
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return 0
	}
	return response.StatusCode
}
