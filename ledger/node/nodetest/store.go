// SPDX-License-Identifier: EUPL-1.2

package nodetest

import (
	"context"
	"sync"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// FailingStore is a store of which a test makes one Commit fail.
type FailingStore struct {
	store.Store
	mu            sync.Mutex
	before, after error
}

// Arm makes the next Commit fail with before, and do nothing; or, where that is nil, be done and fail with after all the same.
func (s *FailingStore) Arm(before, after error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

// Commit implements store.Store.
func (s *FailingStore) Commit(ctx context.Context, expect, write []store.Row) error {
	s.mu.Lock()
	before, after := s.before, s.after
	s.before, s.after = nil, nil
	s.mu.Unlock()
	if before != nil {
		return before
	}
	if err := s.Store.Commit(ctx, expect, write); err != nil {
		return err
	}
	return after
}
