// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

const session = "0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55"

// glass is a gateway of the hub's in a session of break-glass.
type glass struct {
	r      *running
	opened registry.SessionOpened
	number int
	last   ledger.Hash
}

func newGlass(r *running, at time.Time) *glass {
	return &glass{r: r, opened: registry.SessionOpened{
		Aud: nodetest.Name, Scope: nodetest.Hub, Session: session, Opened: at.UnixMilli(), Until: at.Add(ledger.MaxSession).UnixMilli(), Warrant: ledger.Hex{1},
	}}
}

// state has a statement recorded.
func (g *glass) state(statement any) (origin string, index uint64, replayed bool, err error) {
	g.r.t.Helper()
	payload, typ, err := registry.FormatSession(statement)
	if err != nil {
		g.r.t.Fatal(err)
	}
	compact, err := jws.Sign(typ, payload, nodetest.Key(nodetest.Hub, 0).Kid, nodetest.Signer(nodetest.Hub, 0))
	if err != nil {
		g.r.t.Fatal(err)
	}
	return g.r.RecordSession(g.r.t.Context(), compact)
}

func (g *glass) closed(recorded int) registry.SessionClosed {
	return registry.SessionClosed{
		Aud: nodetest.Name, Scope: nodetest.Hub, Session: session, Closed: g.opened.Opened + 60000, Count: g.number, Recorded: recorded, Last: ledger.Hex(g.last),
	}
}

// next makes the next receipt of the session.
func (g *glass) next(n int) []byte {
	g.r.t.Helper()
	g.number++
	raw := g.r.world.Make(g.r.t, n, nodetest.Access{
		Provider: nodetest.Hub, BreakGlass: &ledger.BreakGlass{Session: session, Number: g.number, Previous: ledger.Hex(g.last)}, Subjects: 1, First: 1,
	})
	s, err := ledger.ParseSubmission(raw)
	if err != nil {
		g.r.t.Fatal(err)
	}
	receipt, err := ledger.ParseReceipt(s.Receipt)
	if err != nil {
		g.r.t.Fatal(err)
	}
	g.last = receipt.PayloadDigest
	return raw
}

// TestBreakGlass: the receipts of a session are taken after the record of its opening alone, over New Year too, as many as
// its closing says; history and fsck know the session.
func TestBreakGlass(t *testing.T) {
	c := newClock(january(2027).Add(-time.Hour))
	r := newLedgerAt(t, c, node.Options{})
	g := newGlass(r, c.Now())
	submit := func(raw []byte, code string) {
		t.Helper()
		_, _, err := r.Submit(t.Context(), raw)
		var p *ledger.Problem
		if code == "" && err != nil || code != "" && (!errors.As(err, &p) || p.Code != code) {
			t.Fatalf("%v, want %q", err, code)
		}
	}
	first := g.next(1)
	submit(first, "no_session")
	ahead := g.opened
	ahead.Opened, ahead.Until = ahead.Opened+120000, ahead.Until+120000
	var p *ledger.Problem
	if _, _, _, err := g.state(ahead); !errors.As(err, &p) || p.Code != "in_future" {
		t.Errorf("a session that opens in the future: %v", err)
	}
	origin, index, replayed, err := g.state(g.opened)
	if err != nil || replayed {
		t.Fatal(err)
	}
	if o, i, again, err := g.state(g.opened); err != nil || !again || i != index || o != origin {
		t.Errorf("opened again: %s %d %v %v", o, i, again, err)
	}
	submit(first, "")
	second := g.next(2)

	c.set(january(2027).Add(time.Second))
	r.turned(2027)
	submit(second, "")
	third := g.next(3)
	closed := g.closed(2)
	_, index, _, err = g.state(closed)
	if err != nil {
		t.Fatal(err)
	}
	if _, i, again, err := g.state(closed); err != nil || !again || i != index {
		t.Errorf("closed again: %d %v %v", i, again, err)
	}
	submit(g.next(4), "no_session") // one more than there were
	submit(third, "")
	settled := closed
	settled.Recorded = 3
	if _, _, _, err := g.state(settled); err != nil {
		t.Fatal(err)
	}
	b, err := r.History(t.Context(), nodetest.Person(1))
	if err != nil {
		t.Fatal(err)
	}
	sessions := 0
	for _, s := range b.Shards {
		for _, l := range s.Leaves {
			if leaf, ok := parse(t, l.Leaf).(ledger.Record); ok && strings.Contains(string(leaf.JSON), `"kind":"break-glass"`) {
				sessions++
			}
		}
	}
	if len(b.Shards) != 2 || sessions != 4 { // opened; in the next year again, closed, closed
		t.Errorf("a history of %d years with %d records of the session", len(b.Shards), sessions)
	}
	r.years()
}

// TestBreakGlassAnswerLostAtNewYear: a closing whose answer was lost finds its record in the year before.
func TestBreakGlassAnswerLostAtNewYear(t *testing.T) {
	c := newClock(january(2027).Add(-time.Hour))
	r := newLedgerAt(t, c, node.Options{})
	g := newGlass(r, c.Now())
	if _, _, _, err := g.state(g.opened); err != nil {
		t.Fatal(err)
	}
	origin, index, _, err := g.state(g.closed(0))
	if err != nil {
		t.Fatal(err)
	}
	c.set(january(2027).Add(time.Second))
	r.turned(2027)
	if o, i, again, err := g.state(g.closed(0)); err != nil || !again || i != index || o != origin {
		t.Errorf("%s %d %v %v", o, i, again, err)
	}
	r.years()
}

// TestBreakGlassMissing: fsck finds a session whose record says of more receipts than there are, and a chain that doesn't hold.
func TestBreakGlassMissing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(g *glass) (recorded int)
		want  string
	}{
		"one is missing":         {func(g *glass) int { g.next(2); return 2 }, "2 recorded receipts of this session"},
		"another last":           {func(g *glass) int { g.last[0] ^= 1; return 1 }, "a last receipt as the record"},
		"one names another":      {func(g *glass) int { g.last[0] ^= 1; g.send(3); return 2 }, "a receipt 2 that names the one before"},
		"one number, two of it":  {func(g *glass) int { g.number--; g.last = ledger.Hash{}; g.send(3); return 1 }, "number 1 once"},
		"nothing is wrong":       {func(g *glass) int { g.send(3); return 2 }, ""},
		"nothing is claimed yet": {func(g *glass) int { g.next(2); return 1 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newLedger(t, node.Options{})
			g := newGlass(r, time.Now())
			if _, _, _, err := g.state(g.opened); err != nil {
				t.Fatal(err)
			}
			g.send(1)
			if _, _, _, err := g.state(g.closed(c.spoil(g))); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := nodetest.AuditDir(t.Context(), r.dir, "")
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// send has the next receipt recorded.
func (g *glass) send(n int) {
	g.r.t.Helper()
	if _, _, err := g.r.Submit(g.r.t.Context(), g.next(n)); err != nil {
		g.r.t.Fatal(err)
	}
}
