// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// auditPage is what the pages of an audit show, in one language.
type auditPage struct {
	Lang, Title, Body, Period, Days, Verdict, Class, Unusual string
	W                                                        map[string]string
	speak                                                    *words.Speaker
	zone                                                     *time.Location
	A                                                        *auditAnswer
	Grave, Look                                              uint64
	Classes                                                  []auditClass
	Charts                                                   []auditChart
	Uses                                                     []auditUseLine
	MoreUses                                                 string
	Special                                                  []auditSpecialLine
	Signed, Profiles, Flags, Denials                         []verifier.AuditCount
	Methods, Limits                                          []string
	Complete                                                 string // until when the lists are
	// Of the answer, the register and the breach.
	Measures   string
	Subject    string
	Events     []auditAnswerLine
	Selection  []string
	Categories []verifier.AuditCount
	Holders    []verifier.AuditCount
}

type auditClass struct {
	Title  string
	Groups []auditGroup
}

// auditGroup are the findings with one code.
type auditGroup struct {
	Title, Meaning               string
	Grave, Abouts, Values, Spans bool
	Findings                     []auditFindingLine
}

type auditFindingLine struct {
	verifier.AuditFinding
	Number            int
	About, Span, More string
	Shift, Compared   bool
	English           bool // what was expected and found is in the verifier's own words
}

type auditChart struct {
	Title       string
	Figure      template.HTML
	Description string
	Head        string // of the table's first column
	Rows        []verifier.AuditCount
}

type auditUseLine struct {
	verifier.AuditUse
	Why, Data, Basis, Holder, Who, Span string
}

type auditSpecialLine struct {
	verifier.AuditSpecial
	Title, More string
}

type auditAnswerLine struct {
	When, What, Why, Data, Basis, Place string
	Grounds                             []string
}

// usesShown is how many uses the report shows; the extract of the register has all.
const usesShown = 25

// daysShown is how many days a chart shows one by one.
const daysShown = 93

// names are what bodies are called.
type bodyNames map[string]string

func (n bodyNames) of(id string) string { return words.Named(id, n[id]) }

// writePages writes the documents that were asked for.
func (f *auditFlags) writePages(c *verifier.AuditConfig, a *auditAnswer) error {
	for _, page := range []struct {
		path, name, title string
		fill              func(p *auditPage, c *verifier.AuditConfig)
	}{
		{f.html, "audit.html", "title", (*auditPage).report}, {f.register, "audit_register.html", "art30_title", (*auditPage).register},
		{f.breach, "audit_breach.html", "art33_title", (*auditPage).breach}, {f.answer, "audit_answer.html", "answer_title", (*auditPage).answer},
	} {
		if page.path == "" {
			continue
		}
		p := newAuditPage(f.lang, page.title, c.Zone, a)
		page.fill(p, c)
		if err := writeHTML(page.path, page.name, p); err != nil {
			return err
		}
	}
	return nil
}

func newAuditPage(lang, title string, zone *time.Location, a *auditAnswer) *auditPage {
	w := auditWords[lang]
	p := &auditPage{Lang: lang, zone: zone, speak: words.In(lang, pageTime), Title: w[title], W: w, A: a, Body: a.bodies().of(a.Body)}
	if a.Authority != nil {
		p.Body = w["all_bodies"]
	}
	from, to := a.days()
	p.Days = fmt.Sprintf(w["from_to"], orDash(dayText(from)), orDash(dayText(to)))
	p.Period = fmt.Sprintf(w["period"], p.Days, a.Period.Zone)
	for _, l := range a.Lists {
		if p.Complete = ""; !l.Complete {
			break
		}
		p.Complete = p.Time(l.CompleteUntil)
	}
	return p
}

// days are the first and the last of the period: where it has none of its own, those of the lists.
func (a *auditAnswer) days() (from, to string) {
	from, to = a.Period.From, a.Period.To
	if n := len(a.Lists); n > 0 {
		if _, year, err := ledger.ParseOrigin(a.Lists[0].Origin); from == "" && err == nil {
			from = fmt.Sprintf("%d-01-01", year)
		}
		if until, err := time.Parse(time.RFC3339, a.Lists[n-1].CompleteUntil); to == "" && err == nil {
			to = until.In(a.zone).Format(time.DateOnly)
		}
	}
	if n := len(a.Days); to == "" && n > 0 {
		to = a.Days[n-1].Name // of a list that isn't complete
	}
	return from, to
}

