// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"
	"os"

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

// readFile reads a file of at most most bytes.
func readFile(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s: expected at most %d bytes, found more", path, most)
	}
	return data, err
}

// readKeys reads the verifier keys of logs.
func readKeys(path string) ([]note.Verifier, error) {
	data, err := readFile(path, maxKeys)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the log's key: %w", err)
	}
	logs, err := checkpoint.ParseKeys(data)
	if err != nil {
		return nil, cli.Usagef("--key %s holds no verifier keys of logs: %w", path, err)
	}
	return logs, nil
}
