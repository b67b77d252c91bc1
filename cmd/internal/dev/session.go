// SPDX-License-Identifier: EUPL-1.2

package dev

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sort"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// session is what the receipts that rest on one voucher have in common. Its tokens are signed by RSA, which gives the same
// signature for the same claims, so a session that was forgotten can be made again.
type session struct {
	once sync.Once
	err  error

	flow
	terms          // those of the service, or the session's own
	consumer       Body
	profile        string
	actor          string
	operator       string // userID of the evidence; "" where it has none
	voucherJTI     string
	voucher        string
	evidence       string // "" where the profile has none
	evidenceClaims evidenceClaims
	client         int
}

// voucherClaims and evidenceClaims are written in PDND's order.
type voucherClaims struct {
	JTI        string          `json:"jti"`
	Issuer     string          `json:"iss"`
	Audience   string          `json:"aud"`
	ClientID   string          `json:"client_id"`
	Subject    string          `json:"sub"`
	IssuedAt   int64           `json:"iat"`
	NotBefore  int64           `json:"nbf"`
	Expires    int64           `json:"exp"`
	PurposeID  string          `json:"purposeId"`
	Digest     *evidenceDigest `json:"digest,omitempty"`
	Producer   string          `json:"producerId"`
	Consumer   string          `json:"consumerId"`
	EService   string          `json:"eserviceId"`
	Descriptor string          `json:"descriptorId"`
}

type evidenceDigest struct {
	Alg   string `json:"alg"`
	Value string `json:"value"`
}

type evidenceClaims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	PurposeID string `json:"purposeId"`
	Dnonce    any    `json:"dnonce"`
	JTI       string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	Expires   int64  `json:"exp"`
	UserID    string `json:"userID,omitempty"`
	Location  string `json:"userLocation"`
	LoA       string `json:"LoA,omitempty"`
	UserLoA   string `json:"userLoa,omitempty"`
}

// session returns the one that the n-th receipt belongs to.
func (w *World) session(n int) (*session, error) {
	const kept = 1024
	number := n / w.config.VoucherReuse
	w.mu.Lock()
	s := w.sessions[number]
	if s == nil {
		if len(w.sessions) >= kept {
			clear(w.sessions)
		}
		s = new(session)
		w.sessions[number] = s
	}
	w.mu.Unlock()
	s.once.Do(func() { s.err = w.begin(s, number) })
	return s, s.err
}

func (w *World) begin(s *session, number int) error {
	r, ids := w.choices("session", number), w.ids("session", number)
	list := w.others
	if r.Float64() < hubShare {
		list = w.hubbed
	}
	s.profile = w.config.Profile
	if s.profile == "" {
		s.profile = pick(r, 80, ledger.ProfileAudit02, 10, ledger.ProfileAudit01, 10, ledger.ProfileVoucher)
	}
	for {
		at := r.Float64() * list[len(list)-1].upTo
		s.flow = list[sort.Search(len(list), func(i int) bool { return list[i].upTo > at })].flow
		// Nobody gives special categories of data for a voucher alone.
		if s.profile != ledger.ProfileVoucher || !s.service.sensitive() {
			break
		}
	}
	s.consumer = w.consumer(s.category, s.provider.ID, r)

	issued := w.config.Now.Add(-time.Minute - time.Duration(r.IntN(240))*time.Second).Unix()
	clientID := fixedUUID("client of " + s.consumer.ID)
	s.client = int(clientID[0]) % clientKeys
	audience := "https://api." + s.provider.ID + ".example/rest/" + s.service.slug + "/v1"
	s.voucherJTI = uuid(ids)
	claims := voucherClaims{
		JTI: s.voucherJTI, Issuer: Issuer, Audience: audience, ClientID: clientID, Subject: clientID,
		IssuedAt: issued, NotBefore: issued, Expires: issued + 600, PurposeID: s.purposeID(),
		Producer: s.provider.Tenant, Consumer: s.consumer.Tenant, EService: s.service.id, Descriptor: fixedUUID("descriptor of " + s.service.id),
	}
	s.operate(w.config.Profile == "", r)
	s.explain(w.config.Profile == "", r)
	s.evidenceClaims = evidenceClaims{
		Issuer: clientID, Audience: audience, PurposeID: claims.PurposeID, Dnonce: 1_000_000_000_000 + r.Int64N(9_000_000_000_000),
		JTI: uuid(ids), IssuedAt: issued - 1, Expires: issued + 599, UserID: s.operator, Location: fmt.Sprintf("sportello-%d", 1+r.IntN(30)), LoA: "LOA3",
	}
	if w.config.Profile == "" {
		s.evidenceClaims.vary(s.sensitive(), r)
	}
	var err error
	s.voucher, s.evidence, err = w.sign(s.profile, &claims, &s.evidenceClaims, s.client)
	return err
}

