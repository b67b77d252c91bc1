// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// errNoPolicies: the log says by which policies accesses are decided, and this
// program wasn't given any way to read them.
var errNoPolicies = errors.New("this ledger has active policies, which this program can't read")

// Denied says that an access was denied, and that the denial is recorded, with
// the answer that its submitter is due all the same: who keeps a scope's numbers
// needs each of them.
type Denied struct {
	Answer   *ledger.Answer
	Decision *ledger.Decision
	Grounds  []ledger.Ground // of the policies that forbid it; none: no policy allows it
}

func (d *Denied) Error() string {
	if len(d.Decision.Policies) == 0 {
		return "no policy allows it"
	}
	return "forbidden by " + strings.Join(d.Decision.Policies, ", ")
}

// ActivatePolicies makes a bundle the one that decides on what is recorded from
// now on, and returns its record's log index.
func (n *Node) ActivatePolicies(ctx context.Context, document []byte) (index uint64, err error) {
	if n.opt.Policies == nil {
		return 0, errNoPolicies
	}
	bundle, err := n.opt.Policies(document)
	if err != nil {
		return 0, err
	}
	digest := sha256.Sum256(document)
	record, err := registry.FormatRecord(registry.Policy{Version: bundle.Version(), SHA256: digest})
	if err != nil {
		return 0, err
	}
	// Intake may need it as soon as the registry has the record, which is before
	// both are durable.
	n.bundles.Store(ledger.Hash(digest), bundle)
	err = n.current(ctx, func(y *year) (err error) {
		index, err = y.seq.RecordWith(ctx, []store.Row{{Table: store.TableBlob, Key: digest[:], Value: document}}, record)
		return err
	})
	return index, err
}

// bundle returns the compiled bundle with this digest, which the log serves.
func (n *Node) bundle(digest ledger.Hash) (ledger.Bundle, error) {
	if known, ok := n.bundles.Load(digest); ok {
		return known.(ledger.Bundle), nil
	}
	if n.opt.Policies == nil {
		return nil, errNoPolicies
	}
	document, err := n.blob(context.Background(), digest)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the bundle %x: %w", digest, err)
	}
	bundle, err := n.opt.Policies(document)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the bundle %x: %w", digest, err)
	}
	n.bundles.Store(digest, bundle)
	return bundle, nil
}

// told is the answer to a submission that is recorded already: a denial is told
// again.
func (n *Node) told(a *ledger.Answer, err error) (*ledger.Answer, error) {
	if err != nil {
		return nil, err
	}
	body, err := ledger.ParseBody(a.Entries[0].Body)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the body of event %d: %w", a.FirstIndex, err)
	}
	if body.Kind == ledger.KindDenied {
		return nil, n.denied(a, body.Decision)
	}
	return a, nil
}

// denied is what the submitter of an access that was denied is told.
func (n *Node) denied(a *ledger.Answer, decision []byte) error {
	d, err := ledger.ParseDecision(decision)
	if err != nil {
		return fmt.Errorf("couldn't read the decision on %s: %w", a.ReceiptID, err)
	}
	bundle, err := n.bundle(ledger.Hash(d.Bundle))
	if err != nil {
		return err
	}
	return &Denied{Answer: a, Decision: d, Grounds: bundle.Explain(d)}
}
