// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
)

// codeDenied: the active policies deny what was asked for, and nothing is recorded.
const codeDenied = "denied"

// RecordCohort records that a body was given an aggregate: raw is a ledger.CohortSubmission. The tokens of the call are
// checked and not kept. Sent again it answers with the same record, replayed. A refusal is a *ledger.Problem, and leaves
// no trace: a cohort that is denied tells of nobody.
func (n *Node) RecordCohort(ctx context.Context, raw []byte) (answer *ledger.CohortAnswer, replayed bool, err error) {
	done, err := n.use()
	if err != nil {
		return nil, false, err
	}
	defer done()
	s, err := ledger.ParseCohortSubmission(raw)
	if err != nil {
		return nil, false, err
	}
	c, token, err := ledger.ParseCohort(s.Statement)
	if err != nil {
		return nil, false, err
	}
	payload := ledger.Hash(sha256.Sum256(token.Payload))
	err = n.current(ctx, func(y *year) (err error) {
		for of := y; of != nil; of = of.before() {
			first, index, ok := of.registry.Recorded(c.ID())
			if !ok {
				continue
			}
			if first != payload {
				return sequencer.ErrConflict
			}
			replayed = true
			answer, err = of.cohortAnswer(ctx, c, index)
			return err
		}
		answer, err = y.recordCohort(ctx, s, c, payload)
		return err
	})
	return answer, replayed, err
}

func (y *year) recordCohort(ctx context.Context, s *ledger.CohortSubmission, c *ledger.Cohort, payload ledger.Hash) (*ledger.CohortAnswer, error) {
	now := y.n.Now()
	latest := now.Add(intake.MaxAhead)
	access := c.Access()
	if at := access.Occurred(); at.After(latest) || time.Unix(c.IssuedAt, 0).After(latest) {
		return nil, &ledger.Problem{Code: "in_future", Where: "cohort#occurred_at", Expected: "an access and an iat not after " + latest.UTC().Format(time.RFC3339), Found: "a later one"}
	}
	provider, _ := y.registry.Body(c.Provider)
	consumer, _ := y.registry.Body(c.Consumer)
	assurance, claims, err := y.n.tokens.Check(ctx, pdnd.Call{
		Voucher: s.Voucher, Evidence: s.Evidence, OccurredAt: access.Occurred(),
		ProducerID: provider.Tenant, ConsumerID: consumer.Tenant, EServiceID: c.EService, PurposeID: c.PurposeID,
	})
	if err != nil {
		var p *ledger.Problem
		if !errors.As(err, &p) && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", intake.ErrKeys, err)
		}
		return nil, err
	}
	if ledger.Pair(claims.VoucherJTI, claims.EvidenceDigest, s.RequestDigest) != c.Pair {
		return nil, &ledger.Problem{Code: "pair_mismatch", Where: "cohort#pair", Expected: "H over voucher jti, evidence digest and request digest", Found: "another digest"}
	}
	assurance.Late = now.Sub(access.Occurred()) > intake.LateAfter
	for range rechecks {
		decision, err := y.decideCohort(access, &assurance)
		if err != nil {
			return nil, err
		}
		record, err := registry.FormatRecord(registry.Cohort{Statement: s.Statement, Decision: decision})
		if err != nil {
			return nil, err
		}
		index, err := y.seq.Record(ctx, record)
		var p *ledger.Problem
		switch {
		case errors.As(err, &p) && p.Code == ledger.CodeDecision:
			continue // other policies became active meanwhile
		case errors.As(err, &p) && p.Code == ledger.CodeRepeated:
			// It was sent twice at once.
			var first ledger.Hash
			if first, index, _ = y.registry.Recorded(c.ID()); first != payload {
				return nil, sequencer.ErrConflict
			}
		case err != nil:
			return nil, err
		}
		return y.cohortAnswer(ctx, c, index)
	}
	return nil, sequencer.ErrMoved
}

// decideCohort decides by the active policies, as on an access to the data of so many people.
func (y *year) decideCohort(access *ledger.Receipt, assurance *ledger.Assurance) ([]byte, error) {
	active, ok := y.registry.Policy(math.MaxUint64)
	if !ok {
		return ledger.FormatDecision(ledger.Decision{Effect: ledger.EffectRecorded})
	}
	bundle, err := y.n.bundle(ledger.Hash(active.SHA256))
	if err != nil {
		return nil, fmt.Errorf("couldn't decide by the active policies: %w", err)
	}
	d, err := bundle.Decide(&ledger.Access{
		Receipt: access, Assurance: assurance,
		ConsumerAttributes: y.registry.Attributes(access.Consumer, math.MaxUint64), ProviderAttributes: y.registry.Attributes(access.Provider, math.MaxUint64),
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't decide by the active policies: %w", err)
	}
	if d.Effect == ledger.EffectDeny {
		found := "one that no policy allows"
		if len(d.Policies) > 0 {
			found = "one that is forbidden by " + strings.Join(d.Policies, ", ")
		}
		return nil, &ledger.Problem{Code: codeDenied, Where: "cohort", Expected: "an aggregate that the active policies allow", Found: found}
	}
	return ledger.FormatDecision(d)
}

// cohortAnswer proves a record to who had it recorded.
func (y *year) cohortAnswer(ctx context.Context, c *ledger.Cohort, index uint64) (*ledger.CohortAnswer, error) {
	at := y.seq.Latest()
	leaves, err := y.shard.Leaves(ctx, index, 1)
	if err != nil || len(leaves) != 1 {
		return nil, fmt.Errorf("couldn't read record %d: %w", index, err)
	}
	a := &ledger.CohortAnswer{CohortID: c.ID(), Origin: y.origin, Index: index, Leaf: leaves[0]}
	a.Proof, err = y.prove(ctx, index, a.Leaf, at)
	return a, err
}
