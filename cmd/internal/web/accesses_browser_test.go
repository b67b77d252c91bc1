// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/witness"
)

// open starts a browser in which somebody has entered.
func (s *site) open(who ledger.Subject) *webtest.Browser {
	s.Helper()
	b := webtest.NewBrowser(s)
	b.SetCookie(s.URL, s.pages.cookieName(sessionCookie), s.enterCookie(who))
	return b
}

// wrong shows histories otherwise than they are, or at another time.
type wrong struct {
	accesses.Ledger
	change func(b *history.Bundle)
	late   time.Duration
}

func (l wrong) History(ctx context.Context, who ledger.Subject) (*history.Bundle, error) {
	b, err := l.Ledger.History(ctx, who)
	if err == nil && l.change != nil {
		l.change(b)
	}
	return b, err
}

func (l wrong) Now() time.Time { return l.Ledger.Now().Add(l.late) }

// TestAccessesInBrowser: every state of the list and its pages in Chromium, on a desktop and on the narrowest phone, without a
// violation that axe-core finds, with the keyboard, in high contrast and on paper.
func TestAccessesInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes its time")
	}
	l := webtest.NewLedger(t, webtest.Config{Years: 2, Accesses: 8})
	l.Access(webtest.Citizen, func(r *ledger.Receipt) { // refused: no ground for such data
		r.Purpose, r.LegalBasis, r.LegalReference, r.DataCategories = "Controllo", "PUBLIC_INTEREST_TASK", "", []string{"disability", "Una categoria con un nome piuttosto lungo"}
	})
	l.Access(webtest.Citizen, func(r *ledger.Receipt) { r.Actor = ledger.ActorModel })
	l.State(ledger.StatementError, "Pratica di un'altra persona")
	erased := fmt.Sprintf("%d-02", l.Epoch()-1)
	if _, err := l.Erase(t.Context(), []ledger.Subject{webtest.Citizen}, erased, true); err != nil {
		t.Fatal(err)
	}
	s := serveNode(t, l.Node, nil)
	b := s.open(webtest.Citizen)
	enter := func(who ledger.Subject) { b.SetCookie(s.URL, s.pages.cookieName(sessionCookie), s.enterCookie(who)) }
	let := make(chan struct{})
	blank := func(h *history.Bundle) {
		last := &h.Shards[len(h.Shards)-1]
		last.Events[0].Nonce, last.Events[0].Body = nil, nil
		last.Events[1].Body = append(slices.Clone(last.Events[1].Body[:len(last.Events[1].Body)-1]), ' ', '}')
	}
	states := []struct {
		name, path, want string
		who              ledger.Subject
		from             accesses.Ledger // nil: the ledger
	}{
		{"accesses", "/it/accessi", ".traccia-verdict-complete", webtest.Citizen, nil},
		{"accesses-en", "/en/accessi", ".traccia-verdict-complete", webtest.Citizen, nil},
		{"filtered", "/it/accessi?ente=inps&dal=2001-01-01", ".traccia-filter[open]", webtest.Citizen, nil},
		{"nothing", "/it/accessi?al=2001-01-01", ".traccia-filter[open]", webtest.Citizen, nil},
		{"days-crossed", "/it/accessi?dal=2001-02-02&al=2001-01-01", "#giorni", webtest.Citizen, nil},
		{"empty", "/it/accessi", ".traccia-empty", webtest.Nobody, nil},
		{"wrong", "/it/accessi", ".traccia-wrong", webtest.Citizen, wrong{Ledger: l, change: blank}},
		{"wrong-report", "/en/accessi/relazione", ".traccia-report", webtest.Citizen, wrong{Ledger: l, change: blank}},
		{"stale", "/it/accessi", ".traccia-verdict-stale", webtest.Citizen, wrong{Ledger: l, late: 72 * time.Hour}},
		{"unseen", "/it/accessi", ".traccia-verdict-unseen", webtest.Citizen, unseen{l}},
		{"failed", "/it/accessi", ".alert-danger", webtest.Citizen, slow{l, let, context.DeadlineExceeded}},
		{"whole", "/it/accessi/intero", "#capito", webtest.Citizen, nil},
		{"report", "/it/accessi/relazione", ".traccia-report", webtest.Citizen, nil},
		{"nothing-chosen", "/it/accessi", ".traccia-files", webtest.Citizen, nil},
	}
	time.AfterFunc(time.Second, func() { close(let) })
	for _, c := range states {
		from := c.from
		if from == nil {
			from = l
		}
		s.pages.histories = accesses.NewKeeper(from)
		enter(c.who)
		b.Open(s.URL + c.path)
		b.Wait(c.want)
		if c.name == "nothing-chosen" {
			b.Click("#estratto button", "main .lead")
		}
		b.Resize(webtest.Phone)
		b.Look(c.name + "-phone")
		if c.name == "accesses" || c.name == "report" {
			b.Resize(webtest.Desktop)
			b.Look(c.name + "-desktop")
		}
	}
	enter(webtest.Citizen)
	wait := make(chan struct{})
	s.pages.histories = accesses.NewKeeper(slow{l, wait, nil})
	webtest.Eval[bool](b, fmt.Sprintf("location.href = %q, true", s.URL+"/it/accessi"))
	b.Wait(".traccia-wait")
	b.Look("waiting", "skip-link", "region") // the footer to which a link leads is under way
	close(wait)
	b.Wait(".traccia-verdict-complete")
	if webtest.Eval[bool](b, `getComputedStyle(document.querySelector('.traccia-wait')).display != 'none'`) {
		t.Error("what says that the list is on its way stays when it is there")
	}
	b.Resize(webtest.Desktop)
	webtest.Eval[bool](b, `document.querySelector('.traccia-body summary').focus(), true`)
	b.Press("\r")
	if !webtest.Eval[bool](b, `document.querySelector('.traccia-body details').open`) {
		t.Error("the keyboard opens no details")
	}
	webtest.Eval[bool](b, `document.querySelector('[name=evento]').focus(), true`)
	b.Press(" ")
	if webtest.Eval[string](b, `new FormData(document.querySelector('#estratto')).get('evento') || ''`) == "" {
		t.Error("the keyboard chooses nothing for the excerpt")
	}
	b.Media("", "forced-colors", "active")
	b.Look("contrast")
	b.Open(s.URL + "/it/accessi/relazione")
	b.Media("print")
	b.Look("paper")
}

// unseen is a ledger that nobody cosigns: its readers' policy names somebody else.
type unseen struct{ accesses.Ledger }

func (l unseen) ReaderPolicy() (*checkpoint.Policy, bool, error) {
	p, _, err := l.Ledger.ReaderPolicy()
	if err != nil {
		return nil, false, err
	}
	_, vkey, err := witness.NewKey("nobody")
	p.Witnesses = []checkpoint.Witness{{Name: "nobody", VKey: vkey}}
	return p, false, err
}
