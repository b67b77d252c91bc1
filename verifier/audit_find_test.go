// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/verifier"
)

// until has the ledger's clock go on to an instant.
func (m *madeList) until(at time.Time) {
	m.head(nil)
	m.wait(at.Sub(time.UnixMilli(int64(m.ms))))
	m.head(nil)
}

// someone is a citizen, another one each time.
func (m *madeList) someone() func(e *event, _, _ map[string]any) {
	who := person(int(m.next)%900 + 5)
	return func(e *event, _, _ map[string]any) { e.subject = who }
}

// work is n calls of an operator, each with a case and a citizen of its own.
func (m *madeList) work(who string, n int) {
	for range n {
		m.call(who, fmt.Sprintf("2026/%04d", 1000+m.next), m.someone())
	}
}

// TestAuditAnomalies: each method of docs/audit.md, at its threshold and one below.
func TestAuditAnomalies(t *testing.T) {
	day := func(month, day, hour int) time.Time {
		return time.Date(2026, time.Month(month), day, hour, 0, 0, 0, time.UTC)
	}
	const other = "Assegno di Inclusione"
	purpose := func(m *madeList, n int, text string) {
		for range n {
			some := m.someone()
			m.call("m.rossi", fmt.Sprintf("2026/%04d", 1000+m.next), func(e *event, v, w map[string]any) {
				some(e, v, w)
				e.receipt = func(r *ledger.Receipt) { r.Actor, r.Purpose = ledger.ActorOperator, text }
			})
		}
	}
	limits := verifier.DefaultAuditLimits()
	limits.OneOperator, limits.Burst = 1, 1000 // not what is looked at
	mild := limits
	mild.Burst = 10
	for _, test := range []struct {
		name   string
		limits verifier.AuditLimits
		make   func(m *madeList, more int) // more: 1 at the threshold, 0 below
		want   string
		count  uint64
	}{
		{"a burst", mild, func(m *madeList, more int) { m.work("m.rossi", 10+more) }, verifier.CodeBurst, 11},
		{"two halves of a burst, more than an hour apart", mild, func(m *madeList, more int) {
			m.work("m.rossi", 10)
			if m.wait(50 * time.Minute); more == 0 {
				m.wait(20 * time.Minute)
			}
			m.work("m.rossi", 1)
		}, verifier.CodeBurst, 11},
		{"in the night", limits, func(m *madeList, more int) { m.until(day(6, 3, 22)); m.work("m.rossi", 4+more) }, verifier.CodeOutOfHours, 5},
		{"on a Saturday", limits, func(m *madeList, more int) { m.until(day(6, 6, 10)); m.work("m.rossi", 4+more) }, verifier.CodeOutOfHours, 5},
		{"on 2 June, a Tuesday", limits, func(m *madeList, more int) { m.until(day(6, 2, 10)); m.work("m.rossi", 4+more) }, verifier.CodeOutOfHours, 5},
		{"on the patron's day", func() verifier.AuditLimits {
			l := limits
			l.Hours.Closed = []string{"06-24"}
			return l
		}(), func(m *madeList, more int) { m.until(day(6, 24, 10)); m.work("m.rossi", 4+more) }, verifier.CodeOutOfHours, 5},
		{"many at one citizen", limits, func(m *madeList, more int) {
			for n := range 4 + more {
				m.call(fmt.Sprintf("m.rossi%d", n+30), fmt.Sprintf("2026/%04d", 1000+m.next), nil)
			}
			m.call("m.rossi30", "2026/0999", nil)
		}, verifier.CodeManyLooked, 5},
		{"many at one citizen, over a long time", limits, func(m *madeList, more int) {
			for n := range 5 {
				if n == 4 && more == 0 {
					m.until(day(7, 8, 10))
				}
				m.call(fmt.Sprintf("m.rossi%d", n+30), fmt.Sprintf("2026/%04d", 1000+m.next), nil)
			}
		}, verifier.CodeManyLooked, 5},
		{"without a case", limits, func(m *madeList, more int) {
			for range 9 + more {
				m.call("m.rossi", "", m.someone())
			}
		}, verifier.CodeNoCase, 10},
		{"another mix of purposes", limits, func(m *madeList, more int) {
			purpose(m, 60, "Verifica ISEE")
			m.until(day(6, 8, 10))
			purpose(m, 51-more, "Verifica ISEE")
			purpose(m, 9+more, other)
		}, verifier.CodeShift, 60},
		{"too few for a mix", limits, func(m *madeList, more int) {
			purpose(m, 50, "Verifica ISEE")
			m.until(day(6, 8, 10))
			purpose(m, 49+more, other)
		}, verifier.CodeShift, 50},
		{"one operator for most", func() verifier.AuditLimits { l := limits; l.OneOperator = 0.5; return l }(), func(m *madeList, more int) {
			m.work("m.rossi", 30+more)
			m.work("g.verdi", 30)
		}, verifier.CodeOperatorShared, 31},
		{"one case for many", limits, func(m *madeList, more int) {
			m.work("m.rossi", 40)
			for range 10 + more {
				m.call("m.rossi", "2026/0999", m.someone())
			}
		}, verifier.CodeCaseShared, 11},
	} {
		t.Run(test.name, func(t *testing.T) {
			for more := range 2 {
				m := newMadeList(t)
				test.make(m, more)
				r := m.audit(verifier.AuditConfig{Limits: test.limits}, m.whole())
				f := slices.DeleteFunc(slices.Clone(r.Findings), func(f verifier.AuditFinding) bool { return f.Code != test.want })
				if len(f) != more {
					t.Fatalf("with %d more: %+v", more, r.Findings)
				}
				if more == 1 && (f[0].Count != test.count || len(f[0].Evidence) == 0 || f[0].Class != verifier.ClassAnomaly && f[0].Class != verifier.ClassQuality) {
					t.Errorf("%+v", f[0])
				}
				if !r.Proven() {
					t.Errorf("what is unusual isn't wrong: %+v", r.Problems)
				}
			}
		})
	}
}

