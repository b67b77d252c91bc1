// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

// newChecked is a fixture whose memory can be compared with the log, which its witness and monitor cosign.
func newChecked(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.gateway.Close() // checks are this test's alone; calls go on
	f.cosigned.Store(true)
	own, _ := f.world.Key("inps")
	set, err := jws.FormatKeys([]jws.Key{own})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(f.dir, "own.jwks")
	if err := os.WriteFile(file, set, 0o644); err != nil {
		t.Fatal(err)
	}
	f.parts.Config.Check = &config.Check{Keys: file, Providers: []string{"inps"}}
	return f
}

func (f *fixture) release(body string) {
	f.t.Helper()
	if g := f.post("/persona", body); g.status != 200 {
		f.t.Fatalf("%d %+v", g.status, g.problem)
	}
}

// attest settles the log and checks; the lines of the gateway's log go to lines.
func (f *fixture) attest(lines *bytes.Buffer) memory.Check {
	f.t.Helper()
	if err := f.node.Settle(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.gateway.log = slog.New(slog.NewTextHandler(lines, nil))
	list, err := f.gateway.Attest(f.t.Context())
	if err != nil || len(list) != 1 {
		f.t.Fatalf("%+v, %v", list, err)
	}
	return list[0]
}

func person(s ledger.Subject) string { return fmt.Sprintf(`{"cf":%q}`, s) }

// TestAttest: a memory that agrees with the log ends in a record of it, which anyone reads.
func TestAttest(t *testing.T) {
	f := newChecked(t)
	for _, n := range []int{1, 2, 1} {
		f.release(person(f.person(n)))
	}
	var lines bytes.Buffer
	c := f.attest(&lines)
	if c.Found != 0 || c.Index == nil || c.Entries != 3 || c.Subjects != 2 || c.Note != "" {
		t.Fatalf("%+v\n%s", c, &lines)
	}
	if last, ok := f.node.Registry().Attested("inps", ledger.Origin(ledgerName, f.node.Epoch())); !ok || last.Index != *c.Index || last.Result != registry.CheckProven {
		t.Errorf("the log has %+v, %v", last, ok)
	}
	list, err := f.memory.Checks()
	if err != nil || len(list) != 1 || list[0].Head != c.Head || *list[0].Index != *c.Index {
		t.Errorf("the memory has %+v, %v", list, err)
	}
	// Ten minutes must lie between two records; the check is good all the same.
	f.release(person(f.person(1)))
	if c = f.attest(&lines); c.Found != 0 || c.Index != nil || !strings.Contains(c.Note, "too_soon") || c.Entries != 4 {
		t.Errorf("%+v", c)
	}
	for _, n := range []int{1, 2} {
		if strings.Contains(lines.String(), string(f.person(n))) {
			t.Error("the log names a person")
		}
	}
}

// TestAttestCohorts: aggregates are compared with the log as events are, also one whose answer was lost; and their
// checkpoints wait for the witnesses.
func TestAttestCohorts(t *testing.T) {
	f := newChecked(t)
	f.tells("application/json", `{"coorte":{"persone":1234}}`, http.StatusOK)
	if g := f.post("/coorte", `{}`); g.status != http.StatusOK {
		t.Fatalf("%d %s", g.status, g.body)
	}
	if s, err := f.memory.Status(); err != nil || s.Waiting.IsZero() || s.Unsettled != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	f.gateway.patience = 500 * time.Millisecond
	f.onTheWay(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == "/v1/cohorts" {
			next.ServeHTTP(httptest.NewRecorder(), r)
			cut(w)
			return
		}
		next.ServeHTTP(w, r)
	})
	if g := f.post("/coorte", `{}`); g.status != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", g.status, g.body)
	}
	f.onTheWay(nil)
	if n := len(f.cohorts()); n != 2 {
		t.Fatalf("%d records", n)
	}
	var lines bytes.Buffer
	if c := f.attest(&lines); c.Found != 0 || c.Index == nil || c.Cohorts != 1 || c.Entries != 0 {
		t.Errorf("%+v\n%s", c, &lines)
	}
	if err := f.gateway.recorder.watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := f.memory.Status(); err != nil || !s.Waiting.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
	// Whoever has the gateway's key can have an aggregate recorded, which it never asked for.
	if err := f.sendCohort(time.Now().UTC(), nil); err != nil {
		t.Fatal(err)
	}
	if c := f.attest(&lines); c.Found != 1 || c.Problems[0].Code != verifier.CodePlanted || !strings.Contains(lines.String(), "ALARM") {
		t.Errorf("%+v\n%s", c, &lines)
	}
}

