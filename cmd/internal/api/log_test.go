// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/alertstest"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// fetcher reads the public log as an outsider does, and remembers what it got.
type fetcher struct {
	t   testing.TB
	f   *fixture
	mu  sync.Mutex
	got map[string][]byte // guarded by mu
}

func (f *fixture) reader(t testing.TB) *fetcher {
	return &fetcher{t: t, f: f, got: make(map[string][]byte)}
}

func (r *fetcher) Fetch(_ context.Context, path string) ([]byte, error) {
	reply := r.f.get(r.t, r.f.logPath(path))
	r.mu.Lock()
	defer r.mu.Unlock()
	switch reply.status {
	case http.StatusOK:
		r.got[path] = reply.body
		return reply.body, nil
	case http.StatusNotFound:
		return nil, fs.ErrNotExist
	}
	return nil, fmt.Errorf("%s answered %d", path, reply.status)
}

func (f *fixture) logPath(path string) string { return fmt.Sprintf("/log/%d/%s", f.node.Epoch(), path) }

// published opens the public checkpoint.
func (f *fixture) published(t testing.TB) checkpoint.Checkpoint {
	t.Helper()
	got := f.get(t, f.logPath("checkpoint"))
	if got.status != http.StatusOK {
		t.Fatalf("checkpoint: %d %s", got.status, got.body)
	}
	verifier, err := note.NewVerifier(f.node.VKey())
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(got.body, verifier)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *fixture) settle(t testing.TB) {
	t.Helper()
	if err := f.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestLogByTiles(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	before := f.published(t)
	var body strings.Builder
	const receipts = 300 // of three events each: four bundles, the last one partial
	for i := range receipts {
		fmt.Fprintf(&body, "%s\n", f.submission(t, i))
	}
	if list := f.open(t, strings.NewReader(body.String())).all(); len(list) != receipts || list[receipts-1].Status != http.StatusCreated {
		t.Fatalf("%d answers: %s", len(list), brief(list))
	}

	// What is recorded isn't public before it is published.
	if now := f.published(t); now != before {
		t.Fatalf("the public log grew from %d to %d at once", before.Size, now.Size)
	}
	size := f.node.Latest().Root.Size
	if size < before.Size+3*receipts {
		t.Fatalf("size %d after %d", size, before.Size)
	}
	for _, path := range []string{
		"tile/0/000", "tile/entries/000", "tile/entries/003", "tile/0/003", "tile/1/000.p/1",
		fmt.Sprintf("tile/0/000.p/%d", before.Size+1), fmt.Sprintf("tile/entries/000.p/%d", before.Size+1),
	} {
		f.get(t, f.logPath(path)).problem(t, http.StatusNotFound, "not_found", "path")
	}
	for _, path := range []string{fmt.Sprintf("tile/0/000.p/%d", before.Size), fmt.Sprintf("tile/entries/000.p/%d", before.Size)} {
		if got := f.get(t, f.logPath(path)); got.status != http.StatusOK {
			t.Errorf("%s: %d", path, got.status)
		}
	}

	f.settle(t)
	after := f.published(t)
	if after.Size < size {
		t.Fatalf("published %d of %d", after.Size, size)
	}
	// An outsider reads all of it, each tile compared with what the leaves hash to.
	log := f.reader(t)
	reader := checkpoint.NewReader(log)
	reader.Tiles = true
	follow, err := replay.New(after.Origin)
	if err != nil {
		t.Fatal(err)
	}
	err = reader.Read(t.Context(), after, func(_ uint64, leaf []byte) error {
		follow.Add(leaf)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if report := follow.Report(); !report.OK() {
		t.Errorf("alarms: %+v", report)
	}
	if err := checkpoint.Consistent(t.Context(), log, before, after); err != nil {
		t.Error(err)
	}
	if len(log.got) < 9 {
		t.Errorf("read %d files only", len(log.got))
	}

	// Beyond the end, or wider than the log is there.
	last := int(after.Size % 256)
	for _, path := range []string{
		"tile/0/004", "tile/entries/004", fmt.Sprintf("tile/entries/003.p/%d", last+1), "tile/1/000", "tile/1/000.p/4", "tile/2/000.p/1", "tile/7/000.p/1", "tile/8/000.p/1",
	} {
		f.get(t, f.logPath(path)).problem(t, http.StatusNotFound, "not_found", "path")
	}
	// A narrower one than the full tile is the same tile's beginning.
	full, part := f.get(t, f.logPath("tile/0/000")), f.get(t, f.logPath("tile/0/000.p/17"))
	if len(full.body) != 256*32 || string(part.body) != string(full.body[:17*32]) {
		t.Errorf("a tile of %d bytes, its beginning of %d", len(full.body), len(part.body))
	}
	checkCaching(t, f)
}

func checkCaching(t *testing.T, f *fixture) {
	for _, test := range []struct{ path, contentType, cache string }{
		{f.logPath("checkpoint"), "text/plain; charset=utf-8", "public, max-age=1, must-revalidate"},
		{f.logPath("tile/0/000"), "application/octet-stream", "public, max-age=31536000, immutable"},
		{f.logPath("tile/0/001.p/5"), "application/octet-stream", "public, max-age=31536000, immutable"},
		{f.logPath("tile/1/000.p/2"), "application/octet-stream", "public, max-age=31536000, immutable"},
		{f.logPath("tile/entries/000"), "application/octet-stream", "public, max-age=31536000, immutable"},
		{"/openapi.yaml", "application/yaml", "max-age=300"},
	} {
		t.Run(test.path, func(t *testing.T) {
			got := f.get(t, test.path)
			tag := got.header.Get("ETag")
			if got.status != http.StatusOK || got.header.Get("Content-Type") != test.contentType || got.header.Get("Cache-Control") != test.cache ||
				!strings.HasPrefix(tag, `"`) || len(tag) < 18 || got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%d %v", got.status, got.header)
			}
			if got.header.Get("Content-Length") != fmt.Sprint(len(got.body)) || len(got.body) == 0 {
				t.Errorf("Content-Length %s, %d bytes", got.header.Get("Content-Length"), len(got.body))
			}
			for _, condition := range []string{tag, `"other", ` + tag, "W/" + tag, "*"} {
				same := f.get(t, test.path, "If-None-Match", condition)
				if same.status != http.StatusNotModified || len(same.body) > 0 || same.header.Get("ETag") != tag || same.header.Get("Cache-Control") != test.cache {
					t.Errorf("If-None-Match %s: %d %v", condition, same.status, same.header)
				}
			}
			if other := f.get(t, test.path, "If-None-Match", `"other"`); other.status != http.StatusOK || string(other.body) != string(got.body) {
				t.Errorf("another ETag: %d", other.status)
			}
			head := f.do(t, http.MethodHead, test.path, nil)
			if head.status != http.StatusOK || len(head.body) > 0 || head.header.Get("ETag") != tag || head.header.Get("Content-Length") != fmt.Sprint(len(got.body)) || head.header.Get("Content-Type") != test.contentType {
				t.Errorf("HEAD: %d %v", head.status, head.header)
			}
			if part := f.get(t, test.path, "Range", "bytes=2-5"); part.status != http.StatusPartialContent || string(part.body) != string(got.body[2:6]) {
				t.Errorf("a range: %d, %d bytes", part.status, len(part.body))
			}
		})
	}
}

// TestLogPaths refuses what isn't the one name of something published.
func TestLogPaths(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	var body strings.Builder
	for i := range 100 {
		fmt.Fprintf(&body, "%s\n", f.submission(t, i))
	}
	f.open(t, strings.NewReader(body.String())).all()
	f.settle(t)
	year := fmt.Sprint(f.node.Epoch())
	digest := fmt.Sprintf("%x", sha256.Sum256(nil))
	for _, path := range []string{
		"/log", "/log/", "/log/" + year, "/log/" + year + "/", "/log/" + year + "/checkpoint/", "/log/" + year + "/Checkpoint", "/log/" + year + "/checkpoint.txt",
		"/log/0" + year + "/checkpoint", "/log/+" + year + "/checkpoint", "/log/1999/checkpoint", "/log/-1/checkpoint", "/log/4294969322/checkpoint", "/log/x/checkpoint",
		"/log/" + year + "/check%70oint", "/log/%32026/checkpoint", "//log/" + year + "/checkpoint", "/log/" + year + "//checkpoint", "/log/./" + year + "/checkpoint", "/log/x/../" + year + "/checkpoint",
		"/log/" + year + "/tile", "/log/" + year + "/tile/", "/log/" + year + "/tile/0", "/log/" + year + "/tile/0/", "/log/" + year + "/tile/0/0", "/log/" + year + "/tile/0/00",
		"/log/" + year + "/tile/0/0000", "/log/" + year + "/tile/00/000", "/log/" + year + "/tile/+0/000", "/log/" + year + "/tile/-1/000", "/log/" + year + "/tile/64/000", "/log/" + year + "/tile/x/000",
		"/log/" + year + "/tile/0/x000/000", "/log/" + year + "/tile/0/000/000", "/log/" + year + "/tile/0/X001/000", "/log/" + year + "/tile/0/000/", "/log/" + year + "/tile/0//000",
		"/log/" + year + "/tile/0/000.p", "/log/" + year + "/tile/0/000.p/", "/log/" + year + "/tile/0/000.p/0", "/log/" + year + "/tile/0/000.p/01", "/log/" + year + "/tile/0/000.p/256", "/log/" + year + "/tile/0/000.p/-1",
		"/log/" + year + "/tile/0/000.p/1.p/1", "/log/" + year + "/tile/0/000.P/1", "/log/" + year + "/tile/0/000%2ep/1", "/log/" + year + "/tile/0/%30%30%30", "/log/" + year + "/tile/0%2f000",
		"/log/" + year + "/tile/entries/0", "/log/" + year + "/tile/Entries/000", "/log/" + year + "/tile/data/000", "/log/" + year + "/tile/0/x999/x999/x999/x999/x999/x999/999", "/log/" + year + "/tile/0/x072/x057/x594/x037/x927/936",
		"/log/" + year + "/blob/" + digest, "/log/" + year + "/blob/" + strings.ToUpper(digest), "/log/" + year + "/blob/" + digest[:62], "/log/" + year + "/blob/" + digest + "00", "/log/" + year + "/blob/", "/log/" + year + "/blob/x",
		"/log/1999/tile/0/000", "/log/1999/tile/entries/000", "/log/1999/blob/" + digest,
		"/status/", "/Status", "/openapi.yml", "/metrics",
	} {
		got := f.get(t, path)
		if got.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.status)
			continue
		}
		got.problem(t, http.StatusNotFound, "not_found", "path")
	}
	if got := f.get(t, "/log/"+year+"/tile/0/000"); got.status != http.StatusOK || len(got.body) != 256*32 {
		t.Errorf("the right path: %d", got.status)
	}
}

