// SPDX-License-Identifier: EUPL-1.2

package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
)

// shard is the monitor of one year's log. It is safe for concurrent use.
type shard struct {
	c      *Config
	tell   func(verifier.Finding) error // keeps and says a finding
	origin string
	dir    string
	logs   []note.Verifier // keys of this log
	fetch  checkpoint.Fetcher

	busy   chan struct{} // holds one token while somebody works; guards what follows
	follow *verifier.Monitor
	leaves *keptLeaves
	state  state
	target checkpoint.Checkpoint // of state.Checkpoint
	parts  int                   // since the state was saved
	saved  time.Time
	failed error              // of the directory: nothing more is believed
	ended  *before            // once the next shard is followed: what was verified of this one
	more   bool               // told that the log went on after that
	told   []verifier.Finding // alarms of this run, for what comes after the shard's end

	report atomic.Pointer[verifier.MonitorReport]
}

// open goes on where the last run over this log ended, or begins; after is what the shard before left, nil if it wasn't
// seen.
func (s *shard) open(after *verifier.Ended) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("couldn't make the monitor's directory: %w", err)
	}
	var err error
	if s.leaves, err = openLeaves(s.dir); err != nil {
		return err
	}
	if err := s.resume(after); err != nil {
		return errors.Join(err, s.leaves.file.Close())
	}
	s.publish()
	return nil
}

func (s *shard) resume(after *verifier.Ended) error {
	kept, err := readState(s.dir)
	if err != nil {
		return err
	}
	s.state = *kept
	s.follow, err = verifier.NewMonitor(verifier.MonitorConfig{Origin: s.origin, Fetch: s.fetch, After: after, Announced: s.c.Announced, Found: s.found})
	if err != nil {
		return err
	}
	if kept.Checkpoint == nil {
		return s.leaves.file.Truncate(0)
	}
	if s.target, err = checkpoint.Open(kept.Checkpoint, s.logs...); err != nil || kept.Size > s.target.Size {
		return fmt.Errorf("%s holds the state of another log than %s, or of another key", s.dir, s.origin)
	}
	at := checkpoint.Checkpoint{Origin: s.origin, Size: kept.Size, Root: kept.Root}
	if err := s.follow.Resume(at, s.leaves.read(kept.Size), kept.Public, kept.Looked); err != nil {
		return fmt.Errorf("%s doesn't hold what was verified, so the log is to be read anew, in another directory: %w", s.dir, err)
	}
	if kept.Fork != nil {
		other, err := checkpoint.Open(kept.Fork, s.logs...)
		if err != nil {
			return fmt.Errorf("%s holds a fork that the log's key didn't sign: %w", s.dir, err)
		}
		s.follow.Forked(s.target, other)
	}
	return nil
}

// found keeps and says a finding. That it can't be written must not keep it from being told.
func (s *shard) found(f verifier.Finding) {
	if f.Level != verifier.LevelNotice && len(s.told) < maxTold {
		s.told = append(s.told, f)
	}
	if err := s.tell(f); err != nil && s.failed == nil {
		s.failed = fmt.Errorf("%w: couldn't keep a finding: %w", ErrDirectory, err)
	}
}

// maxTold bounds the alarms that are remembered.
const maxTold = 1000

// close keeps what was verified.
func (s *shard) close() error {
	s.busy <- struct{}{}
	if s.ended != nil {
		return nil
	}
	err := s.failed
	if err == nil {
		err = s.save()
	}
	return errors.Join(err, s.leaves.file.Close())
}

// end hands over what the shard leaves to the next one, once its final head is verified, and keeps nothing else of it; false
// before, where nobody said whom to trust next, and where the log forked.
func (s *shard) end(nextKnown bool, hand func(*before) error) (bool, error) {
	s.busy <- struct{}{}
	defer s.release()
	if s.ended != nil || s.failed != nil || s.state.Fork != nil {
		return false, s.failed
	}
	ended, ok := s.follow.Ended()
	if !ok || ended.NextKey == "" && !nextKnown {
		return false, nil
	}
	if err := s.save(); err != nil {
		return false, err
	}
	r := s.follow.Report()
	b := &before{Ended: *ended, Alarm: r.Alarm, Broken: r.Broken}
	if err := hand(b); err != nil {
		return false, err
	}
	s.ended, s.follow = b, nil
	return true, s.leaves.file.Close()
}

// goesOn judges what a log that ended shows.
func (s *shard) goesOn(signed []byte) {
	cp, err := checkpoint.Open(signed, s.logs...)
	if err != nil || cp == s.ended.Checkpoint || cp.Size < s.ended.Size || s.more {
		return // an older one may be a copy that is late
	}
	s.more = true
	s.ended.Alarm, s.ended.Broken = replay.CodeAfterFinal, true
	s.found(verifier.Finding{Level: verifier.LevelBroken, Problem: ledger.Problem{
		Code: replay.CodeAfterFinal, Where: verifier.CheckpointPath,
		Expected: fmt.Sprintf("the checkpoint of its final head, size %d with root %x", s.ended.Size, s.ended.Root),
		Found:    fmt.Sprintf("size %d with root %x", cp.Size, cp.Root),
	}})
}

