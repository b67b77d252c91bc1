// SPDX-License-Identifier: EUPL-1.2

package consent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Limits of a record.
const (
	MaxRecord     = 16 << 10 // bytes
	MaxRecipients = 32
	MaxPurposes   = 16
	MaxYears      = 5 // of validity
	maxLabel      = 80
)

// Record is one statement in a citizen's list: by them, by a delegate, or about them. Which of its optional parts are
// there follows from its kind.
type Record struct {
	Kind     string       // a kind of event about consent
	ID       string       // uuid, fresh
	Created  time.Time    // when it was made, by the collector's clock; whole seconds
	Language string       // of what was shown, "it"
	Ledger   string       // its name
	Epoch    uint32       // the year of the log that it is for
	Previous *ledger.Hash // body_commitment of the citizen's last event in +consent; nil: there is none
	Subject  ledger.Hash  // root of the event's receipt over the citizen alone: whose record it is, without naming them

	Terms    *Terms    // of consent-given and consent-refused
	Validity *Validity // of these, passkey-enrolled and mandate-given
	Passkey  *Passkey  // of passkey-enrolled
	Relation *Relation // of mandate-given
	Ends     string    // id of the consent, enrolment or mandate that the others end
	Mandate  string    // id of the mandate under which a delegate acts, or for whose delegate a passkey is; ""
}

// Terms are what a citizen consents to, or refuses.
type Terms struct {
	Controller string   // id of the body that asked
	LegalBasis []string // Basis constants; of an entitlement others of the GDPR
	Recipients []string // ids of bodies, or ledger.ConsentKind and what a body's record has among its attributes
	Purposes   []string // as receipts write them: a purpose, or PDND's purpose id
	Categories []string // as receipts write them
	Notice     Notice
	Withdrawal string // how to take it back, in words
}

// Notice is what was shown, as far as it can be named.
type Notice struct {
	Digest  ledger.Hash // SHA-256 of the text
	Version string
}

// Validity is from an instant, to one that no longer belongs to it; whole seconds, UTC.
type Validity struct{ From, Until time.Time }

// Passkey says where a passkey can be used. Its key is in the evidence.
type Passkey struct {
	RP     string // relying party id, a domain
	Origin string // of the pages, https://…
}

// Relation says on what a delegate's mandate rests.
type Relation struct {
	Kind string // a Relation constant
	Deed string // the act and who issued it
}

// Kinds of delegate.
const (
	RelationParent        = "parent"                // chi esercita la responsabilità genitoriale
	RelationGuardian      = "guardian"              // tutore
	RelationAdministrator = "support-administrator" // amministratore di sostegno
	RelationProxy         = "proxy"                 // delegato con procura
)

// Legal bases of the GDPR that are a consent.
const (
	BasisConsent  = "eu-gdpr:A6-1-a"
	BasisExplicit = "eu-gdpr:A9-2-a"
)

// What of a record follows from its kind.
type form struct {
	typ, status                   string
	terms, validity, passkey, rel bool
	ends                          bool
	evidence                      []string
}

const recordType = "dpv:ConsentRecord"

