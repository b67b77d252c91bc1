// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/statistics"
)

// ExportReport says what the folder of an export proves.
type ExportReport struct {
	Manifest *export.Manifest // nil if it can't be read
	Logs     []ExportedLog
	Problems []ledger.Problem // at most maxExportProblems
	Found    uint64           // how many there are in all
}

// ExportedLog is one log of an export, as it was verified.
type ExportedLog struct {
	Origin  string
	Size    uint64      // of the signed checkpoint
	Root    ledger.Hash // likewise
	Events  uint64
	Heads   int
	Records uint64
	Opened  uint64 // events whose body was there and satisfies every rule that it can be held to
	// Replayed counts decisions that were taken again, by the policies of their place; Unreplayed those whose policies
	// aren't at hand.
	Replayed, Unreplayed uint64
	Erased               uint64 // events that the export says were erased: nothing here proves on what ground
}

const maxExportProblems = 1000

// Codes of problems of an export's files.
const (
	CodeFileMissing    = "file_missing"
	CodeFileUnexpected = "file_unexpected"
	CodeFileChanged    = "file_changed"   // its digest isn't the one listed
	CodeManifest       = "manifest"       // can't be read, or says something else than the files
	CodeRecordMismatch = "record"         // not the record of its leaf
	CodeEventMismatch  = "event"          // not the line of its leaf
	CodeAlarm          = "alarm"          // a leaf that breaks a rule of the formats
	CodeRepeatedEvent  = "event_repeated" // one receipt twice about the same subject
)

// Export checks the folder of an export (docs/export.md) with the keys of the logs that the caller trusts: the digests of
// all its files; each log's checkpoint, by the caller's keys or that which the log of the year before announced, every leaf and tile against it, every head, record and rule that the leaves can
// be held to; and of an export with bodies every opened event, against its leaf and the rules of package
// ledger/opened; decisions are replayed by rules.Policies. progress, which may be nil, is told of leaves read; each is read twice where there are bodies.
//
// The error is the folder's, of reading or of ctx. Everything that is wrong with the export is in the report.
//
// An export can't show that numbers are those of their subjects, for which secrets are needed; that a citizen's list is
// complete; on what ground an event was erased; or that everyone sees the same log.
func Export(ctx context.Context, folder fs.FS, logs []note.Verifier, rules Rules, progress func(leaves int)) (*ExportReport, error) {
	if progress == nil {
		progress = func(int) {}
	}
	c := &exportCheck{ctx: ctx, folder: folder, logs: logs, rules: rules, progress: progress, report: &ExportReport{}}
	if err := c.run(); err != nil {
		return nil, err
	}
	return c.report, nil
}

type exportCheck struct {
	ctx      context.Context
	folder   fs.FS
	logs     []note.Verifier
	untold   []statistics.Span // months that the log before left untold; nil where it wasn't checked
	rules    Rules
	progress func(int)
	report   *ExportReport
	listed   map[string]bool // files in SHA256SUMS
	// authority opens what is sealed, once all logs were read; nil: nobody does.
	authority *authorityCheck
}

func (c *exportCheck) problem(code, where, expected, found string) {
	c.report.Found++
	if len(c.report.Problems) < maxExportProblems {
		c.report.Problems = append(c.report.Problems, ledger.Problem{Code: code, Where: where, Expected: expected, Found: found})
	}
}

func (c *exportCheck) run() error {
	if err := c.files(); err != nil {
		return err
	}
	data, err := c.read(export.ManifestFile)
	if err != nil || data == nil {
		return err
	}
	m, err := export.ParseManifest(data)
	if err != nil {
		c.problem(CodeManifest, export.ManifestFile, "a manifest of format "+export.Format, err.Error())
		return nil
	}
	c.report.Manifest = m
	if len(m.Logs) == 0 {
		c.problem(CodeManifest, export.ManifestFile, "at least one log", "none")
	}
	for _, l := range m.Logs {
		if err := c.log(l); err != nil {
			return err
		}
	}
	if c.authority != nil {
		if err := c.authority.run(); err != nil {
			return err
		}
	}
	return c.strangers()
}

// read returns a file, nil after reporting that it is missing.
func (c *exportCheck) read(path string) ([]byte, error) {
	data, err := fs.ReadFile(c.folder, path)
	if errors.Is(err, fs.ErrNotExist) {
		c.problem(CodeFileMissing, path, "a file", "none")
		return nil, nil
	}
	return data, err
}

