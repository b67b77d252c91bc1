// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// cosignPatience is how long a history waits, beyond the publication that covers it, for the cosignatures that its reader
// will ask for. It is given out without them after that, and says so to whoever verifies it.
const cosignPatience = 15 * time.Second

// History returns all that the ledger holds about a citizen, with its proofs: each year under its final head, and this
// one under a head that covers every event recorded before the call, with a published checkpoint that covers the head. It
// waits for that publication. The years of Gone aren't in it.
//
// It leaves no event: whoever looks must record that first, see LookUpFor. What it returns lets its holder recognise the
// citizen's events until the year ends.
func (n *Node) History(ctx context.Context, subject ledger.Subject) (*history.Bundle, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	years := slices.DeleteFunc(slices.Clone(n.all()), func(y *year) bool { return y.gone })
	b := &history.Bundle{Subject: subject, Shards: make([]history.Shard, len(years))}
	making, ctx := errgroup.WithContext(ctx)
	for i, y := range years {
		making.Go(func() error {
			m := newHistorian(y)
			m.subject = subject
			if err := m.lookUp(ctx); err != nil {
				return err
			}
			err := m.prove(ctx)
			b.Shards[i] = m.shard
			return err
		})
	}
	if err := making.Wait(); err != nil {
		return nil, fmt.Errorf("couldn't make a history: %w", err)
	}
	return b, nil
}

// Gone lists the years that no history shows any more: their keys were
// destroyed when the retention of their last event ended.
func (n *Node) Gone() []uint32 {
	gone := []uint32{}
	for _, y := range n.all() {
		if y.gone {
			gone = append(gone, y.epoch)
		}
	}
	return gone
}

// historian makes a citizen's part of one shard, or a part of an agency's list.
type historian struct {
	y       *year
	subject ledger.Subject // of a citizen's part
	closed  bool           // opens no event
	shard   history.Shard
	at      sequencer.Head
	events  []uint64        // log indexes
	size    uint64          // of the published log
	keep    map[uint64]bool // leaves to show
	leaves  map[uint64][]byte
	snap    store.Snapshot
}

func newHistorian(y *year) *historian {
	return &historian{y: y, shard: history.Shard{Origin: y.origin}, keep: map[uint64]bool{0: true}, leaves: map[uint64][]byte{}}
}

// prove opens what was found in the index, and proves it under a published checkpoint that covers the head.
func (m *historian) prove(ctx context.Context) error {
	p, err := m.y.covering(ctx, m.at.Index)
	if err != nil {
		return err
	}
	m.shard.Head, m.shard.Checkpoint, m.size = m.at.Index, p.Checkpoint, p.Root.Size
	m.keep[m.at.Index] = true
	if m.snap, err = m.y.n.rows.Snapshot(ctx); err != nil {
		return err
	}
	defer m.snap.Close()
	if err := m.open(ctx); err != nil {
		return err
	}
	if err := m.records(ctx); err != nil {
		return err
	}
	indexes := slices.Sorted(maps.Keys(m.keep))
	for _, index := range indexes {
		leaf, err := m.leaf(ctx, index)
		if err != nil {
			return err
		}
		m.shard.Leaves = append(m.shard.Leaves, history.Leaf{Index: index, Leaf: leaf})
	}
	m.shard.Proof, err = history.ProveLeaves(m.size, indexes, func(index uint64) ([]ledger.Hash, error) {
		return m.y.shard.Inclusion(ctx, index, m.size)
	})
	if err != nil {
		return err
	}
	if err := history.CheckLeaves(m.size, p.Root.Hash, m.shard.Leaves, m.shard.Proof); err != nil {
		return fmt.Errorf("refusing to give out a proof that doesn't verify: %w", err)
	}
	return nil
}

