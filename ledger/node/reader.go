// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/witness"
)

// ReaderPolicy is the policy of a reader of histories who trusts whom the ledger was set up with: its logs, of every year, and
// the witnesses and monitors that it asks. Where it asks none, witnessed is false and the policy names a witness whose key
// nobody has, so that no history is complete by it.
func (n *Node) ReaderPolicy() (policy *checkpoint.Policy, witnessed bool, err error) {
	policy = new(checkpoint.Policy)
	if n.policy != nil {
		*policy = *n.policy
	} else {
		_, vkey, err := witness.NewKey("nobody")
		if err != nil {
			return nil, false, err
		}
		policy.Witnesses, policy.K = []checkpoint.Witness{{Name: "nobody", VKey: vkey}}, 1
	}
	policy.Logs = nil
	for _, y := range n.all() {
		policy.Logs = append(policy.Logs, checkpoint.Log{VKey: y.vkey})
	}
	return policy, n.policy != nil, nil
}

// PoliciesOf returns the policies with this digest, by which decisions are replayed; nil where they aren't at hand.
func (n *Node) PoliciesOf(digest ledger.Hash) ledger.Bundle {
	b, err := n.bundle(digest)
	if err != nil {
		return nil
	}
	return b
}

// Secret is a year's k_s of a citizen in +ledger (formats §3): whoever has their whole history has it too, and nobody else but
// the ledger. false for a year that isn't open, or whose keys are destroyed.
func (n *Node) Secret(subject ledger.Subject, epoch uint32) ([32]byte, bool) {
	for _, y := range n.all() {
		if y.epoch == epoch && !y.gone {
			return y.output(ledger.SubjectAlpha(subject, ledger.ScopeLedger, epoch)), true
		}
	}
	return [32]byte{}, false
}
