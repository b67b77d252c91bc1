// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// Codes of anomalies, beside CodeShift.
const (
	CodeBurst      = "burst"          // many calls by one operator in a short time
	CodeOutOfHours = "out_of_hours"   // calls by one operator out of hours
	CodeManyLooked = "many_operators" // many operators who looked at one citizen
	CodeNoCase     = "no_case"        // calls by one operator without a case
	CodeWatched    = "watched"        // a citizen of the DPO's watch list
)

// maxBusiest is how many operators a report shows.
const maxBusiest = 20

// AuditBreach says what a breach is about: accesses that fulfil each condition given, in the period.
type AuditBreach struct {
	Operator, PurposeID, EService, Provider string // "": any
}

// AuditBreachReport is what a notification under GDPR Art. 33 begins with.
type AuditBreachReport struct {
	Accesses   uint64       `json:"accesses"`
	Citizens   uint64       `json:"citizens"`
	First      string       `json:"first"`
	Last       string       `json:"last"`
	Categories []AuditCount `json:"data_categories"` // by accesses
	Providers  []AuditCount `json:"providers"`
	Purposes   []AuditCount `json:"purposes"`
	Denied     uint64       `json:"denied"` // refused, beside the accesses
}

// AuditAffected says what a breach was to one citizen.
type AuditAffected struct {
	Accesses    uint64
	First, Last time.Time
}

// eachAccess goes through the accesses, those that two parties signed together, counts them, and hands them on.
func (a *Audit) eachAccess() error {
	var call string
	var provider, consumer uint64 // receipts of one call and citizen
	end := func() {
		both := min(provider, consumer)
		a.counts.signed["both"] += both
		a.counts.signed["provider"] += provider - both
		a.counts.signed["consumer"] += consumer - both
	}
	for i, err := range a.accesses.Sorted() {
		if err != nil {
			return err
		}
		key, side := i.Key[:len(i.Key)-1], i.Key[len(i.Key)-1]
		if key != call {
			if call != "" {
				end()
			}
			call, provider, consumer = key, 0, 0
		}
		if side == 'b' {
			if consumer++; consumer <= provider {
				continue // the other side of a call that is counted
			}
		} else {
			provider++
		}
		if err := a.count(i); err != nil {
			return err
		}
	}
	if call != "" {
		end()
	}
	maps.DeleteFunc(a.counts.signed, func(_ string, n uint64) bool { return n == 0 })
	return nil
}

// count counts one access.
func (a *Audit) count(i *AuditItem) error {
	r := a.report
	r.Accesses++
	day, week, month, at := a.units(i.Time)
	a.counts.days[day]++
	a.counts.months[month]++
	denied, person := i.Flags&flagDenied != 0, i.Flags&flagPerson != 0
	if denied {
		r.Denied++
	}
	if person {
		r.Hours[(int(at.Weekday())+6)%7][at.Hour()]++
	}
	purpose := ""
	if i.Use == noUse {
		r.MoreUses++
	} else {
		u := &r.Uses[i.Use]
		u.Accesses++
		if denied {
			u.Denied++
		}
		text := at.UTC().Format(time.RFC3339)
		if u.First == "" || text < u.First {
			u.First = text
		}
		u.Last, purpose = max(u.Last, text), u.Purpose
	}
	n := a.purpose(purpose)
	tally(a.weeks, week)[n]++
	tally(a.months, month)[n]++
	return a.handOn(i, person)
}

func tally(units map[string]map[uint32]uint64, unit string) map[uint32]uint64 {
	if units[unit] == nil {
		units[unit] = map[uint32]uint64{}
	}
	return units[unit]
}

// handOn gives an access to each group that it belongs to.
func (a *Audit) handOn(i *AuditItem, person bool) error {
	keys := []string{"s" + i.Subject}
	body := ""
	if a.All {
		body = consumerOf(i)
		keys = append(keys, "z"+body+"/"+i.Subject)
		b := a.body(body)
		if b.Accesses++; i.Flags&flagDenied != 0 {
			b.Denied++
		}
	}
	if person {
		operator := i.Operator
		if operator == "" {
			operator = a.ofBody(body, "")
		}
		keys = append(keys, "o"+operator)
	}
	if i.Case != "" {
		keys = append(keys, "c"+i.Case)
		a.cased[body]++
	}
	if person && i.Operator != "" {
		a.persons[body]++
	}
	if b := a.Breach; b != nil && i.Use != noUse {
		u := &a.report.Uses[i.Use]
		if (b.Operator == "" || b.Operator == i.Operator) && (b.PurposeID == "" || b.PurposeID == u.PurposeID) && (b.EService == "" || b.EService == u.EService) &&
			(b.Provider == "" || b.Provider == u.Provider) {
			keys = append(keys, "b"+i.Subject)
		}
	}
	for _, key := range keys {
		one := *i
		if one.Key = key; key[0] != 'c' {
			one.Case = ""
			if i.Case != "" {
				one.Case = "x" // that there is one is enough
			}
		}
		if err := a.groups.Add(&one); err != nil {
			return err
		}
	}
	return nil
}

