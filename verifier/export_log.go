// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/opened"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/statistics"
)

// exportedLog checks one log of an export.
type exportedLog struct {
	*exportCheck
	entry export.Log
	cp    checkpoint.Checkpoint
	sub   fs.FS // the log's folder

	registry *registry.Registry
	replay   replay.Report
	totals   *statistics.Reader
	records  uint64
	vrfKey   [32]byte // as the preamble has it
	terms    []term   // of retention
}

// maxLine bounds a line of records or events: the largest body or leaf, in base64.
const maxLine = 1 << 20

// check returns nil after reporting that the log itself isn't proven.
func (e *exportedLog) check() (*ExportedLog, error) {
	ok, err := e.leaves()
	if err != nil || !ok {
		return nil, err
	}
	if err := e.blobs(); err != nil {
		return nil, err
	}
	found := &ExportedLog{
		Origin: e.cp.Origin, Size: e.cp.Size, Root: e.cp.Root,
		Events: e.replay.Events, Heads: len(e.replay.Heads), Records: e.records,
	}
	if e.report.Manifest.Bodies {
		if err := e.events(found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// leaves reads all leaves and tiles, and the records' lines beside them.
func (e *exportedLog) leaves() (ok bool, err error) {
	follow, err := replay.New(e.cp.Origin)
	if err != nil {
		return false, err
	}
	e.registry = registry.New(e.report.Manifest.Ledger)
	if e.totals, err = statistics.NewReader(e.cp.Origin, e.untold, nil); err != nil {
		return false, err
	}
	records, err := e.lines(export.RecordsPath(e.entry.Epoch))
	if err != nil {
		return false, err
	}
	defer records.close()
	reader := checkpoint.NewReader(checkpoint.FS{FS: e.sub})
	reader.Tiles = true
	err = reader.Read(e.ctx, e.cp, func(index uint64, leaf []byte) error {
		seen := follow.Add(leaf)
		e.progress(1)
		e.count(index, seen)
		if record, ok := seen.Leaf.(ledger.Record); ok {
			return e.record(index, record.JSON, records)
		}
		return nil
	})
	where := export.LogPath(e.entry.Epoch)
	switch {
	case errors.Is(err, checkpoint.ErrTiles):
		e.problem(CodeBadProof, where, fmt.Sprintf("tiles and entries that give the root %x", e.cp.Root), err.Error())
		return false, nil
	case errors.Is(err, fs.ErrNotExist):
		e.problem(CodeFileMissing, where, "all tiles and entries of the log", err.Error())
		return false, nil
	case err != nil:
		return false, err
	}
	if err := e.endOf(records); err != nil {
		return false, err
	}
	e.replay = follow.Report()
	e.alarms()
	e.untold = append([]statistics.Span{}, e.totals.Untold()...)
	return true, nil
}

// count follows months, whose totals are checked with the other records.
func (e *exportedLog) count(index uint64, seen replay.Seen) {
	if !seen.Counts {
		return
	}
	switch leaf := seen.Leaf.(type) {
	case ledger.Preamble:
		e.vrfKey = leaf.VRFKey
		e.totals.Preamble(leaf.PreviousSize)
	case ledger.Event:
		e.totals.Event()
	case ledger.Head:
		e.totals.Head(index, leaf.UnixMS, leaf.Final)
	}
}

// record folds a record and compares it with the next line.
func (e *exportedLog) record(index uint64, record []byte, records *lineReader) error {
	e.records++
	if months, ok := history.ParseRetention(record); ok {
		e.terms = append(e.terms, term{place{e.entry.Epoch, index}, months})
	}
	if err := e.registry.Apply(index, record); err != nil && !registry.Unread(err) {
		e.problem(CodeAlarm, e.leafAt(index), "a record that the registry's rules accept", err.Error())
	}
	if statistics.Is(record) {
		for _, p := range e.totals.Record(index, record) {
			e.problem(p.Code, e.leafAt(index), p.Expected, p.Found)
		}
	}
	want, err := export.FormatRecord(index, record)
	if err != nil {
		return err
	}
	line, err := records.next()
	if err != nil {
		return err
	}
	if line != nil && !bytes.Equal(line, want) {
		e.problem(CodeRecordMismatch, records.where(), fmt.Sprintf("the record of leaf %d", index), "another line")
	}
	return nil
}

func (e *exportedLog) leafAt(index uint64) string {
	return fmt.Sprintf("%s leaf %d", export.LogPath(e.entry.Epoch), index)
}

// alarms reports what the leaves break by themselves.
func (e *exportedLog) alarms() {
	for _, h := range e.replay.Heads {
		if wrong := h.Wrong(); len(wrong) > 0 {
			e.problem(CodeAlarm, e.leafAt(h.Leaf), fmt.Sprintf("a head of %d keys, root %x, scopes %x", h.WantKeys, h.WantRoot, h.WantScopes), fmt.Sprintf("another %v", wrong))
		}
	}
	for _, d := range e.replay.Duplicates {
		e.problem(CodeTagRepeated, e.leafAt(d.Again), "a tag that stands nowhere else", fmt.Sprintf("the %s tag of leaf %d", d.Tag, d.First))
	}
	for _, p := range e.replay.Problems {
		e.problem(CodeAlarm, e.leafAt(p.Leaf), "a leaf as the formats say", p.What)
	}
}

// blobs compares content that records name by digest.
func (e *exportedLog) blobs() error {
	for _, p := range e.registry.Policies() {
		name := path.Join("blob", hex.EncodeToString(p.SHA256[:]))
		if _, err := fs.Stat(e.sub, name); err != nil {
			e.problem(CodeFileMissing, path.Join(export.LogPath(e.entry.Epoch), name), "the policies that a record activates", "no such file")
		}
	}
	entries, err := fs.ReadDir(e.sub, "blob")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		name := path.Join("blob", entry.Name())
		data, err := fs.ReadFile(e.sub, name)
		if err != nil {
			return err
		}
		if digest := sha256.Sum256(data); hex.EncodeToString(digest[:]) != entry.Name() {
			e.problem(CodeFileChanged, path.Join(export.LogPath(e.entry.Epoch), name), "content with the digest that names it", hex.EncodeToString(digest[:]))
		}
	}
	return err
}

// events reads the leaves once more, now that all heads and records are known, and each event's line beside them.
func (e *exportedLog) events(found *ExportedLog) error {
	lines, err := e.lines(export.EventsPath(e.entry.Epoch))
	if err != nil {
		return err
	}
	defer lines.close()
	shard := &opened.Shard{Name: e.report.Manifest.Ledger, Epoch: e.entry.Epoch, Registry: e.registry, Heads: e.replay.Heads, Bundle: e.rules.Policies}
	checker := opened.NewChecker(shard)
	once := map[[16]byte]struct{}{}
	var open, erased uint64
	err = checkpoint.NewReader(checkpoint.FS{FS: e.sub}).Read(e.ctx, e.cp, func(index uint64, leaf []byte) error {
		e.progress(1)
		parsed, err := ledger.ParseLeaf(leaf)
		event, ok := parsed.(ledger.Event)
		if !ok || err != nil {
			return nil
		}
		line, err := lines.next()
		if line == nil || err != nil {
			return err
		}
		read, err := export.ParseEvent(line)
		if err != nil || read.Index != index {
			e.problem(CodeEventMismatch, lines.where(), fmt.Sprintf("the event at leaf %d", index), "another line")
			return nil
		}
		if read.Erased {
			erased++
			return nil
		}
		open++
		judged, problems := checker.Check(index, event, (*[32]byte)(read.Nonce), read.Body)
		for _, p := range problems {
			e.problem(p.Code, lines.where()+"#"+p.Where, p.Expected, p.Found)
		}
		if judged == nil {
			return nil
		}
		if _, twice := once[judged.Once()]; twice {
			e.problem(CodeRepeatedEvent, lines.where(), "a receipt once about each subject", "a repetition")
		}
		once[judged.Once()] = struct{}{}
		if d := judged.Decision; judged.Bundle != nil {
			found.Replayed++
		} else if d != nil && d.Effect != ledger.EffectRecorded {
			found.Unreplayed++
		}
		if len(problems) == 0 {
			found.Opened++
		}
		return nil
	})
	if err != nil {
		return err
	}
	found.Erased = erased
	if open != e.entry.Opened || erased != e.entry.Erased {
		e.problem(CodeManifest, export.ManifestFile, fmt.Sprintf("%d events opened and %d erased", open, erased), fmt.Sprintf("%d and %d", e.entry.Opened, e.entry.Erased))
	}
	return e.endOf(lines)
}

// lineReader reads a file of lines. One that is missing was reported, and has none.
type lineReader struct {
	name    string
	file    fs.File
	scanner *bufio.Scanner
	line    int
	ended   bool // it ended before the log did, which was reported
	check   *exportCheck
}

func (c *exportCheck) lines(name string) (*lineReader, error) {
	r := &lineReader{name: name, check: c}
	file, err := c.folder.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		c.problem(CodeFileMissing, name, "a file of lines", "none")
		r.ended = true
		return r, nil
	} else if err != nil {
		return nil, err
	}
	r.file, r.scanner = file, bufio.NewScanner(file)
	r.scanner.Buffer(make([]byte, 0, 1<<16), maxLine)
	r.scanner.Split(wholeLines)
	return r, nil
}

// wholeLines splits at newlines, and takes no line without one.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

// next returns the next line, nil after reporting that there is none.
func (r *lineReader) next() ([]byte, error) {
	if r.ended {
		return nil, nil
	}
	r.line++
	if r.scanner.Scan() {
		return r.scanner.Bytes(), nil
	}
	return nil, r.end("a line for each leaf of its kind", "fewer")
}

// more reads the next line of a file that has any number; false at its end.
func (r *lineReader) more() bool {
	r.line++
	return r.scanner.Scan()
}

// failed reports what kept more from reading on; an error is one of reading.
func (r *lineReader) failed() error {
	if r.ended || r.scanner.Err() == nil {
		return nil
	}
	return r.end("lines", "something else")
}

// end reports a file that doesn't end where it should; an error is one of reading.
func (r *lineReader) end(expected, found string) error {
	r.ended = true
	switch err := r.scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong), errors.Is(err, io.ErrUnexpectedEOF):
		r.check.problem(CodeFileChanged, r.where(), "whole lines of at most 1 MiB", "another")
	case err != nil:
		return fmt.Errorf("couldn't read %s: %w", r.name, err)
	default:
		r.check.problem(CodeFileChanged, r.where(), expected, found)
	}
	return nil
}

func (r *lineReader) where() string { return fmt.Sprintf("%s:%d", r.name, r.line) }

func (r *lineReader) close() {
	if r.file != nil {
		r.file.Close() // it was only read
	}
}

// endOf reports lines that are too many.
func (c *exportCheck) endOf(r *lineReader) error {
	if r.ended {
		return nil
	}
	r.line++
	if r.scanner.Scan() || r.scanner.Err() != nil {
		return r.end("no line beyond the log's", "more")
	}
	return nil
}
