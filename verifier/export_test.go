// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/verifier"
)

// exported is an export with bodies of a real ledger, in memory.
type exported struct {
	files fstest.MapFS
	keys  []note.Verifier
}

var oneExport = sync.OnceValues(func() (exported, error) {
	dir, err := os.MkdirTemp("", "traccia-export-")
	if err != nil {
		return exported{}, err
	}
	defer os.RemoveAll(dir)
	return makeExport(dir)
})

func makeExport(dir string) (e exported, err error) {
	t := &quietT{}
	ctx := context.Background()
	data := filepath.Join(dir, "ledger")
	w := nodetest.NewWorld(t, time.Now())
	w.Create(t, data, node.Options{})
	n, err := node.Open(ctx, data, node.Options{})
	if err != nil {
		return e, err
	}
	w.Register(t, n)
	for i := range 200 {
		if _, _, err := n.Submit(ctx, w.Submission(t, i)); err != nil {
			return e, err
		}
	}
	if err := n.Close(); err != nil {
		return e, err
	}
	l, err := node.OpenAtRest(ctx, data, node.Options{})
	if err != nil {
		return e, err
	}
	defer l.Close()
	published, err := node.LastPublished(data, l.Settings)
	if err != nil {
		return e, err
	}
	vkey, err := os.ReadFile(filepath.Join(data, "log.vkey"))
	if err != nil {
		return e, err
	}
	_, shards, err := node.Shards(ctx, l.Store)
	if err != nil {
		return e, err
	}
	events, err := l.Events(ctx)
	if err != nil {
		return e, err
	}
	defer events.Close()
	out := filepath.Join(dir, "export")
	_, err = export.Write(ctx, out, export.Source{
		Name: nodetest.Name, VKey: vkey,
		Logs: []export.SourceLog{{Epoch: published[0].Epoch, Signed: published[0].Signed, Checkpoint: published[0].Checkpoint, Tiles: shards[0]}},
		Blob: func(context.Context, ledger.Hash) ([]byte, error) { return nil, nil },
		Open: func(ctx context.Context, epoch uint32, index uint64, leaf []byte) ([32]byte, []byte, error) {
			event, err := events.Open(ctx, epoch, index, leaf)
			return event.Nonce, event.Body, err
		},
	})
	if err != nil {
		return e, err
	}
	e.files = fstest.MapFS{}
	err = filepath.WalkDir(out, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, _ := filepath.Rel(out, path)
		content, err := os.ReadFile(path)
		e.files[filepath.ToSlash(name)] = &fstest.MapFile{Data: content}
		return err
	})
	if err != nil {
		return e, err
	}
	e.keys, err = checkpoint.ParseKeys(vkey)
	return e, err
}

// quietT lets what one test makes serve others.
type quietT struct{ testing.TB }

func (*quietT) Helper()           {}
func (*quietT) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func newExport(t *testing.T) exported {
	t.Helper()
	e, err := oneExport()
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for name, f := range e.files {
		files[name] = &fstest.MapFile{Data: bytes.Clone(f.Data)}
	}
	return exported{files, e.keys}
}

// resum makes SHA256SUMS fit again, as whoever tampers would.
func (e exported) resum() {
	var sums []export.Sum
	for name, f := range e.files {
		if name != export.SumsFile {
			sums = append(sums, export.Sum{Path: name, Digest: sha256.Sum256(f.Data)})
		}
	}
	slices.SortFunc(sums, func(a, b export.Sum) int { return strings.Compare(a.Path, b.Path) })
	e.files[export.SumsFile] = &fstest.MapFile{Data: export.FormatSums(sums)}
}

func (e exported) check(t *testing.T) *verifier.ExportReport {
	t.Helper()
	report, err := verifier.Export(t.Context(), e.files, e.keys, verifier.Rules{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		for i := range 60 {
			if strings.Contains(fmt.Sprint(p), string(nodetest.Person(i))) {
				t.Fatalf("a problem names a person: %s at %s", p.Code, p.Where)
			}
		}
	}
	return report
}

// file returns the one file whose name starts so.
func (e exported) file(t *testing.T, prefix string) string {
	t.Helper()
	for name := range e.files {
		if strings.HasPrefix(name, prefix) {
			return name
		}
	}
	t.Fatalf("no file %s…", prefix)
	return ""
}

func TestExport(t *testing.T) {
	report := newExport(t).check(t)
	for _, p := range report.Problems {
		t.Errorf("a problem in a whole export: %v", p)
	}
	if len(report.Logs) != 1 {
		t.Fatalf("%d logs", len(report.Logs))
	}
	l := report.Logs[0]
	if l.Events < 200 || l.Opened != l.Events || l.Erased != 0 || l.Heads < 2 || l.Records == 0 || l.Size != l.Events+uint64(l.Heads)+l.Records+1 {
		t.Errorf("%+v", l)
	}
}

func TestExportDamagedFiles(t *testing.T) {
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range newExport(t).files {
			if !yield(name) {
				return
			}
		}
	})
	for _, name := range names {
		e := newExport(t)
		data := e.files[name].Data
		data[len(data)/2] ^= 1
		if e.check(t).Found == 0 {
			t.Errorf("%s changed: not found", name)
		}
		e = newExport(t)
		delete(e.files, name)
		if e.check(t).Found == 0 {
			t.Errorf("%s removed: not found", name)
		}
	}
	e := newExport(t)
	e.files["log/more"] = &fstest.MapFile{Data: []byte("more")}
	if e.check(t).Found == 0 {
		t.Error("a file more: not found")
	}
	e.resum()
	if e.check(t).Found == 0 {
		t.Error("a listed file more: not found")
	}
}