var forms = map[string]form{
	ledger.KindConsentGiven:     {typ: recordType, status: "dpv:ConsentGiven", terms: true, validity: true, evidence: []string{EvidencePasskey, EvidenceDesk}},
	ledger.KindConsentRefused:   {typ: recordType, status: "dpv:ConsentRefused", terms: true, validity: true, evidence: []string{EvidencePasskey, EvidenceDesk, EvidenceLogin}},
	ledger.KindConsentWithdrawn: {typ: recordType, status: "dpv:ConsentWithdrawn", ends: true, evidence: []string{EvidencePasskey, EvidenceDesk, EvidenceLogin}},
	ledger.KindConsentExpired:   {typ: recordType, status: "dpv:ConsentExpired", ends: true, evidence: []string{EvidenceClock}},
	ledger.KindPasskeyEnrolled:  {typ: "traccia:PasskeyEnrolled", validity: true, passkey: true, evidence: []string{EvidenceRegistration}},
	ledger.KindPasskeyRevoked:   {typ: "traccia:PasskeyRevoked", ends: true, evidence: []string{EvidencePasskey, EvidenceDesk, EvidenceLogin}},
	ledger.KindEntitlementGiven: {typ: "traccia:EntitlementGiven", terms: true, validity: true, evidence: []string{EvidenceDesk}},
	ledger.KindEntitlementEnded: {typ: "traccia:EntitlementEnded", ends: true, evidence: []string{EvidencePasskey, EvidenceDesk, EvidenceLogin}},
	ledger.KindMandateGiven:     {typ: "traccia:MandateGiven", validity: true, rel: true, evidence: []string{EvidenceDesk}},
	ledger.KindMandateEnded:     {typ: "traccia:MandateEnded", ends: true, evidence: []string{EvidenceDesk}},
}

// IsKind says whether events of this kind have a record.
func IsKind(kind string) bool { _, ok := forms[kind]; return ok }

// recordJSON is a record as JSON-LD has it, written in exactly one way: no white space, this order, no escapes but those
// that JSON needs.
//
//	{"@context":{…},"@type":"dpv:ConsentRecord","dct:conformsTo":["https://w3id.org/dpv/schema/dpv-27560#record","traccia/consent/1"],
//	"dct:identifier":"6f1c…","dct:created":"2026-11-22T09:30:00Z","dct:language":"it",
//	"traccia:ledger":"registro.example","traccia:epoch":2026,"traccia:previous":"9f…64 hex","dpv:hasDataSubject":"urn:traccia:subject:ab…64 hex",
//	"dpv:hasConsentStatus":"dpv:ConsentGiven","dpv:hasJurisdiction":"loc:IT","dpv:hasApplicableLaw":"eu-gdpr:GDPR",
//	"dpv:hasDataController":"c_a944","dpv:hasLegalBasis":["eu-gdpr:A6-1-a"],
//	"dpv:hasProcess":{"@type":"dpv:Process","dpv:hasRecipient":["c_a944"],"dpv:hasPurpose":["…"],"dpv:hasPersonalData":["…"]},
//	"dpv:hasDuration":{"traccia:from":"2026-11-22T00:00:00Z","traccia:until":"2027-11-22T00:00:00Z"},
//	"dpv:hasNotice":{"@type":"dpv:ConsentNotice","traccia:sha256":"…64 hex","dct:hasVersion":"3"},
//	"dpv:hasConsentControl":{"@type":"dpv:WithdrawConsent","dpv:isExercisedAt":"…"}}
type recordJSON struct {
	Context      contextJSON   `json:"@context"`
	Type         string        `json:"@type"`
	ConformsTo   []string      `json:"dct:conformsTo"`
	ID           string        `json:"dct:identifier"`
	Created      string        `json:"dct:created"`
	Language     string        `json:"dct:language"`
	Ledger       string        `json:"traccia:ledger"`
	Epoch        uint32        `json:"traccia:epoch"`
	Previous     string        `json:"traccia:previous,omitempty"`
	Subject      string        `json:"dpv:hasDataSubject"`
	Status       string        `json:"dpv:hasConsentStatus,omitempty"`
	Jurisdiction string        `json:"dpv:hasJurisdiction"`
	Law          string        `json:"dpv:hasApplicableLaw"`
	Controller   string        `json:"dpv:hasDataController,omitempty"`
	LegalBasis   []string      `json:"dpv:hasLegalBasis,omitempty"`
	Process      *processJSON  `json:"dpv:hasProcess,omitempty"`
	Duration     *durationJSON `json:"dpv:hasDuration,omitempty"`
	Notice       *noticeJSON   `json:"dpv:hasNotice,omitempty"`
	Control      *controlJSON  `json:"dpv:hasConsentControl,omitempty"`
	Passkey      *passkeyJSON  `json:"traccia:passkey,omitempty"`
	Relation     *relationJSON `json:"traccia:relation,omitempty"`
	Ends         string        `json:"traccia:ends,omitempty"`
	Mandate      string        `json:"traccia:mandate,omitempty"`
}

