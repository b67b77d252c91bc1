// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// TestNothingPersonal loads a day, with lists of persons, refusals and retries
// among it, and searches all that is public, logged, counted or kept for
// everyone in it.
func TestNothingPersonal(t *testing.T) {
	f := newFixture(t, dev.Config{Seed: 7}, node.Options{})
	receipts := 1200
	if testing.Short() {
		receipts = 400
	}
	people, staff := newFinder(), newFinder() // staff is also what no citizen may see
	var bodies [][]byte
	var batch, again bytes.Buffer
	events, lists := 0, 0
	for i := range receipts {
		sub, err := f.world.Submission(i)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := ledger.FormatSubmission(sub)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&batch, "%s\n", raw)
		if i%10 == 0 {
			// A retry, and a refusal that had the same in it.
			fmt.Fprintf(&again, "%s\n%s\n", raw, bytes.Replace(raw, []byte(`"subjects":[`), []byte(`"subjects":[{"subject":"X"},`), 1))
		}
		people.addSubmission(sub)
		staff.addStaff(t, sub)
		if !people.finds(raw) || !staff.finds(sub.Private.Content) {
			t.Fatal("a submission in which nobody is found")
		}
		events += len(sub.Subjects)
		if len(sub.Subjects) > 1 {
			lists++
		}
	}
	if lists < receipts/120 {
		t.Errorf("%d lists only", lists)
	}
	var last string
	for _, line := range f.open(t, &batch).all() {
		if line.Status != http.StatusCreated {
			t.Fatalf("line %d: %d %+v", line.Line, line.Status, line.Problem)
		}
		answer, err := ledger.ParseAnswer(line.Answer)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range answer.Entries {
			bodies = append(bodies, e.Body)
		}
		if strings.HasPrefix(answer.ReceiptID, "inps/") {
			last = answer.ReceiptID
		}
	}
	for _, line := range f.open(t, &again).all() {
		if want := map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[line.Line%2 == 1]; line.Status != want {
			t.Fatalf("line %d: %d, want %d", line.Line, line.Status, want)
		}
	}
	f.fetch(t, last, f.request("inps")).answer(t, http.StatusOK)
	f.settle(t)

	// Each body names its citizen, which shows that this test finds what is
	// there, but nobody who works at the consumer, and no token.
	if len(bodies) != events {
		t.Errorf("%d bodies of %d events", len(bodies), events)
	}
	for _, raw := range bodies {
		body, err := ledger.ParseBody(raw)
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := ledger.ParseReceipt(body.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		if !people.finds(raw) {
			t.Fatal("a body in which the citizen isn't found")
		}
		people.search(t, "a receipt", receipt.JWS.Payload, []byte(receipt.Compact))
		staff.search(t, "a body", raw, receipt.JWS.Payload)
	}

	search := func(what string, texts ...[]byte) {
		t.Helper()
		people.search(t, what, texts...)
		staff.search(t, what, texts...)
	}
	log := f.reader(t)
	reader := checkpoint.NewReader(log)
	reader.Tiles = true
	leaves := 0
	err := reader.Read(t.Context(), f.published(t), func(_ uint64, leaf []byte) error {
		leaves++
		search("a leaf", leaf)
		return nil
	})
	if err != nil || leaves < events {
		t.Fatalf("%d leaves, %d events, %v", leaves, events, err)
	}
	for path, data := range log.got {
		search("what the log serves", []byte(path), data)
	}
	metrics := httptest.NewRecorder()
	promhttp.HandlerFor(f.metrics, promhttp.HandlerOpts{}).ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if !strings.Contains(metrics.Body.String(), fmt.Sprintf("traccia_submissions_total{outcome=\"recorded\"} %d\n", receipts)) {
		t.Errorf("metrics:\n%s", metrics.Body)
	}
	search("a metric", metrics.Body.Bytes())
	search("the status", f.get(t, "/status").body)
	search("a row", f.rows(t)...)
	f.mu.Lock()
	for _, url := range f.urls {
		search("a URL", []byte(url))
	}
	f.mu.Unlock()

	f.close()
	f.close = func() {}
	search("the log file", f.log.since(0))
	if f.log.len() == 0 {
		t.Error("nothing was logged")
	}
	files := 0
	err = filepath.WalkDir(f.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		search("a file name", []byte(path))
		search("the file "+entry.Name(), data)
		return err
	})
	if err != nil || files < 8 {
		t.Errorf("%d files, %v", files, err)
	}
}

