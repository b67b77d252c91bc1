// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// OperatorID is the id of the body that runs the ledger.
func (n *Node) OperatorID() string { return n.Settings.operator() }

// CollectConsent records a statement that the operator collects itself, on its pages, as RecordConsent does for other
// bodies. The receipt is the operator's but for its private_digest and signature, and the submission has none yet. A
// refusal is a *ledger.Problem.
func (n *Node) CollectConsent(ctx context.Context, s *ledger.ConsentSubmission, r *ledger.Receipt) (*ledger.Answer, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	return n.collectConsent(ctx, s, r)
}

func (n *Node) collectConsent(ctx context.Context, s *ledger.ConsentSubmission, r *ledger.Receipt) (*ledger.Answer, error) {
	signer, err := n.keys.Operator(n.Epoch())
	if err != nil {
		return nil, err
	}
	key, err := jws.NewKey("", signer.Public())
	if err != nil {
		return nil, err
	}
	r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&s.Private.Salt, s.Private.Content))
	if s.Receipt, err = ledger.SignReceipt(r, key.Kid, signer); err != nil {
		return nil, err
	}
	answer, _, err := n.recordConsent(ctx, s)
	return answer, err
}
