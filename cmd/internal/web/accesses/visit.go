// SPDX-License-Identifier: EUPL-1.2

package accesses

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// together is how long after the first look at a list another one is still the same visit.
const together = 4 * time.Hour

// visit is what a browser remembers of the last ones of a citizen: up to when the list had been shown before this visit, up to
// when it has been shown now, and when this visit began. The ledger keeps nothing of it. It is authenticated with a key that
// follows from the citizen's secret in +ledger of a year, so that nobody else's browser can make one and another citizen's is
// worth nothing. A browser remembers those of several (of one person's codes, of whom they act for), the latest first:
//
//	base64url(visit ‖ …), visit = u32 epoch ‖ u64 before ms ‖ u64 shown ms ‖ u64 began ms ‖ mac[16]
type visit struct {
	epoch                uint32
	before, shown, began time.Time
}

const (
	visitSize = 4 + 3*8 + 16
	maxVisits = 8 // that a browser remembers
)

// Visit reads what a citizen's browser remembers, and returns since when something is new to them, and what it is to remember
// now that it is shown a list that m began. Without a memory nothing is new: since is zero.
func (k *Keeper) Visit(subject ledger.Subject, remembered string, m *Making) (since time.Time, next string) {
	now := k.ledger.Now()
	v, others, known := k.openVisits(subject, remembered)
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
	if len(others) > (maxVisits-1)*visitSize {
		others = others[:(maxVisits-1)*visitSize]
	}
	return v.before, base64.RawURLEncoding.EncodeToString(append(v.seal(visitKey(key)), others...))
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

func (v *visit) seal(key []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, v.epoch)
	for _, t := range []time.Time{v.before, v.shown, v.began} {
		ms := uint64(0)
		if !t.IsZero() {
			ms = uint64(t.UnixMilli())
		}
		b = binary.BigEndian.AppendUint64(b, ms)
	}
	return append(b, mac(key, b)...)
}

// openVisits finds a subject's visit among those remembered, and returns the others as they are; ok: there is one.
func (k *Keeper) openVisits(subject ledger.Subject, text string) (v visit, others []byte, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw)%visitSize != 0 || len(raw) > maxVisits*visitSize {
		return v, nil, false
	}
	for one := range slices.Chunk(raw, visitSize) {
		found, own := k.openVisit(subject, one)
		switch {
		case !own:
			others = append(others, one...)
		case !ok:
			v, ok = found, true
		}
	}
	return v, others, ok
}

func (k *Keeper) openVisit(subject ledger.Subject, raw []byte) (v visit, ok bool) {
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