func TestStatus(t *testing.T) {
	f := sharedFixture(t)
	f.settle(t)
	got := f.get(t, "/status")
	var s struct {
		Type, Title       string
		Status            int
		Origin            string
		PublishedSize     uint64 `json:"published_size"`
		LastHeadAt        string `json:"last_head_at"`
		QueuePercent      int    `json:"queue_percent"`
		Code, Where, Kind string
	}
	unmarshal(t, got.body, &s)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Retry-After") != "" ||
		s.Status != 200 || s.Type != "about:blank" || s.Title != "OK" || s.Origin != ledger.Origin(ledgerName, f.node.Epoch()) || s.PublishedSize == 0 || !strings.HasSuffix(s.LastHeadAt, "Z") {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
}

// TestStopped has a write fail: nothing more is recorded, and everybody is told
// so, but the public log stays readable.
func TestStopped(t *testing.T) {
	var broken atomic.Bool
	f := newFixture(t, fastWorld, node.Options{Store: func(s store.Store) store.Store { return &brokenStore{s, &broken} }})
	good := f.submission(t, 0)
	f.submit(t, good).answer(t, http.StatusCreated)
	f.settle(t)
	broken.Store(true)
	for i := range 2 {
		p := f.submit(t, f.submission(t, 1+i)).problem(t, http.StatusServiceUnavailable, "stopped", "")
		if !strings.Contains(p.Expected, "later") {
			t.Errorf("expected %q", p.Expected)
		}
	}
	lines := f.open(t, bytes.NewReader(append(f.submission(t, 3), '\n'))).all()
	if got, want := brief(lines), "1:503:stopped@"; got != want {
		t.Errorf("a batch: %s, want %s", got, want)
	}
	got := f.get(t, "/status")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(string(got.body), `"title":"Not recording"`) {
		t.Errorf("status: %d %v %s", got.status, got.header, got.body)
	}
	if now := f.published(t); now.Size == 0 {
		t.Error("no checkpoint")
	}
	if got := f.get(t, f.logPath("tile/entries/000.p/1")); got.status != http.StatusOK {
		t.Errorf("tile: %d", got.status)
	}
}

// brokenStore fails every commit once it is broken, in a way that leaves open
// whether it was written.
type brokenStore struct {
	store.Store
	broken *atomic.Bool
}

func (s *brokenStore) Commit(ctx context.Context, expect, write []store.Row) error {
	if s.broken.Load() {
		return errors.New("the disk is gone")
	}
	return s.Store.Commit(ctx, expect, write)
}

func TestAlerts(t *testing.T) {
	alertstest.Check(t, sharedFixture(t).metrics, "../../..", "ledgerd")
	alertstest.CheckPage(t, sharedFixture(t).metrics, "../../..", "docs/operations.md", "traccia_page_", "traccia_ready", "traccia_sequencing", "traccia_forwarded_", "traccia_follower_")
}
