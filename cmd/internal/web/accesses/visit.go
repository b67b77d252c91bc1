// SPDX-License-Identifier: EUPL-1.2

package accesses

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// together is how long after the first look at a list another one is still the same visit.
const together = 4 * time.Hour

// visit is what a browser remembers of the last ones: up to when the list had been shown before this visit, up to when it has
// been shown now, and when this visit began. The ledger keeps nothing of it. It is authenticated with a key that follows from
// the citizen's secret in +ledger of a year, so that nobody else's browser can make one and another citizen's is worth nothing.
//
//	base64url(u32 epoch ‖ u64 before ms ‖ u64 shown ms ‖ u64 began ms ‖ mac[16])
type visit struct {
	epoch                uint32
	before, shown, began time.Time
}

const visitSize = 4 + 3*8 + 16

// Visit reads what a citizen's browser remembers, and returns since when something is new to them, and what it is to remember
// now that it is shown a list that m began. Without a memory nothing is new: since is zero.
func (k *Keeper) Visit(subject ledger.Subject, remembered string, m *Making) (since time.Time, next string) {
	now := k.ledger.Now()
	v, known := k.openVisit(subject, remembered)
	switch {
	case !known:
		v = visit{began: now}
	case now.Sub(v.began) >= together || now.Before(v.began):
		v = visit{before: v.shown, began: now}
	}
	// All that was recorded before is in the list.
	v.shown, v.epoch = m.begun, ledger.EpochOf(now)
	key, ok := k.ledger.Secret(subject, v.epoch)
	if !ok {
		return v.before, ""
	}
	return v.before, v.seal(visitKey(key))
}

func visitKey(secret [32]byte) []byte {
	m := hmac.New(sha256.New, secret[:])
	m.Write([]byte(ledger.NameSpace + "/visit"))
	return m.Sum(nil)
}

func mac(key, content []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(content)
	return m.Sum(nil)[:16]
}

func (v *visit) seal(key []byte) string {
	b := binary.BigEndian.AppendUint32(nil, v.epoch)
	for _, t := range []time.Time{v.before, v.shown, v.began} {
		ms := uint64(0)
		if !t.IsZero() {
			ms = uint64(t.UnixMilli())
		}
		b = binary.BigEndian.AppendUint64(b, ms)
	}
	return base64.RawURLEncoding.EncodeToString(append(b, mac(key, b)...))
}

func (k *Keeper) openVisit(subject ledger.Subject, text string) (v visit, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != visitSize {
		return v, false
	}
	content := raw[:visitSize-16]
	v.epoch = binary.BigEndian.Uint32(content)
	key, ok := k.ledger.Secret(subject, v.epoch)
	if !ok || !hmac.Equal(mac(visitKey(key), content), raw[visitSize-16:]) {
		return visit{}, false
	}
	for i, t := range []*time.Time{&v.before, &v.shown, &v.began} {
		if ms := binary.BigEndian.Uint64(content[4+8*i:]); ms > 0 {
			*t = time.UnixMilli(int64(ms)).UTC()
		}
	}
	return v, true
}