// sign makes the tokens of a profile; the evidence is "" where it has none.
func (w *World) sign(profile string, claims *voucherClaims, e *evidenceClaims, client int) (voucher, evidence string, err error) {
	if profile != ledger.ProfileVoucher {
		if evidence, err = signToken(w.tokens.clients[client], e); err != nil {
			return "", "", err
		}
	}
	if profile == ledger.ProfileAudit02 {
		claims.Digest = &evidenceDigest{"SHA256", fmt.Sprintf("%x", sha256.Sum256([]byte(evidence)))}
	}
	voucher, err = signToken(w.tokens.pdnd, claims)
	return voucher, evidence, err
}

// consumer picks a body of a category other than the provider, the first ones more often.
func (w *World) consumer(category, provider string, r *rand.Rand) Body {
	for {
		for _, g := range chosen {
			if g.category != category {
				continue
			}
			u := r.Float64()
			if id := g.ids[int(u*u*float64(len(g.ids)))]; id != provider {
				return w.byID[id]
			}
		}
	}
}

// purposeID is that of the finalità that the consumer declared for the e-service.
func (s *session) purposeID() string {
	return fixedUUID("purpose of " + s.consumer.ID + " for " + s.service.id)
}

// operate chooses who acts. Some evidences name nobody, or more of a person than they should.
func (s *session) operate(flawed bool, r *rand.Rand) {
	s.actor, s.operator = ledger.ActorOperator, fmt.Sprintf("op-%04x", r.IntN(1<<16))
	who := "operator"
	if flawed {
		who = pick(r, 80, "operator", 9, "service", 1, "model", 4, "none", 3, "constant", 3, "code")
	}
	if s.consumer.ID == statistics || who == "model" && s.service.purpose != entitled {
		who = "service"
	}
	switch who {
	case "service":
		s.actor, s.operator = ledger.ActorService, "service:"+s.service.slug
		if len(s.operator) > len("service:")+64 {
			s.operator = s.operator[:len("service:")+64]
		}
	case "model":
		s.actor, s.operator = ledger.ActorModel, "service:triage-model"
	case "none":
		s.operator = ""
	case "constant":
		s.operator = "admin"
	case "code":
		s.operator = string(citizen(uint64(2_000_000_000 + 50*r.IntN(1000))))
	}
}

// vary writes an evidence as one administration or another does. Special categories of data are given only to those who say
// how the operator was identified.
func (e *evidenceClaims) vary(sensitive bool, r *rand.Rand) {
	switch n := r.IntN(10); {
	case n == 0:
		e.LoA = "LoA2"
	case n == 1:
		e.LoA, e.UserLoA = "", "3"
	case n == 2 && !sensitive:
		e.LoA = ""
	}
	if r.IntN(10) == 0 {
		e.Dnonce = fmt.Sprint(e.Dnonce)
	}
	if r.IntN(20) == 0 {
		e.Expires = e.IssuedAt + 30*86400
	}
}

// pick takes shares in percent, each before its text.
func pick(r *rand.Rand, sharesAndTexts ...any) string {
	at := r.IntN(100)
	for i := 0; ; i += 2 {
		if at -= sharesAndTexts[i].(int); at < 0 {
			return sharesAndTexts[i+1].(string)
		}
	}
}
