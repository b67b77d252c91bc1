// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// ErrNoScope: no scope of this id is listed in this year.
var ErrNoScope = errors.New("no scope of this id in this year")

// SubjectProofs returns the VRF proofs of k_s of subjects in a scope and year,
// for the scope's party, whose identity the caller has checked. They are given
// for any subject that the party names: a key recognises the events of its own
// scope alone, all of which the party submitted.
func (n *Node) SubjectProofs(ctx context.Context, epoch uint32, scope string, subjects []ledger.Subject) ([][80]byte, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	y, err := n.shown(epoch)
	if err != nil {
		return nil, err
	}
	if _, listed := y.registry.Providers(scope); !listed {
		return nil, ErrNoScope
	}
	proofs := make([][80]byte, len(subjects))
	for i, s := range subjects {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		proofs[i], _ = y.vrf.Prove(ledger.SubjectAlpha(s, scope, epoch))
	}
	return proofs, nil
}

// What a statement of a provider's check may be apart from this clock, and from
// the scope's last.
const (
	checkClock = 5 * time.Minute
	checkEvery = 10 * time.Minute
)

// RecordCheck records that a scope's party compared its own records with the
// log, by the statement that it signed. Sent again it answers with the same
// record, replayed. A refusal is a *ledger.Problem: the statement has to be
// about this log as it is, so that what is signed for everyone to see is no
// other history.
func (n *Node) RecordCheck(ctx context.Context, statement string) (origin string, index uint64, replayed bool, err error) {
	done, err := n.use()
	if err != nil {
		return "", 0, false, err
	}
	defer done()
	s, _, err := registry.ParseCheckStatement(statement)
	if err != nil {
		return "", 0, false, err
	}
	err = n.current(ctx, func(y *year) (err error) {
		origin = y.origin
		index, replayed, err = y.recordCheck(ctx, s, statement)
		return err
	})
	return origin, index, replayed, err
}

// recordCheck records a check of this year's log, or of the year's before: its
// last events can only be checked when it is over.
func (y *year) recordCheck(ctx context.Context, s registry.CheckStatement, statement string) (index uint64, replayed bool, err error) {
	about := y
	if before := y.before(); before != nil && s.Aud == before.origin {
		about = before
	}
	last, ok := y.registry.Attested(s.Scope, s.Aud)
	if ok && last.CheckStatement == s {
		return last.Index, true, nil
	}
	if !ok && about != y {
		last, ok = about.registry.Attested(s.Scope, s.Aud)
	}
	if ok && s.IssuedAt < last.IssuedAt+int64(checkEvery.Seconds()) {
		return 0, false, checkProblem("too_soon", "iat", "10 minutes or more after the last check", "less")
	}
	if ok && s.Head <= last.Head {
		return 0, false, checkProblem("not_newer", "head", fmt.Sprintf("one after %d", last.Head), fmt.Sprint(s.Head))
	}
	if err := about.fits(ctx, &s); err != nil {
		return 0, false, err
	}
	record, err := registry.FormatRecord(registry.ProviderCheck{Scope: s.Scope, Statement: statement})
	if err != nil {
		return 0, false, err
	}
	index, err = y.seq.Record(ctx, record)
	return index, false, err
}

// fits compares a statement with the log and the clock.
func (y *year) fits(ctx context.Context, s *registry.CheckStatement) error {
	if s.Aud != y.origin {
		return checkProblem(ledger.CodeBadValue, "aud", y.origin, s.Aud)
	}
	now := y.n.Now()
	if at := time.Unix(s.IssuedAt, 0); at.Sub(now).Abs() > checkClock {
		return checkProblem(ledger.CodeBadTime, "iat", "within 5 minutes of "+now.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	if size := y.shard.Root().Size; s.Size > size {
		return checkProblem("other_log", "size", fmt.Sprintf("at most %d leaves", size), fmt.Sprint(s.Size))
	}
	root, err := y.shard.RootAt(ctx, s.Size)
	if err != nil {
		return fmt.Errorf("couldn't recompute the root at %d: %w", s.Size, err)
	}
	if root != ledger.Hash(s.Root) {
		return checkProblem("other_log", "root", fmt.Sprintf("%x", root), fmt.Sprintf("%x", s.Root))
	}
	leaves, err := y.shard.Leaves(ctx, s.Head, 1)
	if err != nil {
		return fmt.Errorf("couldn't read leaf %d: %w", s.Head, err)
	}
	if len(leaves) == 1 {
		if leaf, err := ledger.ParseLeaf(leaves[0]); err == nil {
			if head, ok := leaf.(ledger.Head); ok && head.UnixMS == s.Until {
				return nil
			}
		}
	}
	return checkProblem("other_log", "head", "the index and unix_ms of a head", "others")
}

func checkProblem(code, claim, expected, found string) *ledger.Problem {
	return &ledger.Problem{Code: code, Where: "statement#" + claim, Expected: expected, Found: found}
}
