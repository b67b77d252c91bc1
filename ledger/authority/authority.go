// SPDX-License-Identifier: EUPL-1.2

// Package authority opens what an operator hands over to the authority for which its ledger wraps keys (docs/formats.md
// section 6, docs/export.md): day keys with the authority's private key, keys with those, events and private parts with
// these. It trusts nothing of what it opens; that an event is what its leaf commits to, package seal checks.
package authority

import (
	"crypto/ecdh"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// Opener opens what an export hands over sealed. Once it has the days it may be used by several goroutines.
type Opener struct {
	keys []*ecdh.PrivateKey
	days map[ledger.Hash][32]byte // W by its name
	ks   *lru.Cache[wrapID, [32]byte]
}

// wrapID is a handle and the wrap that was opened for it: another person in the same month may have had another.
type wrapID struct {
	handle, day ledger.Hash
	wrap        [72]byte
}

// NewOpener returns what opens with these keys: the authority's, and those that it had before.
func NewOpener(keys ...*ecdh.PrivateKey) (*Opener, error) {
	ks, err := lru.New[wrapID, [32]byte](1 << 16)
	return &Opener{keys: keys, days: map[ledger.Hash][32]byte{}, ks: ks}, err
}

// Day takes a day key. False where none of the keys opens it.
func (o *Opener) Day(d *export.Day) bool {
	for _, k := range o.keys {
		if w, err := seal.UnwrapDay(k, d.Origin, d.Day, d.Stored); err == nil {
			o.days[seal.NameDay(d.Stored)] = w
			return true
		}
	}
	return false
}

// Event opens the event of a leaf, and what its tags are made from.
func (o *Opener) Event(s *export.Sealed, leaf []byte) (nonce [32]byte, body []byte, tags *export.Tags, err error) {
	k, err := o.key(s.Event)
	if err != nil {
		return nonce, nil, nil, err
	}
	if nonce, body, err = seal.OpenEvent(&k, leaf, s.Event.Sealed); err != nil {
		return nonce, nil, nil, export.ErrSealedBody
	}
	text, err := seal.OpenTags(&k, ledger.HashLeaf(leaf), s.Tags)
	if err == nil {
		tags, err = export.ParseTags(text)
	}
	if err != nil {
		return nonce, body, nil, export.ErrSealedTags
	}
	return nonce, body, tags, nil
}

// Private opens a private part, which the receipt commits to by this digest.
func (o *Opener) Private(p *export.Wrapped, digest ledger.Hash) (salt [32]byte, content []byte, err error) {
	k, err := o.key(p)
	if err != nil {
		return salt, nil, err
	}
	if salt, content, err = seal.OpenPrivate(&k, digest, p.Sealed); err != nil {
		return salt, nil, export.ErrSealedBody
	}
	return salt, content, nil
}

// key unwraps K.
func (o *Opener) key(w *export.Wrapped) (k [32]byte, err error) {
	id := wrapID{ledger.Hash(w.Handle), ledger.Hash(w.Day), [72]byte(w.Wrap)}
	if k, ok := o.ks.Get(id); ok {
		return k, nil
	}
	day, ok := o.days[id.day]
	if !ok {
		return k, export.ErrSealedDay
	}
	if k, err = seal.Unwrap(&day, id.handle, w.Wrap); err != nil {
		return k, export.ErrSealedWrap
	}
	o.ks.Add(id, k)
	return k, nil
}
