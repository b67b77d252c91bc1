// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/provider"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// ownFlags say where a party keeps its own records (docs/provider-check.md).
type ownFlags struct{ records, logKey string }

func (f *ownFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.records, "records", "", "file of a provider's own records, to add to")
	cmd.Flags().StringVar(&f.logKey, "log-key", "", "file with the log's verifier key (log.vkey), to check answers with")
	cmd.MarkFlagsRequiredTogether("records", "log-key")
}

// ownRecords are nil where none are kept.
type ownRecords struct {
	file   *provider.Appender
	logKey string // the file of logs, which grows by a line each year
	logs   []note.Verifier
}

const maxLogKeys = 1 << 20

func (f *ownFlags) open() (*ownRecords, error) {
	if f.records == "" {
		return nil, nil
	}
	r := &ownRecords{logKey: f.logKey}
	err := r.readLogs()
	if err == nil {
		r.file, err = provider.OpenRecords(f.records)
	}
	return r, err
}

func (r *ownRecords) readLogs() error {
	data, err := cli.ReadFile(r.logKey, maxLogKeys)
	if err != nil {
		return fmt.Errorf("couldn't read the log's key: %w", err)
	}
	if r.logs, err = checkpoint.ParseKeys(data); err != nil {
		return cli.Usagef("--log-key %s holds no verifier keys of logs: %w", r.logKey, err)
	}
	return nil
}

func (r *ownRecords) close() {
	if r != nil && r.file != nil {
		r.file.Close()
	}
}

// received is an answer and what it answers.
type received struct {
	submission []byte
	*answer
}

// keep checks answers, and returns when what is to be kept of them is on disk. A
// *ledger.Problem says that one isn't proven.
func (r *ownRecords) keep(list []*received) error {
	if r == nil {
		return nil
	}
	var entries []own.Entry
	for _, a := range list {
		s, err := ledger.ParseSubmission(a.submission)
		if err != nil {
			return fmt.Errorf("the ledger took what is no submission: %w", hide(err))
		}
		if !slices.ContainsFunc(r.logs, func(log note.Verifier) bool { return log.Name() == a.Origin }) {
			// A year began meanwhile, and the file may have its key by now.
			if err := r.readLogs(); err != nil {
				return err
			}
		}
		more, err := provider.Entries(a.raw, r.logs, s, time.Now())
		var p *ledger.Problem
		if errors.As(err, &p) {
			return &ledger.Problem{Code: p.Code, Where: "answer of " + a.ReceiptID + ": " + p.Where, Expected: p.Expected, Found: p.Found}
		}
		if err != nil {
			return fmt.Errorf("couldn't check the answer of %s: %w", a.ReceiptID, err)
		}
		entries = append(entries, more...)
	}
	return r.file.Append(entries)
}
