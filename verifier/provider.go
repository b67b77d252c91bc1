// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// Codes of problems of a provider's check, beside those of histories.
const (
	CodeNumberGap      = "number_gap"      // numbers of a list that aren't 0, 1, 2 …, each once
	CodePlanted        = "planted"         // an event of a subject, or a cohort, that the party's records don't know
	CodeNotListed      = "not_listed"      // the index doesn't lead to an event that was acknowledged
	CodeUnknownKey     = "unknown_key"     // registered for the party, and not its own
	CodeWrongProviders = "wrong_providers" // the scope speaks for others than the party says
	CodeStrangerScope  = "stranger_scope"  // another scope speaks for the party's providers
)

// headWithin is how soon after its acknowledgement an event stands under a head.
const headWithin = 2 * time.Minute

// ProviderConfig is what Provider compares.
type ProviderConfig struct {
	Scope string
	// Policy opens the checkpoint; nil to trust Logs alone, and nobody's word that others are shown the same log and that
	// its index was built honestly.
	Policy *checkpoint.Policy
	Logs   []note.Verifier
	Signed []byte // the checkpoint, as the log showed it
	Fetch  checkpoint.Fetcher
	Now    time.Time // when the log showed it, by the party's clock

	// Records gives the lines of the party's own records (package own) from the first, in any order, without their ends. It
	// is called once for each of Parts, which bound the memory: some 250 MB for a part of a million lines.
	Records func() iter.Seq2[[]byte, error]
	Parts   int
	// Proofs gives the VRF proofs of subjects in their order, nil for one that isn't at hand. It is called once a part.
	Proofs func(ctx context.Context, origin string, subjects []ledger.Subject) ([][]byte, error)

	Keys      []jws.Key // all keys of the party that ever were its own
	Providers []string  // that the scope speaks for; nil if that isn't to be compared
	Others    []string  // scopes that speak for some of them with the party's consent
	// InFlight is how long a call may be on its way: events younger than that may not be in the records yet.
	InFlight time.Duration
	Progress func(leaves int) // may be nil
}

// ProviderReport says what a provider's check found. It names no subject: problems tell lines of the records and leaves.
type ProviderReport struct {
	Checkpoint checkpoint.Checkpoint
	Head       uint64    // log index of the head up to which it compared; 0 if there is none
	Until      time.Time // the instant of that head

	Entries  uint64 // of the records, in this log and before Head
	Subjects uint64
	Cohorts  uint64 // records of aggregates, likewise
	// Unanswered counts the aggregates that the log has and whose answer never reached the party.
	Unanswered uint64
	Pending    uint64 // entries and cohorts after Head, not compared yet
	Others     uint64 // lines about other logs
	Keys       int    // that were ever registered for the party

	Problems []ledger.Problem // the first thousand
	Found    int              // of them all
	Notes    []string
}

const maxProviderProblems = 1000

// Proven reports whether the records and the log agree up to a head.
func (r *ProviderReport) Proven() bool { return r.Found == 0 && r.Head > 0 }

// Statement is what the party signs of it.
func (r *ProviderReport) Statement(scope string, now time.Time) registry.CheckStatement {
	s := registry.CheckStatement{
		Aud: r.Checkpoint.Origin, Scope: scope, IssuedAt: now.Unix(), Head: r.Head, Until: uint64(r.Until.UnixMilli()),
		Size: r.Checkpoint.Size, Root: ledger.Hex(r.Checkpoint.Root), Result: registry.CheckNotProven,
	}
	if r.Proven() {
		s.Result = registry.CheckProven
	}
	return s
}

// Provider compares what a scope's party keeps of its own events with the log (docs/provider-check.md): numbers
// contiguous, each at its tag and leaf and first in the index, none that it wasn't told, each under a head in time, all
// keys ever registered for it its own. That each leaf commits to its own receipt the party checked when it wrote the line.
//
// It reads the log once for each of Parts. What is wrong is in the report; the error is of reading, and then nothing is
// known.
func Provider(ctx context.Context, c ProviderConfig) (*ProviderReport, error) {
	p := &providerCheck{ProviderConfig: c, report: &ProviderReport{}}
	if p.Progress == nil {
		p.Progress = func(int) {}
	}
	if p.Parts < 1 {
		p.Parts = 1
	}
	if !p.open() {
		return p.report, nil
	}
	for part := range p.Parts {
		if err := p.part(ctx, part); err != nil {
			return nil, err
		}
	}
	p.conclude()
	return p.report, nil
}