func (a *auditAnswer) bodies() bodyNames {
	n := bodyNames{}
	for _, b := range a.Names {
		n[b.ID] = b.Name
	}
	return n
}

// dayText is a day as people write it.
func dayText(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return t.Format("02/01/2006")
}

// report fills the audit itself.
func (p *auditPage) report(c *verifier.AuditConfig) {
	w, a := p.W, p.A
	p.Verdict, p.Class = fmt.Sprintf(w["not_proven"], numberText(p.Lang, a.Found)), "bad"
	if a.Result == cli.Proven {
		p.Verdict, p.Class = w["proven"], "good"
	}
	code := ""
	for n, f := range a.Findings {
		if title := w["class_"+f.Class]; n == 0 || p.Classes[len(p.Classes)-1].Title != title {
			p.Classes, code = append(p.Classes, auditClass{Title: title}), ""
		}
		class := &p.Classes[len(p.Classes)-1]
		if f.Code != code {
			code = f.Code
			title, meaning := auditFinding(p.Lang, code)
			grave := f.Class == verifier.ClassIntegrity || f.Class == verifier.ClassConformity
			class.Groups = append(class.Groups, auditGroup{Title: title, Meaning: meaning, Grave: grave})
		}
		group, line := &class.Groups[len(class.Groups)-1], p.finding(n+1, f)
		group.Findings = append(group.Findings, line)
		group.Abouts, group.Values, group.Spans = group.Abouts || line.About != "", group.Values || line.Value != "", group.Spans || line.Span != ""
		if group.Grave {
			p.Grave += f.Count
		} else {
			p.Look++
		}
	}
	if p.Look > 0 {
		p.Unusual = fmt.Sprintf(w["unusual"], p.Look)
	}
	p.chart(c)
	p.uses(usesShown)
	for _, s := range a.Special {
		line := auditSpecialLine{AuditSpecial: s, Title: w["special_"+s.Kind]}
		if more := s.Count - uint64(len(s.Evidence)); more > 0 {
			line.More = fmt.Sprintf("+ %d", more)
		}
		p.Special = append(p.Special, line)
	}
	for _, s := range a.Signed {
		p.Signed = append(p.Signed, verifier.AuditCount{Name: w["signed_"+s.Name], Count: s.Count})
	}
	p.Profiles, p.Flags, p.Denials = a.Profiles, a.Flags, nil
	for _, d := range a.Denials {
		if d.Name == "" {
			d.Name = w["no_policy"]
		}
		p.Denials = append(p.Denials, d)
	}
	p.Methods, p.Limits = a.methodsOf(p.Lang), a.limitsOf(p.Lang)
}

func (p *auditPage) finding(number int, f verifier.AuditFinding) auditFindingLine {
	line := auditFindingLine{AuditFinding: f, Number: number, About: aboutFinding(p.Lang, &f), Shift: f.Code == verifier.CodeShift, English: f.Class == verifier.ClassIntegrity}
	line.Span = p.span(f.First, f.Last)
	if !line.Shift && f.Count > uint64(len(f.Evidence)) && len(f.Evidence) > 0 {
		line.More = fmt.Sprintf(p.W["first_of"], len(f.Evidence), numberText(p.Lang, f.Count))
	}
	line.Evidence = slices.Clone(f.Evidence)
	for n, e := range f.Evidence {
		line.Compared = line.Compared || e.Expected != "" || e.Found != ""
		if line.Shift {
			line.Evidence[n].Receipt, line.Evidence[n].Expected, line.Evidence[n].Found = p.purpose(e.Receipt), p.decimals(e.Expected), p.decimals(e.Found)
		}
	}
	line.Value = p.decimals(line.Value)
	return line
}

// decimals writes a measure as the language does.
func (p *auditPage) decimals(s string) string {
	if p.Lang == "it" {
		return strings.ReplaceAll(s, ".", ",")
	}
	return s
}

