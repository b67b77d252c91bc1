// SPDX-License-Identifier: EUPL-1.2

// Package monitor runs verifier.Monitors over a ledger that grows: it looks at its
// log now and then, keeps what it verified in a directory, goes on with the next
// year's log when one has ended, and cosigns, if it has a key, what it verified
// (c2sp.org/tlog-witness).
//
//	DIR/2026/leaves        all leaves of that year verified, in order: u16 length ‖ bytes
//	DIR/2026/state.json    the signed checkpoint that they are of
//	DIR/2027/before.json   what the year before left: its size and root, the records in force
//	DIR/findings.ndjson    all that was ever found, a line each, with the log and the instant
//	DIR/<hash>.checkpoint  the last one cosigned of a log (ledger/witness)
//
// A start reads the last year's leaves again and compares their root with the
// state's, so whatever else is known, index and all, is never trusted to a file.
// The leaves are on disk before the state that counts them. A year that has ended
// isn't read again: of it before.json alone is believed, as the state is.
//
// A ledger publishes a checkpoint after it collected cosignatures, but shows tiles
// from the moment it asks for them: so a submitted checkpoint's new leaves are
// read from the log itself, verified, and then cosigned.
//
// What must always hold: a checkpoint is cosigned only when every leaf and head up
// to it was recomputed and nothing found that breaks the log; and a year's log is
// followed only under a key that the year before announced, or that the caller
// brought.
package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
)

// Config is what a Monitor needs.
type Config struct {
	Dir       string
	Origin    string                                // of the log to begin with, where Dir holds none
	Logs      []note.Verifier                       // keys of the ledger's logs, of Origin's at least
	Log       func(epoch uint32) checkpoint.Fetcher // a year's log
	Announced *verifier.Announced                   // nil: see verifier.MonitorConfig
	Signer    note.Signer                           // of cosignatures; nil: it doesn't cosign
	Now       func() time.Time                      // nil: time.Now

	Found    func(origin string, f verifier.Finding) // each finding that is new; nil: none
	Verified func(leaves int)                        // progress; nil: none
	Follows  func(log note.Verifier)                 // the key of each log that is followed; nil: none
}

// Monitor is safe for concurrent use.
type Monitor struct {
	c       Config
	witness *witness.Witness
	cosigns [2]atomic.Uint64 // given, refused or not yet

	mu     sync.RWMutex
	before *shard // the last that ended; nil if none was followed
	now    *shard

	finding sync.Mutex // guards found
	found   *os.File
}

// ErrDirectory says that the monitor can't keep what it verifies, and has stopped.
var ErrDirectory = errors.New("the monitor's directory failed")

// Open goes on where the last run in the directory ended, or begins.
func Open(c Config) (m *Monitor, err error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	m = &Monitor{c: c}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("couldn't make the monitor's directory: %w", err)
	}
	name, epoch, err := ledger.ParseOrigin(c.Origin)
	if err != nil {
		return nil, fmt.Errorf("couldn't read origin: %w", err)
	}
	if last, err := lastYear(c.Dir); err != nil {
		return nil, err
	} else if last != 0 {
		epoch = last
	}
	b, err := readBefore(m.dir(epoch))
	if err != nil {
		return nil, err
	}
	m.witness = witness.New(c.Dir, c.Signer)
	m.witness.Verify = m.verify
	if m.found, err = os.OpenFile(filepath.Join(c.Dir, findingsFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("couldn't open what was found: %w", err)
	}
	if b != nil {
		if m.before, err = m.shard(name, epoch-1, nil); err == nil {
			m.before.ended = b
			m.know(m.before)
		}
	}
	if err == nil {
		m.now, err = m.openShard(name, epoch, b)
	}
	if err != nil {
		return nil, errors.Join(err, m.found.Close())
	}
	return m, nil
}

func (m *Monitor) dir(epoch uint32) string {
	return filepath.Join(m.c.Dir, strconv.FormatUint(uint64(epoch), 10))
}

// lastYear is the last of which a run left something, 0 for none.
func lastYear(dir string) (last uint32, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("couldn't read the monitor's directory: %w", err)
	}
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name(), 10, 32)
		for _, begun := range []string{beforeFile, leavesFile} {
			if _, missing := os.Stat(filepath.Join(dir, e.Name(), begun)); err == nil && missing == nil {
				last = max(last, uint32(n))
			}
		}
	}
	return last, nil
}

// shard knows the log of a year by the keys that the caller brought or, where it brought none, by those that the runs of the
// year before kept.
func (m *Monitor) shard(name string, epoch uint32, after *before) (*shard, error) {
	s := &shard{c: &m.c, origin: ledger.Origin(name, epoch), dir: m.dir(epoch), busy: make(chan struct{}, 1)}
	s.tell = func(f verifier.Finding) error { return m.tell(s.origin, f) }
	s.fetch = m.c.Log(epoch)
	s.report.Store(&verifier.MonitorReport{Checkpoint: checkpoint.Checkpoint{Origin: s.origin}, Alarm: string(verifier.AlarmNone)})
	if s.logs = m.keys(s.origin); len(s.logs) > 0 {
		return s, nil
	}
	if after == nil {
		var err error
		if after, err = readBefore(s.dir); err != nil {
			return nil, err
		}
	}
	if after == nil || after.NextKey == "" || after.Next != s.origin {
		return nil, fmt.Errorf("couldn't find a key of %s, neither given nor announced", s.origin)
	}
	v, err := checkpoint.ParseKey(after.NextKey)
	s.logs = []note.Verifier{v}
	return s, err
}

