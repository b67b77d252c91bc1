// SPDX-License-Identifier: EUPL-1.2

// Package accesses is what a citizen reads of their own history: who consulted their data, in plain words, newest first and
// by body; what is new; a year at a glance; the same as a file. It says what package verifier found, and no more: nothing of
// an event that breaks a rule is told as if it were so.
//
// A Keeper holds verified histories in memory, for minutes and for so many people, and never on a disk.
package accesses

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// Access is one access to a citizen's data, or another event of their history.
type Access struct {
	Events     []verifier.Place // it, and the other side's receipt of the same access
	When       time.Time        // it took place; of what isn't opened, about when it was recorded; zero: not known
	Kind       string           // a ledger.Kind; "" of what isn't opened
	State      string           // a verifier.State
	New        bool             // recorded since the last visit
	Body       string           // id of who consulted; "" of what isn't opened
	BodyName   string
	Provider   string // id of whose data
	Holder     string // name of whose data
	Begin      string // how Sentence begins: with the instant; "" if it doesn't
	Sentence   string
	Purpose    words.Term
	Basis      words.Term
	Law        string // the norm that the body names
	Data       []words.Term
	Reasons    []string // policies, and why they allow or refuse it
	Actor      string   // person or system, in words
	ActorKind  string   // a ledger.Actor
	Issuer     string   // id of who signed
	Word       string   // whose word it is
	Recorded   time.Time
	Late       bool
	Together   string           // whom it was about beside
	Hurried    bool             // the data were given before it was recorded, in an emergency
	Deferred   string           // by which order its notice was put off
	Stated     []string         // what bodies state of it
	Statements []verifier.Place // the events that state it
	Consent    string           // id of the consent that it names
	Place      string           // in the ledger: list and number
	Seen       bool             // by as many witnesses as the policy asks for
}

// ID names it among the citizen's own: YEAR/INDEX of each event.
func (a *Access) ID() string {
	ids := make([]string, len(a.Events))
	for i, p := range a.Events {
		ids[i] = words.Place(p)
	}
	return strings.Join(ids, ",")
}

// Anchor is ID as a part of a page is named.
func (a *Access) Anchor() string { return fmt.Sprintf("e%d-%d", a.Events[0].Epoch, a.Events[0].Index) }

// Rest is Sentence behind Begin.
func (a *Access) Rest() string { return strings.TrimPrefix(a.Sentence, a.Begin) }

// Open says whether what it says may be believed as far as a history proves it.
func (a *Access) Open() bool { return a.State == verifier.StateOpen }

// Denied says whether it was refused.
func (a *Access) Denied() bool { return a.Kind == ledger.KindDenied }

// List is a citizen's history as they read it.
type List struct {
	Report   *verifier.HistoryReport
	Accesses []*Access // newest first: all but what is in the others
	Own      []*Access // what the citizen did themself: consents and requests
	Wrong    []*Access // that break a rule, or that nothing entitles the ledger not to show
	Erased   []*Access
}

// NewList tells a report in the words of a speaker. What was recorded after since is new; zero: nothing is.
func NewList(r *verifier.HistoryReport, speak *words.Speaker, since time.Time) *List {
	t := &teller{speak: speak, since: since, events: map[verifier.Place]*verifier.HistoryEvent{}, seen: map[uint32]bool{}}
	for i := range r.Events {
		e := &r.Events[i]
		t.events[verifier.Place{Epoch: e.Epoch, Index: e.Index}] = e
	}
	for _, s := range r.Shards {
		_, epoch, _ := ledger.ParseOrigin(s.Origin)
		t.seen[epoch] = !slices.ContainsFunc(r.Problems, func(p ledger.Problem) bool {
			return p.Code == verifier.CodeTooFewWitnesses && strings.HasPrefix(p.Where, fmt.Sprint(epoch, "/"))
		})
	}
	l := &List{Report: r}
	for i := len(r.Events) - 1; i >= 0; i-- {
		e := &r.Events[i]
		switch {
		case e.State == verifier.StateErased:
			l.Erased = append(l.Erased, t.tell(e))
		case e.State != verifier.StateOpen:
			l.Wrong = append(l.Wrong, t.tell(e))
		case e.Scope == ledger.ScopeConsent:
			l.Own = append(l.Own, t.tell(e))
		case e.About != nil, e.Partner != nil && e.Scope == ledger.ScopeReported:
			// told with the access that it is about, or the provider's side of
		default:
			l.Accesses = append(l.Accesses, t.tell(e))
		}
	}
	for _, part := range [][]*Access{l.Accesses, l.Own, l.Wrong, l.Erased} {
		slices.SortStableFunc(part, func(a, b *Access) int { return b.When.Compare(a.When) })
	}
	return l
}

