// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// logFindings is what the first reading learns.
type logFindings struct {
	replay   replay.Report
	registry *registry.Registry
	preamble *ledger.Preamble
	broken   bool // leaves are missing: tree, index and heads weren't verified
}

const tileHeight, tileWidth = 8, 256

// logReading is the first reading of a shard: leaves in order.
type logReading struct {
	*shard
	tree   *compact.Range
	open   [8][]byte // by tile level, hashes of the tile that is being filled
	follow *replay.Reader
	next   uint64 // index of the next leaf

	wantByHash sum // over the leaves, of their rows by hash
	tiles      uint64
	records    uint64
	published  *checkpoint.Checkpoint
	ctx        context.Context
	err        error // of the store, met in a callback that returns none
}

// sum is a hash over a set of rows, in any order.
type sum [32]byte

func (s *sum) add(prefix engine.LeafHashPrefix, index uint64) {
	one := sha256.Sum256(binary.BigEndian.AppendUint64(prefix[:], index))
	for i := range s {
		s[i] ^= one[i]
	}
}

func (s *shard) readLog(ctx context.Context) error {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	follow, err := replay.New(s.origin)
	if err != nil {
		return err
	}
	r := &logReading{shard: s, tree: factory.NewEmptyRange(0), follow: follow, ctx: ctx}
	s.log.registry = registry.New(s.Name)
	if r.published, err = s.readPublished(); err != nil {
		return err
	}
	err = engine.StoredLeaves(ctx, s.Rows, s.epoch, 0, 1<<63, r.leaf)
	if err = errors.Join(err, r.err); err != nil {
		return fmt.Errorf("couldn't read the leaves: %w", err)
	}
	if r.next != s.root.Size {
		s.report.problem(CodeMissing, fmt.Sprintf("leaf/%d or root/%d", r.next, s.epoch), fmt.Sprintf("%d leaves, as the root says", s.root.Size), fmt.Sprint(r.next))
	}
	for _, part := range []func() error{r.endTree, r.byHash, r.recordRows} {
		if err := part(); err != nil {
			return err
		}
	}
	r.endReplay()
	return nil
}

// readPublished opens the last checkpoint that this ledger published.
func (s *shard) readPublished() (*checkpoint.Checkpoint, error) {
	signed, err := s.Keys.Published(s.epoch)
	if err != nil || signed == nil {
		return nil, err
	}
	where := fmt.Sprintf("published/%d", s.epoch)
	cp, err := checkpoint.Open(signed, s.verifier)
	if err != nil {
		s.report.problem(CodeMismatch, where, "a checkpoint signed by "+s.verifier.Name(), "another")
		return nil, nil
	}
	if cp.Size > s.root.Size {
		s.report.problem("behind", where, fmt.Sprintf("a log of %d leaves or more", cp.Size), fmt.Sprintf("%d leaves", s.root.Size))
		return nil, nil
	}
	return &cp, nil
}

// leaf reads the next leaf row.
func (r *logReading) leaf(index uint64, leaf []byte) error {
	if index != r.next {
		r.report.problem(CodeMissing, at(store.TableLeaf, r.next), "a leaf", fmt.Sprintf("none before %d", index))
		r.log.broken = true
	}
	r.next = index + 1
	if index >= r.root.Size {
		r.report.problem(CodeUnexpected, at(store.TableLeaf, index), fmt.Sprintf("no leaf beyond %d", r.root.Size), "one")
		return nil
	}
	if leaf == nil {
		r.report.problem(CodeMalformed, at(store.TableLeaf, index), "a leaf", "another row")
		r.log.broken = true
		return nil
	}
	hash := ledger.HashLeaf(leaf)
	r.wantByHash.add(engine.PrefixOf(hash), index)
	r.Progress(1)
	parsed, err := ledger.ParseLeaf(leaf)
	if record, ok := parsed.(ledger.Record); ok && err == nil {
		r.record(index, record)
	}
	if p, ok := parsed.(ledger.Preamble); ok && index == 0 {
		r.log.preamble = &p
	}
	if r.log.broken {
		return r.err
	}
	switch seen := r.follow.Add(leaf); {
	case !seen.Counts:
	case seen.Head != nil:
		r.totals.reader.Head(index, seen.Head.UnixMS, seen.Head.Final)
	default:
		if _, event := parsed.(ledger.Event); event {
			r.totals.reader.Event()
		}
	}
	// It can only fail for lack of a hash function.
	_ = r.tree.Append(hash[:], r.node)
	if r.published != nil && r.published.Size == r.tree.End() {
		r.comparePublished()
	}
	return r.err
}

