// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"cmp"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// What is proven of one event of a complaint.
const (
	ProofRecorded  = "recorded"  // it is in the log that the witnesses saw, between two of its heads
	ProofContent   = "content"   // what is shown is what the log committed to, and it is about this citizen
	ProofSigned    = "signed"    // a body signed it, with a key in force at that place of the log
	ProofBothSides = "both"      // and so did the other side of the access
	ProofDecided   = "decided"   // the decision is by the policies that the log named then
	ProofReplayed  = "replayed"  // and follows from them: it was taken again
	ProofConsent   = "consent"   // the consent that it names was in force
	ProofGround    = "ground"    // it was erased, and on a ground
	ProofStatement = "statement" // what a body stated of it later is in the file
)

// What the file doesn't show or can't prove of one event, and who can.
const (
	LackExplained   = "explained"      // it breaks a rule, see the report's problems
	LackShown       = "shown"          // its content isn't shown, without a ground
	LackErased      = "erased"         // its content is gone
	LackAsker       = "asker"          // who consulted didn't sign: that it was them is the holder's word
	LackHolder      = "holder"         // the holder didn't sign
	LackKey         = "key"            // that the key is theirs is the word of who runs the ledger
	LackReplay      = "replay"         // the decision wasn't taken again: the policies aren't at hand
	LackDecision    = "decision"       // no policies were active, nobody decided
	LackRefused     = "refused"        // the policies refuse it, and the data had been released
	LackConsent     = "unseen_consent" // it names a consent that the file doesn't show, or no longer
	LackNoConsent   = "no_consent"     // its legal basis is consent, and it names none
	LackEvidence    = "evidence"       // no signed evidence of the consumer's stands behind it
	LackCase        = "case"           // the tokens named no case
	LackOperatorID  = "operator_id"    // or nobody at the desk
	LackLate        = "late"           // it was recorded more than 10 minutes after it occurred
	LackOperator    = "operator"       // who the person at the desk was
	LackPurpose     = "purpose"        // that the purpose is true
	LackRequestOnly = "request_only"   // a citizen's request is the word of the body that signed it
)

// What the file as a whole doesn't show, beside what the report's notes say.
const (
	LackOthers = "others" // an excerpt: which other events there are
	LackLater  = "later"  // an excerpt: what was stated of its events later
	LackSince  = "since"  // a whole history: what was recorded since its head
)

// ComplaintReport says what a citizen's file proves to whoever handles their complaint.
type ComplaintReport struct {
	*HistoryReport
	Signers []ComplaintSigner
	Entries []ComplaintEntry // one for each of Events, in their order
	Lacks   []string         // of the file as a whole
}

// ComplaintSigner is a key that signed events of the file.
type ComplaintSigner struct {
	Body   string  `json:"body"`
	Name   string  `json:"name,omitempty"`
	Kid    string  `json:"kid"`
	Epoch  uint32  `json:"epoch"`      // of the log
	Record *uint64 `json:"key_record"` // index of the record in it that registers the key
	Basis  string  `json:"basis"`      // on whose word: operator, or signed by an earlier key
	Events int     `json:"events"`
}

// ComplaintEntry is what is proven of one event, and what isn't.
type ComplaintEntry struct {
	Proofs []string `json:"proven"`
	Lacks  []string `json:"missing"`
}

// Complaint judges a citizen's file as History does, for whoever handles a complaint: an excerpt is enough. That a whole
// history is old is no fault of a complaint, which is about what happened: it is a lack.
func Complaint(file []byte, policy *checkpoint.Policy, now time.Time, rules Rules) *ComplaintReport {
	r := &ComplaintReport{HistoryReport: History(file, policy, now, rules)}
	if r.Malformed != nil {
		return r
	}
	r.Problems = slices.DeleteFunc(r.Problems, func(p ledger.Problem) bool { return p.Code == CodeStale })
	for i := range r.Events {
		r.Entries = append(r.Entries, r.entry(&r.Events[i]))
		r.signer(&r.Events[i])
	}
	slices.SortFunc(r.Signers, func(a, b ComplaintSigner) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Body, b.Body), cmp.Compare(a.Kid, b.Kid))
	})
	if r.Excerpt {
		r.Lacks = append(r.Lacks, LackOthers, LackLater)
	} else {
		r.Lacks = append(r.Lacks, LackSince)
	}
	return r
}

