// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/consents"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/verifier"
)

const consentsPath = "/consensi"

var (
	consentsPage = page{path: consentsPath, methods: []string{http.MethodGet}, serve: serveConsents, nav: "nav.consents"}
	endPage      = page{path: consentsPath + "/revoca", methods: []string{http.MethodPost}, serve: serveEnd}
)

// consentsView is what consents.html shows.
type consentsView struct {
	Off      bool   // the ledger records no consents
	Told     string // what was just done: a key below consents.told
	InForce  []consentLine
	Ended    []consentLine
	Passkeys []consentLine
	Mandates []consentLine
	Ready    bool               // the citizen's history is at hand
	Own      []*accesses.Access // what it has of consents and requests, newest first
	history  *accesses.List     // nil unless Ready
}

// Excerpt are the events of the citizen's own statements, as a form for an excerpt names them.
func (v consentsView) Excerpt() (ids []string) {
	for _, a := range v.Own {
		if a.Open() {
			ids = append(ids, a.ID())
		}
	}
	return ids
}

// Any says whether there is anything of which there are proofs.
func (v consentsView) Any() bool {
	return len(v.InForce)+len(v.Ended)+len(v.Passkeys)+len(v.Mandates) > 0
}

// consentLine is a consent, an entitlement, a passkey or a mandate, as its citizen reads of it.
type consentLine struct {
	ledger.ConsentSummary
	Lang     string
	Ready    bool // the citizen's history is at hand
	Sentence string
	Asker    string   // with its id
	To       []string // likewise; who receives the data
	Purposes []words.Term
	Data     []words.Term
	Evidence string
	Read     []noticeLine       // what they had read; nil where it can't be made anew
	Used     []*accesses.Access // that named it
	Told     []string           // its own events, for an excerpt
}

// Anchor is where it stands on the page.
func (l consentLine) Anchor() string { return "c-" + l.ID }

// Ends says whether its citizen can end it here.
func (l consentLine) Ends() bool { return endable(&l.ConsentSummary) }

// consentEnds says by which kind of event what another kind began ends on the word of its citizen. A mandate isn't among
// them: who acts for somebody is for a body's desk.
var consentEnds = map[string]string{
	ledger.KindConsentGiven:     ledger.KindConsentWithdrawn,
	ledger.KindEntitlementGiven: ledger.KindEntitlementEnded,
	ledger.KindPasskeyEnrolled:  ledger.KindPasskeyRevoked,
}

func endable(s *ledger.ConsentSummary) bool {
	return consentEnds[s.Kind] != "" && (s.State == ledger.ConsentInForce || s.State == ledger.ConsentDoubtful)
}

// speaks is whose list a request is about, and who speaks in it.
func speaks(r *http.Request) consents.Person {
	current := session.From(r.Context())
	who := consents.Person{Subject: current.Subject, Token: current.Identity.Token, Lang: lang(r)}
	if current.Mandate != nil {
		who.Mandate = current.Mandate.ID
	}
	return who
}

// ownConsents are those of a request's citizen; off: the ledger records none.
func (s *server) ownConsents(r *http.Request) (list []ledger.ConsentSummary, off bool, err error) {
	list, err = s.Node.Consents(r.Context(), session.From(r.Context()).Subject)
	var p *ledger.Problem
	if errors.As(err, &p) && p.Code == node.CodeNoConsents {
		return nil, true, nil
	}
	return list, false, err
}

func serveConsents(s *server, w http.ResponseWriter, r *http.Request) error {
	list, off, err := s.ownConsents(r)
	if err != nil {
		return err
	}
	v := consentsView{Off: off}
	if v.Told, err = s.told(r); err != nil {
		return err
	}
	if !off && len(list) > 0 {
		if err := s.addHistory(r, &v); err != nil {
			return err
		}
	}
	for _, summary := range slices.Backward(list) {
		l, err := s.consentLine(lang(r), summary)
		if err != nil {
			return err
		}
		if l.Read, err = s.readAgain(r.Context(), &summary); err != nil {
			return err
		}
		l.Lang, l.Ready = lang(r), v.Ready
		l.Told = []string{words.Place(placeOf(&summary))}
		for _, a := range v.Own {
			if a.Consent == l.ID && a.Open() && a.ID() != l.Told[0] {
				l.Told = append(l.Told, a.ID())
			}
		}
		if v.history != nil && l.Purposes != nil {
			for _, a := range v.history.Accesses {
				if a.Consent == l.ID {
					l.Used = append(l.Used, a)
				}
			}
		}
		into := &v.Ended
		switch {
		case l.Kind == ledger.KindPasskeyEnrolled:
			into = &v.Passkeys
		case l.Kind == ledger.KindMandateGiven:
			into = &v.Mandates
		case l.State == ledger.ConsentInForce:
			into = &v.InForce
		}
		*into = append(*into, l)
	}
	return s.render(w, r, "consents", v)
}

func placeOf(s *ledger.ConsentSummary) verifier.Place {
	return verifier.Place{Epoch: s.Epoch, Index: s.Index}
}

// told is what the session has to say of what was done last, once.
func (s *server) told(r *http.Request) (told string, err error) {
	if session.From(r.Context()).Told == "" {
		return "", nil
	}
	_, err = s.sessions.Change(r.Context(), s.cookie(r, sessionCookie), func(c *session.Session) error {
		told, c.Told = c.Told, ""
		return nil
	})
	return told, err
}

