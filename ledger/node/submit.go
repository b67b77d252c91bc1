// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/intake"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Decisions of Fetch.
var (
	// ErrNoReceipt: no submission of this identity is recorded.
	ErrNoReceipt = errors.New("no receipt of this iss and jti")
	// ErrErased: its bodies can't be opened any more.
	ErrErased = errors.New("the receipt's events were erased")
)

// rechecks is how often a submission is checked again because the registry
// moved meanwhile, before the client is asked to come back.
const rechecks = 5

// Submit checks and records one submission, and answers with its proof once it
// is durable. Sent again it answers with the same entries, replayed. A refusal
// is a *ledger.Problem; the sequencer's decisions are its own errors. An access
// that the policies deny is recorded too, and answered with a *Denied.
func (n *Node) Submit(ctx context.Context, raw []byte) (answer *ledger.Answer, replayed bool, err error) {
	done, err := n.use()
	if err != nil {
		return nil, false, err
	}
	defer done()
	var y *year
	var p *sequencer.Pending
	var c *sequencer.Committed
	err = n.current(ctx, func(current *year) (err error) {
		y = current
		for range rechecks {
			if p, err = y.intake.Check(ctx, raw); err != nil {
				return err
			}
			if c, err = y.seq.Submit(ctx, p); !errors.Is(err, sequencer.ErrMoved) {
				return err
			}
		}
		return err
	})
	switch {
	case errors.Is(err, intake.ErrBefore):
		answer, err = n.told(y.before().replayBefore(ctx, raw))
		return answer, true, err
	case err != nil:
		return nil, false, err
	case c.Replayed:
		answer, err = n.told(y.replay(ctx, c))
		return answer, true, err
	}
	answer, err = y.answer(ctx, p.Receipt, p.Scope, c)
	if err == nil && p.Kind == ledger.KindDenied {
		return nil, false, n.denied(answer, p.Decision)
	}
	return answer, false, err
}

// replayBefore answers a submission that was recorded in this year before the
// next one began. It is judged by the keys and scopes of its place.
func (y *year) replayBefore(ctx context.Context, raw []byte) (*ledger.Answer, error) {
	if y.gone {
		return nil, ErrErased
	}
	p, err := y.intake.Check(ctx, raw)
	if err != nil {
		return nil, err
	}
	r, err := y.lookUp(ctx, p.Receipt.Iss, p.Receipt.JTI)
	if err != nil {
		return nil, err
	}
	if r.PayloadDigest != p.Receipt.PayloadDigest {
		return nil, sequencer.ErrConflict
	}
	return y.again(ctx, r)
}

// recorded is what stands in the log of a receipt's row.
func (y *year) recorded(r *rows.Receipt) *sequencer.Committed {
	return &sequencer.Committed{Replayed: true, First: r.First, Count: int(r.Count), Latest: y.seq.Latest()}
}

// Fetch returns the answer of a recorded submission to the party that sent it,
// whose identity the caller has checked.
func (n *Node) Fetch(ctx context.Context, iss, jti string) (*ledger.Answer, error) {
	done, err := n.use()
	if err != nil {
		return nil, err
	}
	defer done()
	for _, y := range slices.Backward(n.all()) {
		r, err := y.lookUp(ctx, iss, jti)
		if err != nil {
			return nil, err
		}
		if r != nil {
			return y.again(ctx, r)
		}
	}
	return nil, ErrNoReceipt
}

// again answers what was recorded before.
func (y *year) again(ctx context.Context, r *rows.Receipt) (*ledger.Answer, error) {
	if y.gone {
		return nil, ErrErased
	}
	c := y.recorded(r)
	if c.Latest.Root.Size < c.First+uint64(c.Count) {
		return nil, ErrNoReceipt // durable, and about to be acknowledged
	}
	return y.replay(ctx, c)
}

