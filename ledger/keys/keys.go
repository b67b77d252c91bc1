// SPDX-License-Identifier: EUPL-1.2

// Package keys is the directory of a ledger's secrets, outside its database: an epoch's log signing key (Ed25519, as
// golang.org/x/mod/sumdb/note has it), VRF seed, handle key and operator's key, the month keys that erasure destroys, and, beside them,
// the journal of erased wraps and the last published checkpoint of each epoch.
//
//	keys/                        directories 0700, files 0600
//	├── protection               how the secrets are protected, see protection
//	├── epochs/2026.log.key      see keyFile; .vrf.key, .handle.key and .operator.key beside it
//	├── months/2026-11.1.key     month, version; 2026-11.1.destroyed once it is destroyed
//	├── published/2026.checkpoint
//	├── survivors/2026-11        see Survivors
//	├── holds                    see Hold; absent without one
//	├── requests/RANDOM          see Request; none but while people are erased
//	└── erasures                 see Erasure
//
// What always holds: a key is on disk, synced with its directory, before anyone gets it; no file but a published
// checkpoint, the survivors of a month and the holds is ever overwritten by another; a destroyed key stays destroyed, also when the process dies half way (the
// tombstone comes first, and Open finishes the work). Files that others can read, or that have no place in the directory,
// are refused: a forgotten copy of a month key would undo an erasure.
//
// Destroying overwrites a file and unlinks it. On storage that keeps old blocks (flash, snapshots, copy-on-write), bytes
// may outlive that; the directory belongs on an encrypted volume without snapshots. Backups of months/ must not be kept
// longer than 30 days. With a passphrase, what is on disk is useless without it, and what is in memory is not.
//
// One process at a time uses a directory; whoever opens it holds the store's lock. Others may Check it. Within the process everything here is
// safe for concurrent use.
package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

var (
	// ErrDamaged says that a file is not as it was written.
	ErrDamaged = errors.New("damaged: restore it from a backup")
	// ErrDestroyed says that a key was destroyed on purpose, and is never made again.
	ErrDestroyed = errors.New("destroyed")
	// ErrPassphrase says that a passphrase is missing, wrong, or given for keys that have none.
	ErrPassphrase = errors.New("passphrase refused")
	// ErrPermissions says that others than the owner have rights to a file or directory.
	ErrPermissions = errors.New("open to others than its owner")
)

// Dir is an open directory of keys.
type Dir struct {
	path string
	root *os.Root
	rest bool      // nothing is changed: what a crash interrupted stays as it is
	key  *[32]byte // that secrets are wrapped under; nil without a passphrase

	mu     sync.Mutex
	keys   map[slot]*entry   // guarded by mu
	newest map[string]uint32 // month to its newest version; guarded by mu
	holds  map[string]string // month to the reason of its hold; guarded by mu

	requests []string // names of files of requests; guarded by mu

	journal journal
}

// entry is one key: a secret, or what is left of one.
type entry struct {
	id        string // what its file says it is for
	secret    [32]byte
	destroyed bool
}

const (
	epochsDir      = "epochs"
	monthsDir      = "months"
	publishedDir   = "published"
	protectionFile = "protection"
	journalFile    = "erasures"
	temporary      = ".tmp-"
)

// Create makes a directory of keys, which must not exist or be empty, and opens it. Secrets are written as they are when
// the passphrase is empty, and wrapped under a key made from it otherwise.
func Create(dir, passphrase string) (*Dir, error) {
	return create(dir, passphrase, defaultCost)
}

func create(dir, passphrase string, c cost) (*Dir, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("couldn't create keys: %w", err)
	}
	d, err := openRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := d.fill(passphrase, c); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	if err := d.root.Close(); err != nil {
		return nil, fmt.Errorf("couldn't create keys: %w", err)
	}
	return Open(dir, passphrase)
}

// fill writes what an empty directory needs. The protection file is last: without it nothing is taken for keys.
func (d *Dir) fill(passphrase string, c cost) error {
	files, err := d.list(".")
	if err != nil {
		return err
	}
	if len(files) > 0 {
		return fmt.Errorf("couldn't create keys: %s is not empty", d.path)
	}
	for _, sub := range []string{epochsDir, monthsDir, publishedDir} {
		if err := d.root.Mkdir(sub, 0o700); err != nil {
			return fmt.Errorf("couldn't create keys: %w", err)
		}
	}
	if err := d.createFile(journalFile, []byte(journalHeader)); err != nil {
		return err
	}
	if err := d.createFile(protectionFile, formatProtection(newProtection(passphrase, c))); err != nil {
		return err
	}
	return syncPath(filepath.Dir(filepath.Clean(d.path)))
}

