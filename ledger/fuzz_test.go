// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

// refusedWell checks that an error is a problem that repeats nothing long of
// what was refused.
func refusedWell(t *testing.T, err error, text string) {
	t.Helper()
	var p *ledger.Problem
	if !errors.As(err, &p) || p.Code == "" || p.Expected == "" || p.Found == "" {
		t.Errorf("no whole problem: %v", err)
		return
	}
	for i := 0; i+11 <= len(p.Found); i++ {
		if window := p.Found[i : i+11]; strings.ContainsAny(window, "0123456789") && strings.Contains(text, window) {
			t.Errorf("the problem repeats %q", window)
		}
	}
}

func FuzzParseReceiptPayload(f *testing.F) {
	v := readReceiptVectors(f)
	for _, x := range v.Receipts {
		f.Add(x.Payload)
	}
	for _, x := range v.PayloadsRefused {
		f.Add(x.Text)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		r, err := ledger.ParseReceipt(unsignedReceipt(payload))
		if err != nil {
			refusedWell(t, err, payload)
			return
		}
		// The payload's bytes are kept; what they say formats and parses back.
		if string(r.JWS.Payload) != payload {
			t.Errorf("payload %q kept as %q", payload, r.JWS.Payload)
		}
		again, err := ledger.FormatReceipt(&r.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ledger.ParseReceipt(unsignedReceipt(string(again))); err == nil && !reflect.DeepEqual(back.Receipt, r.Receipt) {
			t.Errorf("%+v comes back as %+v", r.Receipt, back.Receipt)
		}
		if subject := ledger.Subject("RSSMRA80A01H501U"); strings.Contains(strings.ToUpper(payload), string(subject)) && !r.Names([]ledger.Subject{subject}) {
			t.Error("a subject in the payload is not found")
		}
	})
}

func FuzzParseReceipt(f *testing.F) {
	v := readReceiptVectors(f)
	for _, x := range v.Receipts {
		f.Add(x.Compact)
	}
	for _, x := range v.ReceiptsRefused {
		f.Add(x.Text)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		r, err := ledger.ParseReceipt(compact)
		if err != nil {
			refusedWell(t, err, compact)
			return
		}
		if r.Compact != compact {
			t.Errorf("%q kept as %q", compact, r.Compact)
		}
	})
}

func FuzzParsePrivate(f *testing.F) {
	v := readReceiptVectors(f)
	for _, x := range v.Private {
		f.Add([]byte(x.Content))
	}
	for _, x := range v.PrivateRefused {
		f.Add([]byte(x.Text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := ledger.ParsePrivate(content)
		if err != nil {
			refusedWell(t, err, string(content))
			return
		}
		again, err := ledger.FormatPrivate(p)
		if err != nil {
			t.Fatal(err)
		}
		// Formatted, it is one text, however it came.
		back, err := ledger.ParsePrivate(again)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := ledger.FormatPrivate(back); err != nil || !bytes.Equal(third, again) {
			t.Errorf("%s comes back as %s, %v", again, third, err)
		}
	})
}

func FuzzParseSubmission(f *testing.F) {
	v := readReceiptVectors(f)
	for _, x := range v.Submissions {
		f.Add([]byte(x.Submission))
	}
	for _, x := range v.SubmissionsRefused {
		f.Add([]byte(x.Text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ledger.ParseSubmission(data)
		if err != nil {
			refusedWell(t, err, string(data))
			return
		}
		again, err := ledger.FormatSubmission(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ledger.ParseSubmission(again); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%+v comes back as %+v, %v", s, back, err)
		}
		if _, err := s.Open(); err != nil {
			refusedWell(t, err, string(data))
		}
	})
}

func FuzzParseBody(f *testing.F) {
	v := readReceiptVectors(f)
	for _, x := range v.Bodies {
		f.Add([]byte(x.Body))
	}
	for _, x := range v.BodiesRefused {
		f.Add([]byte(x.Text))
	}
	given := bytes.Replace([]byte(v.Bodies[0].Body), []byte(`"kind":"access"`), []byte(`"kind":"consent-given"`), 1)
	f.Add(append(bytes.TrimSuffix(given, []byte("}")), `,"consent":{"record":{},"evidence":{}}}`...))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ledger.ParseBody(data)
		if err != nil {
			refusedWell(t, err, string(data))
			return
		}
		if again, err := ledger.FormatBody(b); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s formats to %s, %v", data, again, err)
		}
	})
}

func FuzzParseConsentSubmission(f *testing.F) {
	v := readReceiptVectors(f)
	for _, x := range v.Submissions {
		s, err := ledger.ParseSubmission([]byte(x.Submission))
		if err != nil {
			continue
		}
		for _, statement := range []json.RawMessage{nil, json.RawMessage(`{"record":{},"evidence":{}}`)} {
			data, err := ledger.FormatConsentSubmission(&ledger.ConsentSubmission{Receipt: s.Receipt, Private: s.Private, Subject: s.Subjects[0], Consent: statement})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ledger.ParseConsentSubmission(data)
		if err != nil {
			refusedWell(t, err, string(data))
			return
		}
		again, err := ledger.FormatConsentSubmission(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ledger.ParseConsentSubmission(again)
		if err != nil || back.Receipt != s.Receipt || back.Subject != s.Subject || !bytes.Equal(back.Private.Content, s.Private.Content) {
			t.Errorf("%s formats to %s, %v", data, again, err)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	v := readReceiptVectors(f)
	for _, x := range v.Answers {
		f.Add([]byte(x.Answer))
	}
	for _, x := range v.AnswersRefused {
		f.Add([]byte(x.Text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ledger.ParseAnswer(data)
		if err != nil {
			refusedWell(t, err, string(data))
			return
		}
		again, err := ledger.FormatAnswer(a)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ledger.ParseAnswer(again)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := ledger.FormatAnswer(back); err != nil || !bytes.Equal(third, again) {
			t.Errorf("%s comes back as %s, %v", again, third, err)
		}
	})
}

// Any string that Go can hold formats to a body that parses, or is refused.
func FuzzFormatBody(f *testing.F) {
	f.Add("registro.example/2026", "k", "interop.pagopa.it", "operator_missing", `{"effect":"recorded"}`)
	f.Add("a\"b\\c/0", "\x00", "\ufffe", "", `{}`)
	f.Add("x/1", "\xff", "à<&>\u2028", "a", ` {}`)
	receipt := readReceiptVectors(f).Receipts[0].Compact
	f.Fuzz(func(t *testing.T, origin, kid, issuer, flag, decision string) {
		b := sampleBody(receipt, ledger.SaltedSubject{Subject: "RSSMRA80A01H501U"}, 0, nil)
		b.Origin, b.Assurance.Voucher.Kid, b.Assurance.Voucher.Issuer, b.Decision = origin, kid, issuer, []byte(decision)
		b.Assurance.Flags = []string{flag}
		data, err := ledger.FormatBody(b)
		if err != nil {
			refusedWell(t, err, strings.Join([]string{origin, kid, issuer, flag, decision}, " "))
			return
		}
		if _, err := ledger.ParseDecision([]byte(decision)); err != nil {
			return
		}
		if back, err := ledger.ParseBody(data); err != nil || !reflect.DeepEqual(back, b) {
			t.Errorf("%s: %v", data, err)
		}
	})
}
