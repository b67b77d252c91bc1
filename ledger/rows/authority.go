// SPDX-License-Identifier: EUPL-1.2

package rows

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// DayKeyKey finds a day key by its name (formats §6), and with it the shard that was recorded in when it was made.
//
//	u32 epoch ‖ name 32
func DayKeyKey(epoch uint32, name ledger.Hash) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 36), epoch), name[:]...)
}

// ParseDayKeyKey is the inverse of DayKeyKey.
func ParseDayKeyKey(key []byte) (epoch uint32, name ledger.Hash, err error) {
	if len(key) != 36 {
		return 0, name, ErrMalformed
	}
	return binary.BigEndian.Uint32(key), ledger.Hash(key[4:]), nil
}

// DayKey is a day key as it is kept for the authority.
//
//	day, e.g. "2026-11-22" ‖ the authority's public key 32 ‖ enc ‖ ciphertext 80 ‖ first 16 bytes of HMAC(handle key, NS/day-key ‖ 00 ‖ key ‖ all before)
type DayKey struct {
	Day    string // 10 bytes
	Public [32]byte
	Stored []byte // what seal.WrapDay returned
}

const dayKeySize = 10 + 32 + 80

// FormatDayKey returns the row of a day key and what finds it, with the handle key of its epoch.
func FormatDayKey(handleKey *[32]byte, epoch uint32, d DayKey) (key, row []byte) {
	b := append(append(make([]byte, 0, dayKeySize+16), d.Day...), d.Public[:]...)
	b = append(b, d.Stored...)
	return DayKeyKey(epoch, seal.NameDay(d.Stored)), append(b, dayKeySum(handleKey, epoch, b)...)
}

func dayKeySum(handleKey *[32]byte, epoch uint32, b []byte) []byte {
	m := hmac.New(sha256.New, handleKey[:])
	m.Write([]byte(ledger.NameSpace + "/day-key\x00"))
	m.Write(DayKeyKey(epoch, seal.NameDay(b[42:])))
	m.Write(b)
	return m.Sum(nil)[:16]
}

// ParseDayKey is the inverse of FormatDayKey, for the row of this name; Stored aliases b.
func ParseDayKey(handleKey *[32]byte, epoch uint32, name ledger.Hash, b []byte) (DayKey, error) {
	if len(b) != dayKeySize+16 || seal.NameDay(b[42:dayKeySize]) != name || !hmac.Equal(dayKeySum(handleKey, epoch, b[:dayKeySize]), b[dayKeySize:]) {
		return DayKey{}, ErrMalformed
	}
	return DayKey{Day: string(b[:10]), Public: [32]byte(b[10:42]), Stored: b[42:dayKeySize]}, nil
}

// AuthorityKey finds, among the day keys, the public key of the authority for which every sealing key is wrapped; there is
// no such row before all are, and without an authority.
//
//	u32 0
func AuthorityKey() []byte { return make([]byte, 4) }
