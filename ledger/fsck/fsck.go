// SPDX-License-Identifier: EUPL-1.2

// Package fsck verifies again everything that a ledger keeps: each row of its store against the log, the log against
// itself and against what was published, each sealed body against its leaf, its receipt, its tags and its running
// numbers.
//
// Trusted are the keys beside the store, and that nobody writes meanwhile. Nothing in the store is. It writes nothing.
//
// What must always hold: whatever one row of the store is changed to, removed or added, Check finds it, with two
// exceptions. One is how erasure works: of an event whose wrapped key is gone, and is journalled as erased or belongs to a
// destroyed month, only the leaf, the numbers and the receipt's row are checked; and wraps that nothing uses are counted
// and are no problem. The other are instants that nothing vouches for: those that Trillian keeps beside a log and its
// root, and that of the last commit as far as it lies between the last event and now. A problem names a table and a place
// in it, never a subject.
//
// The leaves are read twice: in order for the tree, the index and the records; then page by page on all cores for the
// events, whose checks need the records and heads of the first reading. Memory grows with the number of events by some
// 300 bytes each: two index keys, a counter, a wrap's handle, a receipt's row.
package fsck

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Config says what to verify. Name, Rows and Keys are required.
type Config struct {
	Name string // the ledger's
	Rows store.Reader
	Keys *keys.Dir
	// Policies reads the bundles that decided; nil: no decision is replayed.
	Policies func(document []byte) (ledger.Bundle, error)
	// Authority is the public key of the authority that the configuration names; nil: none.
	Authority *[32]byte
	Now       time.Time // nothing was recorded later; zero stands for the time of Check
	// Progress, when set, is told of work done, in leaves: each is counted twice.
	Progress func(leaves int)
}

// MaxProblems is how many problems a Report lists; it counts the others.
const MaxProblems = 1000

// Report is what Check found. Counts are over all shards; Size and Root are the newest shard's, as stored.
type Report struct {
	Size          uint64
	Root          ledger.Hash
	Events        uint64
	Heads         int
	Records       uint64
	Receipts      uint64
	BodiesChecked uint64 // opened, and every rule holds
	// Replayed counts decisions taken again by the policies of their place, whether or not they follow; Unreplayed those
	// whose policies can't be read.
	Replayed, Unreplayed uint64
	BodiesErased         uint64 // the key that sealed them is gone, on purpose
	PrivateParts         uint64 // opened
	WrapsUnused          uint64 // wrapped keys that no row uses: no problem

	Problems []ledger.Problem // at most MaxProblems
	Found    uint64           // how many there are in all
}

func (r *Report) problem(code, where, expected, found string) {
	r.Found++
	if len(r.Problems) < MaxProblems {
		r.Problems = append(r.Problems, ledger.Problem{Code: code, Where: where, Expected: expected, Found: found})
	}
}

func (r *Report) add(problems []ledger.Problem) {
	for _, p := range problems {
		r.problem(p.Code, p.Where, p.Expected, p.Found)
	}
}

// Codes of problems, beside those of ledger/opened and ledger/replay.
const (
	CodeMissing    = "missing"    // a row that must be there
	CodeUnexpected = "unexpected" // a row that nothing explains
	CodeMalformed  = "malformed"  // a row that this ledger can't have written
	CodeMismatch   = "mismatch"   // a row that says something else than what it stands for
	CodeUnreadable = "unreadable" // the store itself says that it is damaged
	CodeSealed     = "not_opened" // sealed bytes that don't open, without an erasure
	CodeTag        = "wrong_tag"  // a tag that isn't the VRF's for these numbers
	CodeNumber     = "wrong_number"
	CodeRepeated   = "repeated"
	CodeUnverified = "unverified" // what an earlier problem kept from being checked
)

// check is one run over the whole store.
type check struct {
	Config
	report  *Report
	found   []uint32 // epochs that have a shard, ascending
	months  *months
	erased  map[ledger.Hash]bool // handles in the erasure journal
	handles map[handlePrefix]bool
	bundles map[ledger.Hash]ledger.Bundle // that records activate; nil: can't be read

	emergencies map[emergencyID]*emergency // sessions of break-glass
}

