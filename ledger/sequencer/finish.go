// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// errYearRuns: Finish was called before the year was over.
var errYearRuns = errors.New("the year of this shard isn't over")

// Finish ends the shard, once its year is over: it appends the records, if any,
// and the final head. From then on the sequencer still answers AtHead, and
// everybody else gets ErrYearOver. Called again it does nothing.
//
// The final head states the instant at which it is written, which is after the
// year: heads never lie about their time, and no event of the year can follow.
func (s *Sequencer) Finish(ctx context.Context, records ...[]byte) error {
	_, err := s.enqueue(ctx, &job{finish: true, records: records})
	return err
}

// Finished says whether the shard has its final head.
func (s *Sequencer) Finished() bool { return s.finished.Load() }

// end is Finish in the loop's goroutine.
func (s *Sequencer) end(j *job) {
	switch {
	case s.Err() != nil:
		answer(j, nil, fmt.Errorf("%w: %w", ErrStopped, s.Err()))
		return
	case s.finished.Load():
		answer(j, nil, nil)
		return
	case ledger.EpochOf(s.Now()) <= s.Epoch:
		answer(j, nil, errYearRuns)
		return
	}
	s.ending = true
	var err error
	if len(j.records) > 0 {
		err = s.one(&job{records: j.records})
	}
	if err == nil {
		err = s.one(&job{head: true})
	}
	if s.ending = false; err == nil {
		s.finished.Store(true)
		s.counters.Purge()
		s.subjectKs.Purge()
	}
	answer(j, nil, err)
}

// one commits a job of its own.
func (s *Sequencer) one(j *job) error {
	j.final, j.since = make(chan result, 1), time.Now()
	s.commit([]*job{j})
	return (<-j.final).err
}

// keepIdle is how long the index of a finished shard stays in memory after the
// last question.
const keepIdle = 10 * time.Minute

// rest forgets the keys of a finished shard; the key file has them.
func (f *follower) rest() {
	f.keepAll()
	f.tree = nil
}

// wake reads them again for this caller, who gets the error if there is one.
func (f *follower) wake(a *ask) bool {
	g := newFollower(f.cfg)
	leaf, err := ledger.ParseLeaf(f.head.Leaf)
	if err == nil {
		head := leaf.(ledger.Head)
		err = g.read(context.Background(), f.size, f.head.Index, &head)
	}
	if err != nil {
		a.refuse(err)
		return false
	}
	g.keepAll()
	f.tree = g.tree
	return true
}
