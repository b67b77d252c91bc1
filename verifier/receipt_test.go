// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// check verifies an answer after it went through its file.
func check(t testing.TB, a *ledger.Answer, s *ledger.Submission) *verifier.ReceiptReport {
	t.Helper()
	data, err := ledger.FormatAnswer(a)
	if err != nil {
		t.Fatal(err)
	}
	return verifier.Receipt(data, theLedger().logs, s)
}

// failed lists the checks that found a problem.
func failed(r *verifier.ReceiptReport) (names []string) {
	for _, c := range r.Checks {
		if c.Problem != nil {
			names = append(names, c.Name)
		}
	}
	return names
}

func unchecked(r *verifier.ReceiptReport) (names []string) {
	for _, c := range r.Checks {
		if c.Unchecked != "" {
			names = append(names, c.Name)
		}
	}
	return names
}

// copyOf copies all that a test changes.
func copyOf(a *ledger.Answer) *ledger.Answer {
	c := *a
	c.Entries = slices.Clone(a.Entries)
	for i := range c.Entries {
		e := &c.Entries[i]
		e.Leaf, e.Nonce, e.Body = slices.Clone(e.Leaf), slices.Clone(e.Nonce), slices.Clone(e.Body)
	}
	key := *a.Key
	key.Leaf = slices.Clone(key.Leaf)
	c.Key = &key
	if a.Range != nil {
		r := *a.Range
		r.Left, r.Right, r.Leaves = slices.Clone(r.Left), slices.Clone(r.Right), slices.Clone(r.Leaves)
		c.Range = &r
	}
	return &c
}

func TestReceipt(t *testing.T) {
	l := theLedger()
	for name, c := range map[string]recorded{"one": l.single, "three": l.few, "150": l.many, "reported": l.reported} {
		r := check(t, c.answer, c.submission)
		if !r.Proven() || len(r.Problems()) > 0 {
			t.Errorf("%s: %+v", name, r.Checks)
			continue
		}
		order := []string{verifier.CheckCheckpoint, verifier.CheckInclusion, verifier.CheckBody, verifier.CheckSignature, verifier.CheckSubject}
		for i, check := range r.Checks {
			if check.Name != order[i] {
				t.Errorf("%s: check %d is %s", name, i, check.Name)
			}
		}
		if r.Receipt.ReceiptID() != c.answer.ReceiptID || r.Key.Kid != r.Receipt.Iss+"-1" || r.Key.Basis != "operator" ||
			r.Key.Index != c.answer.Key.Index || r.TreeSize < c.answer.FirstIndex+uint64(c.answer.Count) {
			t.Errorf("%s: %+v, key %+v", name, r, r.Key)
		}
		if since := time.Since(r.RecordedAt()); since < 0 || since > time.Hour {
			t.Errorf("%s: recorded %v ago", name, since)
		}
		if c.answer.Count > ledger.MaxSingleProofs {
			continue
		}
		if r := check(t, c.answer, nil); !r.Proven() {
			t.Errorf("%s without its submission: %+v", name, r.Checks)
		}
	}
}