func (m *Monitor) keys(origin string) (keys []note.Verifier) {
	for _, l := range m.c.Logs {
		if l.Name() == origin {
			keys = append(keys, l)
		}
	}
	return keys
}

func (m *Monitor) openShard(name string, epoch uint32, after *before) (*shard, error) {
	s, err := m.shard(name, epoch, after)
	if err != nil {
		return nil, err
	}
	var ended *verifier.Ended
	if after != nil {
		ended = &after.Ended
	}
	if err := s.open(ended); err != nil {
		return nil, err
	}
	m.know(s)
	return s, nil
}

// know has the witness cosign a log, and says that it is followed.
func (m *Monitor) know(s *shard) {
	for _, l := range s.logs {
		m.witness.Know(l)
		if m.c.Follows != nil {
			m.c.Follows(l)
		}
	}
}

// shards returns the one that is followed, and the last that ended or nil.
func (m *Monitor) shards() (now, before *shard) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.now, m.before
}

// Close keeps what was verified.
func (m *Monitor) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.now.close(), m.found.Close())
}

// Look reads what the log shows to all. What is wrong with it is a finding; the
// error says that it couldn't be read. A log that forked isn't looked at any more.
// One that ended gives way to the next, and only what it shows now is looked at.
func (m *Monitor) Look(ctx context.Context) error {
	for {
		now, before := m.shards()
		if before != nil {
			// That it can't be fetched changes nothing of what was verified.
			_ = before.look(ctx)
		}
		err := now.look(ctx)
		if before != nil && errors.Is(err, fs.ErrNotExist) && now.report.Load().Size == 0 {
			return nil // it isn't open yet
		}
		rolled, failed := m.roll(now)
		if err = errors.Join(err, failed); err != nil || !rolled {
			return err
		}
	}
}

// roll goes on with the next shard once this one has ended.
func (m *Monitor) roll(s *shard) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now != s {
		return true, nil
	}
	name, epoch, err := ledger.ParseOrigin(s.origin)
	if err != nil {
		return false, err
	}
	return s.end(len(m.keys(ledger.Origin(name, epoch+1))) > 0, func(b *before) error {
		if err := writeBefore(m.dir(epoch+1), b); err != nil {
			return fmt.Errorf("%w: %w", ErrDirectory, err)
		}
		next, err := m.openShard(name, epoch+1, b)
		if err == nil {
			m.before, m.now = s, next
		}
		return err
	})
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

// Report says how the log stands: that which is followed, or the one before until the next has leaves.
func (m *Monitor) Report() verifier.MonitorReport {
	now, before := m.shards()
	if r := now.report.Load(); r.Size > 0 || before == nil || before.report.Load().Size == 0 {
		return *r
	}
	return *before.report.Load()
}

// Past is a log that ended.
type Past struct {
	checkpoint.Checkpoint
	Alarm  string             // the code of the gravest that stood at its end, or none
	Alarms []verifier.Finding // that this run told
}

// Before says how the log before the one of Report ended; nil if none was followed.
func (m *Monitor) Before() *Past {
	now, before := m.shards()
	if before == nil || now.report.Load().Size == 0 && before.report.Load().Size > 0 {
		return nil
	}
	before.busy <- struct{}{}
	defer before.release()
	return &Past{before.ended.Checkpoint, before.ended.Alarm, before.told}
}

// foundLine is a line of findings.ndjson.
type foundLine struct {
	SeenAt string `json:"seen_at"`
	Origin string `json:"origin"`
	verifier.Finding
}

// tell keeps a finding, and says it.
func (m *Monitor) tell(origin string, f verifier.Finding) error {
	line, err := json.Marshal(foundLine{m.c.Now().UTC().Format(instant), origin, f})
	m.finding.Lock()
	if err == nil {
		_, err = m.found.Write(append(line, '\n'))
	}
	m.finding.Unlock()
	if m.c.Found != nil {
		m.c.Found(origin, f)
	}
	return err
}

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
	now, before := m.shards()
	if before != nil && cp.Origin == before.origin {
		return before.verify(ctx, cp, signed)
	}
	if err := now.verify(ctx, cp, signed); err != nil {
		return err
	}
	// The ledger will ask about the next log as soon as it opens.
	_, err := m.roll(now)
	return err
}

// Witness answers the ledger, which asks for cosignatures (c2sp.org/tlog-witness).
// There is none without Config.Signer.
func (m *Monitor) Witness() http.Handler { return m.witness }