// TestAuditConsents: a consent that the body itself collected is held against the accesses that name it.
func TestAuditConsents(t *testing.T) {
	named := func(change func(r *ledger.Receipt)) func(e *event, _, _ map[string]any) {
		return func(e *event, _, _ map[string]any) {
			e.receipt = func(r *ledger.Receipt) {
				r.Actor, r.ConsentID = ledger.ActorOperator, consentID
				if change != nil {
					change(r)
				}
			}
		}
	}
	give := func(m *madeList, change func(r *consent.Record)) {
		m.access(event{kind: ledger.KindConsentGiven, scope: ledger.ScopeConsent, iss: consumer, record: change})
		m.wait(2 * time.Minute)
	}
	for _, test := range []struct {
		name         string
		make         func(m *madeList)
		want         string
		seen, unseen uint64
	}{
		{"in force", func(m *madeList) { give(m, nil); m.call("m.rossi", "2026/7", named(nil)) }, "", 1, 0},
		{"for another purpose", func(m *madeList) {
			give(m, nil)
			m.call("m.rossi", "2026/7", named(func(r *ledger.Receipt) { r.Purpose = "Altro" }))
		}, verifier.CodeNoConsent, 1, 0},
		{"for other data", func(m *madeList) {
			give(m, nil)
			m.call("m.rossi", "2026/7", named(func(r *ledger.Receipt) { r.DataCategories = []string{"https://w3id.org/dpv/pd#Disability"} }))
		}, verifier.CodeNoConsent, 1, 0},
		{"for another body", func(m *madeList) {
			give(m, func(r *consent.Record) { r.Terms.Recipients = []string{"c_f205"} })
			m.call("m.rossi", "2026/7", named(nil))
		}, verifier.CodeNoConsent, 1, 0},
		{"over", func(m *madeList) {
			give(m, func(r *consent.Record) { r.Validity.Until = r.Created.Add(time.Hour) })
			m.wait(2 * time.Hour)
			m.call("m.rossi", "2026/7", named(nil))
		}, verifier.CodeNoConsent, 1, 0},
		{"withdrawn", func(m *madeList) {
			give(m, nil)
			m.access(event{kind: ledger.KindConsentWithdrawn, scope: ledger.ScopeConsent, iss: consumer})
			m.call("m.rossi", "2026/7", named(nil))
		}, verifier.CodeNoConsent, 1, 0},
		{"given later", func(m *madeList) { m.call("m.rossi", "2026/7", named(nil)); give(m, nil) }, "", 0, 1},
		{"of another body's collecting", func(m *madeList) { m.call("m.rossi", "2026/7", named(nil)) }, "", 0, 1},
		{"after which another body recorded something", func(m *madeList) {
			give(m, nil)
			m.event(event{kind: ledger.KindConsentRefused, scope: ledger.ScopeConsent, iss: requester, record: func(r *consent.Record) { r.ID = "7f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11" }})
			m.access(event{kind: ledger.KindConsentRefused, scope: ledger.ScopeConsent, iss: consumer, record: func(r *consent.Record) { r.ID = "8f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11" }})
			m.call("m.rossi", "2026/7", named(nil))
		}, "", 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMadeList(t)
			test.make(m)
			r := m.audit(verifier.AuditConfig{}, m.whole())
			if got := findingCodes(r); got != test.want || r.ConsentsSeen != test.seen || r.ConsentsUnseen != test.unseen {
				t.Errorf("got %q, %d seen, %d unseen: %+v", got, r.ConsentsSeen, r.ConsentsUnseen, r.Findings)
			}
		})
	}
}

