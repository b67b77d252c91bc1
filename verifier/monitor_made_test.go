// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/vrf"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// begun is the unix_ms of a made log's first head.
const begun = uint64(1_767_225_600_000) // 2026-01-01T00:00:00Z

func at(seconds float64) time.Time {
	return time.UnixMilli(int64(begun) + int64(seconds*1000)).UTC()
}

// madeLog is a log made leaf by leaf, with right heads unless told otherwise.
type madeLog struct {
	*verifiertest.Log
	t      testing.TB
	follow *replay.Reader
	events uint64
}

func newMadeLog(t testing.TB) *madeLog {
	t.Helper()
	l := &madeLog{Log: verifiertest.NewLog(origin), t: t}
	var err error
	if l.follow, err = replay.New(origin); err != nil {
		t.Fatal(err)
	}
	return l
}

// usual returns a log with a preamble, a body, its key, a scope and a head.
func usual(t testing.TB) *madeLog {
	l := newMadeLog(t)
	l.leaf(ledger.Preamble{Epoch: 2026, VRFKey: vrfKey, Name: "registro.example"})
	l.record(registry.Body{ID: "inps", Name: "INPS"})
	l.record(inpsKey(1))
	l.record(registry.Scope{ID: "inps", Providers: []string{"inps"}})
	l.head(0)
	return l
}

var vrfKey = vrf.NewKey([32]byte{1}).Public()

func (l *madeLog) raw(b []byte) {
	l.Add(b)
	l.follow.Add(b)
}

func (l *madeLog) leaf(leaf ledger.Leaf) {
	l.t.Helper()
	b, err := ledger.FormatLeaf(leaf)
	if err != nil {
		l.t.Fatal(err)
	}
	l.raw(b)
}

func (l *madeLog) record(r any) {
	l.t.Helper()
	text, err := registry.FormatRecord(r)
	if err != nil {
		l.t.Fatal(err)
	}
	l.json(string(text))
}

func (l *madeLog) json(text string) { l.leaf(ledger.Record{Epoch: 2026, JSON: []byte(text)}) }

// tagged returns an event with the tags of a number.
func tagged(n uint64) ledger.Event {
	tag := func(kind byte) ledger.Hash { return sha256.Sum256(binary.BigEndian.AppendUint64([]byte{kind}, n)) }
	return ledger.Event{Epoch: 2026, SubjectTag: tag(0), AgencyTag: tag(1), Commitment: tag(2)}
}

func (l *madeLog) event(n int) {
	for range n {
		l.leaf(tagged(l.events))
		l.events++
	}
}

// head adds a head some seconds after the first, changed as told.
func (l *madeLog) head(seconds float64, change ...func(*ledger.Head)) {
	r := l.follow.Report()
	h := ledger.Head{Epoch: 2026, Keys: r.Keys, Root: r.IndexRoot, Scopes: ledger.ScopesHash(r.Scopes), UnixMS: begun + uint64(seconds*1000)}
	for _, f := range change {
		f(&h)
	}
	l.leaf(h)
}

func (l *madeLog) now() checkpoint.Checkpoint { return l.At(uint64(len(l.Leaves))) }

// inpsKey is the record of a key of INPS; n tells keys apart.
func inpsKey(n byte) registry.Key {
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

// watch is a Monitor with what it told and kept.
type watch struct {
	*verifier.Monitor
	told []verifier.Finding
	kept [][]byte
}

func newWatch(t testing.TB, f checkpoint.Fetcher, announced *verifier.Announced) *watch {
	t.Helper()
	w := &watch{}
	var err error
	w.Monitor, err = verifier.NewMonitor(verifier.MonitorConfig{
		Origin: origin, Fetch: f, Announced: announced, Found: func(f verifier.Finding) { w.told = append(w.told, f) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watch) keep(first uint64, leaves [][]byte) error {
	if first != uint64(len(w.kept)) {
		return fmt.Errorf("leaves from %d after %d", first, len(w.kept))
	}
	w.kept = append(w.kept, leaves...)
	return nil
}

func (w *watch) look(t testing.TB, now checkpoint.Checkpoint, when time.Time) error {
	t.Helper()
	return w.Public(t.Context(), now, when, w.keep)
}

// alarms are the codes told that aren't notices.
func (w *watch) alarms() (codes []string) {
	for _, f := range w.told {
		if f.Level != verifier.LevelNotice {
			codes = append(codes, f.Code)
		}
	}
	return codes
}

func inOrder(leaves [][]byte) func(func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		for _, l := range leaves {
			if !yield(l, nil) {
				return
			}
		}
	}
}