// TestSubmission: an answer is about one submission; without it a range isn't
// all checked, and never proven.
func TestSubmission(t *testing.T) {
	l := theLedger()
	r := check(t, l.many.answer, nil)
	if got := unchecked(r); r.Proven() || len(r.Problems()) > 0 || !slices.Equal(got, []string{verifier.CheckBody, verifier.CheckSubject}) {
		t.Errorf("150 without a submission: %+v", r.Checks)
	}
	change := func(s *ledger.Submission, f func(s *ledger.Submission)) *ledger.Submission {
		c := *s
		c.Subjects = slices.Clone(s.Subjects)
		f(&c)
		return &c
	}
	for name, c := range map[string]struct {
		answer     *ledger.Answer
		submission *ledger.Submission
	}{
		"another's":            {l.single.answer, l.few.submission},
		"another's of many":    {l.many.answer, l.few.submission},
		"no receipt":           {l.single.answer, change(l.single.submission, func(s *ledger.Submission) { s.Receipt = "x" })},
		"another subject":      {l.single.answer, change(l.single.submission, func(s *ledger.Submission) { s.Subjects[0].Subject = citizens(2)[1].Subject })},
		"another salt":         {l.many.answer, change(l.many.submission, func(s *ledger.Submission) { s.Subjects[149].Salt[0] ^= 1 })},
		"another order":        {l.few.answer, change(l.few.submission, func(s *ledger.Submission) { s.Subjects[0], s.Subjects[1] = s.Subjects[1], s.Subjects[0] })},
		"another order in 150": {l.many.answer, change(l.many.submission, func(s *ledger.Submission) { s.Subjects[8], s.Subjects[9] = s.Subjects[9], s.Subjects[8] })},
		"a subject too few":    {l.many.answer, change(l.many.submission, func(s *ledger.Submission) { s.Subjects = s.Subjects[:149] })},
		"a subject twice":      {l.many.answer, change(l.many.submission, func(s *ledger.Submission) { s.Subjects[1] = s.Subjects[0] })},
		"no subject":           {l.many.answer, change(l.many.submission, func(s *ledger.Submission) { s.Subjects = nil })},
	} {
		r := check(t, c.answer, c.submission)
		if got := failed(r); r.Proven() || !slices.Equal(got, []string{verifier.CheckSubject}) {
			t.Errorf("%s: failed %v", name, got)
		}
	}
	// The same claims signed once more are the same submission: ES256 never
	// signs twice alike.
	again := change(l.single.submission, func(s *ledger.Submission) {
		i := len(s.Receipt) - 10
		s.Receipt = s.Receipt[:i] + flipped(s.Receipt[i:i+1]) + s.Receipt[i+1:]
	})
	if r := check(t, l.single.answer, again); !r.Proven() {
		t.Errorf("another signature of the same payload: %+v", r.Checks)
	}
}

func flipped(s string) string {
	if s == "A" {
		return "B"
	}
	return "A"
}

// TestFlips changes each byte of an answer in turn.
func TestFlips(t *testing.T) {
	for name, c := range map[string]struct {
		recorded
		step int // between bytes
	}{"one": {theLedger().single, 1}, "three": {theLedger().few, 7}, "150": {theLedger().many, 131}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				c.step *= 11
			}
			flips(t, c.recorded, c.step)
		})
	}
}

func flips(t *testing.T, c recorded, step int) {
	expect := func(want string, length int, change func(a *ledger.Answer, i int, bit byte)) {
		t.Helper()
		for i := 0; i < length; i += step {
			a := copyOf(c.answer)
			bit := byte(1) << (i % 8)
			change(a, i, bit)
			r := check(t, a, c.submission)
			if r.Proven() || !slices.Contains(failed(r), want) {
				t.Errorf("byte %d, bit %d: failed %v, want %s", i, bit, failed(r), want)
			}
		}
	}
	text := func(s string, i int, bit byte) string {
		b := []byte(s)
		b[i] ^= bit
		return string(b)
	}
	a := c.answer
	last := len(a.Entries) - 1
	expect(verifier.CheckCheckpoint, len(a.Checkpoint), func(a *ledger.Answer, i int, bit byte) { a.Checkpoint = text(a.Checkpoint, i, bit) })
	expect(verifier.CheckBody, 32, func(a *ledger.Answer, i int, bit byte) { a.Entries[last].Nonce[i] ^= bit })
	expect(verifier.CheckBody, len(a.Entries[0].Body), func(a *ledger.Answer, i int, bit byte) { a.Entries[0].Body[i] ^= bit })
	expect(verifier.CheckSignature, len(a.Key.Leaf), func(a *ledger.Answer, i int, bit byte) { a.Key.Leaf[i] ^= bit })
	expect(verifier.CheckSignature, len(a.Key.Proof), func(a *ledger.Answer, i int, bit byte) { a.Key.Proof = text(a.Key.Proof, i, bit) })
	if a.Range == nil {
		expect(verifier.CheckInclusion, len(a.Entries[last].Leaf), func(a *ledger.Answer, i int, bit byte) { a.Entries[last].Leaf[i] ^= bit })
		expect(verifier.CheckInclusion, len(a.Entries[last].Proof), func(a *ledger.Answer, i int, bit byte) {
			a.Entries[last].Proof = text(a.Entries[last].Proof, i, bit)
		})
		return
	}
	expect(verifier.CheckInclusion, len(a.Range.Leaves), func(a *ledger.Answer, i int, bit byte) { a.Range.Leaves[i] ^= bit })
	step = 5
	expect(verifier.CheckInclusion, 32*len(a.Range.Left), func(a *ledger.Answer, i int, bit byte) { a.Range.Left[i/32][i%32] ^= bit })
	expect(verifier.CheckInclusion, 32*len(a.Range.Right), func(a *ledger.Answer, i int, bit byte) { a.Range.Right[i/32][i%32] ^= bit })
}

