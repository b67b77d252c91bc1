// SPDX-License-Identifier: EUPL-1.2

package agencylist

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/history"
)

// File is a body's list on disk, part behind part. What follows its last
// whole part, left by a crash, is cut off.
type File struct {
	f            *os.File
	body, origin string
	next         uint64 // number of the first event that isn't in it
	end          int64  // of the parts to keep
}

// Open opens a list to go on with, or makes an empty one. A part without
// events at its end, which said that there were no more, isn't kept.
func Open(path, body, origin string) (l *File, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the list: %w", err)
	}
	l = &File{f: f, body: body, origin: origin}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	parts := history.NewAgencyReader(f)
	for {
		p, err := parts.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, history.ErrCut) {
			break
		}
		if err != nil {
			return nil, cli.Usagef("%s isn't a list to go on with: %w", path, err)
		}
		if err := l.check(p); err != nil {
			return nil, cli.Usagef("%s isn't the list to go on with: %w", path, err)
		}
		if len(p.Events) > 0 {
			l.next, l.end = l.next+uint64(len(p.Events)), parts.Whole()
		}
	}
	return l, durable.SyncDir(filepath.Dir(path))
}

// check says whether a part is the one that comes next.
func (l *File) check(p *history.AgencyPart) error {
	switch {
	case p.Agency != l.body:
		return fmt.Errorf("expected a part of the list of %s, found one of %s", l.body, p.Agency)
	case p.Origin != l.origin:
		return fmt.Errorf("expected a part from %s, found one from %s", l.origin, p.Origin)
	case p.From != l.next:
		return fmt.Errorf("expected the part from number %d on, found one from %d", l.next, p.From)
	}
	return nil
}

// add appends a part that check let pass.
func (l *File) add(raw []byte, p *history.AgencyPart) error {
	if err := l.f.Truncate(l.end); err != nil {
		return fmt.Errorf("couldn't write the list: %w", err)
	}
	_, err := l.f.WriteAt(raw, l.end)
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("couldn't write the list: %w", err)
	}
	l.next, l.end = l.next+uint64(len(p.Events)), l.end+int64(len(raw))
	return nil
}

// Next is the number of the first event that isn't in the file.
func (l *File) Next() uint64 { return l.next }

// Close closes the file. What was added is on disk.
func (l *File) Close() error { return l.f.Close() }