// New counts the accesses that are new.
func (l *List) New() (n int) {
	for _, a := range l.Accesses {
		if a.New {
			n++
		}
	}
	return n
}

// teller makes a list.
type teller struct {
	speak  *words.Speaker
	since  time.Time
	events map[verifier.Place]*verifier.HistoryEvent
	seen   map[uint32]bool
}

func (t *teller) tell(e *verifier.HistoryEvent) *Access {
	a := &Access{
		Events: []verifier.Place{{Epoch: e.Epoch, Index: e.Index}}, State: e.State, Seen: t.seen[e.Epoch],
		Place: t.speak.Placed(e),
	}
	if e.State != verifier.StateOpen {
		if e.Between != nil {
			a.When, a.Recorded = e.Between.To, e.Between.To
		}
		a.Sentence = cmp.Or(t.speak.Erased(e), t.speak.Unproven(e.State))
		return a
	}
	a.When, _ = time.Parse(time.RFC3339, e.OccurredAt)
	a.Recorded, _ = time.Parse(time.RFC3339, e.RecordedAt)
	a.New = !t.since.IsZero() && a.Recorded.After(t.since)
	a.Kind, a.Body, a.BodyName, a.Provider, a.Holder = e.Kind, e.Agency, cmp.Or(e.Name, e.Agency), e.Provider, cmp.Or(e.ProviderName, e.Provider)
	a.Sentence, a.Purpose, a.Basis, a.Law = t.speak.Sentence(e), t.speak.Purpose(e.Purpose), t.speak.Basis(e.LegalBasis), e.LegalReference
	if begin := t.speak.Begin(a.When); strings.HasPrefix(a.Sentence, begin) {
		a.Begin = begin
	}
	for _, c := range e.DataCategories {
		a.Data = append(a.Data, t.speak.Category(c))
	}
	a.Reasons, a.Actor, a.Word, a.Together, a.Late, a.Consent = t.speak.Decided(e), t.speak.Actor(e.Actor), t.speak.Word(e), t.speak.Together(e), e.Late, e.ConsentID
	a.ActorKind, a.Issuer = e.Actor, e.Issuer
	a.Hurried = e.BreakGlass != nil
	if e.Deferred != nil {
		a.Deferred = t.speak.PutOff(e.Deferred)
	}
	if e.Partner != nil {
		a.Events = append(a.Events, verifier.Place{Epoch: e.Epoch, Index: *e.Partner})
	}
	for _, of := range a.Events {
		if other := t.events[of]; other != nil {
			for _, p := range other.Statements {
				if s := t.events[p]; s != nil {
					a.Stated, a.Statements = append(a.Stated, t.speak.Stated(s)), append(a.Statements, p)
					recorded, _ := time.Parse(time.RFC3339, s.RecordedAt)
					a.New = a.New || !t.since.IsZero() && recorded.After(t.since)
				}
			}
		}
	}
	return a
}

// Group is what one body did.
type Group struct {
	Body, Name string
	Accesses   []*Access // newest first
}

// Latest is when it consulted last.
func (g *Group) Latest() time.Time { return g.Accesses[0].When }

// First are the latest of them, n at most.
func (g *Group) First(n int) []*Access { return g.Accesses[:min(n, len(g.Accesses))] }

// Groups sorts accesses by body, the body that consulted last first.
func Groups(list []*Access) (groups []*Group) {
	of := map[string]*Group{}
	for _, a := range list {
		g := of[a.Body]
		if g == nil {
			g = &Group{Body: a.Body, Name: a.BodyName}
			of[a.Body] = g
			groups = append(groups, g)
		}
		g.Accesses = append(g.Accesses, a)
	}
	return groups
}
