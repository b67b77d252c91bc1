// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// What a key is for. A key serves one purpose.
const (
	purposeLog    = "log"    // signs checkpoints: an Ed25519 seed
	purposeVRF    = "vrf"    // makes tags: an ECVRF seed
	purposeHandle = "handle" // makes handles of wraps

	purposeOperator = "operator" // signs the operator's own requests: an Ed25519 seed
	purposeMonth    = "month"    // wraps the keys of one month
)

// epochPurposes are those of an epoch's keys, in the order that NewEpoch makes
// them.
var epochPurposes = []string{purposeVRF, purposeHandle, purposeOperator, purposeLog}

// slot is the place of one key: of an epoch, or of a month and a version.
type slot struct {
	purpose string
	epoch   uint32
	month   string
	version uint32 // from 1
}

// base is the path of a slot's files without their ending.
func (s slot) base() string {
	if s.purpose == purposeMonth {
		return fmt.Sprintf("%s/%s.%d", monthsDir, s.month, s.version)
	}
	return fmt.Sprintf("%s/%d.%s", epochsDir, s.epoch, s.purpose)
}

func (s slot) keyFile() string   { return s.base() + ".key" }
func (s slot) tombstone() string { return s.base() + ".destroyed" }

func parseSlot(folder, base string) (s slot, ok bool) {
	first, second, _ := strings.Cut(base, ".")
	switch folder {
	case epochsDir:
		epoch, _ := strconv.ParseUint(first, 10, 32)
		s = slot{purpose: second, epoch: uint32(epoch)}
		ok = slices.Contains(epochPurposes, second)
	case monthsDir:
		version, _ := strconv.ParseUint(second, 10, 32)
		s = slot{purpose: purposeMonth, month: first, version: uint32(version)}
		ok = isMonth(first) && version > 0
	}
	return s, ok && s.base() == folder+"/"+base
}

func isMonth(month string) bool {
	t, err := time.Parse("2006-01", month)
	return err == nil && seal.Month(t) == month
}

// accepts says whether the id in a key's file fits the slot: an epoch's origin, a month and its version.
func (s slot) accepts(id string) bool {
	if s.purpose == purposeMonth {
		return monthsDir+"/"+id == s.base()
	}
	_, epoch, err := ledger.ParseOrigin(id)
	return err == nil && epoch == s.epoch
}

const keyKind = "traccia-key/1"

// keyFile is one key in its file, as it is or, in a directory with a passphrase, wrapped:
//
//	traccia-key/1                                        traccia-key/1
//	purpose: vrf                                         purpose: vrf
//	id: registro.example/2026                            id: registro.example/2026
//	plain: AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA   wrapped: 72 bytes, see protection
//	sum: 74f6…                                           sum: …
type keyFile struct {
	purpose, id string
	form        string // plain or wrapped
	content     []byte // 32 bytes, or 72
}

const (
	plain    = "plain"
	wrapped  = "wrapped"
	wrapSize = 72 // of what seal.Wrap makes
)

// binding is what a wrapped key is bound to.
func (f *keyFile) binding() ledger.Hash {
	return sha256.Sum256(formatLines(keyKind, field{"purpose", f.purpose}, field{"id", f.id}))
}

func formatKeyFile(f *keyFile) []byte {
	return formatText(keyKind, field{"purpose", f.purpose}, field{"id", f.id},
		field{f.form, base64url.EncodeToString(f.content)})
}

// parseKeyFile reads what formatKeyFile wrote. The error is ErrDamaged.
func parseKeyFile(data []byte) (*keyFile, error) {
	fields, err := parseText(keyKind, data)
	if err != nil || len(fields) != 3 {
		return nil, ErrDamaged
	}
	f := &keyFile{purpose: fields[0].value, id: fields[1].value, form: fields[2].name}
	size := map[string]int{plain: 32, wrapped: wrapSize}[f.form]
	f.content, err = base64url.DecodeString(fields[2].value)
	if err != nil || size == 0 || len(f.content) != size || !bytes.Equal(formatKeyFile(f), data) {
		return nil, ErrDamaged
	}
	return f, nil
}

// newKey makes a secret for a slot, and returns once it is on disk. The caller holds mu.
func (d *Dir) newKey(s slot, id string) (*entry, error) {
	e := &entry{id: id}
	rand.Read(e.secret[:])
	f := &keyFile{purpose: s.purpose, id: id, form: plain, content: e.secret[:]}
	if d.key != nil {
		f.form, f.content = wrapped, seal.Wrap(d.key, f.binding(), &e.secret)
	}
	if err := d.createFile(s.keyFile(), formatKeyFile(f)); err != nil {
		return nil, err
	}
	d.put(s, e)
	return e, nil
}

func (d *Dir) readKey(s slot) (*entry, error) {
	data, err := d.readFile(s.keyFile())
	if err != nil {
		return nil, err
	}
	f, err := parseKeyFile(data)
	if err != nil || f.purpose != s.purpose || !s.accepts(f.id) {
		return nil, d.wrong(s.keyFile(), ErrDamaged)
	}
	if (f.form == wrapped) != (d.key != nil) {
		return nil, d.wrong(s.keyFile(), fmt.Errorf("its secret is %s, unlike the directory's: %w", f.form, ErrDamaged))
	}
	e := &entry{id: f.id}
	if d.key == nil {
		e.secret = [32]byte(f.content)
		return e, nil
	}
	if e.secret, err = seal.Unwrap(d.key, f.binding(), f.content); err != nil {
		return nil, d.wrong(s.keyFile(), ErrDamaged)
	}
	return e, nil
}

// get returns the key in a slot. The caller holds mu.
func (d *Dir) get(s slot) (*entry, error) {
	switch e := d.keys[s]; {
	case e == nil:
		return nil, d.missing(s.keyFile())
	case e.destroyed:
		return nil, fmt.Errorf("couldn't use %s: %w", d.name(s.keyFile()), ErrDestroyed)
	default:
		return e, nil
	}
}

// destroy makes a key unusable for good. If the process dies after the tombstone, Open goes on from there; destroying
// again does what is left to do. The caller holds mu.
func (d *Dir) destroy(s slot) error {
	if err := d.ensureFile(s.tombstone(), []byte("destroyed on purpose; never made again\n")); err != nil {
		return err
	}
	if e := d.keys[s]; e != nil {
		e.secret = [32]byte{}
	}
	d.put(s, &entry{destroyed: true})
	return d.wipeFile(s.keyFile())
}
