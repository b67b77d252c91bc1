// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"fmt"
	"strconv"

	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Submission is what a body sends to have a receipt recorded. In JSON, salts
// and the private part's bytes are base64url without padding:
//
//	{"receipt":"eyJ…","private":{"salt":"UVAx…43","content":"eyJ2…"},"voucher":"eyJ…","evidence":"eyJ…",
//	"subjects":[{"subject":"RSSMRA80A01H501U","salt":"8sv7…43"}]}
//
// voucher and evidence are the same as in the private part; a receipt that isn't of
// a call over PDND has none. "deferral" is the order that puts off the notice of an
// access. The submission
// itself is not kept once its events are made.
type Submission struct {
	Receipt  string // compact JWS, see ParseReceipt
	Private  SaltedPrivate
	Voucher  string          // "" exactly where the receipt isn't OfCall
	Evidence string          // "" when there is none
	Deferral string          // compact, see ParseDeferral; "" when there is none
	Subjects []SaltedSubject // 1 to MaxSubjects, in the receipt's order
}

// SaltedPrivate is a private part with the salt of its digest.
type SaltedPrivate struct {
	Salt    [32]byte
	Content []byte // exact bytes, see ParsePrivate
}

// submissionJSON is a submission as JSON has it.
type submissionJSON struct {
	Receipt  string        `json:"receipt"`
	Private  privateJSON   `json:"private"`
	Voucher  string        `json:"voucher,omitempty"`
	Evidence string        `json:"evidence,omitempty"`
	Deferral string        `json:"deferral,omitempty"`
	Subjects []subjectJSON `json:"subjects"`
}

type privateJSON struct {
	Salt    string `json:"salt"`
	Content string `json:"content"`
}

type subjectJSON struct {
	Subject string `json:"subject"`
	Salt    string `json:"salt"`
}

const saltForm = "32 bytes in base64url, 43 characters"

// ParseSubmission decodes a submission: its outer form, subjects and salts, not
// yet what [Submission.Open] checks. Errors are *Problem with JSON Pointers.
func ParseSubmission(data []byte) (*Submission, error) {
	var w submissionJSON
	if err := ijson.Unmarshal(data, &w); err != nil {
		return nil, jsonProblem(err)
	}
	var c checker
	c.token("/receipt", w.Receipt, MaxReceipt)
	for _, token := range []struct {
		where, compact string
		most           int
	}{{"/voucher", w.Voucher, MaxToken}, {"/evidence", w.Evidence, MaxToken}, {"/deferral", w.Deferral, MaxDeferral}} {
		if token.compact != "" {
			c.token(token.where, token.compact, token.most)
		}
	}
	s := &Submission{Receipt: w.Receipt, Voucher: w.Voucher, Evidence: w.Evidence, Deferral: w.Deferral}
	s.Private = c.private(w.Private)
	s.Subjects = c.subjects(w.Subjects)
	if c.problem != nil {
		return nil, c.problem
	}
	return s, nil
}

func (c *checker) private(w privateJSON) (p SaltedPrivate) {
	var ok bool
	if p.Salt, ok = parseBase64Hash(w.Salt); !ok {
		c.fail(CodeBadSalt, "/private/salt", saltForm, textFound(w.Salt))
	}
	if p.Content, ok = parseBase64(w.Content); !ok {
		c.fail(CodeBadBase64, "/private/content", "base64url without padding", textFound(w.Content))
	}
	if len(p.Content) > MaxPrivate {
		c.fail(CodeTooLong, "/private/content", fmt.Sprintf("at most %d bytes", MaxPrivate), strconv.Itoa(len(p.Content)))
	}
	return p
}

func (c *checker) subjects(w []subjectJSON) []SaltedSubject {
	if n := len(w); n < 1 || n > MaxSubjects {
		c.fail(CodeBadCount, "/subjects", fmt.Sprintf("1 to %d subjects", MaxSubjects), strconv.Itoa(n))
		return nil
	}
	list := make([]SaltedSubject, len(w))
	for i := range w {
		var err error
		if list[i].Subject, err = ParseSubject(w[i].Subject); err != nil {
			c.fail(CodeBadSubject, fmt.Sprintf("/subjects/%d/subject", i), subjectForm, textFound(w[i].Subject))
			return nil
		}
		var ok bool
		if list[i].Salt, ok = parseBase64Hash(w[i].Salt); !ok {
			c.fail(CodeBadSalt, fmt.Sprintf("/subjects/%d/salt", i), saltForm, textFound(w[i].Salt))
			return nil
		}
	}
	return list
}

// contentJSON is a submission whose receipt comes beside it.
type contentJSON struct {
	Private  privateJSON   `json:"private"`
	Voucher  string        `json:"voucher,omitempty"`
	Evidence string        `json:"evidence,omitempty"`
	Deferral string        `json:"deferral,omitempty"`
	Subjects []subjectJSON `json:"subjects"`
}

// FormatContent encodes a submission without its receipt: the content that the
// token of a receipt of IntegrityType covers.
func FormatContent(s *Submission) ([]byte, error) {
	w := s.wire()
	return marshal(contentJSON{w.Private, w.Voucher, w.Evidence, w.Deferral, w.Subjects})
}