// TestChanged puts right things in wrong places.
func TestChanged(t *testing.T) {
	l := theLedger()
	other := verifiertest.NewLog(origin)
	addLeaves(other, 400, "leaf")
	for name, c := range map[string]struct {
		of     recorded
		change func(a *ledger.Answer)
		want   []string
	}{
		"another log's checkpoint": {l.single, func(a *ledger.Answer) { a.Checkpoint = string(other.Checkpoint()) }, []string{verifier.CheckCheckpoint}},
		"the origin of next year":  {l.single, func(a *ledger.Answer) { a.Origin = "registro.example/2999" }, []string{verifier.CheckCheckpoint, verifier.CheckInclusion, verifier.CheckBody, verifier.CheckSignature}},
		"another ledger's origin":  {l.single, func(a *ledger.Answer) { a.Origin = "altro.example/" + a.Origin[len(a.Origin)-4:] }, []string{verifier.CheckCheckpoint, verifier.CheckBody, verifier.CheckSignature}},
		"another receipt's id":     {l.single, func(a *ledger.Answer) { a.ReceiptID = l.few.answer.ReceiptID }, []string{verifier.CheckSignature}},
		"another receipt beside":   {l.many, func(a *ledger.Answer) { a.Receipt = l.single.submission.Receipt }, []string{verifier.CheckSignature}},
		"one index on":             {l.single, func(a *ledger.Answer) { a.FirstIndex++; a.Entries[0].Index++ }, []string{verifier.CheckInclusion}},
		"one index on in 150":      {l.many, func(a *ledger.Answer) { shift(a, 1) }, []string{verifier.CheckInclusion}},
		"far beyond the log":       {l.many, func(a *ledger.Answer) { shift(a, 1<<40) }, []string{verifier.CheckInclusion}},
		"index 0":                  {l.single, func(a *ledger.Answer) { a.FirstIndex, a.Entries[0].Index = 0, 0 }, []string{verifier.CheckInclusion, verifier.CheckSignature}},
		"entries swapped":          {l.few, func(a *ledger.Answer) { swap(a, 0, 1) }, []string{verifier.CheckInclusion, verifier.CheckSubject}},
		"last entries swapped":     {l.few, func(a *ledger.Answer) { swap(a, 1, 2) }, []string{verifier.CheckInclusion, verifier.CheckSubject}},
		"an entry twice": {l.few, func(a *ledger.Answer) {
			index := a.Entries[2].Index
			a.Entries[2] = a.Entries[1]
			a.Entries[2].Index = index
		}, []string{verifier.CheckInclusion}},
		"bodies swapped": {l.few, func(a *ledger.Answer) { a.Entries[0].Body, a.Entries[1].Body = a.Entries[1].Body, a.Entries[0].Body }, []string{verifier.CheckBody, verifier.CheckSubject}},
		"nonces swapped": {l.few, func(a *ledger.Answer) {
			a.Entries[1].Nonce, a.Entries[2].Nonce = a.Entries[2].Nonce, a.Entries[1].Nonce
		}, []string{verifier.CheckBody}},
		"proofs swapped": {l.few, func(a *ledger.Answer) {
			a.Entries[1].Proof, a.Entries[2].Proof = a.Entries[2].Proof, a.Entries[1].Proof
		}, []string{verifier.CheckInclusion}},
		"a proof emptied": {l.single, func(a *ledger.Answer) { a.Entries[0].Proof = "c2sp.org/tlog-proof@v1\n" }, []string{verifier.CheckInclusion}},
		"leaves swapped in 150": {l.many, func(a *ledger.Answer) {
			one := slices.Clone(a.Range.Leaves[:102])
			copy(a.Range.Leaves, a.Range.Leaves[102:204])
			copy(a.Range.Leaves[102:], one)
		}, []string{verifier.CheckInclusion, verifier.CheckBody}},
		"a left hash less":            {l.many, func(a *ledger.Answer) { a.Range.Left = a.Range.Left[1:] }, []string{verifier.CheckInclusion}},
		"a left hash more":            {l.many, func(a *ledger.Answer) { a.Range.Left = append(a.Range.Left, ledger.Hash{}) }, []string{verifier.CheckInclusion}},
		"a right hash more":           {l.many, func(a *ledger.Answer) { a.Range.Right = append(a.Range.Right, ledger.Hash{}) }, []string{verifier.CheckInclusion}},
		"no first body in 150":        {l.many, func(a *ledger.Answer) { a.Entries[0].Body = nil }, []string{verifier.CheckBody}},
		"another's body in 150":       {l.many, func(a *ledger.Answer) { a.Entries[7].Body = l.single.answer.Entries[0].Body }, []string{verifier.CheckBody}},
		"the first body again in 150": {l.many, func(a *ledger.Answer) { a.Entries[7].Body = a.Entries[0].Body }, []string{verifier.CheckBody, verifier.CheckSubject}},
		"another's body":              {l.single, func(a *ledger.Answer) { a.Entries[0].Body = l.few.answer.Entries[0].Body }, []string{verifier.CheckBody, verifier.CheckSignature, verifier.CheckSubject}},
		"no key":                      {l.single, func(a *ledger.Answer) { a.Key = nil }, []string{verifier.CheckSignature}},
		"another body's key": {l.single, func(a *ledger.Answer) {
			a.Key.Index, a.Key.Leaf = l.reported.answer.Key.Index, l.reported.answer.Key.Leaf
		}, []string{verifier.CheckSignature}},
		"a key's index moved": {l.single, func(a *ledger.Answer) { a.Key.Index-- }, []string{verifier.CheckSignature}},
		"a later key":         {l.single, func(a *ledger.Answer) { a.Key.Index = a.FirstIndex + 1 }, []string{verifier.CheckSignature}},
		"an event for a key":  {l.single, func(a *ledger.Answer) { a.Key.Leaf = a.Entries[0].Leaf }, []string{verifier.CheckSignature}},
		"a record for a leaf": {l.single, func(a *ledger.Answer) { copy(a.Entries[0].Leaf, a.Key.Leaf) }, []string{verifier.CheckInclusion}},
	} {
		a := copyOf(c.of.answer)
		c.change(a)
		r := check(t, a, nil)
		if a.Range != nil {
			r = check(t, a, c.of.submission)
		}
		if got := failed(r); r.Proven() || !slices.Equal(got, c.want) {
			t.Errorf("%s: failed %v, want %v", name, got, c.want)
		}
	}
	// Under the key of another log of the same name, and under none.
	data, err := ledger.FormatAnswer(l.single.answer)
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range []*verifiertest.Log{verifiertest.NewLog(l.logs[0].Name()), verifiertest.NewLog("altro.example/2026")} {
		r := verifier.Receipt(data, append(l.logs[:0:0], log.Verifier()), nil)
		if got := failed(r); r.Proven() || !slices.Equal(got, []string{verifier.CheckCheckpoint}) {
			t.Errorf("key of %s: failed %v", log.Origin, got)
		}
		if got := unchecked(r); !slices.Equal(got, []string{verifier.CheckInclusion, verifier.CheckSignature}) {
			t.Errorf("key of %s: unchecked %v", log.Origin, got)
		}
	}
	if r := verifier.Receipt(data, nil, nil); r.Proven() {
		t.Error("proven without a key")
	}
}

