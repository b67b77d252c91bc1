// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/consents"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
)

var requestPage = page{path: consent.RequestPath, open: true, methods: []string{http.MethodGet, http.MethodPost}, serve: serveRequest}

// requestCookie holds the request that a link brought, while its citizen logs in and makes a passkey.
const (
	requestCookie = "traccia-request"
	requestAge    = time.Hour
)

// requestView is what request.html shows.
type requestView struct {
	Off     bool            // the ledger records no consents
	Problem *ledger.Problem // the request is none that citizens may be shown
	Asked   *consents.Asked // nil: nobody asks
	Again   string          // what went wrong with an answer: a key below consents.again
	Told    string
	Asker   string
	Notice  []noticeLine
	Already *consentLine // the same is in force
	Signing *signing     // nil: the citizen has no passkey for it
}

// noticeLine is a part of the text that a citizen reads before consenting.
type noticeLine struct{ Heading, Text string }

// noticeVersion is that of how the text is made; the record says it beside the text's digest.
const noticeVersion = "traccia/1"

// notice is what a citizen has to know (GDPR Art. 7, 12 and 13), made of the vocabulary's words, and its digest: SHA-256 of the
// lines, each a heading, a colon, a space, a text and a line end, in UTF-8.
func (s *server) notice(lang string, a *consents.Asked, v *consent.Validity) ([]noticeLine, ledger.Hash, error) {
	words := func(terms []policies.Term) string {
		var said []string
		for _, t := range terms {
			label, sentence := t.It, t.SentenceIt
			if lang != "it" {
				label, sentence = t.En, t.SentenceEn
			}
			said = append(said, label+". "+sentence)
		}
		return strings.Join(said, " ")
	}
	_, asker := s.named(lang, a.Body)
	var to []string
	for _, id := range a.Recipients {
		_, exact := s.named(lang, id)
		to = append(to, exact)
	}
	basis := "6"
	if slices.Contains(a.LegalBasis, consent.BasisExplicit) {
		basis = "9"
	}
	var lines []noticeLine
	h := sha256.New()
	for _, part := range []struct {
		key       string
		arguments []any
	}{
		{"who", []any{asker}}, {"to", []any{strings.Join(to, ", ")}}, {"why", []any{words(a.PurposeTerms)}}, {"data", []any{words(a.CategoryTerms)}},
		{"term", []any{moment(lang, v.From), moment(lang, v.Until)}}, {"basis_" + basis, nil}, {"withdraw", []any{s.Origin + "/" + lang + consentsPath}}, {"free", nil}, {"kept", nil},
	} {
		heading, _, _ := strings.Cut(part.key, "_")
		var l noticeLine
		var err error
		if l.Heading, err = s.texts[lang].text(fmt.Sprintf("consents.notice.%s.heading", heading)); err != nil {
			return nil, ledger.Hash{}, err
		}
		if l.Text, err = s.texts[lang].text(fmt.Sprintf("consents.notice.%s", part.key), part.arguments...); err != nil {
			return nil, ledger.Hash{}, err
		}
		lines = append(lines, l)
		h.Write([]byte(l.Heading + ": " + l.Text + "\n"))
	}
	return lines, ledger.Hash(h.Sum(nil)), nil
}

// readAgain is the text that the citizen read before a consent of these pages, made anew; nil if it would be another today.
func (s *server) readAgain(ctx context.Context, c *ledger.ConsentSummary) ([]noticeLine, error) {
	if c.NoticeVersion != noticeVersion || !slices.Contains(languages, c.Language) {
		return nil, nil
	}
	asked, err := s.desk.Known(ctx, &consent.Request{
		Body: c.Controller, LegalBasis: c.LegalBasis, Recipients: c.Recipients, Purposes: c.Purposes, Categories: c.Categories,
	})
	var p *ledger.Problem
	if errors.As(err, &p) {
		return nil, nil // the policies in force don't know its words any more
	} else if err != nil {
		return nil, err
	}
	lines, digest, err := s.notice(c.Language, asked, &consent.Validity{From: c.From, Until: c.Until})
	if err != nil || digest != c.Notice {
		return nil, err
	}
	return lines, nil
}

// serveRequest shows what a body asks consent to, and takes the citizen's answer.
func serveRequest(s *server, w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return s.answerRequest(w, r)
	}
	if link := r.URL.Query().Get(consent.RequestField); link != "" {
		// Out of the address, and there still when the citizen has logged in.
		if _, err := consent.ParseRequest(link); err != nil {
			return s.showProblem(w, r, err)
		}
		s.setCookie(w, requestCookie, link, requestAge)
		return s.redirect(w, r, "/"+lang(r)+consent.RequestPath)
	}
	return s.showRequest(w, r, http.StatusOK, "")
}

// showProblem says that a request is none, and exactly why to the body that made it.
func (s *server) showProblem(w http.ResponseWriter, r *http.Request, err error) error {
	var p *ledger.Problem
	if !errors.As(err, &p) {
		return err
	}
	s.setCookie(w, requestCookie, "", 0)
	return s.renderStatus(w, r, http.StatusBadRequest, "request", requestView{Problem: p})
}