type contextJSON struct {
	DCT     string `json:"dct"`
	DPV     string `json:"dpv"`
	GDPR    string `json:"eu-gdpr"`
	Loc     string `json:"loc"`
	Traccia string `json:"traccia"`
}

type processJSON struct {
	Type       string   `json:"@type"`
	Recipients []string `json:"dpv:hasRecipient"`
	Purposes   []string `json:"dpv:hasPurpose"`
	Categories []string `json:"dpv:hasPersonalData"`
}

type durationJSON struct {
	From  string `json:"traccia:from"`
	Until string `json:"traccia:until"`
}

type noticeJSON struct {
	Type    string `json:"@type"`
	Digest  string `json:"traccia:sha256"`
	Version string `json:"dct:hasVersion"`
}

type controlJSON struct {
	Type string `json:"@type"`
	At   string `json:"dpv:isExercisedAt"`
}

type passkeyJSON struct {
	RP     string `json:"traccia:rp"`
	Origin string `json:"traccia:origin"`
}

type relationJSON struct {
	Kind string `json:"traccia:kind"`
	Deed string `json:"traccia:deed"`
}

// What every record says of itself.
const (
	conformsDPV    = "https://w3id.org/dpv/schema/dpv-27560#record"
	conformsOurs   = "traccia/consent/1"
	subjectPrefix  = "urn:traccia:subject:"
	jurisdiction   = "loc:IT"
	applicableLaw  = "eu-gdpr:GDPR"
	processType    = "dpv:Process"
	noticeType     = "dpv:ConsentNotice"
	withdrawalType = "dpv:WithdrawConsent"
)

var context = contextJSON{
	DCT: "http://purl.org/dc/terms/", DPV: "https://w3id.org/dpv#", GDPR: "https://w3id.org/dpv/legal/eu/gdpr#",
	Loc: "https://w3id.org/dpv/loc#", Traccia: "urn:traccia:consent:",
}

// FormatRecord returns a record's bytes. It refuses, with a *ledger.Problem, what ParseRecord would refuse.
func FormatRecord(r *Record) ([]byte, error) {
	if p := r.check(); p != nil {
		return nil, p
	}
	f := forms[r.Kind]
	w := recordJSON{
		Context: context, Type: f.typ, ConformsTo: []string{conformsDPV, conformsOurs}, ID: r.ID, Created: r.Created.Format(instantForm),
		Language: r.Language, Ledger: r.Ledger, Epoch: r.Epoch, Subject: subjectPrefix + fmt.Sprintf("%x", r.Subject),
		Status: f.status, Jurisdiction: jurisdiction, Law: applicableLaw, Ends: r.Ends, Mandate: r.Mandate,
	}
	if r.Previous != nil {
		w.Previous = fmt.Sprintf("%x", *r.Previous)
	}
	if t := r.Terms; t != nil {
		w.Controller, w.LegalBasis = t.Controller, t.LegalBasis
		w.Process = &processJSON{processType, t.Recipients, t.Purposes, t.Categories}
		w.Notice = &noticeJSON{noticeType, fmt.Sprintf("%x", t.Notice.Digest), t.Notice.Version}
		w.Control = &controlJSON{withdrawalType, t.Withdrawal}
	}
	if v := r.Validity; v != nil {
		w.Duration = &durationJSON{v.From.Format(instantForm), v.Until.Format(instantForm)}
	}
	if p := r.Passkey; p != nil {
		w.Passkey = &passkeyJSON{p.RP, p.Origin}
	}
	if rel := r.Relation; rel != nil {
		w.Relation = &relationJSON{rel.Kind, rel.Deed}
	}
	out, err := marshal(w)
	if err == nil && len(out) > MaxRecord {
		return nil, problem(ledger.CodeTooLong, "record", fmt.Sprintf("at most %d bytes", MaxRecord), strconv.Itoa(len(out)))
	}
	return out, err
}