// auditGroup is what is known so far of an operator, a citizen or a case.
type auditGroup struct {
	key      string
	calls    uint64
	accesses uint64 // calls, times their citizens
	people   uint64 // of a case: changes of citizen
	receipt  string
	first    *AuditItem
	last     *AuditItem
	busiest  int       // calls in a window
	out      auditSome // out of hours
	bare     auditSome // without a case
	peak     auditSome // of the busiest window
	window   []AuditItem
	seen     map[string]int // operators in the window
}

// auditSome are items, of which the first are kept as evidence, and the last.
type auditSome struct {
	all   uint64
	first []AuditItem
	last  AuditItem
}

func (s *auditSome) add(i *AuditItem) {
	s.all, s.last = s.all+1, *i
	if len(s.first) < MaxEvidence {
		s.first = append(s.first, *i)
	}
}

// eachGroup goes through operators, citizens and cases, one after the other.
func (a *Audit) eachGroup() error {
	var g *auditGroup
	breach := &breachFold{categories: map[string]uint64{}, providers: map[string]uint64{}, purposes: map[string]uint64{}}
	for i, err := range a.groups.Sorted() {
		if err != nil {
			return err
		}
		one := *i
		if g == nil || g.key != i.Key {
			if err := a.conclude(g, breach); err != nil {
				return err
			}
			g = &auditGroup{key: i.Key, seen: map[string]int{}}
		}
		if err := a.grouped(g, &one, breach); err != nil {
			return err
		}
	}
	if err := a.conclude(g, breach); err != nil {
		return err
	}
	if a.Breach != nil {
		a.report.Breach = breach.report()
	}
	return nil
}

// grouped takes the next item of a group, which are in the order of time.
func (a *Audit) grouped(g *auditGroup, i *AuditItem, breach *breachFold) error {
	if g.first == nil {
		g.first = i
	}
	g.accesses++
	again := g.receipt == i.Receipt // another citizen of the same call
	g.receipt, g.last = i.Receipt, i
	if !again {
		g.calls++
	}
	switch g.key[0] {
	case 'o':
		if !again {
			a.ofOperator(g, i)
		}
	case 's':
		if n := a.watched[ledger.Subject(i.Subject)]; n > 0 {
			if err := a.find(ClassAnomaly, CodeWatched, fmt.Sprint(n), a.evidenceOf(i)); err != nil {
				return err
			}
		}
		if i.Operator != "" && i.Flags&flagPerson != 0 {
			a.ofCitizen(g, i)
		}
	case 'c':
		if _, ok := g.seen[i.Subject]; !ok && len(g.seen) < MaxListed {
			g.seen[i.Subject] = 1
			g.people++
		}
		g.peak.add(i)
	case 'b':
		breach.add(g, i, &a.report.Uses[i.Use])
	}
	return nil
}

// ofOperator looks at one call of an operator.
func (a *Audit) ofOperator(g *auditGroup, i *AuditItem) {
	from := i.Time - a.Limits.BurstWindow.Milliseconds()
	g.window = append(g.window, *i)
	for g.window[0].Time <= from {
		g.window = g.window[1:]
	}
	if len(g.window) > g.busiest {
		g.busiest = len(g.window)
		g.peak = auditSome{all: uint64(len(g.window)), first: slices.Clone(g.window[:min(MaxEvidence, len(g.window))]), last: *i}
	}
	if at := time.UnixMilli(i.Time).In(a.Zone); !a.Limits.Hours.open(at) {
		g.out.add(i)
	}
	if i.Flags&flagCaseKnown != 0 && i.Case == "" {
		g.bare.add(i)
	}
}

// ofCitizen looks at who looked at a citizen.
func (a *Audit) ofCitizen(g *auditGroup, i *AuditItem) {
	from := i.Time - a.Limits.ManyWindow.Milliseconds()
	g.window = append(g.window, *i)
	g.seen[i.Operator]++
	for g.window[0].Time <= from {
		old := g.window[0].Operator
		if g.seen[old]--; g.seen[old] == 0 {
			delete(g.seen, old)
		}
		g.window = g.window[1:]
	}
	if len(g.seen) > g.busiest {
		g.busiest = len(g.seen)
		// One entry of each.
		g.peak = auditSome{}
		met := map[string]bool{}
		for n := range g.window {
			if w := &g.window[n]; !met[w.Operator] {
				met[w.Operator] = true
				g.peak.add(w)
			}
		}
	}
}

func (a *Audit) evidenceOf(i *AuditItem) AuditEvidence {
	return AuditEvidence{
		Origin: ledger.Origin(a.ledger, i.Epoch), Index: i.Index, Receipt: i.Receipt, OccurredAt: time.UnixMilli(i.Time).UTC().Format(time.RFC3339),
	}
}

