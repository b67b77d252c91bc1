// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/vrf"
	"golang.org/x/mod/sumdb/note"
)

// NewEpoch makes the keys of one shard of the ledger with this name. The log key is made last: with it the epoch is whole
// and NewEpoch fails with fs.ErrExist; without it, NewEpoch finishes what a crash interrupted.
func (d *Dir) NewEpoch(name string, epoch uint32) error {
	if err := ledger.CheckName(name); err != nil {
		return fmt.Errorf("couldn't make keys: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	last := slot{purpose: purposeLog, epoch: epoch}
	if d.keys[last] != nil {
		return fmt.Errorf("%s: %w", d.name(last.keyFile()), fs.ErrExist)
	}
	origin := ledger.Origin(name, epoch)
	for _, purpose := range epochPurposes {
		s := slot{purpose: purpose, epoch: epoch}
		if d.keys[s] != nil {
			e, err := d.get(s)
			if err != nil {
				return err
			}
			if e.id != origin {
				return fmt.Errorf("%s belongs to another ledger", d.name(s.keyFile()))
			}
			continue
		}
		if _, err := d.newKey(s, origin); err != nil {
			return err
		}
	}
	return nil
}

// Epochs returns the epochs that have a log key, ascending.
func (d *Dir) Epochs() []uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	var epochs []uint32
	for s := range d.keys {
		if s.purpose == purposeLog {
			epochs = append(epochs, s.epoch)
		}
	}
	slices.Sort(epochs)
	return epochs
}

// Signer returns what signs the checkpoints of an epoch, named by its origin, and the note verifier key to publish.
func (d *Dir) Signer(epoch uint32) (signer note.Signer, vkey string, err error) {
	e, err := d.epochKey(purposeLog, epoch)
	if err != nil {
		return nil, "", err
	}
	public := ed25519.NewKeyFromSeed(e.secret[:]).Public().(ed25519.PublicKey)
	vkey, err = note.NewEd25519VerifierKey(e.id, public)
	if err != nil {
		return nil, "", fmt.Errorf("couldn't make a verifier key: %w", err)
	}
	signer, err = note.NewSigner(signerKey(vkey, e.secret))
	if err != nil {
		return nil, "", fmt.Errorf("couldn't make a signer: %w", err)
	}
	return signer, vkey, nil
}

// signerKey is the note signer key that belongs to a verifier key, name+hash+key, with the algorithm 1 before the seed:
//
//	PRIVATE+KEY+registro.example/2026+f3a09c1d+AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g
func signerKey(vkey string, seed [32]byte) string {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, _, _ := strings.Cut(rest, "+")
	const ed25519Algorithm = 1
	key := append([]byte{ed25519Algorithm}, seed[:]...)
	return "PRIVATE+KEY+" + name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(key)
}

// Operator returns the key that signs the operator's own requests in an epoch, such as look-ups.
func (d *Dir) Operator(epoch uint32) (ed25519.PrivateKey, error) {
	e, err := d.epochKey(purposeOperator, epoch)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(e.secret[:]), nil
}

// VRF returns the key that makes an epoch's tags.
func (d *Dir) VRF(epoch uint32) (*vrf.PrivateKey, error) {
	e, err := d.epochKey(purposeVRF, epoch)
	if err != nil {
		return nil, err
	}
	return vrf.NewKey(e.secret), nil
}

// Handle returns the key that makes an epoch's handles, see seal.Handle.
func (d *Dir) Handle(epoch uint32) ([32]byte, error) {
	e, err := d.epochKey(purposeHandle, epoch)
	if err != nil {
		return [32]byte{}, err
	}
	return e.secret, nil
}

// DestroyEpoch destroys an epoch's VRF and handle keys, when the retention of its last event ended: nobody can link its
// events to people any more. The log key stays. VRF and Handle fail with ErrDestroyed from then on; what they returned
// before is the callers' to forget.
func (d *Dir) DestroyEpoch(epoch uint32) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.get(slot{purpose: purposeLog, epoch: epoch}); err != nil {
		return err
	}
	for _, purpose := range []string{purposeVRF, purposeHandle} {
		if err := d.destroy(slot{purpose: purpose, epoch: epoch}); err != nil {
			return err
		}
	}
	return nil
}

// epochKey returns a copy of a key, which stays whole whatever is destroyed meanwhile.
func (d *Dir) epochKey(purpose string, epoch uint32) (entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, err := d.get(slot{purpose: purpose, epoch: epoch})
	if err != nil {
		return entry{}, err
	}
	return *e, nil
}