// Proven reports whether everything that the file shows is right.
func (r *ComplaintReport) Proven() bool { return r.Malformed == nil && len(r.Problems) == 0 }

func (r *ComplaintReport) signer(e *HistoryEvent) {
	if e.State != StateOpen || e.Kid == "" {
		return
	}
	for i := range r.Signers {
		if s := &r.Signers[i]; s.Body == e.Issuer && s.Kid == e.Kid && s.Epoch == e.Epoch {
			s.Events++
			return
		}
	}
	r.Signers = append(r.Signers, ComplaintSigner{e.Issuer, e.IssuerName, e.Kid, e.Epoch, e.KeyAt, e.Key, 1})
}

// settled says whether all that every event rests on holds: the checkpoint, its witnesses, and the leaves in its log.
func (r *ComplaintReport) settled() bool {
	for _, s := range r.Steps() {
		switch s.Name {
		case StepFile, StepLog, StepWitnesses, StepLeaves:
			if s.State != StepOK {
				return false
			}
		}
	}
	return true
}

// entry says what is proven of one event.
func (r *ComplaintReport) entry(e *HistoryEvent) ComplaintEntry {
	out := ComplaintEntry{Proofs: []string{}, Lacks: []string{}}
	proves, lacks := func(proof string) { out.Proofs = append(out.Proofs, proof) }, func(lack string) { out.Lacks = append(out.Lacks, lack) }
	if r.settled() {
		proves(ProofRecorded)
	}
	switch e.State {
	case StateUnexplained:
		lacks(LackExplained)
		return out
	case StateWithheld:
		lacks(LackShown)
		return out
	case StateErased:
		proves(ProofGround)
		lacks(LackErased)
		return out
	}
	proves(ProofContent)
	proves(ProofSigned)
	if e.Key == registry.BasisOperator {
		lacks(LackKey)
	}
	if len(e.Statements) > 0 {
		proves(ProofStatement)
	}
	if !accesses(e.Kind) {
		if e.Kind == ledger.KindRequest {
			lacks(LackRequestOnly)
		}
		return out
	}
	switch {
	case e.Partner != nil:
		proves(ProofBothSides)
	case e.Issuer != e.Agency:
		lacks(LackAsker)
	case e.Issuer != e.Provider: // also where it speaks for the holder: nobody else signed
		lacks(LackHolder)
	}
	r.decided(e, proves, lacks)
	r.consented(e, proves, lacks)
	if e.Profile == ledger.ProfileVoucher && e.Issuer != e.Agency {
		lacks(LackEvidence)
	}
	if slices.Contains(e.Flags, ledger.FlagCaseMissing) {
		lacks(LackCase)
	}
	if slices.Contains(e.Flags, ledger.FlagOperatorMissing) || slices.Contains(e.Flags, ledger.FlagOperatorConstant) {
		lacks(LackOperatorID)
	}
	if e.Late {
		lacks(LackLate)
	}
	if e.Actor == ledger.ActorOperator {
		lacks(LackOperator)
	}
	lacks(LackPurpose)
	return out
}

func (r *ComplaintReport) decided(e *HistoryEvent, proves, lacks func(string)) {
	switch {
	case e.Effect == ledger.EffectRecorded || e.Effect == "":
		lacks(LackDecision)
	case e.Replayed:
		proves(ProofDecided)
		proves(ProofReplayed)
	default:
		proves(ProofDecided)
		lacks(LackReplay)
	}
	if e.Kind == ledger.KindDenied && e.BreakGlass != nil {
		lacks(LackRefused)
	}
}

func (r *ComplaintReport) consented(e *HistoryEvent, proves, lacks func(string)) {
	switch {
	case e.ConsentID != "" && r.Excerpt:
		lacks(LackConsent)
	case r.unsure[Place{e.Epoch, e.Index}]:
		lacks(LackConsent)
	case e.ConsentID != "" && e.Kind == ledger.KindAccess:
		proves(ProofConsent)
	case e.ConsentID == "" && isConsent(e.LegalBasis):
		lacks(LackNoConsent)
	}
}
