// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
)

// Mandate returns the mandate in force under which one person may act for a citizen, nil if there is none: an event
// mandate-given in the citizen's list whose private part names that person, as the body attests that recorded it. Of
// several it is the one that lasts longest.
//
// It leaves no event; LookUpUnder records what the delegate then sees.
func (n *Node) Mandate(ctx context.Context, citizen, delegate ledger.Subject) (*ledger.ConsentSummary, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if n.opt.Consents == nil {
		return nil, nil
	}
	l, err := n.year().consentsOf(ctx, citizen)
	if err != nil {
		return nil, err
	}
	var found *ledger.ConsentSummary
	for _, s := range l.Summaries(n.Now()) {
		if s.Kind != ledger.KindMandateGiven || s.State != ledger.ConsentInForce || s.From.After(n.Now()) || found != nil && !s.Until.After(found.Until) {
			continue
		}
		named, err := n.delegate(ctx, s.Epoch, s.Index)
		if err != nil {
			return nil, fmt.Errorf("couldn't read a mandate: %w", err)
		}
		if named == delegate {
			found = &s
		}
	}
	return found, nil
}

// delegate is whom the private part of an event mandate-given names; "" if nobody, or if it was erased.
func (n *Node) delegate(ctx context.Context, epoch uint32, index uint64) (ledger.Subject, error) {
	y, err := n.shown(epoch)
	if err != nil {
		return "", err
	}
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	defer snap.Close()
	e, err := y.consentEvent(ctx, snap, index)
	if err != nil || e.Receipt == nil {
		return "", err
	}
	opener := Opener{Rows: snap, Epoch: epoch, Handle: y.handle, Months: n.months, Erased: n.keys.Erased}
	_, content, err := opener.OpenPrivate(ctx, index, ledger.Hash(e.Receipt.PrivateDigest))
	if errors.Is(err, ErrErased) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	private, err := ledger.ParsePrivate(content)
	if err != nil {
		return "", err
	}
	return private.Delegate, nil
}