func (s *shard) publish() {
	if s.follow != nil {
		r := s.follow.Report()
		s.report.Store(&r)
	}
}

// look reads what the log shows to all. What is wrong with it is a finding; the
// error says that it couldn't be read. A log that forked isn't looked at any more.
func (s *shard) look(ctx context.Context) error {
	signed, err := s.fetch.Fetch(ctx, verifier.CheckpointPath)
	if err != nil {
		return fmt.Errorf("couldn't fetch the checkpoint: %w", err)
	}
	at := s.c.Now()
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.ended != nil {
		s.goesOn(signed)
		return nil
	}
	if s.state.Fork != nil {
		return nil
	}
	cp, err := checkpoint.Open(signed, s.logs...)
	if err != nil {
		s.follow.BadSignature()
		return nil
	}
	err = s.extend(ctx, cp, signed, at, s.follow.Public)
	if errors.Is(err, checkpoint.ErrFork) || errors.Is(err, checkpoint.ErrRollback) {
		return nil // they are findings
	}
	return err
}

func (s *shard) acquire(ctx context.Context) error {
	select {
	case s.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *shard) release() {
	s.publish()
	<-s.busy
}

type extender func(ctx context.Context, now checkpoint.Checkpoint, at time.Time, kept verifier.Kept) error

// extend verifies up to a checkpoint, and keeps what it verified even where it
// breaks off.
func (s *shard) extend(ctx context.Context, cp checkpoint.Checkpoint, signed []byte, at time.Time, by extender) error {
	if s.failed != nil {
		return s.failed
	}
	if s.follow.Size() < s.target.Size {
		// A reading before broke off. What was read since the state before is only
		// known to go together with it once it reaches that checkpoint.
		if err := s.follow.Extend(ctx, s.target, time.Time{}, s.keep); err != nil {
			return err
		}
	}
	before := s.follow.Size()
	err := by(ctx, cp, at, func(first uint64, leaves [][]byte) error {
		s.state.Checkpoint, s.target = signed, cp
		return s.keep(first, leaves)
	})
	if errors.Is(err, checkpoint.ErrFork) && s.state.Fork == nil {
		s.state.Fork = signed
		return errors.Join(err, s.save())
	}
	if err == nil {
		s.state.Looked = at
	}
	// An idle log needs no new state each time that it is looked at.
	if s.follow.Size() != before || at.Sub(s.saved) > time.Minute {
		err = errors.Join(err, s.save())
	}
	return err
}

// saveEvery is how many parts of a long reading may have to be read once more.
const saveEvery = 64

func (s *shard) keep(_ uint64, leaves [][]byte) error {
	s.leaves.append(leaves)
	if s.c.Verified != nil {
		s.c.Verified(len(leaves))
	}
	if s.parts++; s.parts < saveEvery {
		return nil
	}
	return s.save()
}

// save has the leaves on disk, and then the state that counts them.
func (s *shard) save() error {
	if s.state.Checkpoint == nil {
		return nil
	}
	err := s.leaves.sync()
	if err == nil {
		r := s.follow.Report()
		s.state.Size, s.state.Root, s.state.Public = r.Size, r.Root, r.Public
		err = writeState(s.dir, &s.state)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrDirectory, err)
		s.failed = err
	}
	s.parts, s.saved = 0, s.c.Now()
	s.publish()
	return err
}

// verifyPatience is how long a submission waits for a reading under way: a ledger
// waits 3 s for its witnesses, and asks again.
const verifyPatience = 2 * time.Second

// verify says whether a submitted checkpoint can be cosigned.
func (s *shard) verify(ctx context.Context, cp checkpoint.Checkpoint, signed []byte) error {
	at := s.c.Now()
	wait, cancel := context.WithTimeout(ctx, verifyPatience)
	defer cancel()
	if err := s.acquire(wait); err != nil {
		return errors.New("leaves before these are still being read")
	}
	defer s.release()
	if s.ended != nil {
		switch {
		case s.ended.Broken:
			return fmt.Errorf("%w: %s", witness.ErrRefused, s.ended.Alarm)
		case cp != s.ended.Checkpoint:
			return fmt.Errorf("%w: the log ended with a final head, at size %d", witness.ErrRefused, s.ended.Size)
		}
		return nil
	}
	var err error
	if s.follow.Broken() == nil {
		err = s.extend(ctx, cp, signed, at, s.follow.Extend)
	}
	if broken := s.follow.Broken(); broken != nil {
		return fmt.Errorf("%w: %s", witness.ErrRefused, broken.Problem.Error())
	}
	if err == nil && s.follow.Ahead(at) {
		err = errors.New("the log's last head is later than the clock here")
	}
	return err
}
