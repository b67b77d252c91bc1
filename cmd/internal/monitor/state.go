// SPDX-License-Identifier: EUPL-1.2

package monitor

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// The files of a monitor's directory.
const (
	stateFile    = "state.json"
	leavesFile   = "leaves"
	findingsFile = "findings.ndjson"
)

// stateSchema names the format of the state file.
const stateSchema = "traccia/verifier-monitor-state/1"

// state is what a monitor remembers beside the leaves:
//
//	{"schema":"traccia/verifier-monitor-state/1","checkpoint":"registro.example/2026\n4712\nB95l…\n\n— registro.example/2026 Az3g…\n",
//	 "size":4712,"root":"07de65…","public":4712,"looked_at":"2026-11-22T10:00:00.123Z","fork":"…"}
type state struct {
	Checkpoint []byte      // signed: the largest that leaves were read for
	Size       uint64      // how many leaves are verified and kept, at most the checkpoint's
	Root       ledger.Hash // at Size
	Public     uint64      // the largest size that was shown to all
	Looked     time.Time   // when the log was looked at last; zero if never
	Fork       []byte      // signed: a checkpoint that doesn't go together with Checkpoint; nil for none
}

type stateJSON struct {
	Schema     string `json:"schema"`
	Checkpoint string `json:"checkpoint"`
	Size       uint64 `json:"size"`
	Root       string `json:"root"`
	Public     uint64 `json:"public"`
	LookedAt   string `json:"looked_at,omitempty"`
	Fork       string `json:"fork,omitempty"`
}

const instant = "2006-01-02T15:04:05.000Z"

var errState = errors.New("malformed state of a monitor")

func formatState(s *state) ([]byte, error) {
	w := stateJSON{stateSchema, string(s.Checkpoint), s.Size, hex.EncodeToString(s.Root[:]), s.Public, "", string(s.Fork)}
	if !s.Looked.IsZero() {
		w.LookedAt = s.Looked.UTC().Format(instant)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(w); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// parseState is strict: what it accepts formats to the same bytes.
func parseState(data []byte) (*state, error) {
	var w stateJSON
	if err := ijson.Unmarshal(data, &w); err != nil || w.Schema != stateSchema || w.Checkpoint == "" {
		return nil, errState
	}
	s := &state{Checkpoint: []byte(w.Checkpoint), Size: w.Size, Public: w.Public}
	if n, err := hex.Decode(s.Root[:], []byte(w.Root[:min(len(w.Root), 64)])); err != nil || n != 32 {
		return nil, errState
	}
	if w.LookedAt != "" {
		var err error
		if s.Looked, err = time.Parse(instant, w.LookedAt); err != nil {
			return nil, errState
		}
	}
	if w.Fork != "" {
		s.Fork = []byte(w.Fork)
	}
	if same, err := formatState(s); err != nil || !bytes.Equal(same, data) {
		return nil, errState
	}
	return s, nil
}

func readState(dir string) (*state, error) {
	path := filepath.Join(dir, stateFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &state{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read the monitor's state: %w", err)
	}
	s, err := parseState(data)
	if err != nil {
		return nil, fmt.Errorf("%s isn't as a monitor wrote it: %w", path, err)
	}
	return s, nil
}

func writeState(dir string, s *state) error {
	data, err := formatState(s)
	if err == nil {
		// A log could sign what strict JSON can't hold: the state before is worth more.
		_, err = parseState(data)
	}
	if err == nil {
		err = durable.Replace(filepath.Join(dir, stateFile), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("couldn't keep the monitor's state: %w", err)
	}
	return nil
}

// keptLeaves is the file of the leaves that are verified, in order, each as in an
// entry bundle: u16 length ‖ bytes. What is beyond the state's size was written by
// a run that ended before it could say so, and is cut off.
type keptLeaves struct {
	file *os.File
	w    *bufio.Writer
}

func openLeaves(dir string) (*keptLeaves, error) {
	f, err := os.OpenFile(filepath.Join(dir, leavesFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the leaves kept: %w", err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("another monitor works in %s: %w", dir, err)
	}
	return &keptLeaves{f, bufio.NewWriterSize(f, 1<<20)}, nil
}

// read returns the first n leaves, and then cuts off what follows.
func (k *keptLeaves) read(n uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r := bufio.NewReaderSize(k.file, 1<<20)
		var end int64
		for range n {
			var length [2]byte
			if _, err := io.ReadFull(r, length[:]); err != nil {
				yield(nil, fmt.Errorf("couldn't read the leaves kept: %w", err))
				return
			}
			leaf := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(r, leaf); err != nil {
				yield(nil, fmt.Errorf("couldn't read the leaves kept: %w", err))
				return
			}
			end += int64(2 + len(leaf))
			if !yield(leaf, nil) {
				return
			}
		}
		_, err := k.file.Seek(end, io.SeekStart)
		if err = errors.Join(err, k.file.Truncate(end)); err != nil {
			yield(nil, fmt.Errorf("couldn't cut the leaves kept: %w", err))
		}
	}
}

func (k *keptLeaves) append(leaves [][]byte) {
	for _, leaf := range leaves {
		// An error stays with the writer, and comes out of sync.
		_, _ = k.w.Write(binary.BigEndian.AppendUint16(nil, uint16(len(leaf))))
		_, _ = k.w.Write(leaf)
	}
}

func (k *keptLeaves) sync() error {
	err := k.w.Flush()
	if err == nil {
		err = k.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("couldn't keep leaves: %w", err)
	}
	return nil
}
