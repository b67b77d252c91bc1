// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// ErrNoAuthority: the ledger's configuration names no authority, or its keys aren't wrapped for it yet.
var ErrNoAuthority = errors.New("nothing is wrapped for an authority")

// SealedEvents hands the events of a ledger at rest to the authority that its configuration names: as they are kept, each
// with the wrap of its key that only the authority opens. It belongs to one goroutine.
type SealedEvents struct {
	a     *AtRest
	snap  store.Snapshot
	now   time.Time
	years map[uint32]*sealedYear
	names map[ledger.Hash]bool // day keys that are in Days
}

// sealedYear is what a year's lines are made with.
type sealedYear struct {
	Opener
	vrf    *vrf.PrivateKey
	proofs *lru.Cache[string, [80]byte]
	scopes []string
}

// Sealed returns what hands events over; the caller closes it. The error is ErrNoAuthority where not all that opens is
// wrapped for the authority.
func (a *AtRest) Sealed(ctx context.Context, now time.Time) (*SealedEvents, error) {
	public, err := a.Settings.Authority()
	if err != nil {
		return nil, err
	}
	if public == nil {
		return nil, fmt.Errorf("%w: set its key with ledgerd authority", ErrNoAuthority)
	}
	snap, err := a.Store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	s := &SealedEvents{a: a, snap: snap, now: now, years: map[uint32]*sealedYear{}, names: map[ledger.Hash]bool{}}
	if err := s.open(ctx, public); err != nil {
		return nil, errors.Join(err, snap.Close())
	}
	return s, nil
}

func (s *SealedEvents) open(ctx context.Context, public *[32]byte) error {
	done, err := s.snap.Get(ctx, store.TableDayKey, rows.AuthorityKey())
	if err != nil {
		return err
	}
	if string(done) != string(public[:]) {
		return fmt.Errorf("%w whose key was set since: serve the ledger once", ErrNoAuthority)
	}
	for _, epoch := range s.a.Keys.Epochs() {
		handle, err := s.a.Keys.Handle(epoch)
		var key *vrf.PrivateKey
		if err == nil {
			key, err = s.a.Keys.VRF(epoch)
		}
		if errors.Is(err, keys.ErrDestroyed) || errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		y := &sealedYear{Opener: Opener{Rows: s.snap, Epoch: epoch, Handle: handle, Months: s.a.Months(), Erased: s.a.Keys.Erased}, vrf: key}
		if y.proofs, err = lru.New[string, [80]byte](1 << 16); err != nil {
			return err
		}
		if y.scopes, err = s.scopes(ctx, epoch); err != nil {
			return err
		}
		s.years[epoch] = y
	}
	return nil
}

// scopes are those that the records of a year list, and the reserved ones.
func (s *SealedEvents) scopes(ctx context.Context, epoch uint32) ([]string, error) {
	r := registry.New(s.a.Settings.Name)
	err := scanRecords(ctx, s.snap, rows.LeafKey(epoch, 0), rows.LeafKey(epoch+1, 0), func(index uint64, record []byte) {
		_ = r.Apply(index, record) // one that the rules refuse changes nothing
	})
	return ledger.AllScopes(r.Scopes()), err
}

// Line hands over the event of this leaf.
func (s *SealedEvents) Line(ctx context.Context, epoch uint32, index uint64, leaf []byte) (*export.Sealed, error) {
	line := &export.Sealed{Index: index, Erased: true}
	y := s.years[epoch]
	if y == nil {
		return line, nil
	}
	recorded, err := y.fill(ctx, s, line, leaf)
	if err != nil && !errors.Is(err, ErrErased) {
		return nil, err
	}
	return line, y.private(ctx, s, line, recorded)
}

// fill puts the sealed event into its line, and returns when it was recorded.
func (y *sealedYear) fill(ctx context.Context, s *SealedEvents, line *export.Sealed, leaf []byte) (recorded time.Time, err error) {
	opened, with, err := y.open(ctx, line.Index, leaf)
	if err != nil {
		return recorded, err
	}
	body, err := ledger.ParseBody(opened.Body)
	if err != nil {
		return recorded, fmt.Errorf("event %d: %w", line.Index, err)
	}
	wrapped, err := s.wrapped(&with)
	if err != nil {
		return recorded, fmt.Errorf("event %d: %w", line.Index, err)
	}
	tags := &export.Tags{
		Subject: y.proof(ledger.SubjectAlpha(body.Subject.Code, body.Scope, y.Epoch)), Agency: y.proof(ledger.AgencyAlpha(body.Agency, y.Epoch)), I: opened.I, J: opened.J,
	}
	if tags.Lists, err = s.lists(ctx, body); err != nil {
		return recorded, fmt.Errorf("event %d: %w", line.Index, err)
	}
	line.Event, line.Erased = wrapped, false
	line.Tags = seal.SealTags(&with.k, ledger.HashLeaf(leaf), export.FormatTags(tags))
	return time.UnixMilli(body.RecordedAt), nil
}

