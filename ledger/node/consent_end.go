// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// expiryEvery is how often the ledger looks for consents whose validity ended.
const expiryEvery = time.Minute

// consentLoop records that consents expired. None of them covers an access any more before that: it is so that the citizen
// has it in their list.
func (n *Node) consentLoop() {
	defer n.stopped.Done()
	if n.opt.Consents == nil {
		return
	}
	ctx, cancel := n.untilStop()
	defer cancel()
	tick := time.NewTicker(expiryEvery)
	defer tick.Stop()
	for {
		err := n.expireConsents(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, sequencer.ErrClosed) {
			n.opt.Log.Error("couldn't record that consents expired", "error", err)
		}
		select {
		case <-n.stop:
			return
		case <-tick.C:
		}
	}
}

// expiryBatch is how many rows are read at once.
const expiryBatch = 1000

func (n *Node) expireConsents(ctx context.Context) error {
	for {
		var due [][]byte
		err := n.withSnapshot(ctx, func(snap store.Reader) error {
			end := binary.BigEndian.AppendUint64(nil, uint64(n.Now().UnixMilli())+1)
			return snap.Scan(ctx, store.TableConsentEnd, nil, end, expiryBatch, func(key, _ []byte) error {
				due = append(due, slices.Clone(key))
				return nil
			})
		})
		if err != nil {
			return fmt.Errorf("couldn't read when consents end: %w", err)
		}
		for _, key := range due {
			if err := n.expireConsent(ctx, key); err != nil {
				return err
			}
			// A crash before this finds the event, and does no more than this.
			if err := n.rows.Commit(ctx, nil, []store.Row{{Table: store.TableConsentEnd, Key: key}}); err != nil {
				return fmt.Errorf("couldn't delete when a consent ended: %w", err)
			}
		}
		if len(due) < expiryBatch {
			return nil
		}
	}
}

// expireConsent records the end of one consent, unless something ended it before.
func (n *Node) expireConsent(ctx context.Context, key []byte) error {
	_, epoch, err := rows.ParseConsentEndKey(key)
	if err != nil {
		return err
	}
	given := n.yearOf(epoch)
	if given == nil || given.gone {
		return nil // nobody can open it any more
	}
	snap, err := n.rows.Snapshot(ctx)
	if err != nil {
		return err
	}
	e, err := given.consentAt(ctx, snap, key, store.TableConsentEnd)
	if err = errors.Join(err, snap.Close()); err != nil || e.Body == nil {
		return err
	}
	y, subject := n.year(), e.Body.Subject.Code
	l, err := y.consentsOf(ctx, subject)
	if err != nil {
		return err
	}
	for _, s := range l.Summaries(n.Now()) {
		if s.Epoch == e.Epoch && s.Index == e.Index && s.State == ledger.ConsentExpired && s.Ended.IsZero() {
			return y.recordExpiry(ctx, subject, s.ID, l.Last())
		}
	}
	return nil
}

func (y *year) recordExpiry(ctx context.Context, subject ledger.Subject, id string, last *ledger.Hash) error {
	n := y.n
	s := &ledger.ConsentSubmission{Subject: ledger.SaltedSubject{Subject: subject}}
	rand.Read(s.Subject.Salt[:])
	rand.Read(s.Private.Salt[:])
	tree, err := ledger.NewSubjectTree([]ledger.SaltedSubject{s.Subject})
	if err != nil {
		return err
	}
	if s.Private.Content, err = ledger.FormatPrivate(&ledger.Private{}); err != nil {
		return err
	}
	statement, receipt, err := n.opt.Consents.Expired(ConsentExpiry{
		Name: n.Settings.Name, Epoch: y.epoch, Body: n.OperatorID(), ID: id, Previous: last, Subject: tree.Root(), At: n.Now(),
	})
	if err != nil {
		return err
	}
	s.Consent = statement
	_, err = n.collectConsent(ctx, s, receipt)
	return err
}
