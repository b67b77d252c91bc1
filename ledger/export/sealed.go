// SPDX-License-Identifier: EUPL-1.2

package export

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// DaysFile has the authority's day keys, in an export for it.
const DaysFile = "sealed/days.ndjson"

// SealedPath is the file of an epoch's sealed events.
func SealedPath(epoch uint32) string { return fmt.Sprintf("sealed/%d.ndjson", epoch) }

// Day is a day key that is wrapped to the authority: HPKE, as docs/formats.md section 6 has it.
//
//	{"origin":"registro.example/2026","day":"2026-11-22","stored":"…107 characters"}
type Day struct {
	Origin string        `json:"origin"`
	Day    string        `json:"day"`
	Stored ledger.Base64 `json:"stored"` // enc ‖ ciphertext, 80 bytes
}

// Wrapped is something sealed, with the wrap of its K that the authority opens.
type Wrapped struct {
	Handle ledger.Base64 `json:"handle"` // of K, 32 bytes
	Day    ledger.Base64 `json:"day"`    // name of the day key that the wrap is under, 32 bytes
	Wrap   ledger.Base64 `json:"wrap"`   // 72 bytes
	Sealed ledger.Base64 `json:"sealed"`
}

// Sealed is an event of an export for the authority, as the ledger keeps it, or erased. At the first event of each receipt
// stands its private part, also beside an erased one.
//
//	{"index":62,"event":{"handle":"…43","day":"…43","wrap":"…96","sealed":"…"},"tags":"…","private":{"handle":"…","day":"…","wrap":"…","sealed":"…"}}
//	{"index":63,"erased":true}
type Sealed struct {
	Index   uint64        `json:"index"`
	Event   *Wrapped      `json:"event,omitempty"`
	Tags    ledger.Base64 `json:"tags,omitempty"` // Tags, sealed by K
	Erased  bool          `json:"erased,omitempty"`
	Private *Wrapped      `json:"private,omitempty"`
	Live    bool          `json:"live,omitempty"` // there is one, and a token in it may still be good: it isn't handed over yet
}

var errSealed = errors.New("malformed line of a sealed event")

// Why something sealed doesn't open for the authority.
var (
	ErrSealedDay  = errors.New("no key of the authority opens the day key")
	ErrSealedWrap = errors.New("the wrap doesn't open under its day key")
	ErrSealedBody = errors.New("what is sealed doesn't open with the key in its wrap")
	ErrSealedTags = errors.New("what the tags are made from doesn't open")
)

// whole says whether all members have their lengths, or nothing is there.
func (w *Wrapped) whole() bool {
	return w == nil || len(w.Handle) == 32 && len(w.Day) == 32 && len(w.Wrap) == 72 && len(w.Sealed) > 0
}

// ParseSealed reads a line; what it accepts FormatSealed writes in the same way.
func ParseSealed(line []byte) (*Sealed, error) {
	s := new(Sealed)
	if err := ijson.Unmarshal(line, s); err != nil {
		return nil, errSealed
	}
	if s.Erased == (s.Event != nil) || s.Erased != (len(s.Tags) == 0) || !s.Event.whole() || !s.Private.whole() || s.Live && s.Private != nil {
		return nil, errSealed
	}
	if same, err := FormatSealed(s); err != nil || !bytes.Equal(same, line) {
		return nil, errSealed
	}
	return s, nil
}

// FormatSealed writes a line, without its newline.
func FormatSealed(s *Sealed) ([]byte, error) { return json.Marshal(s) }

// ParseDay reads a line of DaysFile; what it accepts FormatDay writes in the same way.
func ParseDay(line []byte) (*Day, error) {
	d := new(Day)
	if err := ijson.Unmarshal(line, d); err != nil || len(d.Stored) != 80 {
		return nil, errSealed
	}
	if same, err := FormatDay(d); err != nil || !bytes.Equal(same, line) {
		return nil, errSealed
	}
	return d, nil
}

// FormatDay writes a line, without its newline.
func FormatDay(d *Day) ([]byte, error) { return json.Marshal(d) }

// Tags are what an event's tags are made from (docs/formats.md section 3), for who checks them without the VRF key.
//
//	subject's proof 80 ‖ agency's proof 80 ‖ u32 i ‖ u64 j ‖ for each list that an event's request for erasure is about: LP(scope) ‖ proof 80 ‖ u32 count
type Tags struct {
	Subject [80]byte // VRF proof of k_s for the event's subject and scope
	Agency  [80]byte // VRF proof of k_a for its agency
	I       uint32
	J       uint64
	// Lists are, of a citizen's request for erasure, that citizen's lists in the year that it is about: so that the erased
	// events are recognised as theirs. Nil elsewhere.
	Lists []TagList
}

// TagList is one list of a citizen.
type TagList struct {
	Scope string
	Pi    [80]byte // VRF proof of k_s
	Count uint32   // of its events
}

// FormatTags writes them.
func FormatTags(t *Tags) []byte {
	b := slices.Concat(t.Subject[:], t.Agency[:])
	b = binary.BigEndian.AppendUint32(b, t.I)
	b = binary.BigEndian.AppendUint64(b, t.J)
	for _, l := range t.Lists {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(l.Scope))), l.Scope...)
		b = binary.BigEndian.AppendUint32(append(b, l.Pi[:]...), l.Count)
	}
	return b
}

// ParseTags is the inverse of FormatTags.
func ParseTags(b []byte) (*Tags, error) {
	if len(b) < 172 {
		return nil, errSealed
	}
	t := &Tags{Subject: [80]byte(b), Agency: [80]byte(b[80:]), I: binary.BigEndian.Uint32(b[160:]), J: binary.BigEndian.Uint64(b[164:])}
	for b = b[172:]; len(b) > 0; {
		if len(b) < 2 {
			return nil, errSealed
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n == 0 || len(b) < n+84 {
			return nil, errSealed
		}
		t.Lists = append(t.Lists, TagList{string(b[:n]), [80]byte(b[n:]), binary.BigEndian.Uint32(b[n+80:])})
		b = b[n+84:]
	}
	return t, nil
}