// handlePrefix is enough of a handle to tell whether a wrap is used.
type handlePrefix [12]byte

// Check verifies a ledger. An error means that it couldn't be done; whatever is wrong with the ledger is in the Report.
func Check(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Progress == nil {
		cfg.Progress = func(int) {}
	}
	if cfg.Now.IsZero() {
		cfg.Now = time.Now()
	}
	c := &check{Config: cfg, report: &Report{}, erased: map[ledger.Hash]bool{}, handles: map[handlePrefix]bool{}, bundles: map[ledger.Hash]ledger.Bundle{}, emergencies: map[emergencyID]*emergency{}}
	c.months = newMonths(cfg.Keys)
	for _, e := range cfg.Keys.Erasures() {
		c.erased[e.Handle] = true
	}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	return c.report, nil
}

func (c *check) run(ctx context.Context) error {
	var before *shard
	for _, epoch := range c.Keys.Epochs() {
		s := &shard{check: c, epoch: epoch, before: before}
		err := s.run(ctx)
		if errors.Is(err, engine.ErrNoShard) {
			// Keys are made before the log: a crash between leaves them alone.
			continue
		}
		c.found = append(c.found, epoch)
		if err := c.damaged(fmt.Sprintf("epoch/%d", epoch), err); err != nil {
			return err
		}
		before = s
	}
	if before == nil {
		c.report.problem(CodeMissing, "root", "a log for one of the epochs that have keys", "none")
	}
	for _, part := range []struct {
		where string
		run   func(context.Context) error
	}{{"wrap", c.wraps}, {"blob", c.blobs}, {"tree", c.trees}, {"consent_end", c.consentEnds}, {"session", c.sessions}, {"left_by_citizen", c.left}, {"break-glass", c.endEmergencies}, {"store", c.strays}} {
		if err := c.damaged(part.where, part.run(ctx)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// damaged turns the store's own complaint into a problem, and passes every other error on.
func (c *check) damaged(where string, err error) error {
	if errors.Is(err, store.ErrDamaged) {
		c.report.problem(CodeUnreadable, where, "rows that can be read", err.Error())
		return nil
	}
	return err
}

// shard is the check of one epoch.
type shard struct {
	*check
	epoch    uint32
	before   *shard
	origin   string
	verifier note.Verifier
	root     engine.Root // as stored

	log    logFindings
	events eventFindings
	totals monthTotals
}

func (s *shard) run(ctx context.Context) error {
	s.origin = ledger.Origin(s.Name, s.epoch)
	root, err := engine.StoredRoot(ctx, s.Rows, s.epoch)
	if err != nil {
		return err
	}
	s.root = root
	s.report.Size, s.report.Root = root.Size, root.Hash
	_, vkey, err := s.Keys.Signer(s.epoch)
	if err != nil {
		return fmt.Errorf("couldn't use the log key of %d: %w", s.epoch, err)
	}
	if s.verifier, err = note.NewVerifier(vkey); err != nil {
		return fmt.Errorf("couldn't use the log key of %d: %w", s.epoch, err)
	}
	if s.verifier.Name() != s.origin {
		s.report.problem(CodeMismatch, fmt.Sprintf("keys/%d", s.epoch), "the log key of "+s.origin, "that of "+s.verifier.Name())
	}
	if err := s.newTotals(); err != nil {
		return err
	}
	if err := s.readLog(ctx); err != nil {
		return err
	}
	if err := s.readBundles(ctx); err != nil {
		return fmt.Errorf("couldn't read the policies: %w", err)
	}
	if err := s.headRows(ctx); err != nil {
		return fmt.Errorf("couldn't read the heads' rows: %w", err)
	}
	return s.readEvents(ctx)
}

// at names a row by its table and its leaf's index.
func at(table store.Table, index uint64) string { return fmt.Sprintf("%s/%d", table, index) }

func hexOf(h ledger.Hash) string { return fmt.Sprintf("%x", h) }