// TestAuditCounts: accesses count once whoever signed them; kinds and special events are told apart; what isn't in the
// period isn't counted; the same list gives the same report.
func TestAuditCounts(t *testing.T) {
	m := newMadeList(t)
	m.scope(consumer, "c_f205")
	pair := ledger.Hex{7}
	both := func(e event) event { e.pair = pair; return e }
	m.access(both(event{}))
	m.access(both(event{scope: ledger.ScopeReported, iss: consumer}))
	m.access(both(event{scope: ledger.ScopeReported, iss: consumer})) // a second call of the body's, which the provider didn't record
	m.access(event{pair: ledger.Hex{8}, subject: person(3), body: func(b *ledger.Body) { b.Assurance.Late = true }})
	m.access(event{pair: ledger.Hex{11}, scope: consumer, iss: consumer, receipt: providedBy("c_f205")}) // as the party that speaks for the holder
	m.access(event{kind: ledger.KindDenied, pair: ledger.Hex{9}, body: decidedBy(t, m.activate(), nil)})
	m.access(event{kind: ledger.KindLookUp, scope: ledger.ScopeLedger, iss: consumer})
	first := time.UnixMilli(int64(m.ms)).UTC()
	m.until(first.AddDate(0, 1, 0))
	m.access(event{body: decidedBy(t, mustChecks(t), nil), kind: ledger.KindDenied, pair: ledger.Hex{10}})
	list := m.whole()
	cfg := verifier.AuditConfig{To: first.AddDate(0, 0, 1).Truncate(24 * time.Hour), Subject: m.subject}
	r := m.audit(cfg, list)
	if r.Accesses != 5 || r.Denied != 1 || r.Calls != 6 || r.Citizens != 2 || r.Outside != 1 {
		t.Errorf("%d accesses, %d denied, %d calls, %d citizens, %d outside", r.Accesses, r.Denied, r.Calls, r.Citizens, r.Outside)
	}
	if want := []verifier.AuditCount{{Name: "consumer", Count: 2}, {Name: "provider", Count: 2}, {Name: "both", Count: 1}}; !cmp.Equal(r.Signed, want) {
		t.Errorf("signed by %v", r.Signed)
	}
	var special []string
	for _, s := range r.Special {
		special = append(special, fmt.Sprintf("%s %d", s.Kind, s.Count))
	}
	if got := strings.Join(special, ", "); got != "denied 1, late 1, look-up 1" {
		t.Errorf("special events: %s", got)
	}
	if want := []verifier.AuditCount{{Name: "2026-06-01", Count: 5}}; !cmp.Equal(r.Days, want) {
		t.Errorf("days %v", r.Days)
	}
	if len(r.Subject) != 6 || r.Subject[0].Provider != provider || r.Subject[5].Kind != ledger.KindLookUp {
		t.Errorf("the citizen's events: %+v", r.Subject)
	}
	if len(r.Uses) != 2 || r.Uses[0].Accesses != 4 || r.Uses[0].Denied != 1 {
		t.Errorf("uses %+v", r.Uses)
	}
	for range 3 {
		again := m.audit(cfg, list)
		x, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if y, _ := json.Marshal(again); string(x) != string(y) || !reflect.DeepEqual(r.Problems, again.Problems) {
			t.Fatal("the same list gives another report")
		}
	}
}

