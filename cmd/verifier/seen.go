// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
)

// seen are the entries that a body's own calls were answered with, as a file
// gives them: log indexes, the ledger's answers, or lines of its answers to a
// batch, one behind the other.
//
//	4711
//	{"receipt_id":"c_a944/5a0e…","origin":"registro.example/2026","first_index":4712,"count":3,…}
//	{"line":1,"status":201,"answer":{"receipt_id":…}}
type seen struct {
	bare []uint64            // of whatever year is asked about
	by   map[string][]uint64 // by origin
}

// seenEntry is what matters of an answer.
type seenEntry struct {
	Origin string     `json:"origin"`
	First  *uint64    `json:"first_index"`
	Count  uint64     `json:"count"`
	Line   int        `json:"line"`
	Answer *seenEntry `json:"answer"`
}

func readSeen(path string) (*seen, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read --seen: %w", err)
	}
	defer file.Close()
	s := &seen{by: make(map[string][]uint64)}
	in := json.NewDecoder(bufio.NewReaderSize(file, 1<<16))
	for n := 1; ; n++ {
		var raw json.RawMessage
		err := in.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err == nil {
			err = s.add(raw)
		}
		if pathError := (*os.PathError)(nil); errors.As(err, &pathError) {
			return nil, fmt.Errorf("couldn't read --seen: %w", err)
		}
		if err != nil {
			return nil, cli.Usagef("--seen %s, value %d: expected a log index, or an answer of the ledger", path, n)
		}
	}
}

var errSeen = errors.New("neither")

func (s *seen) add(raw json.RawMessage) error {
	if raw[0] != '{' {
		index, err := strconv.ParseUint(string(raw), 10, 64)
		s.bare = append(s.bare, index)
		return err
	}
	var e seenEntry
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	if e.Answer != nil {
		e = *e.Answer
	} else if e.Line > 0 {
		return nil // of a batch, refused
	}
	if e.Origin == "" || e.First == nil || e.Count < 1 || e.Count > ledger.MaxSubjects {
		return errSeen
	}
	for n := range e.Count {
		s.by[e.Origin] = append(s.by[e.Origin], *e.First+n)
	}
	return nil
}

// of gives the entries of one log, ascending, each once.
func (s *seen) of(origin string) []uint64 {
	all := slices.Sorted(slices.Values(slices.Concat(s.bare, s.by[origin])))
	return slices.Compact(all)
}