// Complete puts the receipt to the content that its token covers, and returns the
// submission. Errors are *Problem.
func Complete(content []byte, receipt string) ([]byte, error) {
	var w contentJSON
	if err := ijson.Unmarshal(content, &w); err != nil {
		return nil, jsonProblem(err)
	}
	return marshal(submissionJSON{receipt, w.Private, w.Voucher, w.Evidence, w.Deferral, w.Subjects})
}

// FormatSubmission encodes a submission. Whether its parts agree is for
// [Submission.Open] to say.
func FormatSubmission(s *Submission) ([]byte, error) {
	data, err := marshal(s.wire())
	if err != nil {
		return nil, err
	}
	if _, err := ParseSubmission(data); err != nil {
		return nil, err
	}
	return data, nil
}

func (s *Submission) wire() *submissionJSON {
	w := &submissionJSON{
		Receipt:  s.Receipt,
		Private:  privateJSON{base64url.EncodeToString(s.Private.Salt[:]), base64url.EncodeToString(s.Private.Content)},
		Voucher:  s.Voucher,
		Evidence: s.Evidence,
		Deferral: s.Deferral,
		Subjects: make([]subjectJSON, len(s.Subjects)),
	}
	for i, x := range s.Subjects {
		w.Subjects[i] = subjectJSON{string(x.Subject), base64url.EncodeToString(x.Salt[:])}
	}
	return w
}

// Opened is a submission taken apart. All that can be known of it without keys,
// clock and registry is checked; signatures, tokens and pair are not.
type Opened struct {
	Receipt  *SignedReceipt
	Private  *Private
	Deferral *SignedDeferral // nil where the receipt names none
	Subjects *SubjectTree
}

// Open parses the receipt and the private part and checks that the parts belong
// together: the same tokens inside and beside the private part, its digest and
// the subjects' count and root in the receipt, no subject and no salt twice, and
// no subject's code anywhere in the receipt. Errors are *Problem.
func (s *Submission) Open() (*Opened, error) {
	receipt, err := ParseReceipt(s.Receipt)
	if err != nil {
		return nil, err
	}
	private, err := ParsePrivate(s.Private.Content)
	if err != nil {
		return nil, err
	}
	tree, err := NewSubjectTree(s.Subjects)
	if err != nil {
		return nil, err
	}
	var c checker
	switch {
	case receipt.OfCall() && s.Voucher == "":
		c.fail(CodeMissing, "/voucher", "a voucher, unless the receipt states something of another", "nothing")
	case receipt.OfCall() && private.Voucher == "":
		c.fail(CodeMissing, "private#voucher", "the voucher beside the private part", "nothing")
	case !receipt.OfCall() && (s.Voucher != "" || s.Evidence != ""):
		c.fail(CodeBadValue, "/voucher", "no voucher and no evidence with a receipt of no call", "one of them")
	}
	if private.Voucher != s.Voucher {
		c.fail(CodeTokenMismatch, "private#voucher", "the voucher beside the private part", "another")
	}
	if private.Evidence != s.Evidence {
		c.fail(CodeTokenMismatch, "private#evidence", "the evidence beside the private part", "another")
	}
	codes := make([]Subject, len(s.Subjects))
	for i := range s.Subjects {
		codes[i] = s.Subjects[i].Subject
		if s.Subjects[i].Salt == s.Private.Salt {
			c.fail(CodeSaltRepeated, fmt.Sprintf("/subjects/%d/salt", i), "a salt of its own", "the private part's")
		}
	}
	if PrivateDigest(&s.Private.Salt, s.Private.Content) != receipt.PrivateDigest {
		c.fail(CodeDigestMismatch, "receipt#private_digest", "the digest of the private part and its salt", "another")
	}
	if n := receipt.Subjects.Count; n != tree.Len() {
		c.fail(CodeCountMismatch, "receipt#subjects/count", strconv.Itoa(tree.Len()), strconv.Itoa(n))
	}
	if receipt.Subjects.Root != tree.Root() {
		c.fail(CodeRootMismatch, "receipt#subjects/root", "the root over the subjects and their salts", "another")
	}
	if receipt.Names(codes) {
		c.fail(CodeNamesSubject, "receipt", "no code of a subject", "one")
	}
	if c.problem != nil {
		return nil, c.problem
	}
	deferral, err := s.order(receipt, codes)
	if err != nil {
		return nil, err
	}
	return &Opened{receipt, private, deferral, tree}, nil
}

// order parses the order that the receipt names.
func (s *Submission) order(receipt *SignedReceipt, codes []Subject) (*SignedDeferral, error) {
	if s.Deferral == "" {
		if receipt.Deferral != (Hex{}) {
			return nil, &Problem{CodeMissing, "/deferral", "the order that the receipt names", "nothing"}
		}
		return nil, nil
	}
	d, err := ParseDeferral(s.Deferral)
	if err != nil {
		return nil, err
	}
	if DeferralDigest(s.Deferral) != receipt.Deferral {
		return nil, &Problem{CodeDigestMismatch, "receipt#deferral", "the SHA-256 of the order beside it", "another or none"}
	}
	if d.Names(codes) {
		return nil, &Problem{CodeNamesSubject, "deferral", "no code of a subject", "one"}
	}
	return d, nil
}
