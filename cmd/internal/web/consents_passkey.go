// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/consents"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
)

var passkeyPage = page{path: consentsPath + "/passkey", methods: []string{http.MethodGet, http.MethodPost}, serve: servePasskey}

// draftAge is how long a citizen has to read and sign.
const draftAge = 15 * time.Minute

// passkeyView is what passkey.html shows.
type passkeyView struct {
	Off, Untold bool // the ledger records none; the login left no token for it to rest on
	Asked       bool // a request waits for it
	Again       string
	Until       time.Time
	Signing     *signing
}

// servePasskey has a citizen's device make a passkey, and records that it is theirs.
func servePasskey(s *server, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return s.showPasskey(w, r, http.StatusOK, "")
	}
	if wait := s.limits.statement(session.From(r.Context())); wait > 0 {
		return tooMany(wait)
	}
	err := s.signed(r, ledger.KindPasskeyEnrolled)
	if again := againKey(err); again != "" {
		return s.showPasskey(w, r, http.StatusConflict, again)
	} else if err != nil {
		return err
	}
	next := consentsPath
	if s.cookie(r, requestCookie) != "" {
		next = consent.RequestPath
	}
	return s.tell(w, r, ledger.KindPasskeyEnrolled, next)
}

func (s *server) showPasskey(w http.ResponseWriter, r *http.Request, status int, again string) error {
	who := speaks(r)
	list, off, err := s.ownConsents(r)
	if err != nil {
		return err
	}
	v := passkeyView{Off: off, Untold: who.Token == "", Again: again, Asked: s.cookie(r, requestCookie) != ""}
	if v.Off || v.Untold {
		return s.renderStatus(w, r, status, "passkey", v)
	}
	var end time.Time
	if m := session.From(r.Context()).Mandate; m != nil {
		end = m.Until
	}
	draft, err := s.desk.Enrol(r.Context(), who, s.passkey(), end)
	if err != nil {
		return err
	}
	v.Until = draft.Until
	if v.Signing, err = s.sign(r, draft, passkeys(list, who.Mandate, func(*ledger.ConsentSummary) bool { return true })); err != nil {
		return err
	}
	return s.renderStatus(w, r, status, "passkey", v)
}

// signing is what the script of a page needs to have a passkey made or used.
type signing struct {
	Draft       string // its id
	Challenge   string // base64url, like the credentials
	RP          string
	Credentials string // those that may sign, or that are there already; separated by spaces
	User        string // how the citizen's device names a new one
	Origin      string
}

// passkeys are those in force with which whoever speaks under a mandate, or the citizen ("") signs.
func passkeys(list []ledger.ConsentSummary, mandate string, also func(*ledger.ConsentSummary) bool) (usable []ledger.ConsentSummary) {
	for _, c := range list {
		if c.Kind == ledger.KindPasskeyEnrolled && c.State == ledger.ConsentInForce && c.Mandate == mandate && also(&c) {
			usable = append(usable, c)
		}
	}
	return usable
}

// sign keeps a draft until it comes back signed, and says what the page's script needs for it.
func (s *server) sign(r *http.Request, draft *consents.Draft, known []ledger.ConsentSummary) (*signing, error) {
	challenge, err := s.desk.Challenge(draft)
	if err != nil {
		return nil, err
	}
	current, err := s.sessions.Change(r.Context(), s.cookie(r, sessionCookie), func(c *session.Session) error {
		c.Draft = draft
		return nil
	})
	if err != nil {
		return nil, err
	}
	place := s.passkey()
	v := &signing{Draft: draft.ID, Challenge: base64.RawURLEncoding.EncodeToString(challenge[:]), RP: place.RP, Origin: place.Origin}
	var ids []string
	for _, c := range known {
		ids = append(ids, base64.RawURLEncoding.EncodeToString(c.Credential))
	}
	v.Credentials = strings.Join(ids, " ")
	// Enough to tell one's own codes apart on one's own device, which may show it to others.
	code := string(current.Subject)
	v.User = s.Node.Settings.Name + " – " + code[:3] + "…" + code[len(code)-3:]
	return v, nil
}

// passkey is where passkeys of these pages are used.
func (s *server) passkey() *consent.Passkey {
	host := strings.TrimPrefix(strings.TrimPrefix(s.Origin, "https://"), "http://")
	host, _, _ = strings.Cut(host, ":")
	return &consent.Passkey{RP: host, Origin: s.Origin}
}

// signed takes the session's draft of a kind, which is good for one answer, and has it recorded as the form signs it.
func (s *server) signed(r *http.Request, kind string) error {
	var draft *consents.Draft
	_, err := s.sessions.Change(r.Context(), s.cookie(r, sessionCookie), func(c *session.Session) error {
		draft, c.Draft = c.Draft, nil
		return nil
	})
	if err != nil {
		return err
	}
	if draft == nil || draft.Kind != kind || draft.ID != r.PostFormValue("documento") || s.Node.Now().Sub(draft.At) > draftAge {
		return errAgain
	}
	var e consent.Evidence
	for name, into := range map[string]*ledger.Base64{
		"credential": &e.Credential, "authenticator_data": &e.AuthenticatorData, "client_data": &e.ClientData, "signature": &e.Signature,
	} {
		if *into, err = base64.RawURLEncoding.Strict().DecodeString(r.PostFormValue(name)); err != nil {
			return errUnsigned
		}
	}
	err = s.desk.Signed(r.Context(), speaks(r), draft, e)
	var p *ledger.Problem
	switch {
	case consents.OtherPlace(err):
		return errAgain
	case errors.As(err, &p) && slices.Contains([]string{consent.CodeEvidence, consent.CodeUnknown, consent.CodeNotInForce}, p.Code):
		return errUnsigned // or by one that was revoked meanwhile
	}
	return refusedConsent(err)
}

// Answers after which a citizen is asked once more.
var (
	errAgain    = errors.New("the record is none that can be signed any more")
	errUnsigned = errors.New("no passkey of the citizen signed the record")
)

// againKey is what the page says of these; "" of other errors.
func againKey(err error) string {
	switch {
	case errors.Is(err, errAgain):
		return "late"
	case errors.Is(err, errUnsigned):
		return "unsigned"
	}
	return ""
}