// providerCheck is one run of Provider.
type providerCheck struct {
	ProviderConfig
	report   *ProviderReport
	epoch    uint32
	key      [32]byte // of the VRF
	registry *registry.Registry
	scopes   []scopeSeen // that speak for others, in log order
}

type scopeSeen struct {
	at uint64
	registry.Scope
}

func (c *providerCheck) add(p *ledger.Problem) {
	c.report.Found++
	if len(c.report.Problems) < maxProviderProblems {
		c.report.Problems = append(c.report.Problems, *p)
	}
}

func (c *providerCheck) note(format string, args ...any) {
	c.report.Notes = append(c.report.Notes, fmt.Sprintf(format, args...))
}

// open opens the checkpoint; false if there is none.
func (c *providerCheck) open() bool {
	var err error
	if c.Policy == nil {
		c.report.Checkpoint, err = checkpoint.Open(c.Signed, c.Logs...)
		c.note("Nobody's word was asked that others are shown the same log, and that its index was built honestly: that takes a policy with witnesses and a monitor.")
	} else {
		var cosigned checkpoint.Cosigned
		cosigned, err = c.Policy.Open(c.Signed)
		c.report.Checkpoint = cosigned.Checkpoint
		if errors.Is(err, checkpoint.ErrQuorum) {
			c.add(problem(CodeTooFewWitnesses, CheckpointPath, fmt.Sprintf("cosignatures of %d of the policy's witnesses", c.Policy.K), fmt.Sprint(len(cosigned.Witnesses))))
			err = nil
		}
		if err == nil {
			if p := noMonitor(CheckpointPath, c.Policy, cosigned); p != nil {
				c.add(p)
			}
		}
	}
	if err != nil {
		c.add(problem(CodeBadCheckpoint, CheckpointPath, "a checkpoint signed by a log that is trusted", "one that isn't"))
		return false
	}
	name, epoch, err := ledger.ParseOrigin(c.report.Checkpoint.Origin)
	if err != nil {
		c.add(problem(ledger.CodeBadName, CheckpointPath, "a log's origin", "something else"))
		return false
	}
	c.epoch, c.registry = epoch, registry.New(name)
	return true
}

// conclude judges what the whole log shows.
func (c *providerCheck) conclude() {
	if c.report.Head == 0 {
		c.add(problem(CodeNoHead, CheckpointPath, "a head of "+text(c.Now.Add(-c.InFlight))+" or earlier", "none"))
	}
	if n := c.report.Unanswered; n > 0 {
		c.note("%d aggregates are recorded whose answer never reached the party: it may not have given them out.", n)
	}
	c.keys()
	c.scopesOf()
}

// keys looks for keys that were registered for the party and aren't its own.
func (c *providerCheck) keys() {
	own := map[string]bool{}
	for _, k := range c.Keys {
		if print, err := jws.Thumbprint(k.Public); err == nil {
			own[print] = true
		}
	}
	all := c.registry.Keys(c.Scope)
	c.report.Keys = len(all)
	for _, k := range all {
		key, err := c.registry.KeyEver(c.Scope, k.Kid)
		if err != nil {
			continue // it was listed just now
		}
		if print, err := jws.Thumbprint(key.Public); err != nil || !own[print] {
			c.add(problem(CodeUnknownKey, leafAt(k.Index), "keys of "+c.Scope+" that are its own", fmt.Sprintf("another, kid %.80q, thumbprint %s", k.Kid, print)))
		}
	}
}

// scopesOf compares for whom the scope speaks, and who else speaks for them.
func (c *providerCheck) scopesOf() {
	listed, ok := c.registry.Providers(c.Scope)
	if !ok {
		c.add(problem(CodeWrongScopes, "scope "+c.Scope, "a scope that the log lists", "none"))
		return
	}
	want := c.Providers
	if want == nil {
		want = listed
	} else if !sameSet(want, listed) {
		c.add(problem(CodeWrongProviders, "scope "+c.Scope, "providers "+sorted(want), sorted(listed)))
	}
	for _, s := range c.scopes {
		if s.ID == c.Scope || slices.Contains(c.Others, s.ID) {
			continue
		}
		for _, p := range s.Scope.Providers {
			if slices.Contains(want, p) {
				c.add(problem(CodeStrangerScope, leafAt(s.at), "no scope that speaks for "+p+" beside "+c.Scope, s.ID))
			}
		}
	}
}

func sameSet(a, b []string) bool { return sorted(a) == sorted(b) }

func sorted(list []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(list))), ", ")
}