// tell goes on to a page that says what was done.
func (s *server) tell(w http.ResponseWriter, r *http.Request, told, next string) error {
	_, err := s.sessions.Change(r.Context(), s.cookie(r, sessionCookie), func(c *session.Session) error {
		c.Told = told
		return nil
	})
	if err != nil {
		return err
	}
	s.histories.Forget(session.From(r.Context()).Subject)
	return s.redirect(w, r, "/"+lang(r)+next)
}

// addHistory adds what the citizen's history has of consents, if it is there soon enough. The page doesn't wait for it as the
// list of accesses does: what is in force doesn't follow from it.
func (s *server) addHistory(r *http.Request, v *consentsView) error {
	m, err := s.histories.Get(session.From(r.Context()).Subject)
	if err != nil {
		return busy(err)
	}
	soon := time.NewTimer(patient)
	defer soon.Stop()
	select {
	case <-m.Done():
	case <-soon.C:
		return nil
	}
	h, err := m.Result()
	if err != nil {
		s.Log.Error("pages", "error", err)
		return nil
	}
	v.history = accesses.NewList(h.Report, speaker(lang(r)), time.Time{})
	v.Ready, v.Own = true, v.history.Own
	return nil
}

// named is a body as a sentence names it, and as details do; a recipient may be all bodies of a kind.
func (s *server) named(lang, id string) (name, exact string) {
	if kind, ok := strings.CutPrefix(id, ledger.ConsentKind); ok {
		name = strings.ReplaceAll(s.texts[lang]["consents.kind"], "{kind}", kind)
		return name, name
	}
	body, _ := s.Node.Registry().Body(id)
	return cmp.Or(body.Name, id), words.Named(id, body.Name)
}

// listed writes several in one sentence.
func (s *server) listed(lang string, list []string) string {
	n := len(list)
	if n < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:n-1], ", ") + " " + s.texts[lang]["consents.and"] + " " + list[n-1]
}

// quoted writes the labels of terms in one sentence.
func (s *server) quoted(lang string, terms []words.Term) string {
	var list []string
	for _, t := range terms {
		list = append(list, strings.ReplaceAll(s.texts[lang]["consents.quoted"], "{term}", t.Label))
	}
	return s.listed(lang, list)
}

// consentLine says a consent in words.
func (s *server) consentLine(lang string, c ledger.ConsentSummary) (l consentLine, err error) {
	speak := speaker(lang)
	collector, _ := s.named(lang, c.Collector)
	l.ConsentSummary, l.Evidence = c, speak.Evidence(c.Evidence, collector)
	var to []string
	for _, id := range c.Recipients {
		name, exact := s.named(lang, id)
		to, l.To = append(to, name), append(l.To, exact)
	}
	for _, word := range c.Purposes {
		l.Purposes = append(l.Purposes, speak.Purpose(word))
	}
	for _, word := range c.Categories {
		l.Data = append(l.Data, speak.Category(word))
	}
	_, l.Asker = s.named(lang, c.Controller)
	form, err := s.texts[lang].text(fmt.Sprintf("consents.line.%s.%s", c.Kind, c.State))
	if err != nil {
		return l, err
	}
	relation := ""
	if c.Relation != "" {
		relation = s.texts[lang]["others.relation."+c.Relation]
	}
	l.Sentence = words.Elided(strings.NewReplacer(
		"{to}", s.listed(lang, to), "{data}", s.quoted(lang, l.Data), "{why}", s.quoted(lang, l.Purposes), "{from}", day(lang, c.From),
		"{until}", day(lang, c.Until), "{ended}", day(lang, cmp.Or(c.Ended, c.Until)), "{recorded}", day(lang, c.Recorded), "{who}", collector, "{as}", relation,
	).Replace(form))
	return l, nil
}

// serveEnd ends a consent, an entitlement or a passkey of the citizen's, on the strength of their login: no harder than to
// give it (GDPR Art. 7(3)).
func serveEnd(s *server, w http.ResponseWriter, r *http.Request) error {
	list, off, err := s.ownConsents(r)
	if err != nil {
		return err
	}
	id := r.PostFormValue("id")
	i := slices.IndexFunc(list, func(c ledger.ConsentSummary) bool { return c.ID == id && consentEnds[c.Kind] != "" })
	if off || i < 0 {
		return &statusError{status: http.StatusNotFound, key: "no_consent"}
	}
	ended := &list[i]
	if !endable(ended) {
		return s.tell(w, r, "over", consentsPath) // pressed twice, or in another window
	}
	err = s.desk.Say(r.Context(), speaks(r), &consent.Record{Kind: consentEnds[ended.Kind], Ends: id})
	if err := refusedConsent(err); err != nil {
		return err
	}
	return s.tell(w, r, consentEnds[ended.Kind], consentsPath)
}

// refusedConsent is what a citizen is told of a statement that wasn't recorded.
func refusedConsent(err error) error {
	var p *ledger.Problem
	switch {
	case errors.Is(err, consents.ErrNoToken):
		return &statusError{status: http.StatusForbidden, key: "no_token"}
	case errors.As(err, &p):
		return &statusError{status: http.StatusConflict, key: "not_recorded", cause: err}
	}
	return err
}
