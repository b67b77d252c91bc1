// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Month returns the key that new wraps of a month (see seal.Month) go under, and its version. It makes version 1 when
// the month has no key, and fails with ErrDestroyed when the month's was destroyed.
func (d *Dir) Month(month string) (key [32]byte, version uint32, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if version = d.newest[month]; version == 0 {
		return d.newMonth(month, 1)
	}
	e, err := d.get(monthSlot(month, version))
	if err != nil {
		return key, 0, err
	}
	return e.secret, version, nil
}

// MonthKey returns the key of a month that has this version, for wraps that name it.
func (d *Dir) MonthKey(month string, version uint32) (key [32]byte, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, err := d.get(monthSlot(month, version))
	if err != nil {
		return key, err
	}
	return e.secret, nil
}

// Months returns the months that have a key, ascending.
func (d *Dir) Months() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var months []string
	for month, version := range d.newest {
		if !d.keys[monthSlot(month, version)].destroyed {
			months = append(months, month)
		}
	}
	slices.Sort(months)
	return months
}

// DestroyedMonths returns the months whose key was destroyed, ascending.
func (d *Dir) DestroyedMonths() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var months []string
	for month, version := range d.newest {
		if d.keys[monthSlot(month, version)].destroyed {
			months = append(months, month)
		}
	}
	slices.Sort(months)
	return months
}

// RenewMonth makes the next version of a month's key, which Month returns from then on. With it one person is erased:
// journal their wraps and delete them, rewrap the others of the month under the new version, keep those as Survivors, then
// DestroyOlder. Who was interrupted goes on from there. Nothing may add wraps of the month from a version that Month
// returned before. It fails with ErrHeld for a month under a legal hold.
func (d *Dir) RenewMonth(month string) (key [32]byte, version uint32, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	newest := monthSlot(month, d.newest[month])
	if _, err := d.get(newest); err != nil {
		return key, 0, err
	}
	if err := d.notHeld(month); err != nil {
		return key, 0, err
	}
	return d.newMonth(month, newest.version+1)
}

// DestroyOlder destroys all versions of a month's key but the newest.
func (d *Dir) DestroyOlder(month string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for version := uint32(1); version < d.newest[month]; version++ {
		if err := d.destroy(monthSlot(month, version)); err != nil {
			return err
		}
	}
	return nil
}

// DestroyMonth destroys all versions of a month's key, when its retention ended: nothing that was wrapped under it opens
// any more, and the month never gets another key. It fails with fs.ErrNotExist for a month that never had one, and with
// ErrHeld for one under a legal hold.
func (d *Dir) DestroyMonth(month string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	newest := monthSlot(month, d.newest[month])
	if newest.version == 0 {
		return d.missing(newest.keyFile())
	}
	if err := d.notHeld(month); err != nil {
		return err
	}
	// The newest goes first: from then on, whatever happens, Month refuses.
	for version := newest.version; version > 0; version-- {
		if err := d.destroy(monthSlot(month, version)); err != nil {
			return err
		}
	}
	return d.removeSurvivors(month)
}

// Version returns the newest version of a month's key, 0 if it never had one, and whether the month was destroyed.
func (d *Dir) Version(month string) (version uint32, destroyed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	version = d.newest[month]
	return version, version > 0 && d.keys[monthSlot(month, version)].destroyed
}

// HasOlder says whether versions of a month's key before the newest are left, which an erasure that isn't finished uses.
func (d *Dir) HasOlder(month string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for version := uint32(1); version < d.newest[month]; version++ {
		if e := d.keys[monthSlot(month, version)]; e != nil && !e.destroyed {
			return true
		}
	}
	return false
}

func (d *Dir) newMonth(month string, version uint32) ([32]byte, uint32, error) {
	if !isMonth(month) {
		return [32]byte{}, 0, errMonth
	}
	e, err := d.newKey(monthSlot(month, version), fmt.Sprintf("%s.%d", month, version))
	if err != nil {
		return [32]byte{}, 0, err
	}
	return e.secret, version, nil
}

func monthSlot(month string, version uint32) slot {
	return slot{purpose: purposeMonth, month: month, version: version}
}

var errMonth = fmt.Errorf("a month key is for a month like 2026-11: %w", fs.ErrInvalid)

// ErrMalformedWrap says that a row is no wrap under a month key.
var ErrMalformedWrap = errors.New("malformed row of a wrap")

// FormatWrap makes the row that keeps a wrap (what seal.Wrap returned) under the month key of this version. The row is
// ours; what proofs and the erasure journal speak of is the wrap in it.
//
//	+-------------------+------------+
//	| version, u32    4 | wrap    72 |
//	+-------------------+------------+
func FormatWrap(version uint32, stored []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+wrapSize), version), stored...)
}

// ParseWrap reads what FormatWrap made. The wrap it returns is part of the row. The error is ErrMalformedWrap.
func ParseWrap(row []byte) (version uint32, stored []byte, err error) {
	if len(row) != 4+wrapSize || binary.BigEndian.Uint32(row) == 0 {
		return 0, nil, ErrMalformedWrap
	}
	return binary.BigEndian.Uint32(row), row[4:], nil
}
