// SPDX-License-Identifier: EUPL-1.2

package fsck_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/fsck"
	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/policies/policytest"
)

var quiet = slog.New(slog.DiscardHandler)

const submissions = 110

// patient is a real ledger, closed by the node that filled it, and opened raw.
type patient struct {
	t    *testing.T
	dir  string
	db   *pebble.Store
	keys *keys.Dir
	now  time.Time // the zero time for the clock's

	authority *[32]byte
}

// authorityKey is the public key of an authority.
func authorityKey() *[32]byte {
	private, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		panic(err)
	}
	public := [32]byte(private.PublicKey().Bytes())
	return &public
}

// newPatient fills a ledger: lists, several scopes and agencies, a rotated and a revoked key.
func newPatient(t *testing.T) *patient {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ledger")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w := nodetest.NewWorld(t, time.Now())
	w.Create(t, dir, node.Options{})
	if err := node.SetAuthority(dir, authorityKey()); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), dir, node.Options{Policies: policies.Open, Consents: webauthn.Rules{}})
	if err != nil {
		t.Fatal(err)
	}
	w.Register(t, n)
	submit := func(raw []byte) {
		t.Helper()
		// Lists of people are denied once policies are active.
		var denied *node.Denied
		if _, _, err := n.Submit(t.Context(), raw); err != nil && !errors.As(err, &denied) {
			t.Fatal(err)
		}
	}
	for i := range submissions {
		if i == submissions/2 {
			if _, err := n.ActivatePolicies(t.Context(), policytest.Bundle(t, "1", `context.purpose == "checks"`)); err != nil {
				t.Fatal(err)
			}
		}
		submit(w.Submission(t, i))
	}
	for _, person := range []int{1, 2, 1} {
		if err := n.LookUpFor(t.Context(), nodetest.Person(person)); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.LookUpUnder(t.Context(), nodetest.Person(1), "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11"); err != nil {
		t.Fatal(err)
	}
	citizen := &consenttest.Citizen{Code: nodetest.Person(3), At: w.Now}
	collector := &consenttest.Collector{Ledger: nodetest.Name, ID: nodetest.Hub, Key: nodetest.Signer(nodetest.Hub, 0)}
	for range 2 {
		given := consenttest.Statement(t, citizen.Record(t, nodetest.Name, ledger.KindConsentGiven), consenttest.Desk)
		raw, err := ledger.FormatConsentSubmission(collector.Submission(t, citizen, given))
		if err != nil {
			t.Fatal(err)
		}
		a, _, err := n.RecordConsent(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := ledger.ParseLeaf(a.Entries[0].Leaf)
		if err != nil {
			t.Fatal(err)
		}
		citizen.Next(leaf.(ledger.Event).Commitment)
	}
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.AddKey(t.Context(), nodetest.Hub, nodetest.Key(nodetest.Hub, 1), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := n.RevokeKey(t.Context(), nodetest.Hub, nodetest.Key(nodetest.Hub, 0).Kid, "rotation"); err != nil {
		t.Fatal(err)
	}
	for i, a := range []nodetest.Access{
		{Subjects: 2, First: 7, Provider: "prov_a", Until: time.Now().AddDate(0, 6, 0)},
		{Subjects: 1, First: 7, Provider: "prov_a", States: ledger.StatementError, About: submissions + 1},
		{Subjects: 1, First: 0, States: ledger.StatementError, About: 0},
		{Subjects: 120, Provider: "prov_a"},
	} {
		a.Generation = 1
		submit(w.Make(t, submissions+1+i, a))
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func open(t *testing.T, dir string) *patient {
	t.Helper()
	db, err := pebble.Open(filepath.Join(dir, "store"), pebble.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	k, err := keys.Open(filepath.Join(dir, "keys"), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.Close()
		db.Close()
	})
	settings, err := node.ReadSettings(dir)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := settings.Authority()
	if err != nil {
		t.Fatal(err)
	}
	return &patient{t: t, dir: dir, db: db, keys: k, authority: authority}
}

func (p *patient) check() *fsck.Report {
	p.t.Helper()
	snap, err := p.db.Snapshot(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	defer snap.Close()
	report, err := fsck.Check(p.t.Context(), fsck.Config{Name: nodetest.Name, Rows: snap, Keys: p.keys, Policies: policies.Open, Authority: p.authority, Now: p.now})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, problem := range report.Problems {
		text := fmt.Sprintf("%+v", problem)
		for i := range 200 {
			if strings.Contains(text, string(nodetest.Person(i))) {
				p.t.Fatalf("a problem names person %d: %s", i, problem.Code)
			}
		}
	}
	return report
}

// healthy fails the test unless the ledger is whole.
func (p *patient) healthy() *fsck.Report {
	p.t.Helper()
	report := p.check()
	for _, problem := range report.Problems {
		p.t.Errorf("a problem in a whole ledger: %v", &problem)
	}
	if p.t.Failed() {
		p.t.FailNow()
	}
	return report
}

func (p *patient) commit(rows ...store.Row) {
	p.t.Helper()
	if err := p.db.Commit(p.t.Context(), nil, rows); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) rows(table store.Table) []store.Row {
	p.t.Helper()
	snap, err := p.db.Snapshot(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	defer snap.Close()
	var list []store.Row
	err = snap.Scan(p.t.Context(), table, nil, nil, 0, func(key, value []byte) error {
		list = append(list, store.Row{Table: table, Key: append([]byte(nil), key...), Value: append([]byte{}, value...)})
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return list
}

// named says whether some problem is about a table.
func named(report *fsck.Report, table string) bool {
	for _, p := range report.Problems {
		if p.Where == table || strings.HasPrefix(p.Where, table+"/") || strings.Contains(p.Where, " or "+table+"/") {
			return true
		}
	}
	return false
}

func TestHealthy(t *testing.T) {
	p := newPatient(t)
	report := p.healthy()
	events := uint64(len(p.rows(store.TableBody)))
	if report.Replayed < submissions/2 || report.Unreplayed != 0 {
		t.Errorf("%d decisions replayed, %d not", report.Replayed, report.Unreplayed)
	}
	if report.Events != events || report.BodiesChecked != events || report.BodiesErased != 0 {
		t.Errorf("%d events, %d checked, %d erased; the store has %d bodies", report.Events, report.BodiesChecked, report.BodiesErased, events)
	}
	if report.Receipts != submissions+9 || report.PrivateParts != submissions+9 {
		t.Errorf("%d receipts, %d private parts, expected %d", report.Receipts, report.PrivateParts, submissions+9)
	}
	if report.Size != uint64(len(p.rows(store.TableLeaf))) || report.Heads < 2 || report.Records == 0 {
		t.Errorf("size %d, %d heads, %d records", report.Size, report.Heads, report.Records)
	}
}

// sample picks rows over the whole table.
func sample(all []store.Row) []store.Row {
	if len(all) <= 4 {
		return all
	}
	n := len(all)
	return []store.Row{all[0], all[n/3], all[2*n/3], all[n-1]}
}

// Every table: flip a bit, take a row away, add one.
func TestDamage(t *testing.T) {
	p := newPatient(t)
	p.healthy()
	tried := 0
	for _, table := range store.Tables() {
		if table == store.TableSession || table == store.TableLeft { // no part of the log: see TestSessions and TestLeft
			continue
		}
		all := p.rows(table)
		if len(all) == 0 && table != store.TableIdentity && table != store.TableQueue {
			t.Errorf("no rows of %s to damage", table)
		}
		expect := func(row store.Row, what string) {
			t.Helper()
			tried++
			p.commit(row)
			report := p.check()
			if report.Found == 0 {
				t.Errorf("%s: %s wasn't found", table, what)
			} else if !named(report, names(table)) && !(table == store.TableWrap && (named(report, "private") || named(report, "wrap"))) {
				t.Errorf("%s: %s was found elsewhere: %v", table, what, &report.Problems[0])
			}
		}
		damages := sample(all)
		if testing.Short() {
			damages = damages[:min(1, len(damages))]
		}
		for _, row := range damages {
			undo := row
			for _, offset := range offsets(row) {
				damaged := row
				damaged.Value = append([]byte{}, row.Value...)
				damaged.Value[offset] ^= 1 << (offset % 8)
				expect(damaged, fmt.Sprintf("a bit flipped in byte %d of %d", offset, len(row.Value)))
			}
			if table != store.TableConsentEnd { // it goes once the end is an event
				expect(store.Row{Table: table, Key: row.Key}, "a row taken away")
			}
			p.commit(undo)
			more := store.Row{Table: table, Key: append([]byte{}, row.Key...), Value: row.Value}
			more.Key[len(more.Key)-1] ^= 0x80
			more.Key[0] ^= 0x01
			if table != store.TableWrap { // one that nothing uses is no problem
				expect(more, "a row added for another epoch")
			}
			p.commit(store.Row{Table: table, Key: more.Key})
		}
	}
	p.healthy()
	t.Logf("%d damages found", tried)
}

func hashOf(content string) ledger.Hash { return sha256.Sum256([]byte(content)) }

// names is how problems name a table.
func names(table store.Table) string {
	switch table {
	case store.TableWrap:
		return "body" // the events that it doesn't open any more; or a private part
	case store.TableRoot:
		return "root"
	}
	return table.String()
}

// offsets are the bytes of a value to flip.
func offsets(row store.Row) []int {
	n := len(row.Value)
	switch table := row.Table; {
	case n == 0:
		return nil
	case table == store.TableRoot:
		return []int{9, 11, 42} // size and hash; the time after them is nobody's
	case table == store.TableTree:
		return []int{0, 1}
	case table == store.TableCounter && len(row.Key) == 5:
		return []int{0} // the last instant may be any up to now
	case table == store.TableCounter:
		return []int{0, n - 1}
	case table == store.TableReceipt:
		return []int{0, 31, 32, 39, 40, 43}
	case table == store.TableBody:
		return []int{0, 32, 35, 36, 43, 44, n / 2, n - 1}
	}
	return []int{0, n / 2, n - 1}
}

// TestSessions: of those rows fsck knows the form alone.
func TestSessions(t *testing.T) {
	p := newPatient(t)
	key := rows.SessionKey(time.Now(), [16]byte{7})
	p.commit(store.Row{Table: store.TableSession, Key: key, Value: []byte("sealed")})
	p.healthy()
	p.commit(store.Row{Table: store.TableSession, Key: key[1:], Value: []byte("sealed")})
	if report := p.check(); !named(report, "session") {
		t.Errorf("a key of another form wasn't found: %v", report.Problems)
	}
}

// What citizens left opens in its own place alone.
func TestLeft(t *testing.T) {
	p := newPatient(t)
	epoch := ledger.EpochOf(time.Now())
	handle, err := p.keys.Handle(epoch)
	if err != nil {
		t.Fatal(err)
	}
	key := rows.LeftKey(&handle, epoch, rows.LeftErasure, nodetest.Person(1))
	good := store.Row{Table: store.TableLeft, Key: key, Value: rows.SealLeft(&handle, key, []byte("{}"))}
	p.commit(good)
	p.healthy()
	changed, moved, stray := good, good, good
	changed.Value = append([]byte{1}, good.Value[1:]...)
	moved.Key = rows.LeftKey(&handle, epoch, rows.LeftErasure, nodetest.Person(2))
	stray.Key = rows.LeftKey(&handle, epoch+5, rows.LeftErasure, nodetest.Person(1))
	for what, row := range map[string]store.Row{"changed": changed, "moved": moved, "of no year": stray} {
		p.commit(row)
		if report := p.check(); !named(report, "left_by_citizen") {
			t.Errorf("a row that was %s wasn't found: %v", what, report.Problems)
		}
		row.Value = nil
		p.commit(row)
	}
}

func TestSwapped(t *testing.T) {
	p := newPatient(t)
	for _, table := range []store.Table{store.TableBody, store.TablePrivate, store.TableReceipt, store.TableTile, store.TableLeaf, store.TableRecord} {
		all := p.rows(table)
		a, b := all[len(all)-2], all[len(all)-1]
		a.Value, b.Value = b.Value, a.Value
		p.commit(a, b)
		if report := p.check(); !named(report, table.String()) {
			t.Errorf("two rows of %s in each other's place weren't found: %v", table, report.Problems)
		}
		a.Value, b.Value = b.Value, a.Value
		p.commit(a, b)
	}
	p.healthy()
}

// Rows that are right by themselves and wrong together.
func TestConsistentDamage(t *testing.T) {
	p := newPatient(t)
	epoch := ledger.EpochOf(time.Now())
	handle, err := p.keys.Handle(epoch)
	if err != nil {
		t.Fatal(err)
	}
	bodies := p.rows(store.TableBody)
	last := bodies[len(bodies)-1]
	e := p.handleOf(last)
	_, index, _ := rows.ParseLeafKey(last.Key)

	tests := []struct {
		name  string
		row   store.Row
		code  string
		table string
	}{
		{"a number one too high", store.Row{
			Table: store.TableBody, Key: last.Key,
			Value: rows.FormatEvent(&handle, epoch, index, rows.Event{Handle: e.Handle, I: e.I + 1, J: e.J, Sealed: e.Sealed}),
		}, fsck.CodeTag, "body"},
		{"sealed by another key of the store", store.Row{
			Table: store.TableBody, Key: last.Key,
			Value: rows.FormatEvent(&handle, epoch, index, rows.Event{Handle: p.handleOf(bodies[0]).Handle, I: e.I, J: e.J, Sealed: e.Sealed}),
		}, fsck.CodeSealed, "body"},
		{"a counter of an agency that consulted nobody", store.Row{
			Table: store.TableCounter, Key: rows.AgencyCounterKey(epoch, "nobody"), Value: rows.FormatCounter(3, 8),
		}, fsck.CodeNumber, "counter"},
		{"a receipt of other events", store.Row{
			Table: store.TableReceipt, Key: rows.ReceiptKey(epoch, "hub", "none"),
			Value: rows.FormatReceipt(rows.Receipt{First: index, Count: 1}),
		}, fsck.CodeMismatch, "receipt"},
		{"a receipt beyond the log", store.Row{
			Table: store.TableReceipt, Key: rows.ReceiptKey(epoch, "hub", "none"),
			Value: rows.FormatReceipt(rows.Receipt{First: 1 << 40, Count: 1}),
		}, fsck.CodeUnexpected, "receipt"},
		{"a body at a head", store.Row{
			Table: store.TableBody, Key: rows.LeafKey(epoch, 1), Value: last.Value,
		}, fsck.CodeUnexpected, "body"},
		{"a private part in the middle of a list", store.Row{
			Table: store.TablePrivate, Key: last.Key, Value: last.Value,
		}, fsck.CodeUnexpected, "private"},
		{"a notice put off for less than its order says", store.Row{
			Table: store.TableCounter, Key: rows.DeferredKey(seal.Month(time.Now())), Value: rows.FormatCounter(uint64(time.Now().UnixMilli()), 8),
		}, fsck.CodeMismatch, "counter"},
		{"a notice put off for ever", store.Row{
			Table: store.TableCounter, Key: rows.DeferredKey(seal.Month(time.Now())), Value: rows.FormatCounter(1<<50, 8),
		}, fsck.CodeMismatch, "counter"},
		{"a clock in the future", store.Row{
			Table: store.TableCounter, Key: append(rows.LeafKey(epoch, 0)[:4], 't'), Value: rows.FormatCounter(1<<50, 8),
		}, fsck.CodeMismatch, "counter"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var before []byte
			for _, row := range p.rows(test.row.Table) {
				if string(row.Key) == string(test.row.Key) {
					before = row.Value
				}
			}
			p.commit(test.row)
			report := p.check()
			if !named(report, test.table) {
				t.Errorf("not found in %s: %v", test.table, report.Problems)
			}
			found := false
			for _, problem := range report.Problems {
				found = found || problem.Code == test.code
			}
			if !found {
				t.Errorf("no %s: %v", test.code, report.Problems)
			}
			p.commit(store.Row{Table: test.row.Table, Key: test.row.Key, Value: before})
		})
	}
	p.healthy()
}

func TestBehindPublished(t *testing.T) {
	p := newPatient(t)
	epoch := ledger.EpochOf(time.Now())
	published, err := p.keys.Published(epoch)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.keys.SetPublished(epoch, []byte("not a checkpoint\n")); err != nil {
		t.Fatal(err)
	}
	if report := p.check(); !named(report, "published") {
		t.Errorf("a checkpoint that isn't one: %v", report.Problems)
	}
	if err := p.keys.SetPublished(epoch, published); err != nil {
		t.Fatal(err)
	}
	p.healthy()
}

func TestMonthOfWrap(t *testing.T) {
	p := newPatient(t)
	wrap := p.rows(store.TableWrap)[0]
	parsed, err := rows.ParseWrap(wrap.Value)
	if err != nil {
		t.Fatal(err)
	}
	if want := seal.Month(time.Now()); parsed.Month != want {
		t.Fatalf("the wrap is of %s, expected %s", parsed.Month, want)
	}
	parsed.Month = "2001-01"
	wrap.Value = rows.FormatWrap(parsed)
	p.commit(wrap)
	if report := p.check(); report.Found == 0 {
		t.Error("a wrap of another month wasn't found")
	}
}
