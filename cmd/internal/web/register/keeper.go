// SPDX-License-Identifier: EUPL-1.2

package register

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/statistics"
)

// Keeper makes the Register of a ledger, anew at most once a publication, and reads each record once. It is safe for
// concurrent use.
type Keeper struct {
	node *node.Node

	mu   sync.Mutex // guards all of what follows
	last *Register
	of   [32]byte // digest of the checkpoints that last is of
	logs map[uint32]*logBook
	book book

	bodies  []*Body            // by name
	byID    map[string]*Body   // the same
	from    *registry.Registry // that they are of
	version uint64             // likewise
	lacking bool               // some are registered, and not in the public log yet
}

// book is what the records of all years say, but for what a registry knows.
type book struct {
	months    []*Month
	policies  []Policy
	terms     []Term
	builds    []Build
	announced map[string]Place // log keys, by origin
}

// logBook is how far a log was read.
type logBook struct {
	read   uint64 // leaves
	totals *statistics.Reader
	began  map[string]bool // kinds of which a record was there
}

// NewKeeper returns the keeper of a ledger's register.
func NewKeeper(n *node.Node) *Keeper {
	return &Keeper{node: n, logs: map[uint32]*logBook{}, book: book{announced: map[string]Place{}}}
}

// Get returns what is published now.
func (k *Keeper) Get(ctx context.Context) (*Register, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	logs := k.node.Logs()
	published := make([]node.Published, len(logs))
	digest := sha256.New()
	for i, l := range logs {
		p, err := k.node.Published(l.Epoch)
		if err != nil && !errors.Is(err, node.ErrNotPublished) {
			return nil, err
		}
		published[i] = p
		digest.Write(p.Checkpoint)
		digest.Write([]byte{0})
	}
	of := [32]byte(digest.Sum(nil))
	if k.last != nil && of == k.of {
		return k.last, nil
	}
	r, err := k.make(ctx, logs, published)
	if err != nil {
		return nil, err
	}
	k.last, k.of = r, of
	return r, nil
}

// make is called with mu held.
func (k *Keeper) make(ctx context.Context, logs []node.LogState, published []node.Published) (*Register, error) {
	policy, witnessed, err := k.node.ReaderPolicy()
	if err != nil {
		return nil, err
	}
	r := &Register{Schema: Schema, Ledger: k.node.Settings.Name}
	for i, l := range logs {
		p := published[i]
		if p.Root.Size == 0 {
			continue
		}
		if err := k.read(ctx, l.Origin, l.Epoch, p.Root.Size); err != nil {
			return nil, err
		}
		log := Log{Origin: l.Origin, Epoch: l.Epoch, VKey: l.VKey, Size: p.Root.Size, Root: Digest(p.Root.Hash)}
		if a, ok := k.book.announced[l.Origin]; ok {
			log.Announced = &a
		}
		if h, ok, err := k.node.LastPublicHead(ctx, l.Epoch); err != nil {
			return nil, err
		} else if ok {
			log.Head = &Head{Place{l.Epoch, h.Index}, h.At}
			log.Final = l.Final && h.Index == p.Root.Size-1
		}
		if r.Since.IsZero() {
			if h, ok, err := k.node.PublicHeadFrom(ctx, l.Epoch, 0); err != nil {
				return nil, err
			} else if ok {
				r.Since = h.At
			}
		}
		watch, err := watchOf(policy, witnessed, p.Checkpoint)
		if err != nil {
			return nil, err
		}
		log.Witnesses, log.Monitors = Cosigned(watch.Witnesses), Cosigned(watch.Monitors)
		r.Watch = watch
		r.Logs = append(r.Logs, log)
	}
	if len(r.Logs) == 0 {
		return nil, node.ErrNotPublished
	}
	r.Months = append([]*Month{}, k.book.months...)
	slices.SortStableFunc(r.Months, func(a, b *Month) int { return cmp.Compare(b.Month, a.Month) })
	r.Policies, r.Retention, r.Builds = backwards(k.book.policies), backwards(k.book.terms), backwards(k.book.builds)
	current := r.Current()
	k.readBodies(current)
	r.list, r.byID, r.Bodies = k.bodies, k.byID, len(k.bodies)
	r.Checks = k.checks(r)
	return r, nil
}

