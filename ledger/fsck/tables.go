// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// wraps reads all wrapped keys: those that nothing uses, which weren't looked at yet.
func (c *check) wraps(ctx context.Context) error {
	days, err := c.dayKeys(ctx)
	if err != nil {
		return err
	}
	malformed, unopened := 0, 0
	err = c.Rows.Scan(ctx, store.TableWrap, nil, nil, 0, func(key, value []byte) error {
		wrap, err := rows.ParseWrap(value)
		if err == nil {
			_, _, err = keys.ParseWrap(wrap.Stored)
		}
		if err != nil || len(key) != len(ledger.Hash{}) {
			malformed++
			return nil
		}
		if !days.have(c.months.unwrap(ledger.Hash(key), value), ledger.Hash(key), wrap.Authority) {
			unopened++
		}
		if !c.handles[handlePrefix(key)] {
			c.report.WrapsUnused++
		}
		return nil
	})
	if malformed > 0 {
		c.report.problem(CodeMalformed, store.TableWrap.String(), "keys of 32 and rows of 83 or 227 bytes", fmt.Sprintf("%d others", malformed))
	}
	if unopened > 0 {
		c.report.problem(CodeMismatch, store.TableWrap.String(), "each key wrapped for the authority too, where the configuration names one", fmt.Sprintf("%d that aren't", unopened))
	}
	if days.missing > 0 {
		c.report.problem(CodeMissing, store.TableDayKey.String(), "each day key that a key is wrapped under", fmt.Sprintf("%d less", days.missing))
	}
	return err
}

// authorityDays are the day keys that the store has for the authority.
type authorityDays struct {
	names   map[ledger.Hash]bool
	all     bool // every wrap is under one
	missing int  // day keys that wraps name
}

// dayKeys reads the day keys. Those of a year whose handle key was destroyed went with it.
func (c *check) dayKeys(ctx context.Context) (*authorityDays, error) {
	days := &authorityDays{names: map[ledger.Hash]bool{}}
	var public []byte
	wrong := 0
	err := c.Rows.Scan(ctx, store.TableDayKey, nil, nil, 0, func(key, value []byte) error {
		if bytes.Equal(key, rows.AuthorityKey()) {
			public = slices.Clone(value)
			return nil
		}
		epoch, name, err := rows.ParseDayKeyKey(key)
		var handle [32]byte
		if err == nil {
			if handle, err = c.Keys.Handle(epoch); errors.Is(err, keys.ErrDestroyed) {
				days.names[name] = true // it goes with the rows of its year
				return nil
			}
		}
		var day rows.DayKey
		if err == nil {
			day, err = rows.ParseDayKey(&handle, epoch, name, value)
		}
		if err != nil || c.Authority == nil || day.Public != *c.Authority {
			wrong++
			return nil
		}
		days.names[name] = true
		return nil
	})
	if days.all = c.Authority != nil && bytes.Equal(public, c.Authority[:]); !days.all && (c.Authority != nil || public != nil) {
		c.report.problem(CodeMismatch, store.TableDayKey.String(), "the key of the authority that the configuration names, or none", "another (a ledger that wasn't served since that was changed?)")
	}
	if wrong > 0 {
		c.report.problem(CodeMismatch, store.TableDayKey.String(), "rows of 138 bytes that their keys name, wrapped to the configuration's authority", fmt.Sprintf("%d others", wrong))
	}
	return days, err
}

// have says whether the authority can open a key, or needn't be able to.
func (d *authorityDays) have(u unwrapped, handle ledger.Hash, sealed []byte) bool {
	if u.state != usable || sealed == nil && !d.all {
		return true
	}
	name, _, err := seal.OpenWrap(&u.k, handle, sealed)
	if err == nil && !d.names[name] {
		d.names[name] = true
		d.missing++
	}
	return err == nil
}

// sessions looks at the form of their rows: what is in them opens for their browsers alone.
func (c *check) sessions(ctx context.Context) error {
	malformed := 0
	err := c.Rows.Scan(ctx, store.TableSession, nil, nil, 0, func(key, _ []byte) error {
		if !rows.IsSessionKey(key) {
			malformed++
		}
		return nil
	})
	if malformed > 0 {
		c.report.problem(CodeMalformed, store.TableSession.String(), "keys of 20 bytes", fmt.Sprintf("%d others", malformed))
	}
	return err
}

