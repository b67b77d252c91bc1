// SPDX-License-Identifier: EUPL-1.2

// Package monitor runs a verifier.Monitor over a log that grows: it looks at the
// log now and then, keeps what it verified in a directory, and cosigns, if it has
// a key, what it verified (c2sp.org/tlog-witness).
//
//	DIR/leaves             all leaves verified, in order: u16 length ‖ bytes
//	DIR/state.json         the signed checkpoint that they are of
//	DIR/findings.ndjson    all that was ever found, a line each, with the instant
//	DIR/<hash>.checkpoint  the last one cosigned (ledger/witness)
//
// A start reads the leaves again and compares their root with the state's, so
// whatever else is known, index and all, is never trusted to a file. The leaves
// are on disk before the state that counts them.
//
// A ledger publishes a checkpoint after it collected cosignatures, but shows tiles
// from the moment it asks for them: so a submitted checkpoint's new leaves are
// read from the log itself, verified, and then cosigned.
//
// What must always hold: a checkpoint is cosigned only when every leaf and head up
// to it was recomputed and nothing found that breaks the log.
package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
)

// Config is what a Monitor needs.
type Config struct {
	Dir       string
	Logs      []note.Verifier // keys of the one log, whose name is its origin
	Fetch     checkpoint.Fetcher
	Announced *verifier.Announced // nil: see verifier.MonitorConfig
	Signer    note.Signer         // of cosignatures; nil: it doesn't cosign
	Now       func() time.Time    // nil: time.Now

	Found    func(verifier.Finding) // each finding that is new; nil: none
	Verified func(leaves int)       // progress; nil: none
}

// Monitor is safe for concurrent use.
type Monitor struct {
	c      Config
	origin string

	busy   chan struct{} // holds one token while somebody works; guards what follows
	follow *verifier.Monitor
	leaves *keptLeaves
	state  state
	target checkpoint.Checkpoint // of state.Checkpoint
	parts  int                   // since the state was saved
	saved  time.Time
	found  *os.File
	failed error // of the directory: nothing more is believed

	report  atomic.Pointer[verifier.MonitorReport]
	cosigns [2]atomic.Uint64 // given, refused or not yet
}

