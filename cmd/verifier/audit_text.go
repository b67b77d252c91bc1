// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"

	"github.com/traccia-ledger/traccia/cmd/internal/words"
)

// Text says the audit to people.
func (a *auditAnswer) Text(w io.Writer) {
	said := auditWords["en"]
	about := a.Body
	if a.Authority != nil {
		about = fmt.Sprintf("%d bodies", len(a.Bodies))
	}
	from, to := a.days()
	fmt.Fprintf(w, "%s, %s to %s: %d accesses (%d denied) to data of %d citizens by %d known operators\n", about, orDash(from), orDash(to), a.Accesses, a.Denied, a.Citizens, a.Operators)
	for _, l := range a.Lists {
		state := "NOT COMPLETE"
		if l.Complete {
			state = "complete up to " + l.CompleteUntil
		}
		fmt.Fprintf(w, "%s: %d events, %s\n", l.Origin, l.Events, state)
	}
	if p := a.Provided; p != nil {
		fmt.Fprintf(w, "%d accesses of others to data of %d citizens that the body holds, by its own records\n", p.Events, p.Citizens)
	}
	a.authorityText(w)
	class := ""
	for _, f := range a.Findings {
		if f.Class != class {
			class = f.Class
			fmt.Fprintf(w, "\n%s\n", said["class_"+class])
		}
		title, _ := auditFinding("en", f.Code)
		fmt.Fprintf(w, "  - %s: %d", title, f.Count)
		for _, more := range []string{aboutFinding("en", &f), f.Value} {
			if more != "" {
				fmt.Fprintf(w, ", %s", more)
			}
		}
		if len(f.Evidence) > 0 && f.Evidence[0].Index > 0 {
			fmt.Fprintf(w, " (first at %s/%d)", f.Evidence[0].Origin, f.Evidence[0].Index)
		}
		fmt.Fprintln(w)
	}
	if len(a.Findings) == 0 {
		fmt.Fprintln(w, "\nnothing was found")
	}
	if a.SubjectDeferred > 0 {
		fmt.Fprintf(w, "\n"+said["answer_deferred"]+"\n", a.SubjectDeferred)
	}
	fmt.Fprintln(w, "\nNot proven by this:")
	for _, n := range a.limitsOf("en") {
		fmt.Fprintf(w, "  - %s\n", n)
	}
}

// bodiesShown is how many bodies the text names; the other forms have all.
const bodiesShown = 20

// authorityText says what the authority's key came to, and each body's sum.
func (a *auditAnswer) authorityText(w io.Writer) {
	if a.Authority == nil {
		return
	}
	o := a.Authority
	fmt.Fprintf(w, "%d day keys; erased: %d when their term was over, %d at their citizen's request; %d private parts not handed over yet\n", o.Days, o.ByTerm, o.ByAsking, o.Live)
	for i, b := range a.Bodies {
		if i == bodiesShown {
			fmt.Fprintf(w, "  … and %d bodies more (--json, --html)\n", len(a.Bodies)-i)
			break
		}
		fmt.Fprintf(w, "  %s: %d accesses (%d denied) to data of %d citizens by %d operators; rules broken %d times, %d unusual\n",
			words.Named(b.ID, b.Name), b.Accesses, b.Denied, b.Citizens, b.Operators, b.Broken, b.Unusual)
	}
}