func backwards[T any](list []T) []T {
	list = append([]T{}, list...)
	slices.Reverse(list)
	return list
}

// watchOf says who cosigned a checkpoint.
func watchOf(policy *checkpoint.Policy, witnessed bool, signed []byte) (Watch, error) {
	w := Watch{Witnesses: []Watcher{}, Monitors: []Watcher{}}
	if !witnessed {
		return w, nil
	}
	c, err := policy.Open(signed)
	if err != nil && !errors.Is(err, checkpoint.ErrQuorum) {
		return w, err
	}
	list := func(of []checkpoint.Witness, did []checkpoint.Cosignature) []Watcher {
		all := []Watcher{}
		for _, one := range of {
			watcher := Watcher{Name: one.Name, VKey: one.VKey}
			if i := slices.IndexFunc(did, func(c checkpoint.Cosignature) bool { return c.Witness == one.Name }); i >= 0 {
				watcher.At = &did[i].Time
			}
			all = append(all, watcher)
		}
		return all
	}
	w.Needed, w.Witnesses, w.Monitors = policy.K, list(policy.Witnesses, c.Witnesses), list(policy.Monitors, c.Monitors)
	return w, nil
}

// read goes on reading the records of a log up to a size.
func (k *Keeper) read(ctx context.Context, origin string, epoch uint32, size uint64) error {
	l := k.logs[epoch]
	if l == nil {
		l = &logBook{began: map[string]bool{}}
		var err error
		l.totals, err = statistics.NewReader(origin, nil, func(leaf uint64, t *statistics.Totals) {
			k.book.months = append(k.book.months, &Month{
				Month: t.Month, Origin: t.Origin, From: t.From, To: t.To, Events: t.Events, Lines: len(t.Bodies), Others: t.Others, Told: Place{epoch, leaf}, lines: t.Bodies,
			})
		})
		if err != nil {
			return err
		}
		k.logs[epoch] = l
	}
	if l.read >= size {
		return nil
	}
	err := k.node.PublicRecords(ctx, epoch, l.read, size, func(index uint64, record []byte) {
		if index >= l.read { // else it was read before a reading that broke off
			k.add(l, Place{epoch, index}, record)
			l.read = index + 1
		}
	})
	if err != nil {
		return err
	}
	l.read = size
	return nil
}

// add takes a record of a kind that the registry doesn't tell of. One that a new year repeats is the same as before.
func (k *Keeper) add(l *logBook, at Place, record []byte) {
	var members map[string]json.RawMessage
	var kind string
	if json.Unmarshal(record, &members) != nil || json.Unmarshal(members["kind"], &kind) != nil {
		return
	}
	b := &k.book
	first := !l.began[kind]
	l.began[kind] = true
	switch kind {
	case statistics.Kind:
		told := len(b.months)
		problems := l.totals.Record(at.Index, record)
		for _, p := range problems {
			// Which leaves a month has isn't looked at here.
			if len(b.months) > told && p.Code != statistics.CodeSpan {
				b.months[told].Wrong = append(b.months[told].Wrong, p.Code)
			}
		}
	case history.KindRetention:
		months, ok := history.ParseRetention(record)
		switch n := len(b.terms); {
		case !ok:
		case first && n > 0 && b.terms[n-1].Months == months:
			b.terms[n-1].Place = at
		default:
			b.terms = append(b.terms, Term{months, at, at})
		}
	case registry.KindPolicy, registry.KindBuild, registry.KindLogKey:
		parsed, err := registry.ParseRecord(record)
		if err != nil {
			return
		}
		switch rec := parsed.(type) {
		case registry.Policy:
			if n := len(b.policies); first && n > 0 && b.policies[n-1].SHA256 == Digest(rec.SHA256) {
				b.policies[n-1].Place = at
			} else {
				b.policies = append(b.policies, Policy{rec.Version, Digest(rec.SHA256), at, at})
			}
		case registry.Build:
			if n := len(b.builds); first && n > 0 && b.builds[n-1].SHA256 == Digest(rec.SHA256) {
				b.builds[n-1].Place = at
			} else {
				b.builds = append(b.builds, Build{rec.Version, rec.Toolchain, Digest(rec.SHA256), at, at})
			}
		case registry.LogKey:
			if _, twice := b.announced[rec.Origin]; !twice {
				b.announced[rec.Origin] = at
			}
		}
	}
}

