// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// MaxLeaf is the length of the longest leaf in bytes, the limit of an entry in
// a tile.
const MaxLeaf = 65535

// ErrMalformedLeaf is the one error of [ParseLeaf].
var ErrMalformedLeaf = errors.New("malformed leaf")

// Types of leaf, the second byte.
const (
	typeEvent    = 1
	typeHead     = 2
	typePreamble = 3
	typeRecord   = 4
)

const (
	headerLength   = 1 + 1 + 4
	eventLength    = headerLength + 3*32
	headLength     = headerLength + 1 + 8 + 32 + 32 + 8
	preambleLength = headerLength + 1 + 32 + 8 + 32 + 2 // and the ledger name
	recordLength   = headerLength + 2                   // and the JSON

	vrfSuite = 3 // ECVRF-EDWARDS25519-SHA512-TAI, RFC 9381
)

// Leaf is one of [Event], [Head], [Preamble] and [Record], as values.
type Leaf interface {
	appendTo(b []byte) ([]byte, error)
}

// Event is the leaf of one access, consent or look-up. Who may tell which, and
// about whom, is a matter of tags and sealed bodies; the leaf shows nothing.
//
//	u8 version=1 ‖ u8 type=1 ‖ u32 epoch ‖ subject_tag 32 ‖ agency_tag 32 ‖ body_commitment 32
//	01 01 000007ea 9e2346b9… 5b50516a… f523b942…                                  102 bytes
type Event struct {
	Epoch      uint32
	SubjectTag Hash
	AgencyTag  Hash
	Commitment Hash // BodyCommitment
}

// Head states the index over all leaves of its shard before it.
//
//	u8 version=1 ‖ u8 type=2 ‖ u32 epoch ‖ u8 final ‖ u64 keys ‖ root 32 ‖ scopes 32 ‖ u64 unix_ms
//	01 02 000007ea 00 000000000000000c 05050505… 06060606… 0000019b76daa800       87 bytes
type Head struct {
	Epoch  uint32
	Final  bool   // the shard's last leaf
	Keys   uint64 // keys in the index
	Root   Hash   // of the index
	Scopes Hash   // ScopesHash
	UnixMS uint64 // milliseconds since 1970, UTC
}

// Preamble is leaf 0 of a shard. Its VRF suite is always 3
// (ECVRF-EDWARDS25519-SHA512-TAI); whether VRFKey is a good key is for package
// vrf to say.
//
//	u8 version=1 ‖ u8 type=3 ‖ u32 epoch ‖ u8 vrf_suite=3 ‖ vrf_public_key 32 ‖
//	u64 previous_size ‖ previous_root 32 ‖ LP(ledger name)
//	01 03 000007ea 03 d04ab232… 0000000000000000 00000000… 0010 registro.example  81 bytes and the name
type Preamble struct {
	Epoch        uint32
	VRFKey       [32]byte
	PreviousSize uint64 // of the log of the shard before, after its final head; 0 for the first
	PreviousRoot Hash   // of the log of the shard before; zeros for the first
	Name         string // CheckName
}

// Record is a public statement: a body, a key, a scope and so on. JSON is a
// strict I-JSON object with a non-empty string "kind"; its bytes are kept as
// they are. Members and kinds that a reader doesn't know are well formed.
//
//	u8 version=1 ‖ u8 type=4 ‖ u32 epoch ‖ LP(JSON)
//	01 04 000007ea 0034 {"kind":"scope","id":"c_h501","providers":["c_h501"]}     8 bytes and the JSON
type Record struct {
	Epoch uint32
	JSON  []byte
}

// EpochOfLeaf returns the epoch that a leaf states.
func EpochOfLeaf(l Leaf) uint32 {
	switch l := l.(type) {
	case Event:
		return l.Epoch
	case Head:
		return l.Epoch
	case Preamble:
		return l.Epoch
	case Record:
		return l.Epoch
	}
	return 0 // a nil Leaf: no log's epoch
}

// FormatLeaf encodes a leaf. It refuses one that [ParseLeaf] would refuse.
func FormatLeaf(l Leaf) ([]byte, error) {
	return l.appendTo(nil)
}