// ParseRecord reads a record. What it accepts, FormatRecord writes to the same bytes. Errors are *ledger.Problem, at
// "record" or "record#<path>".
func ParseRecord(data []byte) (*Record, error) {
	if len(data) > MaxRecord {
		return nil, problem(ledger.CodeTooLong, "record", fmt.Sprintf("at most %d bytes", MaxRecord), strconv.Itoa(len(data)))
	}
	var w recordJSON
	if err := ijson.Unmarshal(data, &w); err != nil {
		return nil, jsonProblem("record", err)
	}
	r, p := w.record()
	if p != nil {
		return nil, p
	}
	again, err := FormatRecord(r)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, problem(ledger.CodeSyntax, "record", "the one way to write this record", "another")
	}
	return r, nil
}

// record takes over what isn't checked by writing it again.
func (w *recordJSON) record() (*Record, *ledger.Problem) {
	r := &Record{ID: w.ID, Language: w.Language, Ledger: w.Ledger, Epoch: w.Epoch, Ends: w.Ends, Mandate: w.Mandate}
	for kind, f := range forms {
		if f.typ == w.Type && f.status == w.Status {
			r.Kind = kind
		}
	}
	if r.Kind == "" {
		return nil, problem(ledger.CodeBadValue, "record#@type", "a type, and a status where it is "+recordType, "others")
	}
	var ok bool
	if r.Created, ok = parseInstant(w.Created); !ok {
		return nil, badInstant("record#dct:created", w.Created)
	}
	hex, found := strings.CutPrefix(w.Subject, subjectPrefix)
	if r.Subject, ok = parseHash(hex); !ok || !found {
		return nil, problem(ledger.CodeBadValue, "record#dpv:hasDataSubject", subjectPrefix+" and "+hexDigits, textFound(w.Subject))
	}
	if w.Previous != "" {
		h, ok := parseHash(w.Previous)
		if !ok {
			return nil, problem(ledger.CodeBadHash, "record#traccia:previous", hexDigits, textFound(w.Previous))
		}
		r.Previous = &h
	}
	if (w.Process != nil) != (w.Notice != nil) || (w.Process != nil) != (w.Control != nil) {
		return nil, problem(ledger.CodeMissing, "record", "process, notice and control together", "one without the others")
	}
	if w.Process != nil {
		r.Terms = &Terms{
			Controller: w.Controller, LegalBasis: w.LegalBasis, Recipients: w.Process.Recipients, Purposes: w.Process.Purposes,
			Categories: w.Process.Categories, Notice: Notice{Version: w.Notice.Version}, Withdrawal: w.Control.At,
		}
		if r.Terms.Notice.Digest, ok = parseHash(w.Notice.Digest); !ok {
			return nil, problem(ledger.CodeBadHash, "record#dpv:hasNotice/traccia:sha256", hexDigits, textFound(w.Notice.Digest))
		}
	}
	if w.Duration != nil {
		v := new(Validity)
		if v.From, ok = parseInstant(w.Duration.From); !ok {
			return nil, badInstant("record#dpv:hasDuration/traccia:from", w.Duration.From)
		}
		if v.Until, ok = parseInstant(w.Duration.Until); !ok {
			return nil, badInstant("record#dpv:hasDuration/traccia:until", w.Duration.Until)
		}
		r.Validity = v
	}
	if w.Passkey != nil {
		r.Passkey = &Passkey{w.Passkey.RP, w.Passkey.Origin}
	}
	if w.Relation != nil {
		r.Relation = &Relation{w.Relation.Kind, w.Relation.Deed}
	}
	return r, nil
}