// files compares every file of the folder with the list of digests.
func (c *exportCheck) files() error {
	c.listed = map[string]bool{}
	data, err := c.read(export.SumsFile)
	if err != nil || data == nil {
		return err
	}
	sums, err := export.ParseSums(data)
	if err != nil {
		c.problem(CodeManifest, export.SumsFile, "lines of digest and path, ascending by path", "something else")
		return nil
	}
	for _, sum := range sums {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		c.listed[sum.Path] = true
		if !fs.ValidPath(sum.Path) {
			c.problem(CodeManifest, export.SumsFile, "paths within the folder", "another")
			continue
		}
		got, err := c.digest(sum.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.problem(CodeFileMissing, sum.Path, "the file with digest "+fmt.Sprintf("%x", sum.Digest), "none")
		case err != nil:
			return fmt.Errorf("couldn't read %s: %w", sum.Path, err)
		case got != sum.Digest:
			c.problem(CodeFileChanged, sum.Path, fmt.Sprintf("digest %x", sum.Digest), fmt.Sprintf("%x", got))
		}
	}
	return fs.WalkDir(c.folder, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && path != export.SumsFile && !c.listed[path] {
			c.problem(CodeFileUnexpected, path, "only files that "+export.SumsFile+" lists", "another")
		}
		return err
	})
}

func (c *exportCheck) digest(path string) (sum ledger.Hash, err error) {
	f, err := c.folder.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return ledger.Hash(h.Sum(nil)), nil
}

// log checks one log of the manifest.
func (c *exportCheck) log(l export.Log) error {
	where := export.LogPath(l.Epoch) + "/checkpoint"
	signed, err := c.read(where)
	if err != nil || signed == nil {
		return err
	}
	cp, err := checkpoint.Open(signed, c.logs...)
	if err != nil {
		c.problem(CodeBadSignature, where, "a checkpoint of "+l.Origin+" signed with a key that you trust", "none")
		return nil
	}
	if cp.Origin != l.Origin {
		c.problem(CodeWrongOrigin, where, l.Origin, cp.Origin)
		return nil
	}
	if cp.Size != l.Size || cp.Root != ledger.Hash(l.Root) {
		c.problem(CodeManifest, export.ManifestFile, fmt.Sprintf("%s of size %d and root %x, as its checkpoint says", cp.Origin, cp.Size, cp.Root),
			fmt.Sprintf("size %d and root %x", l.Size, l.Root))
	}
	e := &exportedLog{exportCheck: c, entry: l, cp: cp, sub: subtree(c.folder, export.LogPath(l.Epoch))}
	found, err := e.check()
	if err != nil || found == nil {
		return err
	}
	c.report.Logs = append(c.report.Logs, *found)
	if c.authority != nil {
		c.authority.add(e, signed)
	}
	c.roll(e)
	want := export.Log{
		Epoch: l.Epoch, Origin: cp.Origin, Size: cp.Size, Root: ledger.Hex(cp.Root),
		Records: found.Records, Events: found.Events, Opened: l.Opened, Erased: l.Erased, Sealed: l.Sealed,
	}
	if l != want {
		c.problem(CodeManifest, export.ManifestFile, fmt.Sprintf("%d records and %d events of %s", want.Records, want.Events, l.Origin), fmt.Sprintf("%d and %d", l.Records, l.Events))
	}
	return nil
}

// roll trusts the key that a log announced for the next one's, unless the caller brought one.
func (c *exportCheck) roll(e *exportedLog) {
	next := ledger.Origin(c.report.Manifest.Ledger, e.entry.Epoch+1)
	if slices.ContainsFunc(c.logs, func(l note.Verifier) bool { return l.Name() == next }) {
		return
	}
	if a, ok := e.registry.LogKey(next); ok {
		if key, err := checkpoint.ParseKey(a.VKey); err == nil {
			c.logs = append(slices.Clone(c.logs), key)
			if c.authority != nil {
				c.authority.trust(a.VKey)
			}
		}
	}
}

// strangers looks for listed files that no part of an export has.
func (c *exportCheck) strangers() error {
	known := func(path string) bool {
		for _, l := range c.report.Manifest.Logs {
			if strings.HasPrefix(path, export.LogPath(l.Epoch)+"/") || path == export.RecordsPath(l.Epoch) ||
				path == export.EventsPath(l.Epoch) && c.report.Manifest.Bodies || (path == export.SealedPath(l.Epoch) || path == export.DaysFile) && c.report.Manifest.Sealed {
				return true
			}
		}
		return path == export.ManifestFile || path == export.KeyFile
	}
	var list []string
	for path := range c.listed {
		if !known(path) {
			list = append(list, path)
		}
	}
	slices.Sort(list)
	for _, path := range list {
		c.problem(CodeFileUnexpected, path, "files of the logs that the manifest names", "another")
	}
	return nil
}

// subtree can't fail for the paths of logs.
func subtree(folder fs.FS, path string) fs.FS {
	sub, err := fs.Sub(folder, path)
	if err != nil {
		panic(err)
	}
	return sub
}