func (r *logReading) comparePublished() {
	if root := r.treeRoot(); root != r.published.Root {
		r.report.problem("fork", fmt.Sprintf("published/%d", r.epoch),
			fmt.Sprintf("root %x at size %d, as was published", r.published.Root, r.published.Size), hexOf(root))
	}
}

func (r *logReading) treeRoot() ledger.Hash {
	hash, _ := r.tree.GetRootHash(nil)
	if hash == nil {
		return ledger.Hash(rfc6962.DefaultHasher.EmptyRoot())
	}
	return ledger.Hash(hash)
}

// node takes each node that the tree completes.
func (r *logReading) node(id compact.NodeID, hash []byte) {
	if id.Level%tileHeight != 0 {
		return
	}
	level := id.Level / tileHeight
	r.open[level] = append(r.open[level], hash...)
	if len(r.open[level]) == tileWidth*len(ledger.Hash{}) {
		r.compareTile(level, id.Index/tileWidth)
		r.open[level] = r.open[level][:0]
	}
}

// compareTile compares the open tile of a level with its row.
func (r *logReading) compareTile(level uint, index uint64) {
	if r.err != nil {
		return
	}
	r.tiles++
	want := r.open[level]
	got, err := engine.StoredTile(r.ctx, r.Rows, r.epoch, level, index)
	where := fmt.Sprintf("tile/%d/%d", level, index)
	switch {
	case err != nil:
		r.err = err
	case got == nil:
		r.report.problem(CodeMissing, where, fmt.Sprintf("%d hashes", len(want)/32), "no row")
	case len(got) != len(want):
		r.report.problem(CodeMismatch, where, fmt.Sprintf("%d hashes", len(want)/32), fmt.Sprintf("%d bytes", len(got)))
	default:
		for i := 0; i < len(want); i += 32 {
			if bytes.Equal(want[i:i+32], got[i:i+32]) {
				continue
			}
			place := where
			if level == 0 {
				place = at(store.TableLeaf, index*tileWidth+uint64(i/32)) + " or " + where
			}
			r.report.problem(CodeMismatch, place, fmt.Sprintf("the hash %x that the leaves give", want[i:i+32]), fmt.Sprintf("%x", got[i:i+32]))
		}
	}
}

// endTree compares the tiles at the right edge and the root, and looks for tiles that don't belong.
func (r *logReading) endTree() error {
	if r.log.broken {
		r.report.problem(CodeUnverified, fmt.Sprintf("epoch/%d", r.epoch), "tree, index and heads recomputed from all leaves", "leaves are missing")
		return nil
	}
	for level := range r.open {
		if len(r.open[level]) > 0 {
			r.compareTile(uint(level), r.tree.End()>>(tileHeight*(level+1)))
		}
	}
	if r.err != nil {
		return fmt.Errorf("couldn't read the tiles: %w", r.err)
	}
	if root := r.treeRoot(); root != r.root.Hash {
		r.report.problem(CodeMismatch, fmt.Sprintf("root/%d", r.epoch), "the root that the leaves give, "+hexOf(root), hexOf(r.root.Hash))
	}
	stored := uint64(0)
	err := engine.StoredTiles(r.ctx, r.Rows, r.epoch, func(level uint, index uint64, _ []byte) error {
		stored++
		if level >= uint(len(r.open)) || index*tileWidth >= r.tree.End()>>(tileHeight*level) {
			r.report.problem(CodeUnexpected, fmt.Sprintf("tile/%d/%d", level, index), "no such tile in this log", "one")
		}
		return nil
	})
	return err
}

// byHash compares the rows that find a leaf by its hash, all at once, and looks closer only where they differ.
func (r *logReading) byHash() error {
	var got sum
	err := engine.StoredLeafHashes(r.ctx, r.Rows, r.epoch, func(prefix engine.LeafHashPrefix, index uint64) error {
		got.add(prefix, index)
		return nil
	})
	if err != nil || got == r.wantByHash {
		return err
	}
	missing := false
	err = engine.StoredLeaves(r.ctx, r.Rows, r.epoch, 0, r.root.Size, func(index uint64, leaf []byte) error {
		if leaf == nil {
			return nil
		}
		ok, err := engine.HasLeafHash(r.ctx, r.Rows, r.epoch, ledger.HashLeaf(leaf), index)
		if err == nil && !ok {
			missing = true
			r.report.problem(CodeMissing, at(store.TableLeafHash, index), "a row by this leaf's hash", "none")
		}
		return err
	})
	if err != nil {
		return err
	}
	if !missing {
		r.report.problem(CodeUnexpected, store.TableLeafHash.String(), "one row for each leaf", "more")
	}
	return nil
}

