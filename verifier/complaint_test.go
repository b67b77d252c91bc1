// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

// excerptOf chooses events of what was made, as their citizen does.
func excerptOf(m *made, indexes ...uint64) *history.Bundle {
	m.t.Helper()
	x, err := m.bundle().Choose(map[uint32][]uint64{m.epoch: indexes})
	if err != nil {
		m.t.Fatal(err)
	}
	return x
}

func complained(m *made, b *history.Bundle) *verifier.ComplaintReport {
	m.t.Helper()
	file, err := history.Format(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return verifier.Complaint(file, m.policy, m.now, rules)
}

// TestTamperedComplaint: whatever is changed in an excerpt, or was wrong when it was recorded, nothing of its content counts
// as proven, and the one who reads it is told why.
func TestTamperedComplaint(t *testing.T) {
	for name, c := range map[string]struct {
		event  event
		change func(m *made, b *history.Bundle, s *history.Shard)
		want   string
	}{
		"a body changed":            {change: func(_ *made, _ *history.Bundle, s *history.Shard) { s.Events[0].Body[40] ^= 1 }, want: "commitment_mismatch"},
		"a nonce changed":           {change: func(_ *made, _ *history.Bundle, s *history.Shard) { s.Events[0].Nonce[0] ^= 1 }, want: "commitment_mismatch"},
		"another citizen":           {change: func(_ *made, b *history.Bundle, _ *history.Shard) { b.Subject = citizens(2)[1].Subject }, want: verifier.CodeOtherSubject},
		"a leaf changed":            {change: func(_ *made, _ *history.Bundle, s *history.Shard) { s.Leaves[len(s.Leaves)-2].Leaf[40] ^= 1 }, want: verifier.CodeBadProof},
		"a proof changed":           {change: func(_ *made, _ *history.Bundle, s *history.Shard) { s.Proof[0][0] ^= 1 }, want: verifier.CodeBadProof},
		"no witness":                {change: func(m *made, _ *history.Bundle, s *history.Shard) { s.Checkpoint = m.cosigned(m.monitor) }, want: verifier.CodeTooFewWitnesses},
		"no monitor":                {change: func(m *made, _ *history.Bundle, s *history.Shard) { s.Checkpoint = m.cosigned(m.witness) }, want: verifier.CodeNoMonitor},
		"a policy without monitors": {change: func(m *made, _ *history.Bundle, _ *history.Shard) { m.policy.Monitors = nil }, want: verifier.CodeNoMonitor},
		"another log": {change: func(m *made, _ *history.Bundle, _ *history.Shard) {
			m.policy.Logs[0].VKey = newMade(m.t, 2026, nil).log.VKey
		}, want: verifier.CodeBadCheckpoint},
		"another year":    {change: func(_ *made, _ *history.Bundle, s *history.Shard) { s.Origin = "registro.example/2025" }, want: verifier.CodeWrongOrigin},
		"without the key": {change: func(m *made, _ *history.Bundle, s *history.Shard) { m.show(s, without(s, 2)) }, want: "key_unknown"},
		"without the heads": {change: func(m *made, _ *history.Bundle, s *history.Shard) {
			m.show(s, without(s, s.Leaves[len(s.Leaves)-1].Index))
		}, want: verifier.CodeNoHeads},
		"without its leaf":      {change: func(m *made, _ *history.Bundle, s *history.Shard) { m.show(s, without(s, s.Events[0].Index)) }, want: verifier.CodeLeafMissing},
		"signed by another key": {event: event{signer: signerOf("another")}, want: "bad_signature"},
		"of another body":       {event: event{body: func(b *ledger.Body) { b.Agency = requester }}, want: "wrong_agency"},
	} {
		m := newMade(t, 2026, nil)
		at := m.event(c.event)
		m.event(event{})
		m.settle()
		b := excerptOf(m, at)
		if c.change != nil {
			c.change(m, b, &b.Shards[0])
		}
		r := complained(m, b)
		if r.Proven() || !slices.Contains(codes(r.HistoryReport), c.want) {
			t.Errorf("%s: proven %v, %v; want %s", name, r.Proven(), codes(r.HistoryReport), c.want)
		}
		for i, e := range r.Entries {
			if r.Events[i].State != verifier.StateOpen && (slices.Contains(e.Proofs, verifier.ProofContent) || slices.Contains(e.Proofs, verifier.ProofSigned) || len(e.Lacks) == 0) {
				t.Errorf("%s: %+v is proven of what isn't open", name, e)
			}
			if c.want == verifier.CodeTooFewWitnesses && slices.Contains(e.Proofs, verifier.ProofRecorded) {
				t.Errorf("%s: in a log that too few witnesses saw", name)
			}
		}
	}
}

// TestComplaint: of right events it is said what each proves and what it doesn't.
func TestComplaint(t *testing.T) {
	m := newMade(t, 2026, nil)
	m.scope(consumer, "c_f205", consumer)
	m.event(event{scope: ledger.ScopeConsent, kind: ledger.KindConsentGiven, iss: consumer})
	provided := m.event(event{pair: ledger.Hex{7}})
	reported := m.event(event{scope: ledger.ScopeReported, iss: consumer, pair: ledger.Hex{7}})
	alone := m.event(event{pair: ledger.Hex{8}, receipt: consentOf(consentID)})
	unnamed := m.event(event{pair: ledger.Hex{9}, receipt: func(r *ledger.Receipt) { r.LegalBasis = "https://w3id.org/dpv/legal/eu/gdpr#A6-1-a" }})
	voucher := func(b *ledger.Body) {
		b.Assurance = ledger.Assurance{Profile: ledger.ProfileVoucher, Voucher: ledger.VoucherCheck{Alg: "RS256", Kid: "k", Issuer: "interop.pagopa.it"}, Flags: []string{}}
	}
	person := m.event(event{pair: ledger.Hex{10}, body: voucher, receipt: func(r *ledger.Receipt) { r.Actor = ledger.ActorOperator }})
	hub := m.event(event{pair: ledger.Hex{11}, body: voucher, scope: consumer, iss: consumer, receipt: providedBy("c_f205")})
	own := m.event(event{pair: ledger.Hex{12}, scope: consumer, iss: consumer, receipt: providedBy(consumer)})
	m.settle()
	both := []string{verifier.ProofRecorded, verifier.ProofContent, verifier.ProofSigned, verifier.ProofBothSides}
	lacks := func(some ...string) []string { return append(some, verifier.LackPurpose) }
	want := map[uint64]verifier.ComplaintEntry{
		provided: {Proofs: both, Lacks: lacks(verifier.LackKey, verifier.LackDecision)},
		reported: {Proofs: both, Lacks: lacks(verifier.LackKey, verifier.LackDecision)},
		alone:    {Proofs: both[:3], Lacks: lacks(verifier.LackKey, verifier.LackAsker, verifier.LackDecision, verifier.LackConsent)},
		unnamed:  {Proofs: both[:3], Lacks: lacks(verifier.LackKey, verifier.LackAsker, verifier.LackDecision, verifier.LackNoConsent)},
		person:   {Proofs: both[:3], Lacks: lacks(verifier.LackKey, verifier.LackAsker, verifier.LackDecision, verifier.LackEvidence, verifier.LackOperator)},
		hub:      {Proofs: both[:3], Lacks: lacks(verifier.LackKey, verifier.LackHolder, verifier.LackDecision)},
		own:      {Proofs: both[:3], Lacks: lacks(verifier.LackKey, verifier.LackDecision)},
	}
	r := complained(m, excerptOf(m, provided, reported, alone, unnamed, person, hub, own))
	if !r.Proven() || len(r.Entries) != len(want) {
		t.Fatalf("%d events, %v", len(r.Entries), r.Problems)
	}
	for i, e := range r.Entries {
		if d := cmp.Diff(want[r.Events[i].Index], e); d != "" {
			t.Errorf("event %d: %s", r.Events[i].Index, d)
		}
	}
	if len(r.Signers) != 2 || r.Signers[0].Body != consumer || r.Signers[1].Events != 4 || r.Signers[1].Record == nil || !slices.Equal(r.Lacks, []string{verifier.LackOthers, verifier.LackLater}) {
		t.Errorf("signed by %+v; missing %v", r.Signers, r.Lacks)
	}

	// Of a whole history the consent is there; that it is old is no fault of a complaint.
	m.now = m.now.Add(100 * time.Hour)
	r = complained(m, m.bundle())
	if !r.Proven() || r.Complete || !slices.Contains(r.Lacks, verifier.LackSince) {
		t.Errorf("a whole history: %v, %v", r.Problems, r.Lacks)
	}
	for i, e := range r.Entries {
		if r.Events[i].Index == alone && !slices.Contains(e.Proofs, verifier.ProofConsent) {
			t.Errorf("its consent isn't proven: %+v", e)
		}
	}
	if r := verifier.Complaint([]byte("no history"), m.policy, m.now, rules); r.Proven() || r.Malformed == nil {
		t.Error("what is no history")
	}
}
