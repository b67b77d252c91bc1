// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"context"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
)

// forgetting is the part of an erasure during which nothing is recorded.
type forgetting struct {
	handles []ledger.Hash
	do      func() error
}

// Forget calls do while nothing is numbered, sealed or wrapped, and then forgets the sealing keys of these handles, or of
// all where there are none: what was recorded before is durable, and what comes after reads or makes their wraps anew. do must be short, since everyone
// waits for it. It runs to its end even if the caller gives up, so there is no context; its error is returned as it is.
func (s *Sequencer) Forget(handles []ledger.Hash, do func() error) error {
	_, err := s.enqueue(context.Background(), &job{forget: &forgetting{handles, do}})
	return err
}

// forget runs in the loop's goroutine.
func (s *Sequencer) forget(j *job) {
	if err := s.Err(); err != nil {
		answer(j, nil, fmt.Errorf("%w: %w", ErrStopped, err))
		return
	}
	if s.finished.Load() {
		answer(j, nil, ErrYearOver)
		return
	}
	err := j.forget.do()
	// Also after an error: what it left of the wraps is in the store.
	if len(j.forget.handles) == 0 {
		s.subjectKs.Purge()
	}
	for _, handle := range j.forget.handles {
		s.subjectKs.Remove(handle)
	}
	answer(j, nil, err)
}
