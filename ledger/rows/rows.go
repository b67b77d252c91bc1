// SPDX-License-Identifier: EUPL-1.2

// Package rows gives the keys and values under which the ledger keeps what
// goes with a leaf: sealed bodies and private parts, the submission's
// identity, and running numbers. Nobody outside the operator sees these bytes;
// docs/storage.md describes them.
//
// Whoever holds the database alone (a stolen backup) learns nothing of a
// person from a row: bodies are sealed, subjects appear only under an HMAC with
// the epoch's handle key, and what would tie two events of a person together
// (the wrap's handle, the running numbers) is masked with a key stream of its
// own for each row. Destroying the handle key makes that final.
package rows

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"github.com/traccia-ledger/traccia/ledger"
)

// ErrMalformed is the one error of the parsers: a row that this version of the
// ledger can't have written.
var ErrMalformed = errors.New("malformed row")

// LeafKey orders what belongs to a leaf by its place in the log:
//
//	u32 epoch ‖ u64 index
func LeafKey(epoch uint32, index uint64) []byte {
	key := make([]byte, 12)
	binary.BigEndian.PutUint32(key, epoch)
	binary.BigEndian.PutUint64(key[4:], index)
	return key
}

// ParseLeafKey is the inverse of LeafKey.
func ParseLeafKey(key []byte) (epoch uint32, index uint64, err error) {
	if len(key) != 12 {
		return 0, 0, ErrMalformed
	}
	return binary.BigEndian.Uint32(key), binary.BigEndian.Uint64(key[4:]), nil
}

// ReceiptKey finds a submission by its identity (formats §4):
//
//	u32 epoch ‖ first 16 bytes of H(LP(iss) ‖ LP(jti))
func ReceiptKey(epoch uint32, iss, jti string) []byte {
	h := sha256.New()
	writeText(h, iss)
	writeText(h, jti)
	sum := h.Sum(nil)
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 20), epoch), sum[:16]...)
}

func writeText(w interface{ Write([]byte) (int, error) }, s string) {
	w.Write(binary.BigEndian.AppendUint16(nil, uint16(len(s))))
	w.Write([]byte(s))
}

// Receipt says which leaves a submission became.
//
//	payload digest 32 ‖ u64 first index ‖ u32 count
type Receipt struct {
	PayloadDigest ledger.Hash // H of the receipt's payload: same submission or conflict
	First         uint64
	Count         uint32
}

// FormatReceipt returns the row's 44 bytes.
func FormatReceipt(r Receipt) []byte {
	b := append(make([]byte, 0, 44), r.PayloadDigest[:]...)
	b = binary.BigEndian.AppendUint64(b, r.First)
	return binary.BigEndian.AppendUint32(b, r.Count)
}

// ParseReceipt is the inverse of FormatReceipt.
func ParseReceipt(b []byte) (Receipt, error) {
	if len(b) != 44 {
		return Receipt{}, ErrMalformed
	}
	r := Receipt{First: binary.BigEndian.Uint64(b[32:]), Count: binary.BigEndian.Uint32(b[40:])}
	copy(r.PayloadDigest[:], b)
	return r, nil
}

// Event is a sealed body with what its keeper must know to open it.
//
//	mask ⊕ (handle 32 ‖ u32 i ‖ u64 j) ‖ sealed
type Event struct {
	Handle ledger.Hash // of the wrap of K (formats §6)
	I      uint32      // the subject's running number in the scope
	J      uint64      // the agency's running number
	Sealed []byte      // formats §6, AAD = the leaf hash
}

// FormatEvent masks and returns the row of the leaf at this place.
func FormatEvent(handleKey *[32]byte, epoch uint32, index uint64, e Event) []byte {
	b := append(make([]byte, 0, 44+len(e.Sealed)), e.Handle[:]...)
	b = binary.BigEndian.AppendUint32(b, e.I)
	b = binary.BigEndian.AppendUint64(b, e.J)
	applyMask(b, handleKey, "/row-event", epoch, index)
	return append(b, e.Sealed...)
}

// ParseEvent is the inverse of FormatEvent; Sealed aliases b. A wrong handle
// key isn't noticed here but where the handle finds no wrap.
func ParseEvent(handleKey *[32]byte, epoch uint32, index uint64, b []byte) (Event, error) {
	if len(b) < 44 {
		return Event{}, ErrMalformed
	}
	var head [44]byte
	copy(head[:], b)
	applyMask(head[:], handleKey, "/row-event", epoch, index)
	e := Event{I: binary.BigEndian.Uint32(head[32:]), J: binary.BigEndian.Uint64(head[36:]), Sealed: b[44:]}
	copy(e.Handle[:], head[:])
	return e, nil
}

// HasBody says whether the row of an event has its sealed body.
func HasBody(row []byte) bool { return len(row) > 44 }

// Private is the sealed private part of a receipt, kept at its first leaf.
//
//	mask ⊕ (handle 32 ‖ private digest 32) ‖ sealed
type Private struct {
	Handle ledger.Hash
	Digest ledger.Hash // the AAD it is sealed with
	Sealed []byte
}

// FormatPrivate masks and returns the row of the submission whose first leaf
// stands at this place.
func FormatPrivate(handleKey *[32]byte, epoch uint32, first uint64, p Private) []byte {
	b := append(make([]byte, 0, 64+len(p.Sealed)), p.Handle[:]...)
	b = append(b, p.Digest[:]...)
	applyMask(b, handleKey, "/row-private", epoch, first)
	return append(b, p.Sealed...)
}

