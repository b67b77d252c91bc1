// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
)

// table is a CSV file under way, which only its user can read; one without a file takes rows and keeps none.
type table struct {
	file *os.File
	out  *csv.Writer
}

func newTable(path string, columns ...string) (*table, error) {
	if path == "" {
		return &table{}, nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("couldn't write a table: %w", err)
	}
	t := &table{file, csv.NewWriter(file)}
	return t, t.add(columns...)
}

func (t *table) add(row ...string) error {
	if t.file == nil {
		return nil
	}
	return t.out.Write(row)
}

func (t *table) close() error {
	if t.file == nil {
		return nil
	}
	t.out.Flush()
	return errors.Join(t.out.Error(), t.file.Close())
}
