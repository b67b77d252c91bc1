// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// sealed is what a person's events of the month are sealed with.
type sealed struct {
	handle   ledger.Hash
	k, month [32]byte // the person's key; the month's key that it was wrapped under
	wrap     []byte
}

// sealedOf reads it from a ledger that nobody serves.
func sealedOf(t *testing.T, dir string, person int) (s sealed) {
	t.Helper()
	d, err := keys.Open(filepath.Join(dir, "keys"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	month := d.Months()[0]
	handleKey, err := d.Handle(d.Epochs()[0])
	if err != nil {
		t.Fatal(err)
	}
	s.handle = seal.Handle(&handleKey, seal.Access, month, string(nodetest.Person(person)))
	everyRow(t, filepath.Join(dir, "store"), func(table store.Table, key, value []byte) {
		if table != store.TableWrap || !bytes.Equal(key, s.handle[:]) {
			return
		}
		row, err := rows.ParseWrap(value)
		if err != nil {
			t.Fatal(err)
		}
		version, wrap, err := keys.ParseWrap(row.Stored)
		if err != nil {
			t.Fatal(err)
		}
		s.wrap = bytes.Clone(wrap)
		if s.month, err = d.MonthKey(month, version); err != nil {
			t.Fatal(err)
		}
		if s.k, err = seal.Unwrap(&s.month, s.handle, wrap); err != nil {
			t.Fatal(err)
		}
	})
	if s.wrap == nil {
		t.Fatal("the person has no key")
	}
	return s
}

func everyRow(t *testing.T, dir string, f func(table store.Table, key, value []byte)) {
	t.Helper()
	db, err := pebble.OpenReadOnly(dir, pebble.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	snap, err := db.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for _, table := range store.Tables() {
		err := snap.Scan(context.Background(), table, nil, nil, 0, func(key, value []byte) error {
			f(table, key, value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func everyFile(t *testing.T, dir string, f func(path string, data []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			f(path, data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// monthKeys finds every month key in a directory, whatever the file is called.
func monthKeys(t *testing.T, dir string) (found [][32]byte) {
	everyFile(t, dir, func(path string, data []byte) {
		_, text, ok := bytes.Cut(data, []byte("\nplain: "))
		if !ok || !bytes.Contains(data, []byte("purpose: month\n")) {
			return
		}
		text, _, _ = bytes.Cut(text, []byte("\n"))
		key, err := base64.RawURLEncoding.DecodeString(string(text))
		if err != nil || len(key) != 32 {
			t.Fatalf("%s: %v", path, err)
		}
		found = append(found, [32]byte(key))
	})
	return found
}

// search looks through all files of a directory, and all rows of its store, for whatever opens the person's events with
// the month keys given, and for words.
func (s sealed) search(t *testing.T, dir string, under [][32]byte, words ...string) (found []string) {
	t.Helper()
	var secrets []string
	for _, secret := range [][32]byte{s.k, s.month} {
		secrets = append(secrets, string(secret[:]), hex.EncodeToString(secret[:]),
			base64.RawURLEncoding.EncodeToString(secret[:]), base64.StdEncoding.EncodeToString(secret[:]))
	}
	look := func(where string, data []byte) {
		for i, secret := range append(secrets, words...) {
			if bytes.Contains(data, []byte(secret)) {
				found = append(found, fmt.Sprintf("%s holds secret %d", where, i))
			}
		}
		for at := 0; at+len(s.wrap) <= len(data); at++ {
			for i := range under {
				if k, err := seal.Unwrap(&under[i], s.handle, data[at:at+len(s.wrap)]); err == nil && k == s.k {
					found = append(found, fmt.Sprintf("%s, byte %d: a wrap of the person's key opens", where, at))
				}
			}
		}
	}
	everyFile(t, dir, look)
	everyRow(t, filepath.Join(dir, "store"), func(table store.Table, key, value []byte) {
		where := fmt.Sprintf("%s: a row of %s", dir, table)
		switch table {
		case store.TableBody, store.TablePrivate, store.TableLeaf, store.TableTile, store.TableReceipt: // sealed or public, and long
			for _, secret := range append(secrets, words...) {
				if bytes.Contains(value, []byte(secret)) {
					found = append(found, where+" holds a secret")
				}
			}
		default:
			look(where, append(bytes.Clone(key), value...))
		}
	})
	return found
}

// After an erasure nothing on disk opens the person's events: not the store's files, compacted or not, with any key that
// is left, nor a backup from before, nor what is restored from it. Nothing names the person.
func TestErasedIsGone(t *testing.T) {
	const person = 2
	r := &running{t: t, world: nodetest.NewWorld(t, time.Now()), dir: filepath.Join(t.TempDir(), "ledger"), acks: map[int]*ledger.Answer{}}
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	opt := node.Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Metrics: node.NewMetrics(registry)}
	r.world.Create(t, r.dir, node.Options{})
	r.start(node.Options{})
	r.world.Register(t, r.Node)
	raws := [][]byte{}
	answers := []*ledger.Answer{}
	for n := range 8 {
		raws = append(raws, r.world.Make(t, n, nodetest.Access{Subjects: 1, First: n % 4}))
		answers = append(answers, r.access(n, n%4))
	}
	if err := r.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if _, err := node.Backup(t.Context(), r.dir, backup, quiet, func(to string) error { return r.Backup(t.Context(), to) }); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s := sealedOf(t, r.dir, person)
	if found := s.search(t, r.dir, monthKeys(t, r.dir)); len(found) < 2 {
		t.Fatalf("the search doesn't find what is there: %v", found)
	}
	clean := func(dir string) {
		t.Helper()
		code, id := string(nodetest.Person(person)), answers[person].ReceiptID
		for _, found := range s.search(t, dir, monthKeys(t, r.dir), code, id[len(id)-36:]) {
			t.Error(found)
		}
	}

	keysThen := "" // when the keys were destroyed, and the request wasn't recorded yet
	opt.Step = func(name string) {
		if name == "erasure: destroyed" {
			keysThen = filepath.Join(copyDir(t, r.dir), "keys")
		}
	}
	r.start(opt)
	r.erase(person, false)
	r.erase(person, true)
	if _, _, err := r.Submit(t.Context(), raws[person]); err == nil {
		t.Error("an erased submission was answered again")
	}
	metrics, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	code := string(nodetest.Person(person))
	handle := hex.EncodeToString(s.handle[:])
	for what, text := range map[string]string{"the log": log.String(), "a metric": fmt.Sprint(metrics)} {
		for _, personal := range []string{code, handle, handle[:16], fmt.Sprint(s.handle)} {
			if strings.Contains(text, personal) {
				t.Errorf("%s names the person or their key", what)
			}
		}
	}
	if !strings.Contains(log.String(), "renewed") {
		t.Error("the log doesn't say that something was erased")
	}
	for n, a := range answers {
		if _, err := nodetest.CheckAnswer(raws[n], a, r.VKey()); err != nil {
			t.Errorf("an answer from before the erasure: %v", err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}

	if left := monthKeys(t, r.dir); len(left) != 1 || left[0] == s.month {
		t.Fatalf("%d month keys are left", len(left))
	}
	clean(r.dir)
	clean(backup)
	// The machine is lost before the request is public: it is recorded in what is restored.
	for _, part := range []string{"store", "keys"} {
		if err := os.RemoveAll(filepath.Join(r.dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := node.Restore(t.Context(), backup, r.dir, keysThen, node.Options{}); err != nil {
		t.Fatal(err)
	}
	clean(r.dir)
	r.start(node.Options{})
	for n := 0; requestFiles(t, r.dir) > 0 && n < 200; n++ {
		time.Sleep(5 * time.Millisecond)
	}
	if asked := r.asked(person); len(asked) != 1 || requestFiles(t, r.dir) > 0 {
		t.Errorf("asked %v, %d requests kept", asked, requestFiles(t, r.dir))
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	clean(r.dir)
}

// grown waits until records were added to the log of a ledger that was just started, or a little while.
func (r *running) grown(by uint64) {
	r.t.Helper()
	for from, n := r.Latest().Root.Size, 0; r.Latest().Root.Size < from+by && n < 100; n++ {
		time.Sleep(5 * time.Millisecond)
	}
}

func TestErasuresAreCounted(t *testing.T) {
	y := newYear(t)
	people := func(from, to int) (subjects []ledger.Subject) {
		for i := from; i < to; i++ {
			subjects = append(subjects, nodetest.Person(i))
		}
		return subjects
	}
	if _, _, err := y.Submit(t.Context(), y.world.Make(t, 0, nodetest.Access{Subjects: 40})); err != nil {
		t.Fatal(err)
	}
	for _, erase := range [][]ledger.Subject{people(0, 2), people(1, 4)} { // four people in January, one of them asked twice
		if _, err := y.Erase(t.Context(), erase, "", true); err != nil {
			t.Fatal(err)
		}
	}
	y.at(time.February, 3)
	if _, err := y.Erase(t.Context(), people(4, 16), "2026-01", true); err != nil {
		t.Fatal(err)
	}
	restart := func() {
		t.Helper()
		if err := y.Close(); err != nil {
			t.Fatal(err)
		}
		y.start(y.options())
		y.grown(3)
	}
	restart()
	y.at(time.April, 1)
	restart()
	restart()
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"kind":"erasure","month":"2026-01","count":"fewer than 10"}`,
		`{"kind":"erasure","month":"2026-02","count":"12"}`,
		`{"kind":"erasure","month":"2026-03","count":"fewer than 10"}`,
	}
	y.dir = copyDir(t, y.dir)
	var got []string
	everyRow(t, filepath.Join(y.dir, "store"), func(table store.Table, _, value []byte) {
		if table == store.TableRecord && bytes.Contains(value, []byte(`"kind":"erasure"`)) {
			got = append(got, string(value))
		}
	})
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if checked, erased := healthy(t, y.dir); checked != 24+16 || erased != 16 { // and as many requests
		t.Errorf("fsck: %d bodies, %d erased", checked, erased)
	}
}