// lookUp finds the citizen's events in the index at one head, and proves them and the absence of further ones.
func (m *historian) lookUp(ctx context.Context) error {
	until, err := m.y.withheld(ctx)
	if err != nil {
		return err
	}
	known := map[string]*secret{}
	for range rechecks {
		scopes := append(m.y.registry.Scopes(), ledger.ScopeConsent, ledger.ScopeLedger, ledger.ScopeReported, ledger.ScopeDeferred)
		slices.Sort(scopes)
		for _, s := range scopes {
			// Of +deferred k_s isn't given before its year's last order has ended.
			if known[s] == nil && (s != ledger.ScopeDeferred || until.IsZero()) {
				known[s] = newSecret(m.y.vrf, ledger.SubjectAlpha(m.subject, s, m.y.epoch))
			}
		}
		if err := m.ask(ctx, scopes, known); err != nil {
			return err
		}
		leaf, err := ledger.ParseLeaf(m.at.Leaf)
		if err != nil {
			return err
		}
		head, ok := leaf.(ledger.Head)
		// A scope may have been listed between the two.
		if ok && head.Scopes == ledger.ScopesHash(m.y.registry.Scopes()) && len(scopes) == len(m.y.registry.Scopes())+4 {
			return m.checkIndex(head, known)
		}
	}
	return sequencer.ErrMoved
}

// secret is k_s of one scope, with its proof and the tags made so far.
type secret struct {
	pi   [80]byte
	k    [32]byte
	tags []ledger.Hash
}

func newSecret(key *vrf.PrivateKey, alpha []byte) *secret {
	s := new(secret)
	pi, beta := key.Prove(alpha)
	s.pi = pi
	copy(s.k[:], beta[:32])
	s.tag(0)
	return s
}

func (s *secret) tag(i int) ledger.Hash {
	for len(s.tags) <= i {
		s.tags = append(s.tags, ledger.SubjectTag(&s.k, uint32(len(s.tags))))
	}
	return s.tags[i]
}

func (m *historian) ask(ctx context.Context, scopes []string, known map[string]*secret) error {
	return m.y.seq.AtHead(ctx, func(at sequencer.Head, keys *index.Tree) {
		m.at, m.events, m.shard.Lists = at, nil, nil
		var tags []ledger.Hash
		for _, scope := range scopes {
			list := history.List{Scope: scope}
			if s := known[scope]; s != nil {
				list.Pi = s.pi[:]
				for i := 0; ; i++ {
					tag := s.tag(i)
					tags = append(tags, tag)
					index, ok := keys.Get(tag)
					if !ok {
						break
					}
					m.events = append(m.events, index)
					list.Count++
				}
			}
			m.shard.Lists = append(m.shard.Lists, list)
		}
		m.shard.Index = keys.ProveMany(tags)
	})
}

// checkIndex verifies the index proof as its reader will.
func (m *historian) checkIndex(head ledger.Head, known map[string]*secret) error {
	var tags []ledger.Hash
	for _, l := range m.shard.Lists {
		if s := known[l.Scope]; s != nil && l.Pi != nil {
			tags = append(tags, s.tags[:l.Count+1]...)
		}
	}
	if _, err := index.CheckMany(head.Root, tags, m.shard.Index); err != nil {
		return fmt.Errorf("refusing to give out an index proof that doesn't verify: %w", err)
	}
	slices.Sort(m.events)
	return nil
}

// open opens the events, and says which heads stand around them.
func (m *historian) open(ctx context.Context) error {
	opener := Opener{Rows: m.snap, Epoch: m.y.epoch, Handle: m.y.handle, Months: m.y.n.months, Erased: m.y.n.keys.Erased}
	for _, index := range m.events {
		m.keep[index] = true
		leaf, err := m.leaf(ctx, index)
		if err != nil {
			return err
		}
		event := history.Event{Index: index}
		if !m.closed {
			switch opened, err := opener.Open(ctx, index, leaf); {
			case err == nil:
				event.Nonce, event.Body = &opened.Nonce, opened.Body
			case errors.Is(err, ErrErased):
			default:
				return err
			}
		}
		m.shard.Events = append(m.shard.Events, event)
		if err := m.around(ctx, index); err != nil {
			return err
		}
	}
	return nil
}

