// SPDX-License-Identifier: EUPL-1.2

package nodetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// HandOver writes the folder out for the authority that the ledger in dir names, which nobody serves.
func HandOver(ctx context.Context, dir, out string, opt node.Options) (err error) {
	l, err := node.OpenAtRest(ctx, dir, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	now := opt.Now
	if now == nil {
		now = time.Now
	}
	sealed, err := l.Sealed(ctx, now())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sealed.Close()) }()
	published, err := node.LastPublished(dir, l.Settings)
	if err != nil {
		return err
	}
	epochs, shards, err := node.Shards(ctx, l.Store)
	if err != nil {
		return err
	}
	vkeys, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
	if err != nil {
		return err
	}
	snap, err := l.Store.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	src := export.Source{
		Name: l.Settings.Name, VKey: vkeys, Seal: sealed.Line, Days: sealed.Days,
		Blob: func(ctx context.Context, digest ledger.Hash) ([]byte, error) {
			return snap.Get(ctx, store.TableBlob, digest[:])
		},
	}
	for _, p := range published {
		src.Logs = append(src.Logs, export.SourceLog{Epoch: p.Epoch, Signed: p.Signed, Checkpoint: p.Checkpoint, Tiles: shards[slices.Index(epochs, p.Epoch)]})
	}
	_, err = export.Write(ctx, out, src)
	return err
}
