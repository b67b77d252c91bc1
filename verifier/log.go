// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Alarm is what Log found wrong with a log.
type Alarm string

// Alarms.
const (
	AlarmNone Alarm = "none"
	// AlarmFork: the log signed two checkpoints of which neither extends the
	// other. The two are the evidence; nothing later mends it.
	AlarmFork Alarm = "fork"
	// AlarmRollback: the log shows a smaller size than before. It may be a copy
	// that is merely late.
	AlarmRollback Alarm = "rollback"
	// AlarmBadSignature: what the log shows isn't a checkpoint signed with its key.
	AlarmBadSignature Alarm = "bad_signature"
)

// CheckpointPath is where a log shows its checkpoint, under its prefix.
const CheckpointPath = "checkpoint"

// LogReport says how a log stands to what was seen of it before.
type LogReport struct {
	Alarm Alarm
	// Problem says the same for people; nil without an alarm.
	Problem *ledger.Problem
	Old     checkpoint.Checkpoint // of the state; size 0 without one
	// New is what the log showed; zero after AlarmBadSignature.
	New checkpoint.Checkpoint
	// State is to be kept for the next time: the new checkpoint or, after a fork,
	// the old one and the evidence. After other alarms it is the old state.
	State *LogState
}

// LogState is what Log remembers of one log.
type LogState struct {
	// Checkpoint is the largest seen, signed.
	Checkpoint []byte
	// Fork, if not nil, is a checkpoint with the same log's signature that
	// doesn't go together with it.
	Fork []byte
	// Key, if not empty, is the log's verifier key, which the log of the year
	// before announced (Roll): the one to trust beside those that Log is given.
	Key string
}

// Log fetches the checkpoint of a log and checks, from its tiles, that it
// extends the one in old; nil is the first time, when any signed checkpoint whose
// tiles lead to its root is taken. logs are the keys that the log may have.
//
// The error means that nothing can be said about the log: it couldn't be
// fetched, its tiles don't belong to its checkpoint (whoever served them may
// have damaged them), or old is of another log. Once a state holds a fork, the
// alarm is given again without a look at the log.
func Log(ctx context.Context, f checkpoint.Fetcher, logs []note.Verifier, old *LogState) (*LogReport, error) {
	r := &LogReport{State: old}
	if old != nil && old.Key != "" {
		key, err := checkpoint.ParseKey(old.Key)
		if err != nil {
			return nil, errState
		}
		same := func(l note.Verifier) bool { return l.Name() == key.Name() && l.KeyHash() == key.KeyHash() }
		if !slices.ContainsFunc(logs, same) {
			logs = append(slices.Clone(logs), key)
		}
	}
	if old != nil {
		var err error
		if r.Old, err = checkpoint.Open(old.Checkpoint, logs...); err != nil {
			return nil, fmt.Errorf("couldn't open the checkpoint seen before: %w", err)
		}
		if old.Fork != nil {
			if r.New, err = checkpoint.Open(old.Fork, logs...); err != nil {
				return nil, fmt.Errorf("couldn't open the checkpoint of a fork seen before: %w", err)
			}
			return r.alarm(AlarmFork), nil
		}
	}
	signed, err := f.Fetch(ctx, CheckpointPath)
	if err != nil {
		return nil, fmt.Errorf("couldn't fetch the checkpoint: %w", err)
	}
	if r.New, err = checkpoint.Open(signed, logs...); err != nil {
		return r.alarm(AlarmBadSignature), nil
	}
	before := r.Old
	if old == nil {
		before = checkpoint.Checkpoint{Origin: r.New.Origin, Root: sha256.Sum256(nil)}
	}
	switch err := checkpoint.Consistent(ctx, f, before, r.New); {
	case errors.Is(err, checkpoint.ErrRollback):
		return r.alarm(AlarmRollback), nil
	case errors.Is(err, checkpoint.ErrFork):
		r.State = &LogState{Checkpoint: old.Checkpoint, Fork: signed, Key: old.Key}
		return r.alarm(AlarmFork), nil
	case err != nil:
		return nil, err
	}
	r.Alarm = AlarmNone
	if r.New != r.Old {
		r.State = &LogState{Checkpoint: signed}
		if old != nil {
			r.State.Key = old.Key
		}
	}
	return r, nil
}

func (r *LogReport) alarm(a Alarm) *LogReport {
	r.Alarm = a
	shown := func(c checkpoint.Checkpoint) string { return fmt.Sprintf("size %d with root %x", c.Size, c.Root) }
	switch a {
	case AlarmFork:
		r.Problem = problem(CodeFork, CheckpointPath, "a log that extends "+shown(r.Old), shown(r.New)+", which doesn't")
	case AlarmRollback:
		r.Problem = problem(CodeRollback, CheckpointPath, fmt.Sprintf("size %d or more", r.Old.Size), fmt.Sprintf("size %d", r.New.Size))
	case AlarmBadSignature:
		r.Problem = problem(CodeBadSignature, CheckpointPath, "a checkpoint signed by the log's key", "one that isn't")
	}
	return r
}

// stateSchema names the format of a state file.
const stateSchema = "traccia/verifier-log-state/1"

type stateJSON struct {
	Schema     string `json:"schema"`
	Checkpoint string `json:"checkpoint"`
	Fork       string `json:"fork,omitempty"`
	Key        string `json:"key,omitempty"`
}

var errState = errors.New("malformed state of a log")

// FormatLogState encodes a state: one line of JSON, with the signed checkpoints
// as they came, the second only after a fork, and the log's key only where the
// year before announced it.
//
//	{"schema":"traccia/verifier-log-state/1","checkpoint":"registro.example/2026\n4712\nB95l…\n\n— registro.example/2026 Az3g…\n","fork":"…","key":"…"}
func FormatLogState(s *LogState) ([]byte, error) {
	data, err := s.encode()
	if err != nil {
		return nil, err
	}
	// A log could sign what strict JSON can't hold, and so have the next reading
	// of the state fail: the state before is worth more.
	if _, err := ParseLogState(data); err != nil {
		return nil, fmt.Errorf("couldn't encode the state of a log: %w", err)
	}
	return data, nil
}

func (s *LogState) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(stateJSON{stateSchema, string(s.Checkpoint), string(s.Fork), s.Key}); err != nil {
		return nil, fmt.Errorf("couldn't encode the state of a log: %w", err)
	}
	return b.Bytes(), nil
}

// ParseLogState decodes a state; what it accepts formats to the same bytes. That
// the checkpoints are signed is for Log to see.
func ParseLogState(data []byte) (*LogState, error) {
	var w stateJSON
	if err := ijson.Unmarshal(data, &w); err != nil || w.Schema != stateSchema || w.Checkpoint == "" {
		return nil, errState
	}
	s := &LogState{Checkpoint: []byte(w.Checkpoint), Key: w.Key}
	if w.Key != "" {
		if _, err := checkpoint.ParseKey(w.Key); err != nil {
			return nil, errState
		}
	}
	if w.Fork != "" {
		s.Fork = []byte(w.Fork)
	}
	if same, err := s.encode(); err != nil || !bytes.Equal(same, data) {
		return nil, errState
	}
	return s, nil
}
