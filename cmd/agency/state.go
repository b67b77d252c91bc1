// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

const stateSchema = "traccia/agency-submit-state/1"

// state says up to where a file of submissions is answered. It holds no
// personal data.
//
//	{"schema":"traccia/agency-submit-state/1","lines":120,"offset":923400,"last_start":915702,"last_sha256":"9f86…",
//	"accepted":117,"replayed":1,"refused":2,"refused_bytes":16804}
//
// What is counted here is on disk: the answers that are kept, and refused_bytes
// of the file of refused lines. A crash loses what came after; it is then sent
// again, and the ledger answers with the same entries.
type state struct {
	Schema string `json:"schema"`
	Lines  int64  `json:"lines"`  // of the file, blank ones included
	Offset int64  `json:"offset"` // bytes of the file that these lines take
	// LastStart and Last are where the last of these lines begins and its
	// SHA-256: the file is the same one as before if it has that line there.
	LastStart    int64  `json:"last_start"`
	Last         string `json:"last_sha256"` // hex; anything where there is none
	Accepted     int64  `json:"accepted"`
	Replayed     int64  `json:"replayed"`
	Refused      int64  `json:"refused"`
	RefusedBytes int64  `json:"refused_bytes"`
}

// openState reads a state file, or makes one where there is none.
func openState(path string) (*state, error) {
	data, err := cli.ReadFile(path, maxInput)
	if errors.Is(err, fs.ErrNotExist) {
		s := &state{Schema: stateSchema}
		return s, s.save(path)
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read the state file: %w", err)
	}
	s := new(state)
	err = ijson.Unmarshal(data, s)
	if err == nil && (s.Schema != stateSchema || s.LastStart < 0 || s.Offset < s.LastStart || s.Offset-s.LastStart > maxLine ||
		min(s.Lines, s.Accepted, s.Replayed, s.Refused, s.RefusedBytes) < 0) {
		err = errors.New("its numbers don't fit together")
	}
	if err != nil {
		return nil, cli.Usagef("%s is no state file of agency submit: %w", path, err)
	}
	return s, nil
}

func (s *state) save(path string) error {
	data, err := json.Marshal(s)
	if err == nil {
		err = durable.Replace(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("couldn't write the state file: %w", err)
	}
	return nil
}

// seek puts the file to the first unanswered line, having checked that the last
// answered one is where it was.
func (s *state) seek(f *os.File) error {
	last := make([]byte, s.Offset-s.LastStart)
	if _, err := f.ReadAt(last, s.LastStart); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("couldn't read the submissions: %w", err)
	}
	if s.Lines > 0 && fmt.Sprintf("%x", sha256.Sum256(bytes.TrimSuffix(last, []byte("\n")))) != s.Last {
		return cli.Usagef("%s isn't the file that the state file is about: line %d differs; give another --state", f.Name(), s.Lines)
	}
	_, err := f.Seek(s.Offset, io.SeekStart)
	return err
}
