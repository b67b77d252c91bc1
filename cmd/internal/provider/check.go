// SPDX-License-Identifier: EUPL-1.2

package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

// Check is one comparison of a party's records with a year's log.
type Check struct {
	Scope    string
	Log      checkpoint.Fetcher
	Policy   *checkpoint.Policy // or, without witnesses:
	Logs     []note.Verifier
	Now      func() time.Time
	Patience time.Duration // how long to wait for the cosignatures that Policy asks for

	Records Records
	Proofs  Proofs  // keeps what is asked of Ledger; nil: nothing is kept
	Ledger  *Ledger // nil: nothing is asked

	Keys      []jws.Key
	Providers []string
	Others    []string
	InFlight  time.Duration
	Progress  func(leaves int)
}

// Records are a party's own records, as it keeps them.
type Records interface {
	// Lines gives them as lines of own.Entry and own.Cohort without their ends, from
	// the first each time.
	Lines() iter.Seq2[[]byte, error]
	// Count says how many there are at most; more may come meanwhile.
	Count() (int, error)
}

// Proofs keeps the VRF proofs of subjects in a log. They are verified again each
// time, so it is trusted for nothing.
type Proofs interface {
	// Proofs gives those at hand in the subjects' order, nil for the others.
	Proofs(origin string, subjects []ledger.Subject) ([][]byte, error)
	// KeepProofs adds those of these subjects.
	KeepProofs(origin string, subjects []ledger.Subject, proofs [][]byte) error
}

// partLines is how many lines are in memory at a time.
const partLines = 1_000_000

// Run compares. The error is of reading, or of asking the ledger.
func (c *Check) Run(ctx context.Context) (*verifier.ProviderReport, error) {
	count, err := c.Records.Count()
	if err != nil {
		return nil, fmt.Errorf("couldn't read the own records: %w", err)
	}
	signed, err := c.cosigned(ctx)
	if err != nil {
		return nil, fmt.Errorf("couldn't fetch the checkpoint: %w", err)
	}
	return verifier.Provider(ctx, verifier.ProviderConfig{
		Scope: c.Scope, Policy: c.Policy, Logs: c.Logs, Signed: signed, Fetch: c.Log, Now: c.Now(),
		Records: c.Records.Lines, Parts: count/partLines + 1, Proofs: c.proofs,
		Keys: c.Keys, Providers: c.Providers, Others: c.Others, InFlight: c.InFlight, Progress: c.Progress,
	})
}

// cosigned fetches the checkpoint, again and again while the policy's witnesses
// or monitors are still being asked. What it gets in the end the check judges.
func (c *Check) cosigned(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, max(c.Patience, time.Minute))
	defer cancel()
	for until := time.Now().Add(c.Patience); ; {
		signed, err := c.Log.Fetch(ctx, verifier.CheckpointPath)
		if err != nil || c.Policy == nil || !time.Now().Before(until) {
			return signed, err
		}
		cp, err := c.Policy.Open(signed)
		if err == nil && (len(c.Policy.Monitors) == 0 || len(cp.Monitors) > 0) {
			return signed, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// proofs gives the VRF proofs of subjects: those that were kept, and the others
// from the ledger, whose answers are kept.
func (c *Check) proofs(ctx context.Context, origin string, subjects []ledger.Subject) ([][]byte, error) {
	list := make([][]byte, len(subjects))
	if c.Proofs != nil {
		var err error
		if list, err = c.Proofs.Proofs(origin, subjects); err != nil && (c.Ledger == nil || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
	}
	if c.Ledger == nil {
		return list, nil
	}
	var missing []int
	for i := range subjects {
		if list[i] == nil {
			missing = append(missing, i)
		}
	}
	for some := range slices.Chunk(missing, own.MaxSubjects) {
		asked := make([]ledger.Subject, len(some))
		for k, i := range some {
			asked[k] = subjects[i]
		}
		found, err := c.Ledger.Proofs(ctx, c.Scope, origin, asked)
		if err != nil {
			return nil, err
		}
		for k, i := range some {
			list[i] = found[k]
		}
		if c.Proofs == nil {
			continue
		}
		if err := c.Proofs.KeepProofs(origin, asked, found); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Sign makes the statement of a report that the party signs.
func Sign(r *verifier.ProviderReport, scope string, key *agencykey.Key, now time.Time) (string, error) {
	payload, err := registry.FormatCheckStatement(r.Statement(scope, now))
	if err != nil {
		return "", fmt.Errorf("couldn't make the statement: %w", err)
	}
	return jws.Sign(registry.CheckStatementType, payload, key.Kid, key.Signer)
}
