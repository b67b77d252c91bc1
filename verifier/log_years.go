// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

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

const (
	// announcedWithin is how many leaves before the end are read at once, and at a time.
	announcedWithin = 16 * checkpoint.TileWidth
	// longYear is the size of a log from which on December's first leaves are looked for: of a whole country's there are a
	// thousand million after them.
	longYear = 8 * announcedWithin
	// headWithinLeaves is how far on a head is looked for, and inDecember how many of its leaves are read: some minutes of
	// a busy log.
	headWithinLeaves = 4 * announcedWithin
	inDecember       = 16 * announcedWithin
)

// End reads the end of a log at a checkpoint that Log has taken: its last leaf and, if that is the final head, the record that
// announces the next year's log: among the last leaves; else where December begins, which the ledger announces it with, found
// by the heads' instants; else backwards to the first leaf. read is told how many leaves were read.
func End(ctx context.Context, f checkpoint.Fetcher, at checkpoint.Checkpoint, read func(leaves int)) (*LogEnd, error) {
	name, epoch, err := ledger.ParseOrigin(at.Origin)
	if err != nil || at.Size == 0 {
		return &LogEnd{}, err
	}
	e := logEnd{f, at, epoch, ledger.Origin(name, epoch+1), read}
	last := (at.Size - 1) / checkpoint.TileWidth * checkpoint.TileWidth // most logs haven't ended
	leaves, err := e.leaves(ctx, last, at.Size)
	if err != nil {
		return nil, err
	}
	if !isFinal(leaves[len(leaves)-1], epoch) {
		return &LogEnd{}, nil
	}
	k := e.among(leaves)
	searched := false
	for to := last; k == nil && to > 0; {
		from := to - min(to, announcedWithin)
		if leaves, err = e.leaves(ctx, from, to); err != nil {
			return nil, err
		}
		if k = e.among(leaves); k == nil && from >= longYear && !searched {
			searched = true
			if k, err = e.december(ctx, from); err != nil {
				return nil, err
			}
		}
		to = from
	}
	return &LogEnd{Final: true, Next: k}, nil
}

// logEnd is one run of End.
type logEnd struct {
	fetch checkpoint.Fetcher
	at    checkpoint.Checkpoint
	epoch uint32
	next  string // origin of the next year's log
	read  func(leaves int)
}

func (e *logEnd) leaves(ctx context.Context, from, to uint64) ([][]byte, error) {
	leaves, err := checkpoint.Leaves(ctx, e.fetch, e.at, from, to)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the end of the log: %w", err)
	}
	e.read(len(leaves))
	return leaves, nil
}

// among returns the last announcement among leaves; nil if there is none.
func (e *logEnd) among(leaves [][]byte) *registry.LogKey {
	for _, raw := range slices.Backward(leaves) {
		if k, ok := announcement(raw, e.epoch); ok && k.Origin == e.next {
			return &k
		}
	}
	return nil
}

// december looks for the announcement where December begins, before leaf to: nil if it isn't there.
func (e *logEnd) december(ctx context.Context, to uint64) (*registry.LogKey, error) {
	begins := time.Date(int(e.epoch), time.December, 1, 0, 0, 0, 0, time.UTC)
	// The first tile after whose beginning the next head is one of December.
	first, after := uint64(0), to/checkpoint.TileWidth
	for first < after {
		tile := (first + after) / 2
		head, err := e.headAfter(ctx, tile*checkpoint.TileWidth, to)
		switch {
		case err != nil:
			return nil, err
		case head.IsZero() || !head.Before(begins):
			after = tile
		default:
			first = tile + 1
		}
	}
	from := (first - min(first, 1)) * checkpoint.TileWidth
	for end := min(to, from+inDecember); from < end; from += announcedWithin {
		leaves, err := e.leaves(ctx, from, min(end, from+announcedWithin))
		if err != nil {
			return nil, err
		}
		if k := e.among(leaves); k != nil {
			return k, nil
		}
	}
	return nil, nil
}

// headAfter returns the instant of the first head from a leaf on; zero if there is none soon.
func (e *logEnd) headAfter(ctx context.Context, from, to uint64) (time.Time, error) {
	for end := min(to, from+headWithinLeaves); from < end; from += checkpoint.TileWidth {
		leaves, err := e.leaves(ctx, from, min(end, from+checkpoint.TileWidth))
		if err != nil {
			return time.Time{}, err
		}
		for _, raw := range leaves {
			leaf, err := ledger.ParseLeaf(raw)
			if head, ok := leaf.(ledger.Head); ok && err == nil && head.Epoch == e.epoch {
				return instantOf(head.UnixMS), nil
			}
		}
	}
	return time.Time{}, nil
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
