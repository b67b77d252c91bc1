// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/place"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Migrated says what Migrate moved.
type Migrated struct {
	From, To string // as they can be shown
	Sum      place.Sum
	Logs     []BackedLog // by epoch
}

// Migrate moves the rows of the ledger in dir, which nobody serves, to another place, a database or a directory, and lets
// its configuration name it. Every row arrives as it was: log, proofs, numbers and checkpoints are the same. The old place
// is left as it is.
//
// It can be cut short at any point and called again. Until its end, which is the change of the configuration, the ledger is
// in its old place. begin gets how many rows there are and returns what is told how many were done.
func Migrate(ctx context.Context, dir, to string, opt Options, begin func(rows int64) func(int)) (m *Migrated, err error) {
	opt = opt.withDefaults()
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	settings, err := ReadSettings(dir)
	if err != nil {
		return nil, err
	}
	source, err := PlaceOf(dir, settings, opt)
	if err != nil {
		return nil, err
	}
	target, err := place.Parse(to, dir)
	if err != nil {
		return nil, fmt.Errorf("couldn't tell where to migrate to: %w", err)
	}
	if source == target {
		return nil, fmt.Errorf("the ledger is in %s already", source)
	}
	from, err := source.OpenReadOnly(ctx, opt.Log)
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("a ledger that nobody serves can be migrated: %w", err)
	} else if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	published, err := LastPublished(dir, settings)
	if err != nil {
		return nil, err
	}
	m = &Migrated{From: source.String(), To: target.String()}
	if m.Logs, err = logsOf(ctx, from, settings.Name, published); err != nil {
		return nil, fmt.Errorf("couldn't migrate: %w", err)
	}
	if m.Sum, err = migrate(ctx, from, target, opt, begin); err != nil {
		return nil, fmt.Errorf("couldn't migrate to %s: %w", target, err)
	}
	// What was copied is opened as it will be served.
	there, err := target.OpenReadOnly(ctx, opt.Log)
	if err != nil {
		return nil, err
	}
	logs, err := logsOf(ctx, there, settings.Name, published)
	if err = errors.Join(err, there.Close()); err == nil {
		err = sameLogs(logs, m.Logs)
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't verify the copy in %s: %w", target, err)
	}
	settings.Store = to
	if usual, err := place.Parse(storeDir, dir); err != nil {
		return nil, err
	} else if target == usual {
		settings.Store = ""
	}
	return m, replaceSettings(dir, settings)
}

// migrate copies what a store holds to another place.
func migrate(ctx context.Context, from store.Store, target place.Place, opt Options, begin func(rows int64) func(int)) (sum place.Sum, err error) {
	snap, err := from.Snapshot(ctx)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	to, err := target.Create(ctx, opt.Log)
	if errors.Is(err, fs.ErrExist) { // perhaps of a migration that was cut short
		to, err = target.Open(ctx, opt.Log)
	}
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := ofThisLedger(ctx, from, to); err != nil {
		return sum, err
	}
	var rows int64
	for _, t := range store.Tables() {
		if err := snap.Scan(ctx, t, nil, nil, 0, func(_, _ []byte) error { rows++; return nil }); err != nil {
			return sum, err
		}
	}
	return place.Copy(ctx, snap, to, begin(2*rows)) // each is read again for the sum
}

// ofThisLedger refuses a store with logs that aren't the beginnings of these: it holds another ledger, or this one as it
// went on elsewhere.
func ofThisLedger(ctx context.Context, from, to store.Store) error {
	epochs, ours, err := Shards(ctx, from)
	if err != nil {
		return err
	}
	theirEpochs, theirs, err := Shards(ctx, to)
	if err != nil {
		return err
	}
	for i, shard := range theirs {
		root := shard.Root()
		at := slices.Index(epochs, theirEpochs[i])
		if at >= 0 && root.Size <= ours[at].Root().Size {
			hash, err := ours[at].RootAt(ctx, root.Size)
			if err != nil {
				return err
			}
			if hash == root.Hash {
				continue
			}
		}
		return fmt.Errorf("its log of %d, with %d leaves, isn't the beginning of this ledger's: empty it, or name another place: %w",
			theirEpochs[i], root.Size, fs.ErrExist)
	}
	return nil
}

// logsOf says what logs a store holds, which must extend what was published.
func logsOf(ctx context.Context, db store.Store, name string, published []LastCheckpoint) (logs []BackedLog, err error) {
	epochs, shards, err := Shards(ctx, db)
	if err != nil {
		return nil, err
	}
	for i, shard := range shards {
		origin := ledger.Origin(name, epochs[i])
		l := BackedLog{Origin: origin, Size: shard.Root().Size, Root: ledger.Hex(shard.Root().Hash)}
		for _, p := range published {
			if p.Origin != origin {
				continue
			}
			if err := extends(ctx, shard, p.Checkpoint); err != nil {
				return nil, err
			}
			l.Checkpoint = string(p.Signed)
		}
		logs = append(logs, l)
	}
	return logs, nil
}