// Open goes on where the last run in the directory ended, or begins.
func Open(c Config) (*Monitor, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	m := &Monitor{c: c, origin: c.Logs[0].Name(), busy: make(chan struct{}, 1)}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("couldn't make the monitor's directory: %w", err)
	}
	var err error
	if m.leaves, err = openLeaves(c.Dir); err != nil {
		return nil, err
	}
	if m.found, err = os.OpenFile(filepath.Join(c.Dir, findingsFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err == nil {
		err = m.resume()
	}
	if err != nil {
		return nil, errors.Join(err, m.leaves.file.Close(), m.found.Close())
	}
	m.publish()
	return m, nil
}

func (m *Monitor) resume() error {
	s, err := readState(m.c.Dir)
	if err != nil {
		return err
	}
	m.state = *s
	m.follow, err = verifier.NewMonitor(verifier.MonitorConfig{Origin: m.origin, Fetch: m.c.Fetch, Announced: m.c.Announced, Found: m.tell})
	if err != nil {
		return err
	}
	if s.Checkpoint == nil {
		return m.leaves.file.Truncate(0)
	}
	if m.target, err = checkpoint.Open(s.Checkpoint, m.c.Logs...); err != nil || s.Size > m.target.Size {
		return fmt.Errorf("%s holds the state of another log than %s, or of another key", m.c.Dir, m.origin)
	}
	at := checkpoint.Checkpoint{Origin: m.origin, Size: s.Size, Root: s.Root}
	if err := m.follow.Resume(at, m.leaves.read(s.Size), s.Public, s.Looked); err != nil {
		return fmt.Errorf("%s doesn't hold what was verified, so the log is to be read anew, in another directory: %w", m.c.Dir, err)
	}
	if s.Fork != nil {
		other, err := checkpoint.Open(s.Fork, m.c.Logs...)
		if err != nil {
			return fmt.Errorf("%s holds a fork that the log's key didn't sign: %w", m.c.Dir, err)
		}
		m.follow.Forked(m.target, other)
	}
	return nil
}

// Close keeps what was verified.
func (m *Monitor) Close() error {
	m.busy <- struct{}{}
	err := m.failed
	if err == nil {
		err = m.save()
	}
	return errors.Join(err, m.leaves.file.Close(), m.found.Close())
}

// Report says how the log stands.
func (m *Monitor) Report() verifier.MonitorReport { return *m.report.Load() }

func (m *Monitor) publish() {
	r := m.follow.Report()
	m.report.Store(&r)
}

// ErrDirectory says that the monitor can't keep what it verifies, and has stopped.
var ErrDirectory = errors.New("the monitor's directory failed")

// Look reads what the log shows to all. What is wrong with it is a finding; the
// error says that it couldn't be read. A log that forked isn't looked at any more.
func (m *Monitor) Look(ctx context.Context) error {
	signed, err := m.c.Fetch.Fetch(ctx, verifier.CheckpointPath)
	if err != nil {
		return fmt.Errorf("couldn't fetch the checkpoint: %w", err)
	}
	at := m.c.Now()
	if err := m.acquire(ctx); err != nil {
		return err
	}
	defer m.release()
	if m.state.Fork != nil {
		return nil
	}
	cp, err := checkpoint.Open(signed, m.c.Logs...)
	if err != nil {
		m.follow.BadSignature()
		return nil
	}
	err = m.extend(ctx, cp, signed, at, m.follow.Public)
	if errors.Is(err, checkpoint.ErrFork) || errors.Is(err, checkpoint.ErrRollback) {
		return nil // they are findings
	}
	return err
}

// Follow looks at the log, and again after each interval, until ctx is done or the
// directory fails, which is the error. trouble is told what couldn't be read; the
// next look may.
func (m *Monitor) Follow(ctx context.Context, interval time.Duration, trouble func(error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := m.Look(ctx); errors.Is(err, ErrDirectory) {
			return err
		} else if err != nil && ctx.Err() == nil {
			trouble(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (m *Monitor) acquire(ctx context.Context) error {
	select {
	case m.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Monitor) release() {
	m.publish()
	<-m.busy
}

type extender func(ctx context.Context, now checkpoint.Checkpoint, at time.Time, kept verifier.Kept) error

// extend verifies up to a checkpoint, and keeps what it verified even where it
// breaks off.
func (m *Monitor) extend(ctx context.Context, cp checkpoint.Checkpoint, signed []byte, at time.Time, by extender) error {
	if m.failed != nil {
		return m.failed
	}
	if m.follow.Size() < m.target.Size {
		// A reading before broke off. What was read since the state before is only
		// known to go together with it once it reaches that checkpoint.
		if err := m.follow.Extend(ctx, m.target, time.Time{}, m.keep); err != nil {
			return err
		}
	}
	before := m.follow.Size()
	err := by(ctx, cp, at, func(first uint64, leaves [][]byte) error {
		m.state.Checkpoint, m.target = signed, cp
		return m.keep(first, leaves)
	})
	if errors.Is(err, checkpoint.ErrFork) && m.state.Fork == nil {
		m.state.Fork = signed
		return errors.Join(err, m.save())
	}
	if err == nil {
		m.state.Looked = at
	}
	// An idle log needs no new state each time that it is looked at.
	if m.follow.Size() != before || at.Sub(m.saved) > time.Minute {
		err = errors.Join(err, m.save())
	}
	return err
}

// saveEvery is how many parts of a long reading may have to be read once more.
const saveEvery = 64

func (m *Monitor) keep(_ uint64, leaves [][]byte) error {
	m.leaves.append(leaves)
	if m.c.Verified != nil {
		m.c.Verified(len(leaves))
	}
	if m.parts++; m.parts < saveEvery {
		return nil
	}
	return m.save()
}

// save has the leaves on disk, and then the state that counts them.
func (m *Monitor) save() error {
	if m.state.Checkpoint == nil {
		return nil
	}
	err := m.leaves.sync()
	if err == nil {
		r := m.follow.Report()
		m.state.Size, m.state.Root, m.state.Public = r.Size, r.Root, r.Public
		err = writeState(m.c.Dir, &m.state)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrDirectory, err)
		m.failed = err
	}
	m.parts, m.saved = 0, m.c.Now()
	m.publish()
	return err
}

// foundLine is a line of findings.ndjson.
type foundLine struct {
	SeenAt string `json:"seen_at"`
	verifier.Finding
}

// tell keeps a finding. That it can't be written must not keep it from being told.
func (m *Monitor) tell(f verifier.Finding) {
	line, err := json.Marshal(foundLine{m.c.Now().UTC().Format(instant), f})
	if err == nil {
		_, err = m.found.Write(append(line, '\n'))
	}
	if err != nil && m.failed == nil {
		m.failed = fmt.Errorf("%w: couldn't keep a finding: %w", ErrDirectory, err)
	}
	if m.c.Found != nil {
		m.c.Found(f)
	}
}

// verifyPatience is how long a submission waits for a reading under way: a ledger
// waits 3 s for its witnesses, and asks again.
const verifyPatience = 2 * time.Second

// verify says whether a submitted checkpoint can be cosigned.
func (m *Monitor) verify(ctx context.Context, cp checkpoint.Checkpoint, signed []byte) error {
	err := m.verified(ctx, cp, signed)
	outcome := 0
	if err != nil {
		outcome = 1
	}
	m.cosigns[outcome].Add(1)
	return err
}

func (m *Monitor) verified(ctx context.Context, cp checkpoint.Checkpoint, signed []byte) error {
	at := m.c.Now()
	wait, cancel := context.WithTimeout(ctx, verifyPatience)
	defer cancel()
	if err := m.acquire(wait); err != nil {
		return errors.New("leaves before these are still being read")
	}
	defer m.release()
	var err error
	if m.follow.Broken() == nil {
		err = m.extend(ctx, cp, signed, at, m.follow.Extend)
	}
	if broken := m.follow.Broken(); broken != nil {
		return fmt.Errorf("%w: %s", witness.ErrRefused, broken.Problem.Error())
	}
	if err == nil && m.follow.Ahead(at) {
		err = errors.New("the log's last head is later than the clock here")
	}
	return err
}

// Witness answers the ledger, which asks for cosignatures (c2sp.org/tlog-witness).
// There is none without Config.Signer.
func (m *Monitor) Witness() http.Handler {
	w := witness.New(m.c.Dir, m.c.Signer, m.c.Logs...)
	w.Verify = m.verify
	return w
}