// ParsePrivate is the inverse of FormatPrivate; Sealed aliases b.
func ParsePrivate(handleKey *[32]byte, epoch uint32, first uint64, b []byte) (Private, error) {
	if len(b) < 64 {
		return Private{}, ErrMalformed
	}
	var head [64]byte
	copy(head[:], b)
	applyMask(head[:], handleKey, "/row-private", epoch, first)
	p := Private{Sealed: b[64:]}
	copy(p.Handle[:], head[:])
	copy(p.Digest[:], head[32:])
	return p, nil
}

// applyMask xors at most 64 bytes with HMAC-SHA512(handle key, label ‖ 00 ‖ place).
func applyMask(b []byte, handleKey *[32]byte, label string, epoch uint32, index uint64) {
	m := hmac.New(sha512.New, handleKey[:])
	m.Write([]byte(ledger.NameSpace + label + "\x00"))
	m.Write(LeafKey(epoch, index))
	var mask [64]byte
	m.Sum(mask[:0])
	for i := range b {
		b[i] ^= mask[i]
	}
}

// SubjectCounterKey finds the next i of a subject in a scope; the value is a
// u32.
//
//	u32 epoch ‖ "s" ‖ first 16 bytes of HMAC(handle key, NS/counter ‖ 00 ‖ LP(subject) ‖ LP(scope))
func SubjectCounterKey(handleKey *[32]byte, epoch uint32, subject ledger.Subject, scope string) []byte {
	m := hmac.New(sha256.New, handleKey[:])
	m.Write([]byte(ledger.NameSpace + "/counter\x00"))
	writeText(m, string(subject))
	writeText(m, scope)
	sum := m.Sum(nil)
	return append(append(binary.BigEndian.AppendUint32(make([]byte, 0, 21), epoch), 's'), sum[:16]...)
}

// AgencyCounterKey finds the next j of an agency; the value is a u64.
//
//	u32 epoch ‖ "a" ‖ agency
func AgencyCounterKey(epoch uint32, agency string) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, epoch), 'a'), agency...)
}

// IsRunning says whether a counter's key is a subject's or an agency's.
func IsRunning(key []byte) bool { return len(key) > 4 && (key[4] == 's' || key[4] == 'a') }

// FormatCounter returns the next number: 4 bytes for a subject, 8 for an
// agency, as their tags count.
func FormatCounter(next uint64, width int) []byte {
	if width == 4 {
		return binary.BigEndian.AppendUint32(nil, uint32(next))
	}
	return binary.BigEndian.AppendUint64(nil, next)
}

// ParseCounter reads a counter of this width; an absent one (nil) is 0.
func ParseCounter(b []byte, width int) (uint64, error) {
	switch {
	case b == nil:
		return 0, nil
	case len(b) != width:
		return 0, ErrMalformed
	case width == 4:
		return uint64(binary.BigEndian.Uint32(b)), nil
	}
	return binary.BigEndian.Uint64(b), nil
}

// Wrap is a sealing key as it is kept: found by its handle, destroyed with its
// month's key.
//
//	month, e.g. "2026-11" ‖ what the month's key made of it 76 [ ‖ what seal.SealWrap made for the authority 144 ]
type Wrap struct {
	Month     string // 7 bytes
	Stored    []byte
	Authority []byte // nil without an authority
}

// FormatWrap returns the row.
func FormatWrap(w Wrap) []byte { return append(append([]byte(w.Month), w.Stored...), w.Authority...) }

const (
	wrapSize      = 7 + 76
	authoritySize = 144
)

// ParseWrap is the inverse of FormatWrap; what it returns aliases b.
func ParseWrap(b []byte) (Wrap, error) {
	if len(b) < 7 || b[4] != '-' {
		return Wrap{}, ErrMalformed
	}
	w := Wrap{Month: string(b[:7]), Stored: b[7:]}
	if len(b) == wrapSize+authoritySize {
		w.Stored, w.Authority = b[7:wrapSize:wrapSize], b[wrapSize:]
	}
	return w, nil
}

// RenewedKey finds the version of a month's key that all the month's wraps are
// under since its last erasure, a u64.
//
//	u32 epoch ‖ "w" ‖ month, e.g. "2026-11"
func RenewedKey(month string) []byte { return monthKey('w', month) }

// IsRenewedKey says whether a key is a RenewedKey.
func IsRenewedKey(key []byte) bool {
	return len(key) == 12 && bytes.Equal(key, RenewedKey(string(key[5:])))
}

// GoneVersion stands for a version where the month's key was destroyed and none
// of its wraps, bodies and private parts is left.
const GoneVersion = math.MaxUint32

// ErasedKey finds how many people were erased in a month, a u64, until the
// record of it is written.
//
//	u32 epoch ‖ "e" ‖ month, e.g. "2026-11"
func ErasedKey(month string) []byte { return monthKey('e', month) }

// DeferredKey finds until when the notice of a month's accesses is put off at the
// latest, a u64 in ms.
//
//	u32 epoch ‖ "d" ‖ month, e.g. "2026-11"
func DeferredKey(month string) []byte { return monthKey('d', month) }

func monthKey(kind byte, month string) []byte {
	year, _ := strconv.ParseUint(month[:min(4, len(month))], 10, 32)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(year)), kind), month...)
}