func badInstant(where, found string) *ledger.Problem {
	return problem(ledger.CodeBadTime, where, "whole seconds in UTC, as 2026-11-22T09:30:00Z", textFound(found))
}

// marshal is json.Marshal without the escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// checker keeps the first problem of a series of checks.
type checker struct{ problem *ledger.Problem }

func (c *checker) fail(code, where, expected, found string) {
	if c.problem == nil {
		c.problem = problem(code, "record#"+where, expected, found)
	}
}

func (c *checker) check(where string, err error) {
	if p, ok := err.(*ledger.Problem); ok && c.problem == nil {
		c.problem = problem(p.Code, "record#"+where, p.Expected, p.Found)
	}
}

func (c *checker) part(where string, is, must bool) {
	if is != must {
		words := map[bool]string{true: "one", false: "none"}
		c.fail(ledger.CodeBadValue, where, words[must]+" with this type", words[is])
	}
}

func (r *Record) check() *ledger.Problem {
	f, ok := forms[r.Kind]
	if !ok {
		return problem(ledger.CodeBadValue, "record#@type", "a kind of event about consent", textFound(r.Kind))
	}
	var c checker
	c.check("dct:identifier", ledger.CheckUUID(r.ID))
	c.instant("dct:created", r.Created)
	if len(r.Language) != 2 || r.Language[0] < 'a' || r.Language[0] > 'z' || r.Language[1] < 'a' || r.Language[1] > 'z' {
		c.fail(ledger.CodeBadValue, "dct:language", "a language of two letters, as it", textFound(r.Language))
	}
	if ledger.CheckName(r.Ledger) != nil {
		c.fail(ledger.CodeBadName, "traccia:ledger", "a ledger's name", textFound(r.Ledger))
	}
	if r.Epoch < 1970 || r.Epoch > 9999 {
		c.fail(ledger.CodeBadValue, "traccia:epoch", "a year", fmt.Sprint(r.Epoch))
	}
	c.part("dpv:hasProcess", r.Terms != nil, f.terms)
	c.part("dpv:hasDuration", r.Validity != nil, f.validity)
	c.part("traccia:passkey", r.Passkey != nil, f.passkey)
	c.part("traccia:relation", r.Relation != nil, f.rel)
	c.part("traccia:ends", r.Ends != "", f.ends)
	if r.Ends != "" {
		c.check("traccia:ends", ledger.CheckUUID(r.Ends))
	}
	if r.Mandate != "" {
		c.check("traccia:mandate", ledger.CheckUUID(r.Mandate))
		c.part("traccia:mandate", true, !f.rel && r.Kind != ledger.KindMandateEnded && r.Kind != ledger.KindConsentExpired)
	}
	if c.problem == nil && r.Terms != nil {
		r.Terms.check(&c, r.Kind == ledger.KindEntitlementGiven)
	}
	if v := r.Validity; c.problem == nil && v != nil {
		c.instant("dpv:hasDuration/traccia:from", v.From)
		c.instant("dpv:hasDuration/traccia:until", v.Until)
		if !v.From.Before(v.Until) || v.Until.After(v.From.AddDate(MaxYears, 0, 0)) {
			c.fail(ledger.CodeBadTime, "dpv:hasDuration/traccia:until", fmt.Sprintf("after from, by at most %d years", MaxYears), "another instant")
		}
	}
	if p := r.Passkey; c.problem == nil && p != nil {
		p.check(&c)
	}
	if rel := r.Relation; c.problem == nil && rel != nil {
		if !slices.Contains([]string{RelationParent, RelationGuardian, RelationAdministrator, RelationProxy}, rel.Kind) {
			c.fail(ledger.CodeBadValue, "traccia:relation/traccia:kind", "parent, guardian, support-administrator or proxy", textFound(rel.Kind))
		}
		c.check("traccia:relation/traccia:deed", ledger.CheckText(rel.Deed, ledger.MaxText))
	}
	return c.problem
}