// rows returns every key and value of the store as they are kept, before they
// are compressed.
func (f *fixture) rows(t testing.TB) (all [][]byte) {
	t.Helper()
	snap, err := f.store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	tables := 0
	for _, table := range store.Tables() {
		before := len(all)
		err := snap.Scan(t.Context(), table, nil, nil, 1<<30, func(key, value []byte) error {
			all = append(all, bytes.Clone(key), bytes.Clone(value))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) > before {
			tables++
		}
	}
	if tables < 8 {
		t.Errorf("rows in %d tables", tables)
	}
	return all
}

// finder finds any of many texts, in any ASCII letter case, in hex, and in
// base64 of either alphabet wherever it begins.
type finder struct {
	folded, exact index
}

// index has texts by their first bytes.
type index struct {
	texts map[uint64][]string
	pairs [1 << 16]bool // of the first two bytes: lets most places pass
}

const prefix = 7 // bytes; shorter texts aren't looked for

func newFinder() *finder {
	return &finder{index{texts: make(map[uint64][]string)}, index{texts: make(map[uint64][]string)}}
}

func (f *finder) add(text string) {
	if len(text) < prefix {
		return // "admin" names nobody
	}
	f.folded.add(strings.ToUpper(text))
	f.folded.add(strings.ToUpper(hex.EncodeToString([]byte(text))))
	for _, spelling := range []string{strings.ToUpper(text), strings.ToLower(text), text} {
		for shift := range 3 {
			// What stands before and behind shares a character at either end.
			b := base64.RawURLEncoding.EncodeToString(append(make([]byte, shift), spelling...))
			b = b[(8*shift+5)/6 : len(b)-1]
			f.exact.add(b)
			f.exact.add(strings.NewReplacer("-", "+", "_", "/").Replace(b))
		}
	}
}

func (f *finder) addSubmission(sub *ledger.Submission) {
	for _, s := range sub.Subjects {
		f.add(string(s.Subject))
	}
}

// addStaff adds who acted, on which file, and the tokens.
func (f *finder) addStaff(t testing.TB, sub *ledger.Submission) {
	t.Helper()
	private, err := ledger.ParsePrivate(sub.Private.Content)
	if err != nil {
		t.Fatal(err)
	}
	if private.Operator != nil {
		f.add(private.Operator.ID)
	}
	f.add(private.Case)
	f.add(private.RequestDigest)
	f.add(private.ResponseDigest)
	for _, token := range []string{sub.Voucher, sub.Evidence} {
		if token == "" {
			continue
		}
		made := takeApart(t, token, "")
		f.add(made.claims["jti"].(string))
		if user, ok := made.claims["userID"].(string); ok {
			f.add(user)
		}
		parts := strings.Split(token, ".")
		f.add(parts[1][:60])
		f.add(parts[2][:40])
	}
}

func (x *index) add(text string) {
	if len(text) < prefix {
		return
	}
	key := first([]byte(text))
	for _, known := range x.texts[key] {
		if known == text {
			return
		}
	}
	x.texts[key] = append(x.texts[key], text)
	x.pairs[uint16(text[0])<<8|uint16(text[1])] = true
}

func first(b []byte) uint64 {
	var room [8]byte
	copy(room[:prefix], b)
	return binary.BigEndian.Uint64(room[:])
}

// in returns the first text found.
func (x *index) in(data []byte) string {
	for i := 0; i+prefix <= len(data); i++ {
		if !x.pairs[uint16(data[i])<<8|uint16(data[i+1])] {
			continue
		}
		for _, text := range x.texts[first(data[i:])] {
			if bytes.HasPrefix(data[i:], []byte(text)) {
				return text
			}
		}
	}
	return ""
}

func (f *finder) found(data []byte) string {
	if text := f.exact.in(data); text != "" {
		return text
	}
	upper := bytes.Clone(data)
	for i, c := range upper {
		if 'a' <= c && c <= 'z' {
			upper[i] = c - 0x20
		}
	}
	return f.folded.in(upper)
}

func (f *finder) finds(data []byte) bool { return f.found(data) != "" }

func (f *finder) search(t *testing.T, what string, texts ...[]byte) {
	t.Helper()
	for _, data := range texts {
		if text := f.found(data); text != "" {
			t.Fatalf("%s holds %s", what, text)
		}
	}
}

func TestFinder(t *testing.T) {
	f := newFinder()
	const code = "RSSMRA80A01H501U"
	f.add(code)
	for _, text := range []string{code, "x" + strings.ToLower(code) + "y", "rssMRA80a01h501u", hex.EncodeToString([]byte(code))} {
		if !f.finds([]byte(text)) {
			t.Errorf("not found in %s", text)
		}
	}
	for before := range 7 {
		for after := range 4 {
			for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
				text := encoding.EncodeToString([]byte(strings.Repeat("{", before) + code + strings.Repeat("}", after)))
				if !f.finds([]byte(text)) {
					t.Errorf("not found in %s, %d bytes before and %d after", text, before, after)
				}
			}
		}
	}
	for _, text := range []string{"", "RSSMRA80A01H501", "RSSMRA80A01H501V"} {
		if f.finds([]byte(text)) {
			t.Errorf("found in %s", text)
		}
	}
}
