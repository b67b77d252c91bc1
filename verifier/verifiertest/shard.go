// SPDX-License-Identifier: EUPL-1.2

package verifiertest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// Shard is a Log made leaf by leaf, whose heads are right unless told otherwise.
// Its methods panic for leaves that have no encoding.
type Shard struct {
	*Log
	Events uint64 // added by Event

	epoch  uint32
	name   string
	follow *replay.Reader
	begun  uint64 // unix_ms
}

// VRFKey is the one in a Shard's preamble.
var VRFKey = vrf.NewKey([32]byte{1}).Public()

// NewShard returns an empty shard; times count from the start of its year.
func NewShard(origin string) *Shard {
	name, epoch, err := ledger.ParseOrigin(origin)
	if err != nil {
		panic(err)
	}
	follow, err := replay.New(origin)
	if err != nil {
		panic(err)
	}
	begun := time.Date(int(epoch), 1, 1, 0, 0, 0, 0, time.UTC)
	return &Shard{Log: NewLog(origin), epoch: epoch, name: name, follow: follow, begun: uint64(begun.UnixMilli())}
}

// UsualShard returns one with a preamble, INPS's body, key and scope, and a head
// of that instant.
func UsualShard(origin string, seconds float64) *Shard {
	s := NewShard(origin)
	s.Leaf(ledger.Preamble{Epoch: s.epoch, VRFKey: VRFKey, Name: s.name})
	s.Record(registry.Body{ID: "inps", Name: "INPS"})
	s.Record(InpsKey(1))
	s.Record(registry.Scope{ID: "inps", Providers: []string{"inps"}})
	s.Head(seconds)
	return s
}

// InpsKey is the record of a key of INPS; n tells keys apart.
func InpsKey(n byte) registry.Key {
	key, err := jws.NewKey(fmt.Sprintf("inps-%d", n), ed25519.NewKeyFromSeed(append(make([]byte, 31), n)).Public())
	if err != nil {
		panic(err)
	}
	jwk, err := jws.FormatKey(key)
	if err != nil {
		panic(err)
	}
	return registry.Key{Body: "inps", Kid: key.Kid, JWK: jwk, Basis: registry.BasisOperator}
}

// Close announces the next shard, unless it is nil, and adds the final head.
func (s *Shard) Close(next *Shard, seconds float64) {
	if next != nil {
		s.Record(registry.LogKey{Origin: next.Origin, VKey: next.VKey})
	}
	s.Head(seconds, func(h *ledger.Head) { h.Final = true })
}

// Follow begins the shard after another: its preamble, and what of the other's records is in force, changed as told.
func (s *Shard) Follow(before *Shard, change ...func(p *ledger.Preamble, records [][]byte) [][]byte) {
	p := ledger.Preamble{Epoch: s.epoch, VRFKey: VRFKey, Name: s.name, PreviousSize: before.Now().Size, PreviousRoot: before.Now().Root}
	taken := registry.New(before.name)
	texts := map[uint64][]byte{}
	for i, raw := range before.Leaves {
		leaf, _ := ledger.ParseLeaf(raw)
		if r, ok := leaf.(ledger.Record); ok && taken.Apply(uint64(i), r.JSON) == nil {
			texts[uint64(i)] = r.JSON
		}
	}
	var records [][]byte
	for _, index := range taken.InForce() {
		records = append(records, texts[index])
	}
	for _, f := range change {
		records = f(&p, records)
	}
	s.Leaf(p)
	for _, r := range records {
		s.JSON(string(r))
	}
}

// Raw adds a leaf, whatever it is.
func (s *Shard) Raw(b []byte) {
	s.Add(b)
	s.follow.Add(b)
}

// Leaf adds a leaf.
func (s *Shard) Leaf(leaf ledger.Leaf) {
	b, err := ledger.FormatLeaf(leaf)
	if err != nil {
		panic(err)
	}
	s.Raw(b)
}

// Record adds a record of the registry.
func (s *Shard) Record(r any) {
	text, err := registry.FormatRecord(r)
	if err != nil {
		panic(err)
	}
	s.JSON(string(text))
}

// JSON adds a record.
func (s *Shard) JSON(text string) { s.Leaf(ledger.Record{Epoch: s.epoch, JSON: []byte(text)}) }

// Tagged returns an event with the tags of a number.
func (s *Shard) Tagged(n uint64) ledger.Event {
	tag := func(kind byte) ledger.Hash { return sha256.Sum256(binary.BigEndian.AppendUint64([]byte{kind}, n)) }
	return ledger.Event{Epoch: s.epoch, SubjectTag: tag(0), AgencyTag: tag(1), Commitment: tag(2)}
}

// Event adds events with the next tags.
func (s *Shard) Event(count int) {
	for range count {
		s.Leaf(s.Tagged(s.Events))
		s.Events++
	}
}

// Instant is an instant of the shard's year, in seconds from its start.
func (s *Shard) Instant(seconds float64) time.Time {
	return time.UnixMilli(int64(s.begun) + int64(seconds*1000)).UTC()
}

// Head adds a head of that instant, changed as told.
func (s *Shard) Head(seconds float64, change ...func(*ledger.Head)) {
	r := s.follow.Report()
	h := ledger.Head{Epoch: s.epoch, Keys: r.Keys, Root: r.IndexRoot, Scopes: ledger.ScopesHash(r.Scopes), UnixMS: uint64(s.Instant(seconds).UnixMilli())}
	for _, f := range change {
		f(&h)
	}
	s.Leaf(h)
}

// Report is what replay makes of the leaves.
func (s *Shard) Report() replay.Report { return s.follow.Report() }

// Now is the state of all leaves.
func (s *Shard) Now() checkpoint.Checkpoint { return s.At(uint64(len(s.Leaves))) }
