// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// months unwraps keys and remembers them. It is safe for concurrent use.
type months struct {
	dir   *keys.Dir
	cache *lru.Cache[ledger.Hash, unwrapped]
}

// unwrapped is what became of one wrapped key.
type unwrapped struct {
	state state
	k     [32]byte
	month string
	found string // why it is lost
}

// state of a sealing key.
type state uint8

const (
	lost   state = iota // it should be there
	usable              // k opens what it sealed
	erased              // destroyed on purpose
)

func newMonths(dir *keys.Dir) *months {
	cache, err := lru.New[ledger.Hash, unwrapped](1 << 16)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &months{dir, cache}
}

// key returns the sealing key in the wrap of a handle.
func (c *check) key(ctx context.Context, handle ledger.Hash) (unwrapped, error) {
	if u, ok := c.months.cache.Get(handle); ok {
		return u, nil
	}
	row, err := c.Rows.Get(ctx, store.TableWrap, handle[:])
	if err != nil {
		return unwrapped{}, fmt.Errorf("couldn't read a wrapped key: %w", err)
	}
	u := c.months.unwrap(handle, row)
	if u.state == lost && c.erased[handle] {
		// The journal names a wrap of this handle: whatever was sealed before that doesn't open.
		u.state = erased
	}
	c.months.cache.Add(handle, u)
	return u, nil
}

func (m *months) unwrap(handle ledger.Hash, row []byte) unwrapped {
	if row == nil {
		return unwrapped{found: "no wrapped key, and no erasure of it in the journal"}
	}
	wrap, err := rows.ParseWrap(row)
	if err != nil {
		return unwrapped{found: "a malformed wrapped key"}
	}
	u := unwrapped{month: wrap.Month}
	version, stored, err := keys.ParseWrap(wrap.Stored)
	if err != nil {
		u.found = "a malformed wrapped key"
		return u
	}
	under, err := m.dir.MonthKey(wrap.Month, version)
	switch {
	case errors.Is(err, keys.ErrDestroyed) && !slices.Contains(m.dir.Months(), wrap.Month):
		u.state = erased
		return u
	case errors.Is(err, keys.ErrDestroyed):
		u.found = fmt.Sprintf("a key wrapped under version %d of %s, which an erasure destroyed without rewrapping it", version, wrap.Month)
		return u
	case err != nil:
		u.found = fmt.Sprintf("a key wrapped under version %d of %s, which isn't among the month keys", version, wrap.Month)
		return u
	}
	if u.k, err = seal.Unwrap(&under, handle, stored); err != nil {
		u.found = "a wrapped key that its month's key doesn't open"
		return u
	}
	u.state = usable
	return u
}

// tags recomputes the keys of tags. It is safe for concurrent use.
type tags struct {
	key   *vrf.PrivateKey // nil when it was destroyed
	epoch uint32
	cache *lru.Cache[[16]byte, [32]byte]
}

func newTags(key *vrf.PrivateKey, epoch uint32) *tags {
	cache, err := lru.New[[16]byte, [32]byte](1 << 17)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &tags{key, epoch, cache}
}

// output is the first half of the VRF's output for alpha.
func (t *tags) output(alpha []byte) [32]byte {
	sum := sha256.Sum256(alpha)
	id := [16]byte(sum[:])
	if k, ok := t.cache.Get(id); ok {
		return k
	}
	beta := t.key.Output(alpha)
	k := [32]byte(beta[:32])
	t.cache.Add(id, k)
	return k
}
