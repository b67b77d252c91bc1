// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

var update = flag.Bool("update", false, "write testdata/vectors-receipts.json anew")

const receiptVectorsFile = "testdata/vectors-receipts.json"

// receiptVectors is testdata/vectors-receipts.json: what a stranger needs to
// implement receipts, private parts, submissions, bodies and answers.
type receiptVectors struct {
	Note               string            `json:"note"`
	Keys               []keyVector       `json:"keys"`
	Pairs              []pairVector      `json:"pairs"`
	Private            []privateVector   `json:"private"`
	PrivateRefused     []refusal         `json:"private_refused"`
	Receipts           []receiptVector   `json:"receipts"`
	ReceiptsRefused    []refusal         `json:"receipts_refused"`
	PayloadsRefused    []refusal         `json:"payloads_refused"`
	SignaturesRefused  []signatureVector `json:"signatures_refused"`
	Names              []namesVector     `json:"names"`
	Submissions        []submission      `json:"submissions"`
	SubmissionsRefused []refusal         `json:"submissions_refused"`
	Bodies             []bodyVector      `json:"bodies"`
	BodiesRefused      []refusal         `json:"bodies_refused"`
	Answers            []answerVector    `json:"answers"`
	AnswersRefused     []refusal         `json:"answers_refused"`
	Deferrals          []deferralVector  `json:"deferrals"`
	DeferralsRefused   []refusal         `json:"deferrals_refused"`
}

type keyVector struct {
	Kid   string          `json:"kid"`
	PKCS8 string          `json:"pkcs8"` // base64, the private key
	JWK   json.RawMessage `json:"jwk"`
}

type pairVector struct {
	VoucherJTI     string `json:"voucher_jti"`
	EvidenceDigest string `json:"evidence_digest"`
	RequestDigest  string `json:"request_digest"`
	Hashed         string `json:"hashed"`
	Pair           string `json:"pair"`
}

type privateVector struct {
	Content       string `json:"content"`
	Salt          string `json:"salt"`
	Hashed        string `json:"hashed"`
	PrivateDigest string `json:"private_digest"`
}

type receiptVector struct {
	Name          string `json:"name"`
	Header        string `json:"header"`
	Payload       string `json:"payload"`
	Signature     string `json:"signature"` // hex
	Compact       string `json:"compact"`
	PayloadDigest string `json:"payload_digest"`
	ReceiptID     string `json:"receipt_id"`
}

type signatureVector struct {
	Why     string `json:"why"`
	Compact string `json:"compact"`
	Kid     string `json:"kid"` // of the key to verify with
}

type namesVector struct {
	Why      string   `json:"why"`
	Compact  string   `json:"compact"`
	Subjects []string `json:"subjects"`
	Named    bool     `json:"named"`
}

type submission struct {
	Name       string   `json:"name"`
	Submission string   `json:"submission"`
	Private    string   `json:"private"`
	Leaves     []string `json:"leaves"`
	LeafHashes []string `json:"leaf_hashes"`
	Root       string   `json:"root"`
}

type bodyVector struct {
	Body       string   `json:"body"`
	Nonce      string   `json:"nonce"`
	Commitment string   `json:"commitment"`
	LeafHash   string   `json:"subject_leaf_hash"`
	Proof      []string `json:"proof"`
	Count      int      `json:"count"`
	Root       string   `json:"root"`
}

type answerVector struct {
	Name   string `json:"name"`
	Answer string `json:"answer"`
}

// refusal is a text that is refused, and what the problem says.
type refusal struct {
	Why   string `json:"why"`
	Text  string `json:"text"`
	Code  string `json:"code"`
	Where string `json:"where"`
}

func (r *refusal) check(t *testing.T, err error) {
	t.Helper()
	var p *ledger.Problem
	if !errors.As(err, &p) {
		t.Errorf("%s: %v", r.Why, err)
		return
	}
	if p.Code != r.Code || p.Where != r.Where {
		t.Errorf("%s: %s at %s, want %s at %s", r.Why, p.Code, p.Where, r.Code, r.Where)
	}
	if p.Expected == "" || p.Found == "" {
		t.Errorf("%s: nothing expected or found: %v", r.Why, p)
	}
	for _, secret := range []string{"RSSMRA80A01H50", "m.rossi", "Servizi sociali", "2026/00123", "eyJ"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the problem holds %q", r.Why, secret)
		}
	}
}