// Some is what so many are called.
func (p *auditPage) Some(n uint64, key string) string {
	if n == 1 {
		key += "_1"
	}
	return p.W[key]
}

// Time is an instant by the clock of the audit's zone, as people write it.
func (p *auditPage) Time(instant string) string {
	t, err := time.Parse(time.RFC3339, instant)
	if err != nil {
		return instant
	}
	return t.In(p.zone).Format("02/01/2006 15:04")
}

func (p *auditPage) span(first, last string) string {
	switch from, to := p.Time(first), p.Time(last); {
	case from == "" || from == to:
		return from
	case from[:10] == to[:10]:
		return fmt.Sprintf(p.W["from_to"], from, to[11:])
	default:
		return fmt.Sprintf(p.W["from_to"], from, to)
	}
}

func (p *auditPage) purpose(word string) string {
	return p.speak.Purpose(word).Label
}

// chart draws the figures.
func (p *auditPage) chart(c *verifier.AuditConfig) {
	w, a := p.W, p.A
	if a.Accesses == 0 {
		return
	}
	add := func(id, title, head string, rows []verifier.AuditCount, draw func(id, title, description string, rows []verifier.AuditCount) template.HTML) {
		var most verifier.AuditCount
		var total uint64
		for _, r := range rows {
			if total += r.Count; r.Count > most.Count {
				most = r
			}
		}
		description := fmt.Sprintf(w["max_of"], numberText(p.Lang, most.Count), most.Name, numberText(p.Lang, total))
		p.Charts = append(p.Charts, auditChart{title, draw(id, title, description, rows), description, head, rows})
	}
	if days := allDays(a.Days); len(days) <= daysShown {
		for n := range days {
			days[n].Name = dayText(days[n].Name)[:5]
		}
		add("days", w["chart_days"], w["day"], days, barChart)
	} else {
		add("months", w["chart_months"], w["month"], a.Months, barChart)
	}
	purposes := map[string]uint64{}
	for _, u := range a.Uses {
		purposes[p.purpose(u.Purpose)] += u.Accesses
	}
	add("purposes", w["chart_uses"], w["purpose"], mostOf(purposes, 10), rowChart)
	var most, all uint64
	var labels [7]string
	for d, day := range a.Hours {
		labels[d] = w[fmt.Sprintf("weekday_%d", d)]
		for _, n := range day {
			most, all = max(most, n), all+n
		}
	}
	if all == 0 {
		return
	}
	workdays := 5
	if a.Limits.Saturday {
		workdays = 6
	}
	description := fmt.Sprintf(w["hours_desc"], numberText(p.Lang, most))
	p.Charts = append(p.Charts, auditChart{
		Title: w["chart_hours"], Description: description,
		Figure: weekChart("hours", w["chart_hours"], description, labels, a.Hours, c.Limits.Hours.Opens, c.Limits.Hours.Closes, workdays),
	})
}

// allDays fills the days on which there was nothing.
func allDays(days []verifier.AuditCount) (list []verifier.AuditCount) {
	for _, d := range days {
		at, err := time.Parse(time.DateOnly, d.Name)
		if err != nil {
			return days
		}
		if n := len(list); n > 0 {
			last, _ := time.Parse(time.DateOnly, list[n-1].Name)
			for last = last.AddDate(0, 0, 1); last.Before(at) && len(list) <= daysShown; last = last.AddDate(0, 0, 1) {
				list = append(list, verifier.AuditCount{Name: last.Format(time.DateOnly)})
			}
		}
		list = append(list, d)
	}
	return list
}

// uses fills the table of uses.
func (p *auditPage) uses(most int) {
	a, names := p.A, p.A.bodies()
	var more uint64
	for n, u := range a.Uses {
		if n >= most {
			more += u.Accesses
			continue
		}
		line := auditUseLine{AuditUse: u, Why: p.purpose(u.Purpose), Holder: names.of(u.Provider), Who: p.W["actor_"+u.Actor]}
		line.Basis = strings.TrimSuffix(p.speak.Basis(u.LegalBasis).Label+", "+u.Reference, ", ")
		line.Data = p.categories(u.Categories)
		line.Span = p.span(u.First, u.Last)
		p.Uses = append(p.Uses, line)
	}
	if more > 0 {
		p.MoreUses = fmt.Sprintf(p.W["register_more"], len(a.Uses)-most, more)
	}
}