func mustChecks(t *testing.T) ledger.Bundle { bundle, _ := checks(t); return bundle }

// TestAuditBreach: whose data, since when, which: of the accesses that are asked about.
func TestAuditBreach(t *testing.T) {
	m := newMadeList(t)
	m.call("m.rossi", "2026/7", nil)
	m.call("g.verdi", "2026/8", func(e *event, _, _ map[string]any) { e.subject = person(3) })
	m.call("m.rossi", "2026/9", func(e *event, _, _ map[string]any) { e.subject = person(2) })
	m.wait(time.Hour)
	m.call("m.rossi", "2026/7", nil)
	list := m.whole()
	for _, test := range []struct {
		by       verifier.AuditBreach
		accesses uint64
		people   []ledger.Subject
	}{
		{verifier.AuditBreach{}, 4, []ledger.Subject{m.subject, person(2), person(3)}},
		{verifier.AuditBreach{Operator: "m.rossi"}, 3, []ledger.Subject{m.subject, person(2)}},
		{verifier.AuditBreach{Operator: "m.rossi", PurposeID: purposeID, EService: eservice, Provider: provider}, 3, []ledger.Subject{m.subject, person(2)}},
		{verifier.AuditBreach{Provider: "c_f205"}, 0, nil},
		{verifier.AuditBreach{EService: purposeID}, 0, nil},
		{verifier.AuditBreach{PurposeID: eservice}, 0, nil},
	} {
		var people []ledger.Subject
		r := m.audit(verifier.AuditConfig{Breach: &test.by, Affected: func(who ledger.Subject, p verifier.AuditAffected) error {
			people = append(people, who)
			if who == m.subject && (p.Accesses != 2 || p.Last.Sub(p.First) < time.Hour) {
				t.Errorf("%+v", p)
			}
			return nil
		}}, list).Breach
		if r.Accesses != test.accesses || r.Citizens != uint64(len(test.people)) || !slices.Equal(people, test.people) {
			t.Errorf("%+v: %d accesses to data of %d: %v", test.by, r.Accesses, r.Citizens, people)
		}
		if test.accesses > 0 && (len(r.Categories) != 1 || r.Categories[0].Count != test.accesses || r.First == "") {
			t.Errorf("%+v: %+v", test.by, r)
		}
	}
}

