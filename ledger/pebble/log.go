// SPDX-License-Identifier: EUPL-1.2

package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strings"

	crdb "github.com/cockroachdb/errors"
	db "github.com/cockroachdb/pebble/v2"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// logger takes Pebble's messages. Their arguments may be keys, so only the
// formats are logged.
type logger struct {
	log  *slog.Logger
	stop *stopper
}

func (l logger) Infof(format string, _ ...any) { l.line(slog.LevelDebug, format) }

func (l logger) Errorf(format string, _ ...any) { l.line(slog.LevelWarn, format) }

func (l logger) line(level slog.Level, format string) {
	l.log.Log(context.Background(), level, "pebble", "message", format)
}

// Fatalf means that Pebble can't go on, and would if this returned.
func (l logger) Fatalf(format string, args ...any) {
	l.line(slog.LevelError, format)
	var cause error = errors.New("pebble: " + format)
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			cause = err
		}
	}
	l.stop.fail(cause)
	select {}
}

// events stops the store where Pebble would try the same again without end, and
// logs what an operator must know.
func (s *Store) events() *db.EventListener {
	return &db.EventListener{
		// Flushing or compacting failed for another reason than a write: a table
		// can't be read. Pebble would try again at once and for ever, so it is
		// held here, with its main lock. Snapshots are read without that lock.
		BackgroundError: func(err error) {
			s.log.Error("the store stops: its files can't be merged", "err", redact(err))
			s.stop.fail(wrap(s.dir, err))
			select {}
		},
		DataCorruption: func(info db.DataCorruptionInfo) {
			s.log.Error("the store is damaged: restore it from a backup", "file", info.Path)
		},
		DiskSlow: func(info db.DiskSlowInfo) {
			s.log.Warn("the disk is slow", "file", path.Base(info.Path), "seconds", info.Duration.Seconds())
		},
	}
}

// wrap makes an error of Pebble one of the contract. Its text never holds keys
// or values: what Pebble doesn't mark as safe is cut.
func wrap(dir string, err error) error {
	var pathErr *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrStopped), errors.Is(err, store.ErrDamaged),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case db.IsCorruptionError(err), errors.Is(err, fs.ErrNotExist), errors.Is(err, db.ErrDBDoesNotExist):
		return fmt.Errorf("%w: %s: restore the store from a backup: %s", store.ErrDamaged, damagedFile(dir, err), redact(err))
	case errors.As(err, &pathErr):
		return pathErr // names a file of the store and the system's error
	}
	return &redacted{text: redact(err), err: err}
}

// redacted is an error of Pebble without what may be a key.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.err }

func redact(err error) string {
	text, _, _ := strings.Cut(crdb.Redact(err), "\n")
	return text
}

// damagedFile returns the file that err is about, or dir.
func damagedFile(dir string, err error) string {
	if info := db.ExtractDataCorruptionInfo(err); info != nil {
		return info.Path
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Path
	}
	if strings.Contains(redact(err), "WAL") {
		return dir + "/*.log"
	}
	return dir
}
