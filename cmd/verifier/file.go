// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// Longest files that are read, in bytes.
const (
	maxAnswer     = 16 << 20 // 10,000 subjects make about 3 MB
	maxSubmission = 4 << 20
	maxKeys       = 1 << 20
	maxState      = 1 << 20
)

// readPolicy reads a policy, which --policy names.
func readPolicy(path string) (*checkpoint.Policy, error) {
	text, err := cli.ReadFile(path, maxKeys)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the policy: %w", err)
	}
	policy, err := checkpoint.ParsePolicy(text)
	if err != nil {
		return nil, cli.Usagef("--policy %s: %w", path, err)
	}
	return policy, nil
}

// readKeys reads the verifier keys of logs.
func readKeys(path string) ([]note.Verifier, error) {
	data, err := cli.ReadFile(path, maxKeys)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the log's key: %w", err)
	}
	logs, err := checkpoint.ParseKeys(data)
	if err != nil {
		return nil, cli.Usagef("--key %s holds no verifier keys of logs: %w", path, err)
	}
	return logs, nil
}