// TestAttestAlarms: what the ledger's operator could do behind the gateway's back is found and told.
func TestAttestAlarms(t *testing.T) {
	for _, test := range []struct {
		name  string
		do    func(f *fixture)
		codes []string
	}{
		{"a key that isn't the party's", func(f *fixture) {
			secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				f.t.Fatal(err)
			}
			key, err := jws.NewKey("", secret.Public())
			if err != nil {
				f.t.Fatal(err)
			}
			if _, err := f.node.AddKey(f.t.Context(), "inps", key, ""); err != nil {
				f.t.Fatal(err)
			}
		}, []string{verifier.CodeUnknownKey}},
		{"a planted entry", func(f *fixture) {
			f.plant(f.person(1))
		}, []string{verifier.CodePlanted}},
		{"a gap", func(f *fixture) {
			f.plant(f.person(1))
			f.release(person(f.person(1)))
		}, []string{verifier.CodeNumberGap}},
		{"another scope for its provider", func(f *fixture) {
			if _, err := f.node.SetScope(f.t.Context(), registry.Scope{ID: f.receipt.Consumer, Providers: []string{"inps"}}); err != nil {
				f.t.Fatal(err)
			}
		}, []string{verifier.CodeStrangerScope}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newChecked(t)
			f.release(person(f.person(1)))
			test.do(f)
			var lines bytes.Buffer
			c := f.attest(&lines)
			var codes []string
			for _, p := range c.Problems {
				codes = append(codes, p.Code)
			}
			if !slices.Equal(codes, test.codes) || c.Found != len(codes) || c.Index != nil {
				t.Errorf("%v, expected %v: %+v", codes, test.codes, c)
			}
			if text := lines.String(); !strings.Contains(text, "ALARM") || !strings.Contains(text, test.codes[0]) || strings.Contains(text, string(f.person(1))) {
				t.Errorf("told: %s", text)
			}
			if _, ok := f.node.Registry().Attested("inps", ledger.Origin(ledgerName, f.node.Epoch())); ok {
				t.Error("recorded all the same")
			}
		})
	}
}

// plant records an access with the gateway's own key behind its back.
func (f *fixture) plant(who ledger.Subject) {
	f.t.Helper()
	r := f.receipt.Receipt
	r.JTI = uuid.NewString()
	private, err := ledger.ParsePrivate(f.sample.Private.Content)
	if err != nil {
		f.t.Fatal(err)
	}
	s, err := f.parts.Key.Seal(&r, private, []ledger.Subject{who}, "")
	if err != nil {
		f.t.Fatal(err)
	}
	raw, err := ledger.FormatSubmission(s)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, _, err := f.node.Submit(f.t.Context(), raw); err != nil {
		f.t.Fatal(err)
	}
}

// TestNightly: it is made once when its hour has come, and again the next day.
func TestNightly(t *testing.T) {
	f := newChecked(t)
	g := &Gateway{memory: f.memory, years: f.gateway.years, recorder: f.gateway.recorder, log: quiet, ctx: t.Context()}
	g.parts.Store(f.parts)
	f.release(person(f.person(1)))
	if err := f.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	made := func() int {
		list, err := f.memory.Checks()
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	g.tried = time.Now()
	if g.nightly(); made() != 0 {
		t.Error("again within a quarter of an hour")
	}
	g.tried = time.Time{}
	if g.nightly(); made() != 1 {
		t.Fatal("none though it was never made")
	}
	list, err := f.memory.Checks()
	if err != nil {
		t.Fatal(err)
	}
	g.tried = time.Time{}
	if g.nightly(); !g.tried.IsZero() {
		t.Error("twice in a day")
	}
	list[0].At = list[0].At.Add(-24 * time.Hour)
	if err := f.memory.Checked(&list[0]); err != nil {
		t.Fatal(err)
	}
	if g.nightly(); g.tried.IsZero() {
		t.Error("not on the next day")
	}
	none := *f.parts
	none.Config = &config.Config{}
	g.parts.Store(&none)
	if _, err := g.Attest(t.Context()); !errors.Is(err, ErrNoCheck) {
		t.Errorf("without a block check: %v", err)
	}
}

// TestLastYear: what came to the memory at the end of a year is checked when it is over, and recorded in the next year's log.
func TestLastYear(t *testing.T) {
	f := newChecked(t)
	f.release(person(f.person(1)))
	a := &attester{f.parts, f.memory, f.gateway.years, quiet}
	year := f.node.Epoch()
	for _, step := range []struct {
		epoch uint32
		want  bool
	}{{year - 1, false}, {year, true}} {
		if got, err := a.before(t.Context(), step.epoch); err != nil || got != step.want {
			t.Errorf("%d: %v, %v", step.epoch, got, err)
		}
	}
	if err := f.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.year(t.Context(), year); err != nil {
		t.Fatal(err)
	}
	// The record of it, and its head, have come to the log since.
	f.published()
	if got, err := a.before(t.Context(), year); err != nil || !got {
		t.Errorf("%v, %v", got, err)
	}
	list, err := f.memory.Checks()
	if err != nil {
		t.Fatal(err)
	}
	list[0].Size = f.published()
	list[0].Head = list[0].Size - 1
	if err := f.memory.Checked(&list[0]); err != nil {
		t.Fatal(err)
	}
	if got, err := a.before(t.Context(), year); err != nil || got {
		t.Errorf("a log that was checked to its end: %v, %v", got, err)
	}
}

// published is the size of the log as it is shown, once it is shown whole.
func (f *fixture) published() uint64 {
	f.t.Helper()
	if err := f.node.Settle(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	p, err := f.node.Published(f.node.Epoch())
	if err != nil {
		f.t.Fatal(err)
	}
	v, err := checkpoint.ParseKey(f.node.VKey())
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := checkpoint.Open(p.Checkpoint, v)
	if err != nil {
		f.t.Fatal(err)
	}
	return c.Size
}
