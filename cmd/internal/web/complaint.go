// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/ledger"
)

// complaintPage makes a letter about accesses: to the body that consulted and its data protection officer (GDPR Art. 12 and 15 to
// 22), or a complaint to the Garante (GDPR Art. 77; D.Lgs. 196/2003, art. 140-bis to 143). Which accesses, what the citizen asks and
// their own words come in a form and go into the answer; nothing of it is kept.
var complaintPage = page{path: accessesPath + "/reclamo", methods: []string{http.MethodGet, http.MethodPost}, serve: serveComplaint}

// To whom a letter goes.
const (
	toBody    = "ente"
	toGarante = "garante"
)

// maxLetters is how many letters one form makes, a body each.
const maxLetters = 20

// complaintView is what complaint.html shows.
type complaintView struct {
	Accesses []*accesses.Access // none: the citizen has to choose some
	To       string             // "" while that isn't chosen
	Ready    bool               // the letters are to be shown, else the form
	Reasons  []complaintChoice
	Requests []complaintChoice
	Name     string
	Contact  string
	Words    string
	Letters  []letter
	Made     time.Time
	Of       accessesView // the history that the facts are from
}

// complaintChoice is a reason or a request. The catalogs have complaint.reason.<key> or complaint.<to>.<key>, and of each the law.
type complaintChoice struct {
	Key    string
	Chosen bool
}

// AnyReason says whether a reason was chosen.
func (v complaintView) AnyReason() bool { return slices.ContainsFunc(v.Reasons, chosenOne) }

// AnyRequest is AnyReason of requests.
func (v complaintView) AnyRequest() bool { return slices.ContainsFunc(v.Requests, chosenOne) }

func chosenOne(c complaintChoice) bool { return c.Chosen }

// letter is about the accesses of one body, or of all to the Garante.
type letter struct {
	Body, BodyName string // "" to the Garante
	Accesses       []*accesses.Access
	Evidence       []string // events of the excerpt that goes with it
	Number         int      // 0: there is one only
	File           string   // the excerpt's name
}

// Bodies are those that the letter is about, as their names and ids.
func (l letter) Bodies() (names []string) {
	for _, a := range l.Accesses {
		if name := a.BodyName + " (" + a.Body + ")"; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func serveComplaint(s *server, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return s.render(w, r, "complaint", complaintView{})
	}
	chosen, ok := accesses.Chosen(r.PostForm["evento"])
	if !ok {
		return s.renderStatus(w, r, http.StatusBadRequest, "complaint", complaintView{})
	}
	h, err := s.ownHistory(r.Context())
	if err != nil {
		return err
	}
	v := complaintView{Of: newAccessesView(h, lang(r), time.Time{}, r), Made: s.Node.Now()}
	if v.Accesses, ok = v.Of.Find(chosen); !ok {
		return &statusError{status: http.StatusBadRequest, key: "not_yours"}
	}
	switch to := r.PostFormValue("destinatario"); to {
	case "":
		return s.render(w, r, "complaint", v)
	case toBody, toGarante:
		v.To = to
	default:
		return &statusError{status: http.StatusBadRequest, key: "form"}
	}
	v.read(r)
	if r.PostFormValue("pronto") == "1" {
		v.Ready = true
		if v.Letters = lettersOf(v.To, &v.Of, v.Accesses, lang(r)); len(v.Letters) > maxLetters {
			return &statusError{status: http.StatusBadRequest, key: "many_bodies"}
		}
	}
	return s.render(w, r, "complaint", v)
}

// read takes what the form says. One that wasn't shown yet has the choices that suit most.
func (v *complaintView) read(r *http.Request) {
	shown := r.PostFormValue("pronto") != ""
	for _, key := range v.reasons() {
		v.Reasons = append(v.Reasons, complaintChoice{key, slices.Contains(r.PostForm["motivo"], key)})
	}
	for i, key := range v.requests() {
		v.Requests = append(v.Requests, complaintChoice{key, slices.Contains(r.PostForm["richiesta"], key) || !shown && i == 0})
	}
	v.Name, v.Contact, v.Words = line(r.PostFormValue("nome")), line(r.PostFormValue("recapito")), strings.TrimSpace(r.PostFormValue("parole"))
}

// line is a text on one line.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }

// reasons are those that can apply to the accesses.
func (v *complaintView) reasons() []string {
	keys := []string{"unknown", "no_case", "too_much", "not_informed"}
	if v.based(words.IsConsent) {
		keys = append(keys, "no_consent")
	}
	if v.automated() {
		keys = append(keys, "automated")
	}
	if v.To == toGarante {
		keys = append(keys, "no_answer")
	}
	return keys
}

// requests are the rights that the accesses leave, or what the Garante can order (GDPR Art. 58(2)).
func (v *complaintView) requests() []string {
	if v.To == toGarante {
		return []string{"comply", "satisfy", "limit", "erase"}
	}
	keys := []string{"know"}
	if v.based(isPublicTask) {
		keys = append(keys, "object")
	}
	if v.based(words.IsConsent) {
		keys = append(keys, "withdraw")
	}
	if v.automated() {
		keys = append(keys, "human")
	}
	return append(keys, "erase", "restrict", "rectify")
}

func (v *complaintView) based(is func(basis string) bool) bool {
	return slices.ContainsFunc(v.Accesses, func(a *accesses.Access) bool { return is(a.Basis.ID) })
}

func (v *complaintView) automated() bool {
	return slices.ContainsFunc(v.Accesses, func(a *accesses.Access) bool { return a.ActorKind == ledger.ActorModel })
}

// isPublicTask says whether one can object (GDPR Art. 21(1)): the basis is Art. 6(1)(e) or (f), or what Italy's law (D.Lgs. 196/2003,
// art. 2-ter and 2-sexies) and PDND call so.
func isPublicTask(basis string) bool {
	return strings.HasPrefix(basis, "A6-1-e") || basis == "A6-1-f" ||
		slices.Contains([]string{"2-ter", "2-sexies", "PUBLIC_INTEREST", "RULE_OF_LAW", "ADMINISTRATIVE_ACT", "PUBLIC_INTEREST_TASK"}, basis)
}

// lettersOf are one to each body, which isn't told what others did, or one to the Garante.
func lettersOf(to string, of *accessesView, list []*accesses.Access, lang string) (letters []letter) {
	if to == toGarante {
		letters = []letter{{Accesses: list}}
	} else {
		for _, g := range accesses.Groups(list) {
			letters = append(letters, letter{Body: g.Body, BodyName: g.Name, Accesses: g.Accesses})
		}
	}
	for i := range letters {
		l := &letters[i]
		if len(letters) > 1 {
			l.Number = i + 1
		}
		l.File = excerptName(lang, strconv.Itoa(l.Number))
		for _, a := range l.Accesses {
			l.Evidence = append(l.Evidence, of.Evidence(a)...)
		}
	}
	return letters
}
