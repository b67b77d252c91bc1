// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Authority returns the public key of the settings' authority, nil where there is none.
func (s Settings) Authority() (*[32]byte, error) {
	if s.AuthorityKey == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s.AuthorityKey)
	if err != nil || len(raw) != 32 {
		return nil, errors.New("expected 32 bytes in base64url without padding")
	}
	public := [32]byte(raw)
	_, err = seal.NewDayKeys(public)
	return &public, err
}

// SetAuthority puts an authority's public key into DIR/config.json, or takes it out (nil). It takes effect when the ledger
// is opened next: then every sealing key that opens is wrapped for the authority, or no longer is.
func SetAuthority(dir string, public *[32]byte) error {
	s, err := ReadSettings(dir)
	if err != nil {
		return err
	}
	if s.AuthorityKey = ""; public != nil {
		s.AuthorityKey = base64.RawURLEncoding.EncodeToString(public[:])
	}
	if _, err := s.Authority(); err != nil {
		return fmt.Errorf("couldn't set the authority's key: %w", err)
	}
	return replaceSettings(dir, s)
}

// wrapForAuthority brings what is wrapped for the authority to what the settings say, where that isn't so yet: after the key
// was set, changed or taken away, and in a store that was restored from before an erasure. Nobody records meanwhile. What a
// crash interrupts is done by the next start.
func (n *Node) wrapForAuthority(ctx context.Context) (err error) {
	if n.authority, err = n.Settings.Authority(); err != nil {
		return fmt.Errorf("couldn't read authority_key of %s: %w", configFile, err)
	}
	return n.withSnapshot(ctx, func(snap store.Reader) error {
		done, err := snap.Get(ctx, store.TableDayKey, rows.AuthorityKey())
		switch {
		case err != nil:
			return fmt.Errorf("couldn't read the authority's key: %w", err)
		case n.authority == nil && done == nil, n.authority != nil && bytes.Equal(done, n.authority[:]):
			return nil
		}
		w := &authorityWraps{n: n, snap: snap, year: n.year(), day: seal.Day(n.opt.now())}
		if n.authority != nil {
			if w.days, err = seal.NewDayKeys(*n.authority); err != nil {
				return err
			}
		}
		if err := w.run(ctx); err != nil {
			return fmt.Errorf("couldn't wrap keys for the authority: %w", err)
		}
		return nil
	})
}

// authorityWraps goes once through all wraps.
type authorityWraps struct {
	n       *Node
	snap    store.Reader
	year    *year // that is recorded in
	day     string
	days    *seal.DayKeys // nil: what was wrapped for an authority goes
	write   []store.Row
	changed int
}

func (w *authorityWraps) run(ctx context.Context) error {
	// From here on no row says that all is done.
	if err := w.n.rows.Commit(ctx, nil, []store.Row{{Table: store.TableDayKey, Key: rows.AuthorityKey()}}); err != nil {
		return err
	}
	err := w.snap.Scan(ctx, store.TableWrap, nil, nil, 0, func(key, value []byte) error {
		wrap, err := rows.ParseWrap(value)
		if err != nil || len(key) != len(ledger.Hash{}) {
			return nil // opens nothing, and is for fsck to find
		}
		return w.wrap(ctx, ledger.Hash(key), wrap)
	})
	if err != nil {
		return err
	}
	if err := w.drop(ctx); err != nil {
		return err
	}
	if w.n.authority != nil {
		w.write = append(w.write, store.Row{Table: store.TableDayKey, Key: rows.AuthorityKey(), Value: w.n.authority[:]})
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	w.n.opt.Log.Info("sealing keys are wrapped for the authority as the configuration says", "authority", w.n.authority != nil, "changed", w.changed)
	return nil
}

// wrap looks at one wrap.
func (w *authorityWraps) wrap(ctx context.Context, handle ledger.Hash, wrap rows.Wrap) error {
	row := store.Row{Table: store.TableWrap, Key: handle[:]}
	if w.days == nil {
		if wrap.Authority == nil {
			return nil
		}
		wrap.Authority = nil
		row.Value = rows.FormatWrap(wrap)
		return w.add(ctx, row)
	}
	k, err := w.n.months.Unwrap(wrap.Month, handle, wrap.Stored)
	if err != nil {
		return nil // erased, or for fsck to find
	}
	if current, err := w.current(ctx, &k, handle, wrap.Authority); err != nil || current {
		return err
	}
	sealed, fresh, err := w.days.Wrap(w.year.origin, w.day, handle, &k)
	if err != nil {
		return err
	}
	if fresh != nil {
		key, row := rows.FormatDayKey(&w.year.handle, w.year.epoch, rows.DayKey{Day: fresh.Day, Public: *w.n.authority, Stored: fresh.Stored})
		w.write = append(w.write, store.Row{Table: store.TableDayKey, Key: key, Value: row})
	}
	wrap.Authority = sealed
	row.Value = rows.FormatWrap(wrap)
	return w.add(ctx, row)
}

// current says whether what is sealed for the authority is of this K and this authority.
func (w *authorityWraps) current(ctx context.Context, k *[32]byte, handle ledger.Hash, sealed []byte) (bool, error) {
	name, _, err := seal.OpenWrap(k, handle, sealed)
	if err != nil {
		return false, nil
	}
	for _, y := range w.n.all() {
		row, err := w.snap.Get(ctx, store.TableDayKey, rows.DayKeyKey(y.epoch, name))
		if err != nil {
			return false, err
		}
		if day, err := rows.ParseDayKey(&y.handle, y.epoch, name, row); err == nil {
			return day.Public == *w.n.authority, nil
		}
	}
	return false, nil
}

// drop takes away the day keys of another authority.
func (w *authorityWraps) drop(ctx context.Context) error {
	return w.snap.Scan(ctx, store.TableDayKey, nil, nil, 0, func(key, value []byte) error {
		epoch, name, err := rows.ParseDayKeyKey(key)
		if err != nil {
			return nil // for fsck to find
		}
		if y := w.n.yearOf(epoch); y != nil && w.n.authority != nil {
			if day, err := rows.ParseDayKey(&y.handle, epoch, name, value); err == nil && day.Public == *w.n.authority {
				return nil
			}
		}
		return w.add(ctx, store.Row{Table: store.TableDayKey, Key: slices.Clone(key)})
	})
}

func (w *authorityWraps) add(ctx context.Context, row store.Row) error {
	row.Key = slices.Clone(row.Key)
	w.changed++
	if w.write = append(w.write, row); len(w.write) < rewrapBatch {
		return nil
	}
	select {
	case <-w.n.stop:
		return sequencer.ErrClosed
	default:
	}
	return w.flush(ctx)
}

func (w *authorityWraps) flush(ctx context.Context) error {
	if len(w.write) == 0 {
		return nil
	}
	err := w.n.rows.Commit(ctx, nil, w.write)
	w.write = nil
	return err
}
