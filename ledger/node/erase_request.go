// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Whoever reads a history accepts an erasure on the ground that its citizen asked for it, as an event in +consent says that
// was recorded afterwards. Its body is sealed like others: the log tells nobody who was erased. It is signed by the body
// that identified the citizen, or by the operator, and a history says by whom.
//
// A key under which there is nothing but such events isn't destroyed: it opens the ground of what was. Where a consent
// stands under it too, it goes, and what else was asked under it is asked again, by the operator.

// maxRequests is how many requests one erasure makes.
const maxRequests = 20_000

// EraseRequested is Erase of the people and the month of a request that a body took, as a submission of role requester;
// it is recorded instead of one that the operator signs. A request that doesn't hold is a *ledger.Problem.
func (n *Node) EraseRequested(ctx context.Context, raw []byte, apply bool) (*Erased, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := parseRequest(raw)
	if err != nil {
		return nil, err
	}
	asked, ok := history.ParseErasure(l.Receipt.Operation)
	if !ok || asked.Month == "" {
		return nil, &ledger.Problem{Code: ledger.CodeBadValue, Where: "receipt#operation", Expected: "DELETE of a month, as agency request erasure says it", Found: "another"}
	}
	if _, err := n.belongs(l); err != nil {
		return nil, err
	}
	if err := n.year().checkKey(l.Receipt); err != nil {
		return nil, err
	}
	if _, at, err := n.recordedAt(ctx, l.Receipt); err != nil {
		return nil, err
	} else if at != 0 {
		return nil, &ledger.Problem{Code: "request_used", Where: "receipt#jti", Expected: "a request that isn't recorded yet: what came after it needs another", Found: fmt.Sprintf("one that event %d has", at)}
	}
	people := make([]ledger.Subject, len(l.Subjects))
	for i, s := range l.Subjects {
		people[i] = s.Subject
	}
	return n.erase(ctx, people, asked.Month, raw, apply)
}

// parseRequest reads a submission of role requester.
func parseRequest(raw []byte) (*LookUp, error) {
	s, err := ledger.ParseSubmission(raw)
	if err != nil {
		return nil, err
	}
	opened, err := s.Open()
	if err != nil {
		return nil, err
	}
	return &LookUp{Receipt: opened.Receipt, Salt: s.Private.Salt, Content: s.Private.Content, Subjects: s.Subjects}, nil
}

// recordedAt returns where a receipt stands; 0 where it isn't recorded.
func (n *Node) recordedAt(ctx context.Context, r *ledger.SignedReceipt) (*year, uint64, error) {
	for _, y := range n.all() {
		row, err := y.lookUp(ctx, r.Iss, r.JTI)
		if err != nil {
			return nil, 0, err
		}
		if row != nil {
			return y, row.First, nil
		}
	}
	return nil, 0, nil
}

