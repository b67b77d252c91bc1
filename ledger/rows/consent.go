// SPDX-License-Identifier: EUPL-1.2

package rows

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// ConsentKey finds the log index of a citizen's i-th event in +consent.
//
//	u32 epoch ‖ first 16 bytes of HMAC(handle key, NS/consent-row ‖ 00 ‖ LP(subject)) ‖ u32 i
func ConsentKey(handleKey *[32]byte, epoch uint32, subject ledger.Subject, i uint32) []byte {
	m := hmac.New(sha256.New, handleKey[:])
	m.Write([]byte(ledger.NameSpace + "/consent-row\x00"))
	writeText(m, string(subject))
	sum := m.Sum(nil)
	key := append(binary.BigEndian.AppendUint32(make([]byte, 0, 24), epoch), sum[:16]...)
	return binary.BigEndian.AppendUint32(key, i)
}

// FormatConsent returns the row of a ConsentKey or ConsentEndKey:
//
//	mask ⊕ (u32 epoch ‖ u64 index)
func FormatConsent(handleKey *[32]byte, key []byte, epoch uint32, index uint64) []byte {
	b := LeafKey(epoch, index)
	maskConsent(b, handleKey, key)
	return b
}

// ParseConsent is the inverse of FormatConsent.
func ParseConsent(handleKey *[32]byte, key, b []byte) (epoch uint32, index uint64, err error) {
	if len(b) != 12 {
		return 0, 0, ErrMalformed
	}
	b = append([]byte(nil), b...)
	maskConsent(b, handleKey, key)
	return ParseLeafKey(b)
}

func maskConsent(b []byte, handleKey *[32]byte, key []byte) {
	m := hmac.New(sha256.New, handleKey[:])
	m.Write([]byte(ledger.NameSpace + "/row-consent\x00"))
	m.Write(key)
	sum := m.Sum(nil)
	for i := range b {
		b[i] ^= sum[i]
	}
}

// ConsentEndKey orders consents by the end of their validity, until the event is there that says it.
//
//	u64 end, ms ‖ u32 epoch of the handle key ‖ first 16 bytes of HMAC(handle key, NS/consent-end ‖ 00 ‖ u32 epoch ‖ u64 index ‖ u64 end)
func ConsentEndKey(handleKey *[32]byte, until time.Time, epoch uint32, index uint64) []byte {
	m := hmac.New(sha256.New, handleKey[:])
	m.Write([]byte(ledger.NameSpace + "/consent-end\x00"))
	m.Write(LeafKey(epoch, index))
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(until.UnixMilli())))
	sum := m.Sum(nil)
	key := binary.BigEndian.AppendUint64(make([]byte, 0, 28), uint64(until.UnixMilli()))
	key = binary.BigEndian.AppendUint32(key, epoch)
	return append(key, sum[:16]...)
}

// ParseConsentEndKey returns the end of validity, and the epoch whose handle key masks the row.
func ParseConsentEndKey(key []byte) (until time.Time, epoch uint32, err error) {
	if len(key) != 28 {
		return time.Time{}, 0, ErrMalformed
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(key))), binary.BigEndian.Uint32(key[8:]), nil
}