// readBodies reads the bodies and keys that are in the public log. The registry is ahead of it by what isn't published yet:
// that is left out.
func (k *Keeper) readBodies(log Log) {
	reg := k.node.Registry()
	version := reg.Version()
	if reg == k.from && version == k.version && !k.lacking {
		return
	}
	known := k.byID
	k.bodies, k.byID, k.lacking = nil, map[string]*Body{}, false
	for _, b := range reg.Bodies() {
		index, ok := reg.BodyIndex(b.ID)
		if !ok || index >= log.Size {
			k.lacking = true
			continue
		}
		body := &Body{ID: b.ID, Name: b.Name, Attributes: b.Attributes, Place: Place{log.Epoch, index}, Keys: []Key{}}
		if old := known[b.ID]; old != nil && old.Name == b.Name {
			body.folded = old.folded
		} else {
			body.folded = b.ID + " " + fold(b.Name)
		}
		for _, key := range reg.Keys(b.ID) {
			if key.Index >= log.Size {
				k.lacking = true
				continue
			}
			if key.RevokedIndex >= log.Size {
				k.lacking, key.Revoked, key.Reason = true, false, ""
			}
			body.Keys = append(body.Keys, newKey(log.Epoch, key))
		}
		k.bodies = append(k.bodies, body)
		k.byID[b.ID] = body
	}
	slices.SortFunc(k.bodies, func(a, b *Body) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	k.from, k.version = reg, version
}

// checks are what scopes' parties attested of the current log or, where they didn't yet, of the one before.
func (k *Keeper) checks(r *Register) []Check {
	reg, log := k.node.Registry(), r.Current()
	list := []Check{}
	for _, id := range reg.Scopes() {
		index, _ := reg.ScopeIndex(id)
		if index >= log.Size {
			continue
		}
		providers, _ := reg.Providers(id)
		c := Check{Scope: id, Name: id, Providers: providers, Place: Place{log.Epoch, index}}
		if b := r.byID[id]; b != nil {
			c.Name = b.Name
		}
		for _, origin := range []string{log.Origin, ledger.Origin(r.Ledger, log.Epoch-1)} {
			a, ok := reg.Attested(id, origin)
			if !ok || a.Index >= log.Size {
				continue
			}
			c.Attested = &Attested{
				Proven: a.Result == registry.CheckProven, Origin: origin, Signed: time.Unix(a.IssuedAt, 0).UTC(),
				Until: time.UnixMilli(int64(a.Until)).UTC(), Kid: a.Kid, Place: Place{log.Epoch, a.Index},
			}
			break
		}
		list = append(list, c)
	}
	return list
}

// Leaf is one of a public log.
type Leaf struct {
	Place Place
	Raw   []byte
	Tile  string // path of the entry bundle that has it, below the log's
	Value any    // of ledger.ParseLeaf
}

// Leaf reads one; node.ErrNotPublished where the public log doesn't have it.
func (k *Keeper) Leaf(ctx context.Context, at Place) (*Leaf, error) {
	p, err := k.node.Published(at.Epoch)
	if err != nil {
		return nil, err
	}
	if at.Index >= p.Root.Size {
		return nil, node.ErrNotPublished
	}
	tile := checkpoint.Tile{Level: checkpoint.EntryLevel, Index: at.Index / checkpoint.TileWidth}
	tile.Width = int(min(checkpoint.TileWidth, p.Root.Size-tile.Index*checkpoint.TileWidth))
	bundle, err := k.node.Entries(ctx, at.Epoch, tile.Index, tile.Width)
	if err != nil {
		return nil, err
	}
	leaves, err := checkpoint.ParseEntries(bundle, tile.Width)
	if err != nil {
		return nil, err
	}
	raw := bytes.Clone(leaves[at.Index%checkpoint.TileWidth])
	value, err := ledger.ParseLeaf(raw)
	if err != nil {
		return nil, err
	}
	return &Leaf{at, raw, tile.Path(), value}, nil
}