// replay answers a submission that was recorded before, from what is kept: the
// same payload may have come again under another signature.
func (y *year) replay(ctx context.Context, c *sequencer.Committed) (*ledger.Answer, error) {
	var err error
	if c.Events, err = y.openEvents(ctx, c.First, c.Count); err != nil {
		return nil, err
	}
	body, err := ledger.ParseBody(c.Events[0].Body)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the body of event %d: %w", c.First, err)
	}
	receipt, err := ledger.ParseReceipt(body.Receipt)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the receipt of event %d: %w", c.First, err)
	}
	return y.answer(ctx, receipt, body.Scope, c)
}

func (y *year) lookUp(ctx context.Context, iss, jti string) (*rows.Receipt, error) {
	snap, err := y.n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	row, err := snap.Get(ctx, store.TableReceipt, rows.ReceiptKey(y.epoch, iss, jti))
	if err != nil || row == nil {
		return nil, err
	}
	r, err := rows.ParseReceipt(row)
	return &r, err
}

// openEvents unseals count events from first on.
func (y *year) openEvents(ctx context.Context, first uint64, count int) ([]sequencer.Event, error) {
	var leaves [][]byte
	for len(leaves) < count {
		more, err := y.shard.Leaves(ctx, first+uint64(len(leaves)), uint64(count-len(leaves)))
		if err != nil {
			return nil, err
		}
		if len(more) == 0 {
			return nil, fmt.Errorf("the log has %d of %d leaves from %d on", len(leaves), count, first)
		}
		leaves = append(leaves, more...)
	}
	snap, err := y.n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	opener := Opener{Rows: snap, Epoch: y.epoch, Handle: y.handle, Months: y.n.months, Erased: y.n.keys.Erased}
	events := make([]sequencer.Event, count)
	for i, leaf := range leaves {
		if events[i], err = opener.Open(ctx, first+uint64(i), leaf); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// Opener unseals what the store keeps with a leaf.
type Opener struct {
	Rows   store.Reader
	Epoch  uint32
	Handle [32]byte
	Months sequencer.Months
	// Erased says whether a key with this handle was erased. A person erased
	// in a month gets another key for what follows in it, which doesn't open
	// what went before.
	Erased func(handle ledger.Hash) bool
}

// Open returns the event of this leaf, its body verified against the leaf's
// commitment. ErrErased where the key that sealed it is gone.
func (o Opener) Open(ctx context.Context, index uint64, leaf []byte) (sequencer.Event, error) {
	e, _, err := o.open(ctx, index, leaf)
	return e, err
}

// sealedWith is what the store keeps with a leaf, and what opens it.
type sealedWith struct {
	handle ledger.Hash
	sealed []byte
	wrap   rows.Wrap
	k      [32]byte
}

func (o Opener) open(ctx context.Context, index uint64, leaf []byte) (opened sequencer.Event, with sealedWith, err error) {
	row, err := o.Rows.Get(ctx, store.TableBody, rows.LeafKey(o.Epoch, index))
	if err != nil {
		return opened, with, err
	}
	if row == nil {
		return opened, with, fmt.Errorf("event %d: %w", index, ErrErased)
	}
	e, err := rows.ParseEvent(&o.Handle, o.Epoch, index, row)
	if err == nil {
		with, err = o.key(ctx, e.Handle, e.Sealed)
	}
	if err != nil {
		return opened, with, fmt.Errorf("event %d: %w", index, err)
	}
	nonce, body, err := seal.OpenEvent(&with.k, leaf, e.Sealed)
	if err != nil && o.Erased(e.Handle) {
		err = ErrErased
	}
	if err != nil {
		return opened, with, fmt.Errorf("event %d: %w", index, err)
	}
	return sequencer.Event{Leaf: leaf, Nonce: nonce, Body: body, I: e.I, J: e.J}, with, nil
}

// OpenPrivate returns the private part of the receipt whose first event is the
// leaf at this index, verified against the digest that the receipt commits to.
// ErrErased where the key that sealed it is gone.
func (o Opener) OpenPrivate(ctx context.Context, first uint64, digest ledger.Hash) (salt [32]byte, content []byte, err error) {
	row, err := o.Rows.Get(ctx, store.TablePrivate, rows.LeafKey(o.Epoch, first))
	if err != nil {
		return salt, nil, err
	}
	if row == nil {
		return salt, nil, fmt.Errorf("private part of event %d: %w", first, ErrErased)
	}
	p, err := rows.ParsePrivate(&o.Handle, o.Epoch, first, row)
	if err != nil {
		return salt, nil, fmt.Errorf("private part of event %d: %w", first, err)
	}
	with, err := o.key(ctx, p.Handle, p.Sealed)
	if err == nil {
		salt, content, err = seal.OpenPrivate(&with.k, digest, p.Sealed)
	}
	if err != nil {
		return salt, nil, fmt.Errorf("private part of event %d: %w", first, err)
	}
	return salt, content, nil
}

// key unwraps the key that opens what is sealed.
func (o Opener) key(ctx context.Context, handle ledger.Hash, sealed []byte) (with sealedWith, err error) {
	row, err := o.Rows.Get(ctx, store.TableWrap, handle[:])
	if err != nil {
		return with, err
	}
	if row == nil {
		return with, ErrErased
	}
	with.handle, with.sealed = handle, sealed
	if with.wrap, err = rows.ParseWrap(row); err != nil {
		return with, err
	}
	with.k, err = o.Months.Unwrap(with.wrap.Month, handle, with.wrap.Stored)
	if errors.Is(err, keys.ErrDestroyed) {
		err = ErrErased
	}
	return with, err
}

// answer puts together what the submitter gets, and verifies it as they will.
func (y *year) answer(ctx context.Context, r *ledger.SignedReceipt, scope string, c *sequencer.Committed) (*ledger.Answer, error) {
	a := &ledger.Answer{
		ReceiptID: r.Iss + "/" + r.JTI, Origin: y.origin,
		FirstIndex: c.First, Count: c.Count, Checkpoint: string(c.Latest.Checkpoint),
		Entries: make([]ledger.AnswerEntry, c.Count),
	}
	for i, e := range c.Events {
		a.Entries[i] = ledger.AnswerEntry{Index: c.First + uint64(i), Nonce: e.Nonce[:], Number: number(r, scope, e)}
	}
	var err error
	if a.Key, err = y.proveKey(ctx, r, c.Latest); err != nil {
		return nil, err
	}
	if c.Count > ledger.MaxSingleProofs {
		return a, y.addRange(ctx, a, r, c)
	}
	for i, e := range c.Events {
		entry := &a.Entries[i]
		entry.Leaf, entry.Body = e.Leaf, e.Body
		if entry.Proof, err = y.prove(ctx, entry.Index, e.Leaf, c.Latest); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// prove returns the offline proof of one leaf, after verifying it.
func (y *year) prove(ctx context.Context, index uint64, leaf []byte, at sequencer.Latest) (string, error) {
	hashes, err := y.shard.Inclusion(ctx, index, at.Root.Size)
	if err != nil {
		return "", fmt.Errorf("couldn't prove entry %d: %w", index, err)
	}
	p := checkpoint.Proof{Index: index, Hashes: hashes, Checkpoint: at.Checkpoint}
	if err := p.Check(ledger.HashLeaf(leaf), checkpoint.Checkpoint{Size: at.Root.Size, Root: at.Root.Hash}); err != nil {
		return "", fmt.Errorf("refusing to send a proof of entry %d that doesn't verify: %w", index, err)
	}
	return string(checkpoint.FormatProof(p)), nil
}

// keyProofs remembers the records that registered keys, proven: few bodies sign
// many receipts, and those of one commit all lead to one checkpoint.
type keyProofs struct {
	mu     sync.Mutex
	proven map[uint64]provenKey // by log index; guarded by mu
}

type provenKey struct {
	size uint64 // of the log that the proof is for
	key  *ledger.AnswerKey
}

// keptKeys bounds them; each is some 1.5 kB.
const keptKeys = 4096

func (k *keyProofs) get(index uint64) provenKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proven[index]
}

func (k *keyProofs) put(p provenKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.proven == nil || len(k.proven) >= keptKeys {
		k.proven = make(map[uint64]provenKey)
	}
	k.proven[p.key.Index] = p
}

// proveKey returns the record that registered the receipt's key, proven.
func (y *year) proveKey(ctx context.Context, r *ledger.SignedReceipt, at sequencer.Latest) (*ledger.AnswerKey, error) {
	index, ok := y.registry.KeyIndex(r.Iss, r.JWS.Header.Kid)
	if !ok {
		return nil, fmt.Errorf("the key of receipt %s isn't in the registry", r.ReceiptID())
	}
	known := y.keyProofs.get(index)
	if known.size == at.Root.Size {
		return known.key, nil
	}
	key := &ledger.AnswerKey{Index: index}
	if known.key != nil {
		key.Leaf = known.key.Leaf
	} else {
		leaves, err := y.shard.Leaves(ctx, index, 1)
		if err != nil || len(leaves) != 1 {
			return nil, fmt.Errorf("couldn't read record %d: %w", index, err)
		}
		key.Leaf = leaves[0]
	}
	var err error
	if key.Proof, err = y.prove(ctx, index, key.Leaf, at); err != nil {
		return nil, err
	}
	y.keyProofs.put(provenKey{at.Root.Size, key})
	return key, nil
}

// number tells the submitter its own number only (formats §3): i to the
// scope's party, j to the consumer.
func number(r *ledger.SignedReceipt, scope string, e sequencer.Event) *uint64 {
	var own uint64
	switch r.Iss {
	case scope:
		own = uint64(e.I)
	case r.Consumer:
		own = e.J
	default:
		return nil
	}
	return &own
}

// addRange proves all entries at once: the leaves, and the compact ranges left
// and right of them at the checkpoint's size.
func (y *year) addRange(ctx context.Context, a *ledger.Answer, r *ledger.SignedReceipt, c *sequencer.Committed) error {
	size, end := c.Latest.Root.Size, c.First+uint64(c.Count)
	left, right, err := y.shard.Range(ctx, c.First, end, size)
	if err != nil {
		return fmt.Errorf("couldn't prove entries %d to %d: %w", c.First, end, err)
	}
	a.Receipt, a.Entries[0].Body = r.Compact, c.Events[0].Body
	a.Range = &ledger.AnswerRange{Left: left, Right: right}
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	all, err := factory.NewRange(0, c.First, byteSlices(left))
	if err != nil {
		return fmt.Errorf("couldn't prove entries %d to %d: %w", c.First, end, err)
	}
	for _, e := range c.Events {
		a.Range.Leaves = append(a.Range.Leaves, e.Leaf...)
		leaf := ledger.HashLeaf(e.Leaf)
		if err := all.Append(leaf[:], nil); err != nil {
			return fmt.Errorf("couldn't prove entries %d to %d: %w", c.First, end, err)
		}
	}
	rest, err := factory.NewRange(end, size, byteSlices(right))
	if err == nil {
		err = all.AppendRange(rest, nil)
	}
	if err != nil {
		return fmt.Errorf("couldn't prove entries %d to %d: %w", c.First, end, err)
	}
	root, err := all.GetRootHash(nil)
	if err != nil || ledger.Hash(root) != c.Latest.Root.Hash {
		return fmt.Errorf("refusing to send a range proof of entries %d to %d that doesn't verify", c.First, end)
	}
	return nil
}

func byteSlices(hashes []ledger.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}