// around keeps the heads around an event and, where they are far apart, the records between them: docs/history.md.
func (m *historian) around(ctx context.Context, index uint64) error {
	before, after, err := m.heads(ctx, index)
	if err != nil || after == 0 {
		return err
	}
	m.keep[after] = true
	if before == 0 {
		return nil
	}
	m.keep[before] = true
	var ms [2]uint64
	for i, at := range []uint64{before, after} {
		raw, err := m.leaf(ctx, at)
		if err != nil {
			return err
		}
		leaf, err := ledger.ParseLeaf(raw)
		if err != nil {
			return err
		}
		head, _ := leaf.(ledger.Head)
		ms[i] = head.UnixMS
	}
	if ms[1]-ms[0] <= uint64(history.NearHeads.Milliseconds()) {
		return nil
	}
	from, to := rows.LeafKey(m.y.epoch, before), rows.LeafKey(m.y.epoch, after)
	return m.snap.Scan(ctx, store.TableRecord, from, to, 0, func(key, _ []byte) error {
		_, index, err := rows.ParseLeafKey(key)
		m.keep[index] = true
		return err
	})
}

// heads returns the last head before a leaf and the first after it; 0 where there is none that is published.
func (m *historian) heads(ctx context.Context, index uint64) (before, after uint64, err error) {
	from, to := rows.LeafKey(m.y.epoch, index+1), rows.LeafKey(m.y.epoch, m.size)
	err = m.snap.Scan(ctx, store.TableHead, from, to, 1, func(key, value []byte) (err error) {
		if _, after, err = rows.ParseLeafKey(key); err == nil {
			before, err = rows.ParseCounter(value, 8)
		}
		return err
	})
	return before, after, err
}

func (m *historian) leaf(ctx context.Context, index uint64) ([]byte, error) {
	if leaf := m.leaves[index]; leaf != nil {
		return leaf, nil
	}
	leaves, err := m.y.shard.Leaves(ctx, index, 1)
	if err != nil || len(leaves) != 1 {
		return nil, fmt.Errorf("couldn't read leaf %d: %w", index, err)
	}
	m.leaves[index] = leaves[0]
	return leaves[0], nil
}

// records keeps what the events' signatures, erasures and scopes need.
func (m *historian) records(ctx context.Context) error {
	c, release, err := m.y.catalogue.upToDate(ctx, m.y.epoch, m.snap)
	if err != nil {
		return err
	}
	needed := slices.Concat(c.Terms(), c.LogKeys(), c.Policies())
	for _, e := range m.shard.Events {
		if e.Body == nil {
			continue
		}
		body, err := ledger.ParseBody(e.Body)
		if err != nil {
			release()
			return fmt.Errorf("couldn't read the body of event %d: %w", e.Index, err)
		}
		receipt, err := ledger.ParseReceipt(body.Receipt)
		if err != nil {
			release()
			return fmt.Errorf("couldn't read the receipt of event %d: %w", e.Index, err)
		}
		needed = append(needed, c.Signer(receipt.Iss, receipt.JWS.Header.Kid)...)
		needed = append(needed, c.Bodies(receipt.Consumer, receipt.Provider, receipt.Iss)...)
		needed = append(needed, c.Session(&receipt.Receipt)...)
		if body.Deferral == "" {
			continue
		}
		order, err := ledger.ParseDeferral(body.Deferral)
		if err != nil {
			release()
			return fmt.Errorf("couldn't read the order of event %d: %w", e.Index, err)
		}
		needed = append(needed, c.Signer(order.Iss, order.JWS.Header.Kid)...)
		needed = append(needed, c.Bodies(order.Iss)...)
	}
	for _, l := range m.shard.Lists {
		needed = append(needed, c.LastCheck(l.Scope, m.y.origin)...)
		// A year's last check is recorded in the year after.
		needed = append(needed, c.LastCheck(l.Scope, ledger.Origin(m.y.n.Settings.Name, m.y.epoch-1))...)
	}
	release()
	for _, at := range needed {
		if at < m.size {
			m.keep[at] = true
		}
	}
	return nil
}