// unusual tells of an anomaly about a group.
func (a *Audit) unusual(class, code, about string, count uint64, value string, some *auditSome) error {
	a.blame(class)
	f := a.finding(class, code, about)
	if f == nil {
		return nil
	}
	f.Count, f.Value = count, value
	f.span(a.evidenceOf(&some.last).OccurredAt)
	for n := range some.first {
		e := a.evidenceOf(&some.first[n])
		f.span(e.OccurredAt)
		f.Evidence = append(f.Evidence, e)
		if a.Each != nil {
			if err := a.Each(class, code, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// conclude says what a group comes to.
func (a *Audit) conclude(g *auditGroup, breach *breachFold) error {
	if g == nil {
		return nil
	}
	a.about = ""
	switch value := g.key[1:]; g.key[0] {
	case 'o':
		return a.operator(g, value)
	case 'z':
		body, _ := a.bodyOf(value)
		a.body(body).Citizens++
	case 's':
		a.report.Citizens++
		if g.busiest >= a.Limits.Many {
			return a.unusual(ClassAnomaly, CodeManyLooked, a.pseudonym("citizen", value), uint64(g.busiest), "", &g.peak)
		}
	case 'c':
		a.about, _ = a.bodyOf(value)
		cased := a.cased[a.about]
		if share := float64(g.accesses) / float64(max(1, cased)); cased >= uint64(a.Limits.LeastShared) && share > a.Limits.OneCase && g.people > 1 {
			return a.unusual(ClassQuality, CodeCaseShared, a.named("case", value), g.accesses, percent(float64(g.accesses), float64(cased)), &g.peak)
		}
	case 'p':
		a.provided(g.first)
	case 'b':
		return breach.end(g, a.Affected)
	}
	return nil
}

func (a *Audit) operator(g *auditGroup, value string) error {
	name := a.named("operator", value)
	l := a.Limits
	body, id := a.bodyOf(value)
	persons := a.persons[body]
	a.about = body
	if id != "" {
		if a.report.Operators++; a.All {
			a.body(body).Operators++
		}
		a.busy(AuditOperator{
			Name: name, Calls: g.calls, OutOfHours: g.out.all, NoCase: g.bare.all, Busiest: g.busiest,
			First: a.evidenceOf(g.first).OccurredAt, Last: a.evidenceOf(g.last).OccurredAt,
		})
		// Who acted isn't known of those without an id: together they are no one's burst.
		if g.busiest > l.Burst {
			if err := a.unusual(ClassAnomaly, CodeBurst, name, uint64(g.busiest), "", &g.peak); err != nil {
				return err
			}
		}
		if share := float64(g.accesses) / float64(max(1, persons)); persons >= uint64(l.LeastShared) && share > l.OneOperator {
			if err := a.unusual(ClassQuality, CodeOperatorShared, name, g.accesses, percent(float64(g.accesses), float64(persons)), &g.peak); err != nil {
				return err
			}
		}
	}
	if g.out.all >= uint64(l.OutOfHours) {
		if err := a.unusual(ClassAnomaly, CodeOutOfHours, name, g.out.all, percent(float64(g.out.all), float64(g.calls)), &g.out); err != nil {
			return err
		}
	}
	if g.bare.all >= uint64(l.NoCase) {
		return a.unusual(ClassAnomaly, CodeNoCase, name, g.bare.all, percent(float64(g.bare.all), float64(g.calls)), &g.bare)
	}
	return nil
}

// busy keeps the operators with the most calls.
func (a *Audit) busy(o AuditOperator) {
	order := func(x, y AuditOperator) int {
		return cmp.Or(cmp.Compare(y.Calls, x.Calls), cmp.Compare(x.Name, y.Name))
	}
	n, _ := slices.BinarySearchFunc(a.report.Top, o, order)
	if n < maxBusiest {
		a.report.Top = slices.Insert(a.report.Top, n, o)
		a.report.Top = a.report.Top[:min(len(a.report.Top), maxBusiest)]
	}
}

// breachFold adds up what a breach is about.
type breachFold struct {
	AuditBreachReport
	categories, providers, purposes map[string]uint64
	one                             AuditAffected // the citizen under way
}

func (b *breachFold) add(g *auditGroup, i *AuditItem, u *AuditUse) {
	if i.Flags&flagDenied != 0 {
		b.Denied++
		return
	}
	at := time.UnixMilli(i.Time).UTC()
	if b.one.Accesses++; b.one.Accesses == 1 {
		b.one.First = at
	}
	b.one.Last = at
	b.Accesses++
	text := at.Format(time.RFC3339)
	if b.First == "" || text < b.First {
		b.First = text
	}
	b.Last = max(b.Last, text)
	for _, c := range u.Categories {
		b.categories[c]++
	}
	b.providers[u.Provider]++
	b.purposes[u.Purpose]++
}

func (b *breachFold) end(g *auditGroup, tell func(ledger.Subject, AuditAffected) error) error {
	one := b.one
	b.one = AuditAffected{}
	if one.Accesses == 0 {
		return nil
	}
	b.Citizens++
	if tell == nil {
		return nil
	}
	return tell(ledger.Subject(strings.TrimPrefix(g.key, "b")), one)
}

func (b *breachFold) report() *AuditBreachReport {
	r := b.AuditBreachReport
	r.Categories, r.Providers, r.Purposes = countsOf(b.categories), countsOf(b.providers), countsOf(b.purposes)
	return &r
}
