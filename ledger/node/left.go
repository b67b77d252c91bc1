// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Left is what a citizen left with the ledger beside the log. It is sealed under the handle key of the year in which it was
// written last, and gone with that year's rows.
type Left struct {
	Content     []byte
	key, sealed []byte
}

// Left returns what a citizen left of a kind, nil if nothing.
func (n *Node) Left(ctx context.Context, kind rows.LeftKind, subject ledger.Subject) (left *Left, err error) {
	err = n.reading(ctx, func(snap store.Reader) error {
		for _, y := range slices.Backward(n.all()) { // the newest first
			if y.gone {
				continue
			}
			key := rows.LeftKey(&y.handle, y.epoch, kind, subject)
			sealed, err := snap.Get(ctx, store.TableLeft, key)
			if err != nil {
				return err
			}
			if sealed != nil {
				left, err = y.openLeft(key, sealed)
				return err
			}
		}
		return nil
	})
	return left, err
}

func (y *year) openLeft(key, sealed []byte) (*Left, error) {
	content, err := rows.OpenLeft(&y.handle, key, sealed)
	if err != nil {
		return nil, fmt.Errorf("couldn't open what a citizen left: %w", err)
	}
	return &Left{Content: content, key: key, sealed: sealed}, nil
}

// Leave puts content in the place of what a citizen left before; nil is nothing, on either side. store.ErrConflict: what was
// isn't there any more, and nothing was written.
func (n *Node) Leave(ctx context.Context, kind rows.LeftKind, subject ledger.Subject, was *Left, content []byte) error {
	done, err := n.use()
	if err != nil {
		return err
	}
	defer done()
	y := n.year()
	row := store.Row{Table: store.TableLeft, Key: rows.LeftKey(&y.handle, y.epoch, kind, subject)}
	expect, write := []store.Row{row}, []store.Row{}
	if was != nil {
		before := store.Row{Table: store.TableLeft, Key: was.key, Value: was.sealed}
		if bytes.Equal(was.key, row.Key) {
			expect = nil
		}
		expect = append(expect, before)
		before.Value = nil
		if content == nil || !bytes.Equal(was.key, row.Key) {
			write = append(write, before)
		}
	}
	if content != nil {
		row.Value = rows.SealLeft(&y.handle, row.Key, content)
		write = append(write, row)
	}
	if len(write) == 0 {
		return nil
	}
	return n.rows.Commit(ctx, expect, write)
}

// EachLeft calls f with all that citizens left of a kind, the oldest year first.
func (n *Node) EachLeft(ctx context.Context, kind rows.LeftKind, f func(*Left) error) error {
	return n.reading(ctx, func(snap store.Reader) error {
		for _, y := range n.all() {
			if y.gone {
				continue
			}
			from := rows.LeftPrefix(y.epoch, kind)
			err := snap.Scan(ctx, store.TableLeft, from, store.After(from), 0, func(key, sealed []byte) error {
				l, err := y.openLeft(bytes.Clone(key), bytes.Clone(sealed))
				if err != nil {
					return err
				}
				return f(l)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