// Open opens a directory that Create made, reads all its keys, and finishes what a crash interrupted. It never creates a
// directory or a key.
func Open(dir, passphrase string) (*Dir, error) {
	d, err := openRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := d.load(passphrase); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	return d, nil
}

// Check says why Open would fail, nil if it wouldn't. It changes nothing, and another process may have the directory open.
func Check(dir, passphrase string) error {
	err := check(dir, passphrase)
	if err != nil {
		err = check(dir, passphrase) // a key may have been destroyed between its name and its bytes
	}
	return err
}

func check(dir, passphrase string) error {
	d, err := openRoot(dir)
	if err != nil {
		return err
	}
	d.rest = true
	if err := d.load(passphrase); err != nil {
		return errors.Join(err, d.root.Close())
	}
	return d.Close()
}

// openRoot opens the directory itself and reads nothing in it.
func openRoot(dir string) (*Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("couldn't open keys: %w", err)
	}
	return &Dir{path: dir, root: root, keys: map[slot]*entry{}, newest: map[string]uint32{}}, nil
}

func (d *Dir) load(passphrase string) error {
	files, err := d.list(".")
	if err != nil {
		return err
	}
	for _, name := range files {
		switch name {
		case epochsDir, monthsDir, publishedDir, survivorsDir, requestsDir, protectionFile, journalFile, holdsFile:
		default:
			return d.misplaced(name)
		}
	}
	data, err := d.readFile(protectionFile)
	if err != nil {
		return err
	}
	p, err := parseProtection(data)
	if err != nil {
		return d.wrong(protectionFile, err)
	}
	if d.key, err = p.unlock(passphrase); err != nil {
		return d.wrong(protectionFile, err)
	}
	for _, folder := range []string{epochsDir, monthsDir} {
		if err := d.loadKeys(folder); err != nil {
			return err
		}
	}
	for _, load := range []func() error{d.loadPublished, d.loadSurvivors, d.loadHolds, d.loadRequests} {
		if err := load(); err != nil {
			return err
		}
	}
	return d.loadJournal()
}

// loadKeys reads the keys of a folder.
func (d *Dir) loadKeys(folder string) error {
	files, err := d.list(folder)
	if err != nil {
		return err
	}
	var secrets []slot
	for _, name := range files {
		base, isKey := strings.CutSuffix(name, ".key")
		base, isTombstone := strings.CutSuffix(base, ".destroyed")
		s, ok := parseSlot(folder, base)
		if !ok || isKey == isTombstone {
			return d.misplaced(folder + "/" + name)
		}
		if isTombstone {
			d.put(s, &entry{destroyed: true})
		} else {
			secrets = append(secrets, s)
		}
	}
	for _, s := range secrets {
		if e := d.keys[s]; e != nil && e.destroyed {
			if d.rest {
				continue
			}
			if err := d.wipeFile(s.keyFile()); err != nil {
				return err
			}
			continue
		}
		e, err := d.readKey(s)
		if err != nil {
			return err
		}
		d.put(s, e)
	}
	return nil
}

// put remembers a key. The caller holds mu, or is still opening.
func (d *Dir) put(s slot, e *entry) {
	d.keys[s] = e
	if s.purpose == purposeMonth {
		d.newest[s.month] = max(d.newest[s.month], s.version)
	}
}

// Close releases the directory. It doesn't clear keys from memory.
func (d *Dir) Close() error {
	return errors.Join(d.journal.close(), d.root.Close())
}

// wrong adds to an error which file it is about.
func (d *Dir) wrong(path string, err error) error {
	return fmt.Errorf("couldn't read %s: %w", d.name(path), err)
}

func (d *Dir) misplaced(path string) error {
	return fmt.Errorf("%s has no place in a directory of keys: if it is a copy of a key, destroy it", d.name(path))
}

// name is a file's path as the operator knows it.
func (d *Dir) name(path string) string { return filepath.Join(d.path, path) }