func readReceiptVectors(t testing.TB) *receiptVectors {
	t.Helper()
	data, err := os.ReadFile(receiptVectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	v := new(receiptVectors)
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
	return v
}

// The file is what the generator makes from the keys in it.
func TestReceiptVectorsAreCurrent(t *testing.T) {
	old := readReceiptVectors(t)
	made := makeReceiptVectors(t, old.Keys)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(made); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(receiptVectorsFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(receiptVectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(data), b.String()); diff != "" {
		t.Errorf("%s is not what the code makes; see -update (-file +made):\n%s", receiptVectorsFile, diff)
	}
}

func TestPairVectors(t *testing.T) {
	for _, x := range readReceiptVectors(t).Pairs {
		got := ledger.Pair(x.VoucherJTI, x.EvidenceDigest, x.RequestDigest)
		if got != unhash(t, x.Pair) || got != sha256.Sum256(unhex(t, x.Hashed)) {
			t.Errorf("pair of %s: %x, want %s", x.VoucherJTI, got, x.Pair)
		}
	}
}

func TestPrivateVectors(t *testing.T) {
	v := readReceiptVectors(t)
	for _, x := range v.Private {
		if _, err := ledger.ParsePrivate([]byte(x.Content)); err != nil {
			t.Errorf("%s: %v", x.Content, err)
		}
		salt := unhash(t, x.Salt)
		got := ledger.PrivateDigest(&salt, []byte(x.Content))
		if got != unhash(t, x.PrivateDigest) || got != sha256.Sum256(unhex(t, x.Hashed)) {
			t.Errorf("%s: digest %x, want %s", x.Content, got, x.PrivateDigest)
		}
	}
	for _, x := range v.PrivateRefused {
		_, err := ledger.ParsePrivate([]byte(x.Text))
		x.check(t, err)
	}
}

func TestReceiptVectors(t *testing.T) {
	v := readReceiptVectors(t)
	keys := make(map[string]jws.Key)
	for _, k := range v.Keys {
		key, err := jws.ParseKey(k.JWK)
		if err != nil {
			t.Fatal(err)
		}
		keys[k.Kid] = key
	}
	for _, x := range v.Receipts {
		r, err := ledger.ParseReceipt(x.Compact)
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		if err := r.JWS.Verify(keys[r.JWS.Header.Kid]); err != nil {
			t.Errorf("%s: %v", x.Name, err)
		}
		encode := base64.RawURLEncoding.EncodeToString
		if got := encode([]byte(x.Header)) + "." + encode([]byte(x.Payload)) + "." + encode(unhex(t, x.Signature)); got != x.Compact {
			t.Errorf("%s: the parts give %s, want %s", x.Name, got, x.Compact)
		}
		if string(r.JWS.Payload) != x.Payload || r.PayloadDigest != unhash(t, x.PayloadDigest) || r.ReceiptID() != x.ReceiptID {
			t.Errorf("%s: payload %s, digest %x, id %s", x.Name, r.JWS.Payload, r.PayloadDigest, r.ReceiptID())
		}
	}
	for _, x := range v.ReceiptsRefused {
		_, err := ledger.ParseReceipt(x.Text)
		x.check(t, err)
	}
	for _, x := range v.PayloadsRefused {
		_, err := ledger.ParseReceipt(unsignedReceipt(x.Text))
		x.check(t, err)
	}
	for _, x := range v.SignaturesRefused {
		r, err := ledger.ParseReceipt(x.Compact)
		if err != nil {
			t.Errorf("%s: %v", x.Why, err)
			continue
		}
		if r.JWS.Verify(keys[x.Kid]) == nil {
			t.Errorf("%s: verified", x.Why)
		}
	}
}

// unsignedReceipt is a receipt of the right form with a signature of zeros.
func unsignedReceipt(payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	header := `{"alg":"ES256","kid":"vector-es256","typ":"traccia-receipt+jwt"}`
	return encode([]byte(header)) + "." + encode([]byte(payload)) + "." + encode(make([]byte, 64))
}

func TestNamesVectors(t *testing.T) {
	for _, x := range readReceiptVectors(t).Names {
		r, err := ledger.ParseReceipt(x.Compact)
		if err != nil {
			t.Errorf("%s: %v", x.Why, err)
			continue
		}
		var subjects []ledger.Subject
		for _, s := range x.Subjects {
			subject, err := ledger.ParseSubject(s)
			if err != nil {
				t.Fatal(err)
			}
			subjects = append(subjects, subject)
		}
		if got := r.Names(subjects); got != x.Named {
			t.Errorf("%s: %v, want %v", x.Why, got, x.Named)
		}
		if r.Names(nil) {
			t.Errorf("%s: nobody is named", x.Why)
		}
		// Among many others it comes out the same.
		for i := range 3000 {
			subjects = append(subjects, invented(i).Subject)
		}
		if got := r.Names(subjects); got != x.Named {
			t.Errorf("%s, among many: %v, want %v", x.Why, got, x.Named)
		}
	}
}

func TestSubmissionVectors(t *testing.T) {
	v := readReceiptVectors(t)
	for _, x := range v.Submissions {
		s, err := ledger.ParseSubmission([]byte(x.Submission))
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		opened, err := s.Open()
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		if opened.Subjects.Root() != unhash(t, x.Root) || opened.Receipt.Subjects.Root != unhash(t, x.Root) {
			t.Errorf("%s: root %x, want %s", x.Name, opened.Subjects.Root(), x.Root)
		}
		if string(s.Private.Content) != x.Private {
			t.Errorf("%s: private part %s, want %s", x.Name, s.Private.Content, x.Private)
		}
		for i, leaf := range x.Leaves {
			if ledger.HashLeaf(unhex(t, leaf)) != unhash(t, x.LeafHashes[i]) || leafHash(s.Subjects[i]) != unhash(t, x.LeafHashes[i]) {
				t.Errorf("%s: leaf %d is %x", x.Name, i, leafHash(s.Subjects[i]))
			}
		}
	}
	for _, x := range v.SubmissionsRefused {
		s, err := ledger.ParseSubmission([]byte(x.Text))
		if err == nil {
			_, err = s.Open()
		}
		x.check(t, err)
	}
}

func TestBodyVectors(t *testing.T) {
	v := readReceiptVectors(t)
	for _, x := range v.Bodies {
		b, err := ledger.ParseBody([]byte(x.Body))
		if err != nil {
			t.Errorf("%s: %v", x.Body, err)
			continue
		}
		again, err := ledger.FormatBody(b)
		if err != nil || string(again) != x.Body {
			t.Errorf("%s formats to %s, %v", x.Body, again, err)
		}
		nonce := unhash(t, x.Nonce)
		if got := ledger.BodyCommitment(&nonce, again); got != unhash(t, x.Commitment) {
			t.Errorf("commitment %x, want %s", got, x.Commitment)
		}
		s := ledger.SaltedSubject{Subject: b.Subject.Code, Salt: b.Subject.Salt}
		proof := []string{}
		for _, h := range b.Subject.Proof {
			proof = append(proof, hex.EncodeToString(h[:]))
		}
		if leafHash(s) != unhash(t, x.LeafHash) || !cmp.Equal(proof, x.Proof) {
			t.Errorf("subject's leaf %x, proof %s", leafHash(s), proof)
		}
		if err := ledger.CheckSubject(unhash(t, x.Root), x.Count, b.Subject.Position, s, b.Subject.Proof); err != nil {
			t.Error(err)
		}
	}
	for _, x := range v.BodiesRefused {
		_, err := ledger.ParseBody([]byte(x.Text))
		x.check(t, err)
	}
}

func TestAnswerVectors(t *testing.T) {
	v := readReceiptVectors(t)
	for _, x := range v.Answers {
		a, err := ledger.ParseAnswer([]byte(x.Answer))
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		again, err := ledger.FormatAnswer(a)
		if err != nil || string(again) != x.Answer {
			t.Errorf("%s: formats to %s, %v", x.Name, again, err)
		}
	}
	for _, x := range v.AnswersRefused {
		_, err := ledger.ParseAnswer([]byte(x.Text))
		x.check(t, err)
	}
}
