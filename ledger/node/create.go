// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Create makes a new ledger in dir, which must not hold one: keys, store, and
// a first shard with its preamble.
func Create(ctx context.Context, dir string, settings Settings, opt Options) error {
	opt = opt.withDefaults()
	if err := ledger.CheckName(settings.Name); err != nil {
		return fmt.Errorf("couldn't create the ledger: name: %w", err)
	}
	if err := ledger.CheckID(settings.operator()); err != nil {
		return fmt.Errorf("couldn't create the ledger: operator: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("couldn't create the ledger: %w", err)
	}
	if err := begin(dir); err != nil {
		return fmt.Errorf("couldn't create the ledger: %w", err)
	}
	where, err := PlaceOf(dir, settings, opt)
	if err != nil {
		return fmt.Errorf("couldn't create the ledger: %w", err)
	}
	epoch := ledger.EpochOf(opt.now())
	k, err := keys.Create(filepath.Join(dir, keysDir), opt.Passphrase)
	if err != nil {
		return err
	}
	if err := k.NewEpoch(settings.Name, epoch); err != nil {
		return err
	}
	db, err := where.Create(ctx, opt.Log)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := createFirst(ctx, db, k, settings, epoch); err != nil {
		return err
	}
	_, vkey, err := k.Signer(epoch)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, vkeyFile), []byte(vkey+"\n"), 0o644); err != nil {
		return fmt.Errorf("couldn't write the verifier key: %w", err)
	}
	// Last, so that a directory with a configuration holds a whole ledger.
	if err := WriteSettings(dir, settings); err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, beginningFile))
}

// beginningFile stands in a directory from before the first key until the
// configuration is there. What lies beside it then was never used.
const beginningFile = "beginning"

// begin clears what a Create that was interrupted left, and says that another begins.
func begin(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, configFile)); err == nil {
		return fmt.Errorf("%s holds a ledger: %w", dir, fs.ErrExist)
	}
	marker := filepath.Join(dir, beginningFile)
	switch _, err := os.Lstat(marker); {
	case err == nil:
		for _, name := range []string{keysDir, storeDir, vkeyFile} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for _, name := range []string{keysDir, storeDir} {
		if names, err := os.ReadDir(filepath.Join(dir, name)); err == nil && len(names) > 0 {
			return fmt.Errorf("%s is not empty: %w", filepath.Join(dir, name), fs.ErrExist)
		}
	}
	return durable.Create(marker, nil, 0o600)
}

// createFirst makes the ledger's first log, and in it: the operator as the first
// body, whose key signs the look-ups that the operator makes; and how long
// events are kept, without which nothing could ever be destroyed.
func createFirst(ctx context.Context, db store.Store, k *keys.Dir, settings Settings, epoch uint32) error {
	e, err := engine.New(db)
	if err != nil {
		return err
	}
	shard, err := e.CreateShard(ctx, epoch)
	if err != nil {
		return err
	}
	key, jwk, err := operatorKey(k, epoch)
	if err != nil {
		return err
	}
	id := settings.operator()
	var records [][]byte
	for _, record := range []any{
		registry.Body{ID: id, Name: "Gestore del registro " + settings.Name},
		registry.Key{Body: id, Kid: key.Kid, JWK: jwk, Basis: registry.BasisOperator},
	} {
		r, err := registry.FormatRecord(record)
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	term, err := retentionRecord(DefaultTerm)
	if err != nil {
		return err
	}
	return beginLog(ctx, shard, k, ledger.Preamble{Epoch: epoch, Name: settings.Name}, append(records, term))
}

// operatorKey returns the public key with which the operator signs in an epoch.
func operatorKey(k *keys.Dir, epoch uint32) (key jws.Key, jwk []byte, err error) {
	signer, err := k.Operator(epoch)
	if err != nil {
		return key, nil, err
	}
	if key, err = jws.NewKey("", signer.Public()); err != nil {
		return key, nil, err
	}
	jwk, err = jws.FormatKey(key)
	return key, jwk, err
}

// beginLog writes the preamble, with the VRF key of its epoch, and the records
// that stand right after it, in one commit: a log has all of them or is empty.
func beginLog(ctx context.Context, shard *engine.Shard, k *keys.Dir, p ledger.Preamble, records [][]byte) error {
	v, err := k.VRF(p.Epoch)
	if err != nil {
		return err
	}
	p.VRFKey = v.Public()
	preamble, err := ledger.FormatLeaf(p)
	if err != nil {
		return err
	}
	leaves, table := [][]byte{preamble}, []store.Row(nil)
	for _, r := range records {
		leaf, err := ledger.FormatLeaf(ledger.Record{Epoch: p.Epoch, JSON: r})
		if err != nil {
			return err
		}
		table = append(table, store.Row{Table: store.TableRecord, Key: rows.LeafKey(p.Epoch, uint64(len(leaves))), Value: r})
		leaves = append(leaves, leaf)
	}
	_, err = shard.Append(ctx, leaves, table)
	return err
}