// TestAuditYears: a period over two years takes both lists, one behind the other.
func TestAuditYears(t *testing.T) {
	one := newMadeList(t)
	one.work("m.rossi", 2)
	one.final = true
	first := one.whole()
	two := &madeList{made: newMade(t, 2027, one.made)}
	two.work("m.rossi", 3)
	second := two.whole()
	cfg := verifier.AuditConfig{From: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	if r := two.audit(cfg, first, second); !r.Proven() || r.Accesses != 5 || len(r.Months) != 2 {
		t.Errorf("both: %d accesses, %+v", r.Accesses, r.Problems)
	}
	for name, lists := range map[string][][]*history.AgencyPart{"the second alone": {second}, "backwards": {second, first}, "one twice": {first, first}} {
		if r := two.audit(cfg, lists...); r.Proven() || findingCodes(r) != verifier.CodePeriod {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

// TestAuditOperators: they have pseudonyms that only the list gives, unless they are asked for.
func TestAuditOperators(t *testing.T) {
	m := newMadeList(t)
	m.work("m.rossi", 3)
	list := m.whole()
	hidden, shown := m.audit(verifier.AuditConfig{}, list), m.audit(verifier.AuditConfig{ShowOperators: true}, list)
	if len(hidden.Top) != 1 || !strings.HasPrefix(hidden.Top[0].Name, "operator-") || len(shown.Top) != 1 || shown.Top[0].Name != "m.rossi" {
		t.Errorf("%+v, %+v", hidden.Top, shown.Top)
	}
	n := newMadeList(t)
	n.work("m.rossi", 3)
	if other := n.audit(verifier.AuditConfig{}, n.whole()); other.Top[0].Name == hidden.Top[0].Name {
		t.Error("another list gives the same pseudonym")
	}
}

// TestHoliday: the public holidays, Easter of several years among them.
func TestHoliday(t *testing.T) {
	for day, want := range map[string]bool{
		"2026-01-01": true, "2026-01-06": true, "2026-04-05": true, "2026-04-06": true, "2026-04-07": false, "2026-04-25": true, "2026-06-02": true, "2025-10-04": false,
		"2026-10-04": true, "2026-11-01": true, "2026-11-04": false, "2026-12-08": true, "2026-12-24": false, "2026-12-26": true, "2024-03-31": true, "2024-04-01": true, "2038-04-26": true,
	} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := verifier.Holiday(at); got != want {
			t.Errorf("%s: %v", day, got)
		}
	}
}

// TestAuditBreakGlass: what was released while the ledger was down is told apart, and needs the record that opened its session.
func TestAuditBreakGlass(t *testing.T) {
	m := newMadeList(t)
	m.opens()
	m.access(inSession(event{}))
	r := m.audit(verifier.AuditConfig{}, m.whole())
	if !r.Proven() || len(r.Special) != 2 || r.Special[0].Kind != verifier.SpecialGlass || r.Special[1].Kind != verifier.SpecialVital || len(r.Special[0].Evidence) != 1 {
		t.Errorf("%+v, %+v", r.Special, r.Problems)
	}
	m = newMadeList(t)
	m.access(inSession(event{}))
	if r := m.audit(verifier.AuditConfig{}, m.whole()); r.Proven() || findingCodes(r) != "no_session" {
		t.Errorf("a session that nobody opened: %+v", r.Findings)
	}
}

// TestAuditRecords: the body's own records of what others consulted count each event once, in the period.
func TestAuditRecords(t *testing.T) {
	m := newMadeList(t)
	m.access(event{})
	m.whole()
	sorter := func() (verifier.Sorter[verifier.AuditItem], error) { return new(itemSorter), nil }
	a, err := verifier.NewAudit(verifier.AuditConfig{
		Body: consumer, Zone: time.UTC, NewSorter: sorter, Limits: verifier.DefaultAuditLimits(), Subject: person(2), To: time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).UnixMilli()
	line := uint64(0)
	add := func(who, index int, at int64) {
		e := own.Entry{Subject: person(who), Origin: "registro.example/2026", Number: uint32(index), Index: uint64(index), Receipt: provider + "/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", At: at}
		line++
		if err := a.Record(line, bytes.TrimSuffix(own.AppendEntry(nil, &e), []byte("\n"))); err != nil {
			t.Fatal(err)
		}
	}
	add(1, 7, at)
	add(2, 8, at)
	add(2, 9, at+1)
	add(2, 8, at+5) // sent again
	add(3, 10, at+40*24*3600*1000)
	r, err := a.Conclude()
	if err != nil {
		t.Fatal(err)
	}
	if p := r.Provided; p == nil || p.Events != 3 || p.Citizens != 2 || len(p.Months) != 1 || p.Months[0].Count != 3 || len(r.SubjectProvided) != 2 {
		t.Errorf("%+v, %+v", r.Provided, r.SubjectProvided)
	}
	if err := a.Record(6, []byte("another line")); err != nil || findingCodes(r) != verifier.CodeBadLine {
		t.Errorf("a line that is none: %+v, %v", r.Findings, err)
	}
}
