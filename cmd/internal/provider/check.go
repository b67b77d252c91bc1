// SPDX-License-Identifier: EUPL-1.2

package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
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

	Records string  // file of own.Entry lines
	Proofs  string  // file of own.Proof lines; what is asked of Ledger is added to it. "" for none
	Ledger  *Ledger // nil: nothing is asked

	Keys      []jws.Key
	Providers []string
	Others    []string
	InFlight  time.Duration
	Progress  func(leaves int)
}

// partLines is how many lines are in memory at a time, and lineBytes how short
// a line can be.
const (
	partLines = 1_000_000
	lineBytes = 200
)

// Run compares. The error is of reading, or of asking the ledger.
func (c *Check) Run(ctx context.Context) (*verifier.ProviderReport, error) {
	info, err := os.Stat(c.Records)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the own records: %w", err)
	}
	signed, err := c.cosigned(ctx)
	if err != nil {
		return nil, fmt.Errorf("couldn't fetch the checkpoint: %w", err)
	}
	return verifier.Provider(ctx, verifier.ProviderConfig{
		Scope: c.Scope, Policy: c.Policy, Logs: c.Logs, Signed: signed, Fetch: c.Log, Now: c.Now(),
		Records: func() iter.Seq2[[]byte, error] { return Lines(c.Records) },
		Parts:   int(info.Size()/(partLines*lineBytes)) + 1, Proofs: c.proofs,
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

// proofs gives the VRF proofs of subjects: from the file, and the others from
// the ledger, whose answers are kept in the file.
func (c *Check) proofs(ctx context.Context, origin string, subjects []ledger.Subject) ([][]byte, error) {
	list := make([][]byte, len(subjects))
	at := make(map[ledger.Subject]int, len(subjects))
	for i, s := range subjects {
		at[s] = i
	}
	if err := c.known(origin, at, list); err != nil {
		return nil, err
	}
	if c.Ledger == nil {
		return list, nil
	}
	var missing []ledger.Subject
	for i, s := range subjects {
		if list[i] == nil {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		return list, nil
	}
	file, err := c.openProofs()
	if err != nil {
		return nil, err
	}
	if file != nil {
		defer file.Close()
	}
	for len(missing) > 0 {
		some := missing[:min(len(missing), own.MaxSubjects)]
		missing = missing[len(some):]
		found, err := c.Ledger.Proofs(ctx, c.Scope, origin, some)
		if err != nil {
			return nil, err
		}
		var lines []byte
		for i, s := range some {
			list[at[s]] = found[i]
			lines = own.AppendProof(lines, &own.Proof{Subject: s, Origin: origin, Pi: [80]byte(found[i])})
		}
		if file != nil {
			if err := file.append(lines); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

func (c *Check) openProofs() (*Records, error) {
	if c.Proofs == "" {
		return nil, nil
	}
	return OpenRecords(c.Proofs)
}

// known fills in what the file has.
func (c *Check) known(origin string, at map[ledger.Subject]int, list [][]byte) error {
	if c.Proofs == "" {
		return nil
	}
	n := 0
	for line, err := range Lines(c.Proofs) {
		if errors.Is(err, fs.ErrNotExist) && c.Ledger != nil {
			return nil // it is made
		}
		if err != nil {
			return fmt.Errorf("couldn't read %s: %w", c.Proofs, err)
		}
		n++
		subject, err := own.SubjectOf(line)
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", c.Proofs, n, err)
		}
		i, wanted := at[ledger.Subject(subject)]
		if !wanted {
			continue
		}
		p, err := own.ParseProof(line)
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", c.Proofs, n, err)
		}
		if p.Origin == origin {
			list[i] = p.Pi[:]
		}
	}
	return nil
}

// Sign makes the statement of a report that the party signs.
func Sign(r *verifier.ProviderReport, scope string, key *agencykey.Key, now time.Time) (string, error) {
	payload, err := registry.FormatCheckStatement(r.Statement(scope, now))
	if err != nil {
		return "", fmt.Errorf("couldn't make the statement: %w", err)
	}
	return jws.Sign(registry.CheckStatementType, payload, key.Kid, key.Signer)
}