// ParseLeaf decodes a leaf; what it accepts formats to the same bytes. The only
// error is [ErrMalformedLeaf]. A Record's JSON is a part of b, not a copy.
func ParseLeaf(b []byte) (Leaf, error) {
	if len(b) < headerLength || len(b) > MaxLeaf || b[0] != Version {
		return nil, ErrMalformedLeaf
	}
	epoch, rest := binary.BigEndian.Uint32(b[2:]), b[headerLength:]
	switch {
	case b[1] == typeEvent && len(b) == eventLength:
		return Event{
			Epoch:      epoch,
			SubjectTag: Hash(rest),
			AgencyTag:  Hash(rest[32:]),
			Commitment: Hash(rest[64:]),
		}, nil
	case b[1] == typeHead && len(b) == headLength && rest[0] <= 1:
		return Head{
			Epoch:  epoch,
			Final:  rest[0] == 1,
			Keys:   binary.BigEndian.Uint64(rest[1:]),
			Root:   Hash(rest[9:]),
			Scopes: Hash(rest[41:]),
			UnixMS: binary.BigEndian.Uint64(rest[73:]),
		}, nil
	case b[1] == typePreamble && len(b) >= preambleLength && rest[0] == vrfSuite:
		name, ok := parseLP(rest[73:])
		if !ok || CheckName(string(name)) != nil {
			return nil, ErrMalformedLeaf
		}
		return Preamble{
			Epoch:        epoch,
			VRFKey:       [32]byte(rest[1:]),
			PreviousSize: binary.BigEndian.Uint64(rest[33:]),
			PreviousRoot: Hash(rest[41:]),
			Name:         string(name),
		}, nil
	case b[1] == typeRecord && len(b) >= recordLength:
		text, ok := parseLP(rest)
		if !ok || checkRecord(text) != nil {
			return nil, ErrMalformedLeaf
		}
		return Record{Epoch: epoch, JSON: text}, nil
	}
	return nil, ErrMalformedLeaf
}

// parseLP decodes LP(x) when nothing follows it.
func parseLP(b []byte) (x []byte, ok bool) {
	n := int(binary.BigEndian.Uint16(b))
	return b[2:], len(b) == 2+n
}

// checkRecord reports whether text can be a record's JSON.
func checkRecord(text []byte) error {
	if err := ijson.Check(text); err != nil {
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	var kind string
	if err := json.Unmarshal(members["kind"], &kind); err != nil || kind == "" {
		return errors.New(`a record has a non-empty string "kind"`)
	}
	return nil
}

func appendHeader(b []byte, kind byte, epoch uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, Version, kind), epoch)
}

func (e Event) appendTo(b []byte) ([]byte, error) {
	b = appendHeader(b, typeEvent, e.Epoch)
	b = append(b, e.SubjectTag[:]...)
	b = append(b, e.AgencyTag[:]...)
	return append(b, e.Commitment[:]...), nil
}

func (h Head) appendTo(b []byte) ([]byte, error) {
	b = appendHeader(b, typeHead, h.Epoch)
	final := byte(0)
	if h.Final {
		final = 1
	}
	b = append(b, final)
	b = binary.BigEndian.AppendUint64(b, h.Keys)
	b = append(b, h.Root[:]...)
	b = append(b, h.Scopes[:]...)
	return binary.BigEndian.AppendUint64(b, h.UnixMS), nil
}

func (p Preamble) appendTo(b []byte) ([]byte, error) {
	if err := CheckName(p.Name); err != nil {
		return nil, fmt.Errorf("couldn't format preamble: %w", err)
	}
	b = append(appendHeader(b, typePreamble, p.Epoch), vrfSuite)
	b = append(b, p.VRFKey[:]...)
	b = binary.BigEndian.AppendUint64(b, p.PreviousSize)
	b = append(b, p.PreviousRoot[:]...)
	return appendLP(b, p.Name), nil
}

func (r Record) appendTo(b []byte) ([]byte, error) {
	if n := recordLength + len(r.JSON); n > MaxLeaf {
		return nil, fmt.Errorf("couldn't format record: a leaf has at most %d bytes, not %d", MaxLeaf, n)
	}
	if err := checkRecord(r.JSON); err != nil {
		return nil, fmt.Errorf("couldn't format record: %w", err)
	}
	b = appendHeader(b, typeRecord, r.Epoch)
	return appendLP(b, string(r.JSON)), nil
}