// wrapped adds to something sealed what the authority opens it with.
func (s *SealedEvents) wrapped(with *sealedWith) (*export.Wrapped, error) {
	name, under, err := seal.OpenWrap(&with.k, with.handle, with.wrap.Authority)
	if err != nil {
		return nil, fmt.Errorf("%w: a key without its wrap for the authority (run ledgerd fsck)", ErrNoAuthority)
	}
	s.names[name] = true
	return &export.Wrapped{Handle: with.handle[:], Day: name[:], Wrap: under, Sealed: with.sealed}, nil
}

// private puts the private part that is kept at an event into its line, if there is one that opens.
func (y *sealedYear) private(ctx context.Context, s *SealedEvents, line *export.Sealed, recorded time.Time) error {
	index := line.Index
	row, err := y.Rows.Get(ctx, store.TablePrivate, rows.LeafKey(y.Epoch, index))
	if row == nil || err != nil {
		return err
	}
	part, err := rows.ParsePrivate(&y.Handle, y.Epoch, index, row)
	if err != nil {
		return fmt.Errorf("private part of event %d: %w", index, err)
	}
	with, err := y.key(ctx, part.Handle, part.Sealed)
	if errors.Is(err, ErrErased) {
		return nil
	} else if err != nil {
		return fmt.Errorf("private part of event %d: %w", index, err)
	}
	wrapped, err := s.wrapped(&with)
	if err != nil {
		return fmt.Errorf("private part of event %d: %w", index, err)
	}
	_, content, err := seal.OpenPrivate(&with.k, part.Digest, part.Sealed)
	if err != nil {
		return fmt.Errorf("private part of event %d: %w", index, err)
	}
	v, err := ledger.ParsePrivate(content)
	if err != nil {
		return fmt.Errorf("private part of event %d: %w", index, err)
	}
	if recorded.IsZero() {
		recorded = s.now // of an erased event it isn't known
	}
	if line.Live = live(v, recorded, s.now); !line.Live {
		line.Private = wrapped
	}
	return nil
}

// lists are those that a citizen's request for erasure is about; nil for other events, and for a year whose keys are gone.
func (s *SealedEvents) lists(ctx context.Context, body *ledger.Body) (lists []export.TagList, err error) {
	if body.Kind != ledger.KindRequest {
		return nil, nil
	}
	receipt, err := ledger.ParseReceipt(body.Receipt)
	if err != nil {
		return nil, err
	}
	asked, ok := history.ParseErasure(receipt.Operation)
	y := s.years[asked.Epoch]
	if !ok || y == nil {
		return nil, nil
	}
	for _, scope := range y.scopes {
		row, err := y.Rows.Get(ctx, store.TableCounter, rows.SubjectCounterKey(&y.Handle, y.Epoch, body.Subject.Code, scope))
		if err != nil {
			return nil, err
		}
		count, err := rows.ParseCounter(row, 4)
		if err != nil {
			return nil, err
		}
		if count > 0 {
			lists = append(lists, export.TagList{Scope: scope, Pi: y.proof(ledger.SubjectAlpha(body.Subject.Code, scope, y.Epoch)), Count: uint32(count)})
		}
	}
	return lists, nil
}

func (y *sealedYear) proof(alpha []byte) [80]byte {
	if pi, ok := y.proofs.Get(string(alpha)); ok {
		return pi
	}
	pi, _ := y.vrf.Prove(alpha)
	y.proofs.Add(string(alpha), pi)
	return pi
}

// Days are the day keys that the lines so far name.
func (s *SealedEvents) Days(ctx context.Context) (days []export.Day, err error) {
	err = s.snap.Scan(ctx, store.TableDayKey, nil, nil, 0, func(key, value []byte) error {
		epoch, name, err := rows.ParseDayKeyKey(key)
		y := s.years[epoch]
		if err != nil || !s.names[name] || y == nil {
			return nil
		}
		day, err := rows.ParseDayKey(&y.Handle, epoch, name, value)
		if err != nil {
			return fmt.Errorf("couldn't read a day key: %w", err)
		}
		days = append(days, export.Day{Origin: ledger.Origin(s.a.Settings.Name, epoch), Day: day.Day, Stored: append(ledger.Base64(nil), day.Stored...)})
		return nil
	})
	return days, err
}

// Close releases what is held of the store.
func (s *SealedEvents) Close() error { return s.snap.Close() }