// showRequest shows the request that the browser has, with a record to sign if the citizen can. Again says what went wrong.
func (s *server) showRequest(w http.ResponseWriter, r *http.Request, status int, again string) error {
	link := s.cookie(r, requestCookie)
	if link == "" {
		return s.renderStatus(w, r, status, "request", requestView{Again: again})
	}
	asked, err := s.desk.Read(r.Context(), link)
	if err != nil {
		return s.showProblem(w, r, err)
	}
	v := requestView{Asked: asked, Again: again}
	v.Asker, _ = s.named(lang(r), asked.Body)
	current := session.From(r.Context())
	from := s.Node.Now().UTC().Truncate(time.Second)
	validity := asked.Validity(from)
	if current != nil && current.Mandate != nil && current.Mandate.Until.Before(validity.Until) {
		validity.Until = current.Mandate.Until
	}
	var digest ledger.Hash
	if v.Notice, digest, err = s.notice(lang(r), asked, validity); err != nil {
		return err
	}
	if current == nil {
		return s.renderStatus(w, r, status, "request", v)
	}
	list, off, err := s.ownConsents(r)
	if v.Off = off; err != nil || off {
		return errors.Join(err, s.renderStatus(w, r, status, "request", v))
	}
	if v.Told, err = s.told(r); err != nil {
		return err
	}
	for _, c := range list {
		if c.Kind == ledger.KindConsentGiven && c.State == ledger.ConsentInForce && sameTerms(&c, asked) {
			l, err := s.consentLine(lang(r), c)
			if err != nil {
				return err
			}
			v.Already = &l
		}
	}
	usable := passkeys(list, speaks(r).Mandate, func(c *ledger.ConsentSummary) bool { return !c.Until.Before(validity.Until) })
	if len(usable) == 0 {
		return s.renderStatus(w, r, status, "request", v)
	}
	draft, err := s.desk.Give(r.Context(), speaks(r), s.terms(lang(r), asked, digest), validity)
	if err != nil {
		return err
	}
	if v.Signing, err = s.sign(r, draft, usable); err != nil {
		return err
	}
	return s.renderStatus(w, r, status, "request", v)
}

// terms are those of a request, with the text that its citizen read.
func (s *server) terms(lang string, a *consents.Asked, digest ledger.Hash) *consent.Terms {
	t := a.Terms()
	t.Notice = consent.Notice{Digest: digest, Version: noticeVersion}
	t.Withdrawal = s.Origin + "/" + lang + consentsPath
	return t
}

// sameTerms says whether a consent allows just what a request asks for.
func sameTerms(c *ledger.ConsentSummary, a *consents.Asked) bool {
	return c.Controller == a.Body && slices.Equal(c.Recipients, a.Recipients) && slices.Equal(c.Purposes, a.Purposes) && slices.Equal(c.Categories, a.Categories)
}

// answerRequest takes what the citizen says to a request.
func (s *server) answerRequest(w http.ResponseWriter, r *http.Request) error {
	current := session.From(r.Context())
	if current == nil {
		p, _ := s.findPage(consent.RequestPath)
		return s.sendToEnter(w, r, lang(r), p)
	}
	if wait := s.limits.statement(current); wait > 0 {
		return tooMany(wait)
	}
	switch r.PostFormValue("risposta") {
	case "si":
		err := s.signed(r, ledger.KindConsentGiven)
		if again := againKey(err); again != "" {
			return s.showRequest(w, r, http.StatusConflict, again)
		} else if err != nil {
			return err
		}
		s.setCookie(w, requestCookie, "", 0)
		return s.tell(w, r, ledger.KindConsentGiven, consentsPath)
	case "no":
		return s.refuseRequest(w, r)
	}
	return &statusError{status: http.StatusBadRequest, key: "form"}
}

// refuseRequest records that the citizen refuses, on the strength of their login: it takes no passkey.
func (s *server) refuseRequest(w http.ResponseWriter, r *http.Request) error {
	link := s.cookie(r, requestCookie)
	if link == "" {
		return s.showRequest(w, r, http.StatusConflict, "late")
	}
	asked, err := s.desk.Read(r.Context(), link)
	if err != nil {
		return s.showProblem(w, r, err)
	}
	validity := asked.Validity(s.Node.Now().UTC().Truncate(time.Second))
	if m := session.From(r.Context()).Mandate; m != nil && m.Until.Before(validity.Until) {
		validity.Until = m.Until
	}
	_, digest, err := s.notice(lang(r), asked, validity)
	if err != nil {
		return err
	}
	err = s.desk.Say(r.Context(), speaks(r), &consent.Record{Kind: ledger.KindConsentRefused, Terms: s.terms(lang(r), asked, digest), Validity: validity})
	if err := refusedConsent(err); err != nil {
		return err
	}
	s.setCookie(w, requestCookie, "", 0)
	return s.tell(w, r, ledger.KindConsentRefused, consentsPath)
}
