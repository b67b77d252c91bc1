// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// LogEnd says whether a log's last leaf is its final head, and what it announced of the next year's log.
type LogEnd struct {
	Final bool
	Next  *registry.LogKey // nil for none
}

// announcedWithin is how many leaves before the end are read at a time, the announcement being among the last ones most
// likely.
const announcedWithin = 16 * checkpoint.TileWidth

// End reads the end of a log at a checkpoint that Log has taken: its last leaf and, if that is the final head, backwards to
// the last record that announces the next year's log. read is told how many leaves were read.
func End(ctx context.Context, f checkpoint.Fetcher, at checkpoint.Checkpoint, read func(leaves int)) (*LogEnd, error) {
	name, epoch, err := ledger.ParseOrigin(at.Origin)
	if err != nil || at.Size == 0 {
		return &LogEnd{}, err
	}
	next := ledger.Origin(name, epoch+1)
	for to := at.Size; to > 0; {
		from := to - min(to, announcedWithin)
		if to == at.Size {
			from = (to - 1) / checkpoint.TileWidth * checkpoint.TileWidth // most logs haven't ended
		}
		leaves, err := checkpoint.Leaves(ctx, f, at, from, to)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the end of the log: %w", err)
		}
		read(len(leaves))
		if to == at.Size && !isFinal(leaves[len(leaves)-1], epoch) {
			return &LogEnd{}, nil
		}
		for i := len(leaves) - 1; i >= 0; i-- {
			if k, ok := announcement(leaves[i], epoch); ok && k.Origin == next {
				return &LogEnd{Final: true, Next: &k}, nil
			}
		}
		to = from
	}
	return &LogEnd{Final: true}, nil
}

func isFinal(raw []byte, epoch uint32) bool {
	leaf, err := ledger.ParseLeaf(raw)
	head, ok := leaf.(ledger.Head)
	return err == nil && ok && head.Final && head.Epoch == epoch
}

func announcement(raw []byte, epoch uint32) (k registry.LogKey, ok bool) {
	leaf, err := ledger.ParseLeaf(raw)
	record, is := leaf.(ledger.Record)
	if err != nil || !is || record.Epoch != epoch {
		return k, false
	}
	parsed, err := registry.ParseRecord(record.JSON)
	k, ok = parsed.(registry.LogKey)
	return k, ok && err == nil
}

// Roll is Log for the first look at the log of the year after one that ended: the key is the announced one, and the log
// must follow on the old one's last checkpoint; one that doesn't is a fork. The error wraps fs.ErrNotExist while that log
// isn't open yet.
func Roll(ctx context.Context, f checkpoint.Fetcher, old checkpoint.Checkpoint, next *registry.LogKey) (*LogReport, error) {
	key, err := checkpoint.ParseKey(next.VKey)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the announced key: %w", err)
	}
	r, err := Log(ctx, f, []note.Verifier{key}, nil)
	if err != nil || r.Alarm != AlarmNone {
		return r, err
	}
	if r.New.Size == 0 {
		return nil, errors.New("the next log is empty")
	}
	first, err := checkpoint.Leaves(ctx, f, r.New, 0, 1)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the next log's preamble: %w", err)
	}
	leaf, err := ledger.ParseLeaf(first[0])
	p, ok := leaf.(ledger.Preamble)
	if err != nil || !ok || p.PreviousSize != old.Size || p.PreviousRoot != old.Root {
		r.Alarm, r.State = AlarmFork, nil
		r.Problem = problem(CodePreviousLog, leafAt(0), fmt.Sprintf("a preamble that follows on %s of size %d with root %x", old.Origin, old.Size, old.Root), "another")
		return r, nil
	}
	r.State.Key = next.VKey
	return r, nil
}

// Latest follows a ledger from a log whose keys the caller trusts to that of its latest year, from year to year as Roll does,
// and returns that log's epoch and, where a log before announced it, its key. The error also says of a log that it isn't as
// it should be.
func Latest(ctx context.Context, year func(epoch uint32) checkpoint.Fetcher, epoch uint32, logs []note.Verifier) (latest uint32, next *registry.LogKey, err error) {
	r, err := Log(ctx, year(epoch), logs, nil)
	for {
		if err != nil {
			return epoch, nil, err
		}
		if r.Problem != nil {
			return epoch, nil, r.Problem
		}
		end, err := End(ctx, year(epoch), r.New, func(int) {})
		if err != nil || !end.Final || end.Next == nil {
			return epoch, next, err
		}
		after, err := Roll(ctx, year(epoch+1), r.New, end.Next)
		if errors.Is(err, fs.ErrNotExist) {
			return epoch, next, nil
		}
		if err != nil {
			return epoch, nil, err
		}
		epoch, next, r = epoch+1, end.Next, after
	}
}