// requested makes what is to be recorded after the wraps found are destroyed: given, or for each of the people a request
// for each month; and what was asked before under a key that goes.
func (n *Node) requested(people []ledger.Subject, found []wrapFound, under map[ledger.Hash]*underConsent, given []byte) (all [][]byte, err error) {
	type request struct {
		who   int
		asked history.Erasure
	}
	made := map[request]bool{}
	signer, err := n.keys.Operator(n.Epoch())
	if err != nil {
		return nil, err
	}
	add := func(who int, asked history.Erasure) error {
		if r := (request{who, asked}); made[r] {
			return nil
		} else {
			made[r] = true
		}
		if len(made) > maxRequests {
			return fmt.Errorf("more than %d people and months to erase at once: erase some of them", maxRequests)
		}
		receipt := asked.Receipt(n.Settings.Name, n.Settings.operator(), uuid.NewString(), n.Now())
		l, err := sealOwn(receipt, people[who], signer)
		if err != nil {
			return err
		}
		raw, err := ledger.FormatSubmission(&ledger.Submission{Receipt: l.Receipt.Compact, Private: ledger.SaltedPrivate{Salt: l.Salt, Content: l.Content}, Subjects: l.Subjects})
		all = append(all, raw)
		return err
	}
	if given != nil {
		all = append(all, given)
	}
	for _, f := range found {
		month := history.Erasure{Epoch: epochOfMonth(f.month), Month: f.month}
		if given != nil {
			made[request{f.subject, month}] = true
		} else if err := add(f.subject, month); err != nil {
			return nil, err
		}
	}
	for _, f := range found {
		if u := under[f.handle]; u != nil {
			for _, asked := range u.asked {
				if err := add(f.subject, asked); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

// underConsent is what a person's key of class consent opens.
type underConsent struct {
	consents bool              // anything but requests
	asked    []history.Erasure // by the requests
}

// consents opens what is under the keys of class consent among those found.
func (n *Node) consents(ctx context.Context, people []ledger.Subject, found []wrapFound) (map[ledger.Hash]*underConsent, error) {
	under, who := map[ledger.Hash]*underConsent{}, map[uint32][]ledger.Subject{}
	for _, f := range found {
		if f.class == seal.Consent {
			under[f.handle] = new(underConsent)
			epoch := epochOfMonth(f.month)
			who[epoch] = append(who[epoch], people[f.subject])
		}
	}
	for epoch, people := range who {
		y := n.yearOf(epoch)
		if y == nil || y.gone {
			continue
		}
		if err := y.consents(ctx, people, under); err != nil {
			return nil, fmt.Errorf("couldn't read what was consented and asked: %w", err)
		}
	}
	return under, nil
}

func (y *year) consents(ctx context.Context, people []ledger.Subject, under map[ledger.Hash]*underConsent) error {
	snap, err := y.n.rows.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer snap.Close()
	var tags []ledger.Hash
	for _, who := range people {
		row, err := snap.Get(ctx, store.TableCounter, rows.SubjectCounterKey(&y.handle, y.epoch, who, ledger.ScopeConsent))
		if err != nil {
			return err
		}
		next, err := rows.ParseCounter(row, 4)
		if err != nil {
			return err
		}
		beta := y.vrf.Output(ledger.SubjectAlpha(who, ledger.ScopeConsent, y.epoch))
		k := [32]byte(beta[:32])
		for i := range uint32(next) {
			tags = append(tags, ledger.SubjectTag(&k, i))
		}
	}
	opener := Opener{Rows: snap, Epoch: y.epoch, Handle: y.handle, Months: y.n.months, Erased: y.n.keys.Erased}
	const share = 4096
	for from := 0; from < len(tags); from += share {
		var events []uint64
		err := y.seq.AtHead(ctx, func(_ sequencer.Head, tree *index.Tree) {
			events = events[:0]
			for _, tag := range tags[from:min(from+share, len(tags))] {
				if at, ok := tree.Get(tag); ok {
					events = append(events, at)
				}
			}
		})
		if err != nil {
			return err
		}
		for _, at := range events {
			if err := y.underConsent(ctx, opener, at, under); err != nil {
				return err
			}
		}
	}
	return nil
}

func (y *year) underConsent(ctx context.Context, opener Opener, at uint64, under map[ledger.Hash]*underConsent) error {
	row, err := opener.Rows.Get(ctx, store.TableBody, rows.LeafKey(y.epoch, at))
	if err != nil || row == nil {
		return err
	}
	kept, err := rows.ParseEvent(&y.handle, y.epoch, at, row)
	if err != nil {
		return err
	}
	u := under[kept.Handle]
	if u == nil {
		return nil
	}
	leaves, err := y.shard.Leaves(ctx, at, 1)
	if err != nil || len(leaves) != 1 {
		return fmt.Errorf("couldn't read leaf %d: %w", at, err)
	}
	event, err := opener.Open(ctx, at, leaves[0])
	if errors.Is(err, ErrErased) {
		return nil // under the key before this one
	} else if err != nil {
		return err
	}
	body, err := ledger.ParseBody(event.Body)
	if err != nil {
		return err
	}
	if body.Kind != ledger.KindRequest {
		u.consents = true
		return nil
	}
	receipt, err := ledger.ParseReceipt(body.Receipt)
	if err != nil {
		return err
	}
	if asked, ok := history.ParseErasure(receipt.Operation); ok {
		u.asked = append(u.asked, asked)
	}
	return nil
}

// erasable takes out of what was found the keys that open nothing but requests.
func erasable(found []wrapFound, under map[ledger.Hash]*underConsent) []wrapFound {
	var out []wrapFound
	for _, f := range found {
		if u := under[f.handle]; f.class != seal.Consent || u != nil && u.consents {
			out = append(out, f)
		}
	}
	return out
}

// resumeRequests goes on where a crash interrupted an erasure: if any of its wraps is in the journal, all are put there,
// and its requests will be recorded; else nobody was erased, and they are dropped.
func (n *Node) resumeRequests() error {
	kept, err := n.keys.Requests()
	if err != nil {
		return err
	}
	journal := map[keys.Erasure]bool{}
	for _, e := range n.keys.Erasures() {
		journal[e] = true
	}
	for _, r := range kept {
		var rest []keys.Erasure
		for _, e := range r.Wraps {
			if !journal[e] {
				rest = append(rest, e)
			}
		}
		if len(rest) == len(r.Wraps) {
			if err := n.keys.DropRequest(r.Name); err != nil {
				return err
			}
			continue
		}
		for _, e := range rest {
			if err := n.keys.AppendErasure(e.Handle, e.Wrap); err != nil {
				return err
			}
		}
	}
	return nil
}

// inYear does something in the year that is recorded in.
type inYear func(ctx context.Context, do func(y *year) error) error

// recordRequests records what erased people asked, and forgets what the public log has.
func (n *Node) recordRequests(ctx context.Context, in inYear) error {
	kept, err := n.keys.Requests()
	if err != nil {
		return err
	}
	for _, r := range kept {
		public := make([]bool, len(r.Submissions))
		var g errgroup.Group
		g.SetLimit(256) // that share commits
		for i, raw := range r.Submissions {
			g.Go(func() (err error) {
				public[i], err = n.recordRequest(ctx, in, raw)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("couldn't record a request for erasure: %w", err)
		}
		if err := n.dropIf(r.Name, public); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) recordRequest(ctx context.Context, in inYear, raw []byte) (public bool, err error) {
	l, err := parseRequest(raw)
	if err != nil {
		return false, err
	}
	if public, err = n.isPublic(ctx, l.Receipt); public || err != nil {
		return public, err
	}
	return false, in(ctx, func(y *year) error {
		_, err := y.recordOwn(ctx, ledger.KindRequest, *l)
		return err
	})
}

// isPublic says whether a receipt is recorded under a published checkpoint.
func (n *Node) isPublic(ctx context.Context, r *ledger.SignedReceipt) (bool, error) {
	y, at, err := n.recordedAt(ctx, r)
	if err != nil || y == nil {
		return false, err
	}
	p := y.published.Load()
	return p != nil && p.Root.Size > at, nil
}

func (n *Node) dropIf(name string, public []bool) error {
	for _, is := range public {
		if !is {
			return nil
		}
	}
	return n.keys.DropRequest(name)
}

// settleRequests is recordRequests beside the publication, unless an erasure is under way.
func (n *Node) settleRequests() error {
	if !n.keys.HasRequests() || !n.erasing.TryLock() {
		return nil
	}
	defer n.erasing.Unlock()
	// The turn of the year isn't waited for: checkpoints mustn't wait for it.
	err := n.recordRequests(context.Background(), func(_ context.Context, do func(*year) error) error { return do(n.year()) })
	if errors.Is(err, sequencer.ErrClosed) || errors.Is(err, sequencer.ErrYearOver) {
		return nil
	}
	return err
}

// dropRequests forgets, when nothing more is recorded, what the public log has.
func (n *Node) dropRequests(ctx context.Context) error {
	kept, err := n.keys.Requests()
	if err != nil {
		return err
	}
	for _, r := range kept {
		public := make([]bool, len(r.Submissions))
		for i, raw := range r.Submissions {
			l, err := parseRequest(raw)
			if err != nil {
				return err
			}
			if public[i], err = n.isPublic(ctx, l.Receipt); err != nil {
				return err
			}
		}
		if err := n.dropIf(r.Name, public); err != nil {
			return err
		}
	}
	return nil
}