// Whoever changes an export can make the digests fit; the signature and what hangs on it still tell.
func TestExportTampered(t *testing.T) {
	for _, prefix := range []string{"log/", "records/", "events/", "manifest.json"} {
		for name := range newExport(t).files {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			for _, part := range []int{0, 3, 7} {
				e := newExport(t)
				data := e.files[name].Data
				at := part * (len(data) - 1) / 7
				if data[at] == '\n' || strings.Contains(string(data[max(0, at-30):at]), "made_at") {
					continue
				}
				data[at] ^= 1
				e.resum()
				if e.check(t).Found == 0 {
					t.Errorf("%s changed at byte %d of %d, digests made to fit: not found", name, at, len(data))
				}
			}
		}
	}

	lines := func(e exported, name string) [][]byte { return bytes.SplitAfter(e.files[name].Data, []byte("\n")) }
	tests := []struct {
		name   string
		change func(t *testing.T, e exported)
	}{
		{"a record's line gone", func(t *testing.T, e exported) {
			name := e.file(t, "records/")
			e.files[name].Data = bytes.Join(lines(e, name)[1:], nil)
		}},
		{"a record's line twice", func(t *testing.T, e exported) {
			name := e.file(t, "records/")
			l := lines(e, name)
			e.files[name].Data = bytes.Join(append(l, l[0]), nil)
		}},
		{"an event's line gone", func(t *testing.T, e exported) {
			name := e.file(t, "events/")
			e.files[name].Data = bytes.Join(lines(e, name)[1:], nil)
		}},
		{"the last newline gone", func(t *testing.T, e exported) {
			name := e.file(t, "events/")
			e.files[name].Data = bytes.TrimSuffix(e.files[name].Data, []byte("\n"))
		}},
		{"two bodies in each other's place", func(t *testing.T, e exported) {
			name := e.file(t, "events/")
			l := lines(e, name)
			a, errA := export.ParseEvent(bytes.TrimSpace(l[0]))
			b, errB := export.ParseEvent(bytes.TrimSpace(l[1]))
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			a.Nonce, a.Body, b.Nonce, b.Body = b.Nonce, b.Body, a.Nonce, a.Body
			for i, event := range []*export.Event{a, b} {
				line, err := export.FormatEvent(event)
				if err != nil {
					t.Fatal(err)
				}
				l[i] = append(line, '\n')
			}
			e.files[name].Data = bytes.Join(l, nil)
		}},
		{"an event said to be erased", func(t *testing.T, e exported) {
			name := e.file(t, "events/")
			l := lines(e, name)
			event, err := export.ParseEvent(bytes.TrimSpace(l[0]))
			if err != nil {
				t.Fatal(err)
			}
			line, err := export.FormatEvent(&export.Event{Index: event.Index, Erased: true})
			if err != nil {
				t.Fatal(err)
			}
			l[0] = append(line, '\n')
			e.files[name].Data = bytes.Join(l, nil)
		}},
		{"no logs", func(t *testing.T, e exported) {
			m, err := export.ParseManifest(e.files[export.ManifestFile].Data)
			if err != nil {
				t.Fatal(err)
			}
			m.Logs = []export.Log{}
			if e.files[export.ManifestFile].Data, err = export.FormatManifest(m); err != nil {
				t.Fatal(err)
			}
		}},
		{"a blob that isn't what it is called", func(t *testing.T, e exported) {
			dir := strings.TrimSuffix(e.file(t, "log/2"), "checkpoint")
			dir = dir[:strings.Index(dir[4:], "/")+4]
			e.files[fmt.Sprintf("%s/blob/%x", dir, sha256.Sum256([]byte("x")))] = &fstest.MapFile{Data: []byte("y")}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := newExport(t)
			test.change(t, e)
			e.resum()
			if e.check(t).Found == 0 {
				t.Error("not found")
			}
		})
	}
}

func TestExportOfAnotherKey(t *testing.T) {
	e := newExport(t)
	_, vkey, err := note.GenerateKey(nil, e.keys[0].Name())
	if err != nil {
		t.Fatal(err)
	}
	other, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	e.keys = []note.Verifier{other}
	report := e.check(t)
	if report.Found != 1 || report.Problems[0].Code != verifier.CodeBadSignature || len(report.Logs) != 0 {
		t.Errorf("%v", report.Problems)
	}
}

func TestExportOfNothing(t *testing.T) {
	e := newExport(t)
	e.files = fstest.MapFS{}
	if e.check(t).Found == 0 {
		t.Error("an empty folder is proven")
	}
}