// left opens what citizens left: a row that doesn't open was changed, or stands elsewhere than it was put.
func (c *check) left(ctx context.Context) error {
	for _, epoch := range c.found {
		handle, err := c.Keys.Handle(epoch)
		if errors.Is(err, keys.ErrDestroyed) || errors.Is(err, fs.ErrNotExist) {
			continue // strays and events look for what is there all the same
		} else if err != nil {
			return err
		}
		malformed, from := 0, binary.BigEndian.AppendUint32(nil, epoch)
		err = c.Rows.Scan(ctx, store.TableLeft, from, store.After(from), 0, func(key, row []byte) error {
			if _, err := rows.OpenLeft(&handle, key, row); err != nil {
				malformed++
			}
			return nil
		})
		if err != nil {
			return err
		}
		if malformed > 0 {
			c.report.problem(CodeMalformed, fmt.Sprintf("%s/%d", store.TableLeft, epoch), "rows that open with the year's handle key", fmt.Sprintf("%d others", malformed))
		}
	}
	return nil
}

// readBundles reads the policies that the shard's records activate.
func (s *shard) readBundles(ctx context.Context) error {
	for _, p := range s.log.registry.Policies() {
		digest := ledger.Hash(p.SHA256)
		if _, known := s.bundles[digest]; known {
			continue
		}
		s.bundles[digest] = nil
		where := fmt.Sprintf("%s/%x", store.TableBlob, digest)
		document, err := s.Rows.Get(ctx, store.TableBlob, digest[:])
		switch {
		case err != nil:
			return err
		case document == nil:
			s.report.problem(CodeMissing, where, "the policies that a record activates", "none")
		case sha256.Sum256(document) != digest || s.Policies == nil:
		default:
			if bundle, err := s.Policies(document); err == nil {
				s.bundles[digest] = bundle
			} else {
				s.report.problem(CodeMalformed, where, "a bundle of policies", err.Error())
			}
		}
	}
	return nil
}

// blobs compares each blob with the digest it is found by, which a record names.
func (c *check) blobs(ctx context.Context) error {
	return c.Rows.Scan(ctx, store.TableBlob, nil, nil, 0, func(key, value []byte) error {
		if digest := sha256.Sum256(value); string(key) != string(digest[:]) {
			c.report.problem(CodeMismatch, fmt.Sprintf("%s/%x", store.TableBlob, key[:min(len(key), 32)]), "the content with this digest", fmt.Sprintf("that with %x", digest))
		} else if _, named := c.bundles[digest]; !named {
			c.report.problem(CodeUnexpected, fmt.Sprintf("%s/%x", store.TableBlob, digest), "content that a record names", "another")
		}
		return nil
	})
}

// trees compares the rows that list the shards.
func (c *check) trees(ctx context.Context) error {
	for _, epoch := range c.found {
		where := fmt.Sprintf("%s/%d", store.TableTree, epoch)
		if err := c.damaged(where, engine.CheckTree(ctx, c.Rows, epoch)); err != nil {
			return err
		}
	}
	return nil
}

// strays looks for rows that belong to no shard.
func (c *check) strays(ctx context.Context) error {
	stray, err := engine.StrayRows(ctx, c.Rows, c.found)
	if err != nil {
		return err
	}
	for _, table := range []store.Table{store.TableBody, store.TablePrivate, store.TableReceipt, store.TableCounter, store.TableRecord, store.TableHead, store.TableLookUp, store.TableConsent, store.TableLeft} {
		from := []byte(nil)
		for _, epoch := range append(slices.Clone(c.found), 0) {
			to := binary.BigEndian.AppendUint32(nil, epoch)
			if epoch == 0 {
				to = nil // after the last one
			}
			err := c.Rows.Scan(ctx, table, from, to, 0, func(key, _ []byte) error {
				// The key of a month to come can be one that consents are under.
				if table != store.TableCounter || !rows.IsRenewedKey(key) {
					stray[table]++
				}
				return nil
			})
			if err != nil {
				return err
			}
			from = store.After(to)
		}
	}
	for _, table := range slices.Sorted(maps.Keys(stray)) {
		if n := stray[table]; n > 0 {
			c.report.problem(CodeUnexpected, table.String(), "rows of this ledger's logs only", fmt.Sprintf("%d others", n))
		}
	}
	return nil
}