// record folds a record and compares it with its row.
func (r *logReading) record(index uint64, record ledger.Record) {
	r.records++
	r.report.Records++
	if err := r.log.registry.Apply(index, record.JSON); err != nil {
		var cause *ledger.Problem
		errors.As(err, &cause) // Apply returns no other
		r.report.problem("refused_record", at(store.TableLeaf, index)+"#"+cause.Where, cause.Expected, cause.Found)
	}
	if statistics.Is(record.JSON) {
		for _, p := range r.totals.reader.Record(index, record.JSON) {
			r.report.problem(p.Code, at(store.TableLeaf, index), p.Expected, p.Found)
		}
	}
	row, err := r.Rows.Get(r.ctx, store.TableRecord, rows.LeafKey(r.epoch, index))
	switch {
	case err != nil:
		r.err = fmt.Errorf("couldn't read a record's row: %w", err)
	case row == nil:
		r.report.problem(CodeMissing, at(store.TableRecord, index), "the record of this leaf", "no row")
	case !bytes.Equal(row, record.JSON):
		r.report.problem(CodeMismatch, at(store.TableRecord, index), "the record of this leaf", "other bytes")
	}
}

// recordRows looks for rows of records that no leaf states.
func (r *logReading) recordRows() error {
	from, to := rows.LeafKey(r.epoch, 0), store.After(rows.LeafKey(r.epoch, 0)[:4])
	return r.Rows.Scan(r.ctx, store.TableRecord, from, to, 0, func(key, value []byte) error {
		_, index, err := rows.ParseLeafKey(key)
		if err != nil {
			r.report.problem(CodeMalformed, store.TableRecord.String(), "a key of 12 bytes", fmt.Sprintf("%d bytes", len(key)))
			return nil
		}
		if r.isRecord(index) {
			return nil
		}
		r.report.problem(CodeUnexpected, at(store.TableRecord, index), "a record only where a leaf states it", "a row")
		return r.err
	})
}

func (r *logReading) isRecord(index uint64) bool {
	is := false
	err := engine.StoredLeaves(r.ctx, r.Rows, r.epoch, index, index+1, func(_ uint64, leaf []byte) error {
		parsed, err := ledger.ParseLeaf(leaf)
		_, is = parsed.(ledger.Record)
		is = is && err == nil
		return nil
	})
	r.err = errors.Join(r.err, err)
	return is
}

// endReplay takes over what the leaves say by themselves.
func (r *logReading) endReplay() {
	r.log.replay = r.follow.Report()
	report := r.log.replay
	r.report.Events += report.Events
	r.report.Heads += len(report.Heads)
	for _, h := range report.Heads {
		if wrong := h.Wrong(); len(wrong) > 0 {
			r.report.problem("wrong_head", at(store.TableLeaf, h.Leaf),
				fmt.Sprintf("%d keys, root %x, scopes %x, and a later time than the head before", h.WantKeys, h.WantRoot, h.WantScopes), fmt.Sprintf("another %v", wrong))
		}
	}
	for _, d := range report.Duplicates {
		r.report.problem("duplicate_tag", at(store.TableLeaf, d.Again), d.Tag+" tag that stands nowhere else", fmt.Sprintf("that of leaf %d", d.First))
	}
	for _, p := range report.Problems {
		r.report.problem(p.Code, at(store.TableLeaf, p.Leaf), "a leaf as the formats say", p.What)
	}
	r.preamble()
}

// preamble compares leaf 0 with the keys and with the shard before.
func (r *logReading) preamble() {
	p := r.log.preamble
	if p == nil {
		return // the replay said so
	}
	vrf, err := r.Keys.VRF(r.epoch)
	switch {
	case errors.Is(err, keys.ErrDestroyed):
	case err != nil:
		r.report.problem(CodeMissing, fmt.Sprintf("keys/%d", r.epoch), "the shard's VRF key", err.Error())
	case vrf.Public() != p.VRFKey:
		r.report.problem(CodeMismatch, at(store.TableLeaf, 0), fmt.Sprintf("the VRF key %x beside the store", vrf.Public()), fmt.Sprintf("%x", p.VRFKey))
	}
	var before engine.Root
	if r.shard.before != nil {
		before = r.shard.before.root
	}
	if p.PreviousSize != before.Size || p.PreviousRoot != before.Hash {
		r.report.problem(CodeMismatch, at(store.TableLeaf, 0),
			fmt.Sprintf("the shard before, of size %d and root %x", before.Size, before.Hash), fmt.Sprintf("size %d, root %x", p.PreviousSize, p.PreviousRoot))
	}
}
