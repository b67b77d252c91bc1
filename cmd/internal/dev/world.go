// SPDX-License-Identifier: EUPL-1.2

// Package dev is a small Italy to try Traccia in: forty real bodies of PDND with keys, INPS's hub, a stand-in for PDND that
// issues vouchers, invented citizens, and accesses shaped by PDND's real token counts. It is for development and load tests
// alone: its salts can be foretold.
//
// Real is the open data (data/README.md): bodies, tenants, e-services, how many tokens which category of consumer took for
// which. Invented is everything about people, and the terms of each access (service.go). PDND counts no welfare alone, so
// three accesses in four are to the hub's providers, and each part is weighted by PDND's counts.
package dev

import (
	"cmp"
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// Config of a World. Dir and Ledger are required.
type Config struct {
	Dir    string    // keeps keys; exists
	Ledger string    // the ledger's name: aud of receipts
	Seed   uint64    // the same seed gives the same accesses; with the same time and keys also the same ids, tokens and salts
	Now    time.Time // accesses took place in the half minute before; zero stands for the time of NewWorld

	// VoucherReuse is how many receipts in a row rest on one voucher, and on the evidence whose digest it carries; 0 stands
	// for 10.
	VoucherReuse int
	// Profile is ledger.ProfileAudit02, ProfileAudit01 (each receipt with an evidence of its own) or ProfileVoucher; "" mixes
	// them and the flaws that administrations' evidences have.
	Profile string
	// Subjects of each receipt; 0 mixes: mostly one, some lists of 5 to 50, and one mass extraction of 1,200 in 5,000.
	Subjects int
	// NewSubjects gives no subject twice; else receipts share a population of 2,500, or of Subjects if that is more.
	NewSubjects bool
}

const (
	population = 2_500
	largest    = 1_200 // subjects of a mass extraction
	massEvery  = 5_000 // receipts
	hubShare   = 0.75
)

// World makes submissions. It may be used by several goroutines.
type World struct {
	config  Config
	bodies  []Body
	byID    map[string]Body
	secrets secrets
	keys    map[string]jws.Key // of bodies, by id
	tokens  *tokens
	run     uint64     // where this run's new subjects begin; of the same kinds as in any other
	hubbed  []weighted // flows to the hub's providers
	others  []weighted

	mu       sync.Mutex
	sessions map[int]*session // guarded by mu; some of the latest, the others can be made again
}

// weighted is a flow with the sum of all tokens up to its own.
type weighted struct {
	flow
	upTo float64
}

// NewWorld reads the open data and the keys in c.Dir, which it makes the first time.
func NewWorld(c Config) (*World, error) {
	if err := ledger.CheckName(c.Ledger); err != nil {
		return nil, err
	}
	c.Now = cmp.Or(c.Now, time.Now()).UTC()
	c.VoucherReuse = cmp.Or(c.VoucherReuse, 10)
	w := &World{config: c, byID: make(map[string]Body), sessions: make(map[int]*session)}
	all, err := AllBodies()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, g := range chosen {
		ids = append(ids, g.ids...)
	}
	for _, b := range all {
		if slices.Contains(ids, b.ID) {
			w.bodies = append(w.bodies, b)
			w.byID[b.ID] = b
		}
	}
	if len(w.bodies) != len(ids) {
		return nil, fmt.Errorf("couldn't find all %d chosen bodies in PDND's open data: found %d", len(ids), len(w.bodies))
	}
	list, err := flows(w.byID)
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		to := &w.others
		if slices.Contains(hubProviders, f.provider.ID) {
			to = &w.hubbed
		}
		sum := f.tokens
		if n := len(*to); n > 0 {
			sum += (*to)[n-1].upTo
		}
		*to = append(*to, weighted{f, sum})
	}
	if w.secrets, err = openSecrets(c.Dir, ids); err != nil {
		return nil, err
	}
	w.keys = make(map[string]jws.Key)
	for _, id := range ids {
		if w.keys[id], err = w.secrets.public(bodyKey(id)); err != nil {
			return nil, fmt.Errorf("couldn't use the development keys: %w", err)
		}
	}
	w.run = w.ids("run", 0).Uint64() % 5_000_000 * kinds
	if w.tokens, err = newTokens(w.secrets); err != nil {
		return nil, fmt.Errorf("couldn't sign as PDND: %w", err)
	}
	return w, nil
}

// Bodies returns those with keys, in the order of PDND's data.
func (w *World) Bodies() []Body { return slices.Clone(w.bodies) }

// Hub returns the scope of INPS's hub: its body and the providers it speaks for.
func (w *World) Hub() (id string, providers []string) {
	return hub, append([]string{Municipality}, hubProviders...)
}

// Key returns the public key of a body; false if the body has none here.
func (w *World) Key(id string) (jws.Key, bool) {
	k, ok := w.keys[id]
	return k, ok
}

// Signer returns the private key of a body; nil if the body has none here.
func (w *World) Signer(id string) crypto.Signer { return w.secrets[bodyKey(id)] }

// choices is what decides on one thing: the same for the same seed, kind and number.
func (w *World) choices(kind string, n int) *rand.Rand {
	return rand.New(w.source(fmt.Appendf(nil, "%s %d ", kind, n)))
}

// ids is the source of one thing's ids and salts, which are others at another time.
func (w *World) ids(kind string, n int) *rand.ChaCha8 {
	return w.source(binary.BigEndian.AppendUint64(fmt.Appendf(nil, "ids of %s %d ", kind, n), uint64(w.config.Now.UnixNano())))
}

func (w *World) source(what []byte) *rand.ChaCha8 {
	return rand.NewChaCha8(sha256.Sum256(binary.BigEndian.AppendUint64(what, w.config.Seed)))
}

func uuid(r *rand.ChaCha8) string {
	var b [16]byte
	r.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// fixedUUID is an id that doesn't change from run to run, such as a client's or a purpose's.
func fixedUUID(what string) string { return uuid(rand.NewChaCha8(sha256.Sum256([]byte(what)))) }

// subjects of the n-th receipt. All are of one kind, so that their codes differ.
func (w *World) subjects(n, count int, s service, r *rand.Rand) []ledger.Subject {
	size := max(population, w.config.Subjects)
	var first, wrap uint64
	if w.config.NewSubjects {
		// Behind the population, and where no other run of the same seed is likely to be.
		first = uint64(size) + w.run + uint64(n)*uint64(cmp.Or(w.config.Subjects, largest))
		wrap = 1_000_000_000
	} else {
		// The square makes some citizens' files much asked for.
		u := r.Float64()
		first, wrap = uint64(u*u*float64(size)), uint64(size)
	}
	list := make([]ledger.Subject, count)
	for i := range list {
		k := (first + uint64(i)) % wrap
		if s.organisations {
			list[i] = organisation(k)
		} else {
			list[i] = citizen(k)
		}
	}
	return list
}

// count is how many subjects the n-th receipt has.
func (w *World) count(n int, r *rand.Rand) int {
	switch {
	case w.config.Subjects > 0:
		return w.config.Subjects
	case n%massEvery == massEvery/2:
		return largest
	case r.IntN(100) < 3:
		return 5 + r.IntN(massive-4)
	}
	return 1
}
