// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/cmd/internal/provider"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// devProvider is INPS's hub of the sample ledger: it keeps its own records and
// compares them with the log once, so that a sample history shows a scope whose
// party attested. It takes answers from the ledger's own process; a real party
// checks each as it comes (agency submit --records).
type devProvider struct {
	dir     string
	world   *dev.World
	torn    bool // a run before was interrupted
	mu      sync.Mutex
	entries []own.Entry // guarded by mu
}

func newDevProvider(dir string, w *dev.World) *devProvider {
	return &devProvider{dir: filepath.Join(dir, "sample"), world: w}
}

func (p *devProvider) path(name string) string { return filepath.Join(p.dir, name) }

// The hub's files: to try verifier provider on.
func (p *devProvider) recordsFile() string { return p.path("own.ndjson") }
func (p *devProvider) proofsFile() string  { return p.path("proofs.ndjson") }
func (p *devProvider) keysFile() string    { return p.path("hub.jwks") }
func (p *devProvider) keyFile() string     { return p.path("hub.key") }

// receive notes what the hub keeps of an answer.
func (p *devProvider) receive(a *ledger.Answer, s *ledger.Submission) error {
	if hub, _ := p.world.Hub(); !strings.HasPrefix(a.ReceiptID, hub+"/") {
		return nil
	}
	entries, err := own.Entries(a, s, time.Now())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = append(p.entries, entries...)
	return err
}

// begin makes the file of records, before anything is submitted. Where it is
// there already, an interrupted run got answers that nobody knows any more, and
// the hub can't attest.
func (p *devProvider) begin() error {
	err := os.MkdirAll(p.dir, 0o700)
	var file *os.File
	if err == nil {
		file, err = os.OpenFile(p.recordsFile(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if errors.Is(err, fs.ErrExist) {
		p.torn = true
		return nil
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return fmt.Errorf("couldn't write the samples: %w", err)
	}
	return nil
}

// write leaves the hub's files.
func (p *devProvider) write() error {
	records, err := provider.OpenRecords(p.recordsFile())
	if err != nil {
		return err
	}
	if err := errors.Join(records.Append(p.entries), records.Close()); err != nil {
		return err
	}
	key := p.key()
	private, err := agencykey.Format(key, "")
	if err != nil {
		return err
	}
	public, err := jws.FormatKeys([]jws.Key{key.Key})
	if err == nil {
		err = os.WriteFile(p.keysFile(), append(public, '\n'), 0o644)
	}
	if err == nil {
		err = os.WriteFile(p.keyFile(), private, 0o600)
	}
	if err != nil {
		return fmt.Errorf("couldn't write the samples: %w", err)
	}
	return nil
}

func (p *devProvider) key() *agencykey.Key {
	hub, _ := p.world.Hub()
	key, _ := p.world.Key(hub)
	return &agencykey.Key{Key: key, Body: hub, Signer: p.world.Signer(hub)}
}

// attest compares the records with the served log, and has the ledger record
// what comes out.
func (p *devProvider) attest(ctx context.Context, r *ready, policyFile string) error {
	if p.torn {
		return nil
	}
	if err := p.write(); err != nil {
		return err
	}
	file, err := os.ReadFile(policyFile)
	if err != nil {
		return fmt.Errorf("couldn't read the policy: %w", err)
	}
	policy, err := checkpoint.ParsePolicy(file)
	if err != nil {
		return fmt.Errorf("couldn't read the policy: %w", err)
	}
	base, err := fetch.ParseURL(r.URL)
	if err != nil {
		return err
	}
	key := p.key()
	hub, providers := p.world.Hub()
	registrar := provider.NewLedger(base, key, time.Now)
	check := provider.Check{
		Scope: hub, Log: fetch.NewLog(base.JoinPath("log", fmt.Sprint(r.node.Epoch()))), Policy: policy, Now: time.Now, Patience: cosignPatience,
		Records: provider.RecordsFile(p.recordsFile()), Proofs: provider.ProofsFile(p.proofsFile()), Ledger: registrar,
		Keys: []jws.Key{key.Key}, Providers: providers, // and no call is in flight
	}
	report, err := check.Run(ctx)
	if err != nil {
		return fmt.Errorf("couldn't make the sample provider's check: %w", err)
	}
	if !report.Proven() {
		return fmt.Errorf("the sample provider's records don't agree with the log: %v", report.Problems)
	}
	statement, err := provider.Sign(report, hub, key, time.Now())
	if err != nil {
		return err
	}
	if _, err := registrar.Record(ctx, statement); err != nil {
		return fmt.Errorf("couldn't record the sample provider's check: %w", err)
	}
	return nil
}