func (c *checker) instant(where string, t time.Time) {
	if y := t.Year(); t.Location() != time.UTC || t.Nanosecond() != 0 || y < 1970 || y > 9999 {
		c.fail(ledger.CodeBadTime, where, "whole seconds in UTC", "another instant")
	}
}

// bases are those of the GDPR that an entitlement can rest on: law and public task.
var bases = []string{"eu-gdpr:A6-1-c", "eu-gdpr:A6-1-e", "eu-gdpr:A9-2-b", "eu-gdpr:A9-2-g", "eu-gdpr:A9-2-h"}

func (t *Terms) check(c *checker, entitlement bool) {
	if ledger.CheckID(t.Controller) != nil {
		c.fail(ledger.CodeBadID, "dpv:hasDataController", "id of a body", textFound(t.Controller))
	}
	c.list("dpv:hasLegalBasis", t.LegalBasis, 2, func(s string) error {
		if consent := s == BasisConsent || s == BasisExplicit; entitlement && slices.Contains(bases, s) || !entitlement && consent {
			return nil
		}
		return problem(ledger.CodeBadValue, "", "a basis that is a consent; of an entitlement, law or public task", textFound(s))
	})
	c.list("dpv:hasProcess/dpv:hasRecipient", t.Recipients, MaxRecipients, func(s string) error {
		kind, ok := strings.CutPrefix(s, ledger.ConsentKind)
		if ok {
			return ledger.CheckText(kind, ledger.MaxText)
		}
		if ledger.CheckID(s) != nil {
			return problem(ledger.CodeBadID, "", "ids of bodies, or "+ledger.ConsentKind+" and a kind", textFound(s))
		}
		return nil
	})
	text := func(s string) error { return ledger.CheckText(s, ledger.MaxText) }
	c.list("dpv:hasProcess/dpv:hasPurpose", t.Purposes, MaxPurposes, text)
	c.list("dpv:hasProcess/dpv:hasPersonalData", t.Categories, ledger.MaxDataCategories, text)
	c.check("dpv:hasNotice/dct:hasVersion", ledger.CheckText(t.Notice.Version, maxLabel))
	c.check("dpv:hasConsentControl/dpv:isExercisedAt", ledger.CheckText(t.Withdrawal, ledger.MaxText))
}

func (c *checker) list(where string, list []string, most int, check func(string) error) {
	if n := len(list); n < 1 || n > most {
		c.fail(ledger.CodeBadCount, where, fmt.Sprintf("1 to %d", most), strconv.Itoa(n))
		return
	}
	for i, s := range list {
		c.check(where+"/"+strconv.Itoa(i), check(s))
		if slices.Contains(list[:i], s) {
			c.fail(ledger.CodeRepeated, where+"/"+strconv.Itoa(i), "each once", "one that occurs before")
		}
	}
}

// check takes a domain in lower case, and an https origin on it or below; localhost, and http on it, for tests.
func (p *Passkey) check(c *checker) {
	if !isHost(p.RP) {
		c.fail(ledger.CodeBadValue, "traccia:passkey/traccia:rp", "a domain in lower case", textFound(p.RP))
		return
	}
	host, ok := strings.CutPrefix(p.Origin, "https://")
	if !ok && p.RP == "localhost" {
		host, ok = strings.CutPrefix(p.Origin, "http://")
	}
	name, port, hasPort := strings.Cut(host, ":")
	if n, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || strconv.FormatUint(n, 10) != port) {
		ok = false
	}
	if !ok || name != p.RP && !(strings.HasSuffix(name, "."+p.RP) && isHost(name)) {
		c.fail(ledger.CodeBadValue, "traccia:passkey/traccia:origin", "https:// and the domain, or one below it", textFound(p.Origin))
	}
}

func isHost(name string) bool {
	return name != "" && len(name) <= 253 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || 'z' < r) && (r < '0' || '9' < r) && r != '-' && r != '.'
	})
}