func shift(a *ledger.Answer, by uint64) {
	a.FirstIndex += by
	for i := range a.Entries {
		a.Entries[i].Index += by
	}
}

func swap(a *ledger.Answer, i, j int) {
	a.Entries[i], a.Entries[j] = a.Entries[j], a.Entries[i]
	a.Entries[i].Index, a.Entries[j].Index = a.Entries[j].Index, a.Entries[i].Index
}

// TestMalformed: what isn't an answer has nothing checked.
func TestMalformed(t *testing.T) {
	l := theLedger()
	good, err := ledger.FormatAnswer(l.few.answer)
	if err != nil {
		t.Fatal(err)
	}
	fewer := copyOf(l.few.answer)
	fewer.Entries = fewer.Entries[:2]
	submission, err := ledger.FormatSubmission(l.few.submission)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "an array": []byte("[]"), "an empty object": []byte("{}"), "cut": good[:len(good)-1], "twice": append(slices.Clone(good), good...),
		"an entry too few": jsonOf(t, fewer), "a submission": submission,
	} {
		r := verifier.Receipt(data, l.logs, nil)
		if r.Malformed == nil || r.Proven() || len(r.Problems()) != 1 || len(unchecked(r)) != 5 || r.Answer != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// jsonOf encodes what ledger.FormatAnswer refuses.
func jsonOf(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
