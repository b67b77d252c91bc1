// SPDX-License-Identifier: EUPL-1.2

package seal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

	"github.com/traccia-ledger/traccia/ledger"
)

// DayKey is a day key W as it is stored: wrapped to the authority, and nowhere else.
type DayKey struct {
	Origin string // of the shard that was recorded in
	Day    string // see Day
	Stored []byte // what WrapDay returned; NameDay names it
}

// DayKeys wraps sealing keys for an authority, each under the day key W of its day. W is random, in this memory alone, and
// overwritten by Forget or when another shard or day begins: from then on only the authority opens what is under it. It
// belongs to one goroutine.
type DayKeys struct {
	public []byte
	day    DayKey
	name   ledger.Hash
	w      [32]byte
}

// NewDayKeys returns the day keys for an authority's X25519 public key. It fails for bytes that are none.
func NewDayKeys(public [32]byte) (*DayKeys, error) {
	if _, err := WrapDay(public[:], "", "", new([32]byte)); err != nil {
		return nil, err
	}
	return &DayKeys{public: public[:]}, nil
}

// Wrap wraps the K of a handle under the day's W, and seals the wrap as SealWrap does. Where W was just made, fresh is how
// it is stored: durably with the wrap or before it, or nobody ever opens either.
func (d *DayKeys) Wrap(origin, day string, handle ledger.Hash, k *[32]byte) (sealed []byte, fresh *DayKey, err error) {
	if d.day.Origin != origin || d.day.Day != day {
		rand.Read(d.w[:])
		stored, err := WrapDay(d.public, origin, day, &d.w)
		if err != nil {
			return nil, nil, err
		}
		d.day, d.name = DayKey{origin, day, stored}, NameDay(stored)
		made := d.day
		fresh = &made
	}
	return SealWrap(k, handle, d.name, Wrap(&d.w, handle, k)), fresh, nil
}

// Forget overwrites W unless it is of this day.
func (d *DayKeys) Forget(day string) {
	if d.day.Day != day {
		d.w, d.day, d.name = [32]byte{}, DayKey{}, ledger.Hash{}
	}
}

// SealWrap seals the authority's wrap of K, with the name of the day key that it is under, by K itself: whoever destroys
// K's other wraps makes this one unreadable too, in every copy of the row. What is stored is 144 bytes:
//
//	+-------------+-----------------------------------+--------+
//	| nonce    24 | encrypted: name 32 ‖ wrap      72 | tag 16 |
//	+-------------+-----------------------------------+--------+
//
// sealed under HMAC-SHA256(K, "traccia/v1/authority-wrap" 00), bound to the handle.
func SealWrap(k *[32]byte, handle, name ledger.Hash, wrap []byte) []byte {
	under, head := derive(k, "/authority-wrap"), [32]byte(name)
	return sealParts(&under, freshNonce(), handle, &head, wrap)
}

// OpenWrap opens what SealWrap made. The error is ErrOpen.
func OpenWrap(k *[32]byte, handle ledger.Hash, sealed []byte) (name ledger.Hash, wrap []byte, err error) {
	under := derive(k, "/authority-wrap")
	head, wrap, err := openParts(&under, handle, sealed)
	if err != nil || len(wrap) != sealedSize {
		return ledger.Hash{}, nil, ErrOpen
	}
	return head, wrap, nil
}

// derive is another key for whoever has K.
func derive(k *[32]byte, label string) (under [32]byte) {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(ledger.NameSpace + label + "\x00"))
	mac.Sum(under[:0])
	return under
}

// SealTags seals, by K, what an event's two tags are made from, bound to the leaf: for the authority, who recomputes them.
// It is made when the authority is handed the event, and not kept.
func SealTags(k *[32]byte, leafHash ledger.Hash, tags []byte) []byte {
	under := derive(k, "/authority-tags")
	return sealParts(&under, freshNonce(), leafHash, new([32]byte), tags)
}

// OpenTags opens what SealTags made for this leaf. The error is ErrOpen.
func OpenTags(k *[32]byte, leafHash ledger.Hash, sealed []byte) ([]byte, error) {
	under := derive(k, "/authority-tags")
	head, tags, err := openParts(&under, leafHash, sealed)
	if err != nil || head != [32]byte{} {
		return nil, ErrOpen
	}
	return tags, nil
}
