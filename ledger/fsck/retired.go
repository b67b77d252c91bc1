// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"sort"
	"time"

	"github.com/traccia-ledger/traccia/ledger/seal"
)

// retired says whether a leaf may be of a month whose retention ended: the month of the head before it or after it was
// destroyed. Of its events bodies, private parts and wrapped keys are gone; the running numbers are left.
func (s *shard) retired(index uint64) bool {
	heads := s.log.replay.Heads
	next := sort.Search(len(heads), func(i int) bool { return heads[i].Leaf > index })
	for i := max(next-1, 0); i <= next && i < len(heads); i++ {
		if _, destroyed := s.Keys.Version(seal.Month(time.UnixMilli(int64(heads[i].UnixMS)))); destroyed {
			return true
		}
	}
	return false
}