func (p *auditPage) categories(terms []string) string {
	labels := make([]string, len(terms))
	for n, word := range terms {
		labels[n] = p.speak.Category(word).Label
	}
	return strings.Join(labels, "; ")
}

// register fills the extract for GDPR Art. 30.
func (p *auditPage) register(*verifier.AuditConfig) {
	p.uses(len(p.A.Uses))
	var held uint64
	for _, s := range p.A.Signed {
		if s.Name != "consumer" {
			held += s.Count
		}
	}
	p.Measures = fmt.Sprintf(p.W["art30_measures_text"], numberText(p.Lang, p.A.Accesses), numberText(p.Lang, held))
}

// breach fills the draft for GDPR Art. 33.
func (p *auditPage) breach(c *verifier.AuditConfig) {
	w, names := p.W, p.A.bodies()
	for _, s := range []struct{ value, key, said string }{
		{c.Breach.Operator, "art33_by_operator", c.Breach.Operator}, {c.Breach.PurposeID, "art33_by_purpose", c.Breach.PurposeID},
		{c.Breach.EService, "art33_by_eservice", c.Breach.EService}, {c.Breach.Provider, "art33_by_provider", names.of(c.Breach.Provider)},
	} {
		if s.value != "" {
			p.Selection = append(p.Selection, fmt.Sprintf(w[s.key], s.said))
		}
	}
	if len(p.Selection) == 0 {
		p.Selection = []string{w["art33_all"]}
	}
	said := func(counts []verifier.AuditCount, as func(string) string) (list []verifier.AuditCount) {
		m := map[string]uint64{}
		for _, n := range counts {
			m[as(n.Name)] += n.Count
		}
		return mostOf(m, len(m))
	}
	b := p.A.Breach
	p.Categories = said(b.Categories, func(word string) string { return p.speak.Category(word).Label })
	p.Holders = said(b.Providers, names.of)
	p.Profiles = said(b.Purposes, p.purpose)
	if b.First != "" {
		p.Verdict = p.span(b.First, b.Last)
	}
}

// answer fills the letter of GDPR Art. 15. What an order keeps from the citizen isn't in it.
func (p *auditPage) answer(c *verifier.AuditConfig) {
	w, names := p.W, p.A.bodies()
	p.Subject = string(c.Subject)
	for _, e := range p.A.Subject {
		line := auditAnswerLine{
			When: p.Time(e.OccurredAt), Why: p.purpose(e.Purpose), Data: p.categories(e.Categories), Place: fmt.Sprintf("%s, %d", e.Origin, e.Index),
		}
		format, ok := w["kind_"+e.Kind]
		if !ok {
			format = w["kind_other"]
		}
		args := []any{names.of(p.A.Body), names.of(e.Provider)}
		line.What = fmt.Sprintf(format, args[:strings.Count(format, "%s")]...)
		line.Basis = strings.TrimSuffix(p.speak.Basis(e.LegalBasis).Label+", "+e.Reference, ", ")
		for _, g := range e.Grounds {
			reason, by := g.It, w["answer_decided"]
			if p.Lang == "en" {
				reason = g.En
			}
			if e.Effect == ledger.EffectDeny {
				by = w["answer_refused"]
			}
			line.Grounds = append(line.Grounds, fmt.Sprintf("%s: %s (%s)", by, reason, g.Reference))
		}
		p.Events = append(p.Events, line)
	}
}

// mostOf are the greatest counts, in their order.
func mostOf(m map[string]uint64, most int) []verifier.AuditCount {
	list := make([]verifier.AuditCount, 0, len(m))
	for name, n := range m {
		list = append(list, verifier.AuditCount{Name: name, Count: n})
	}
	slices.SortFunc(list, func(x, y verifier.AuditCount) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Name, y.Name))
	})
	return list[:min(most, len(list))]
}
