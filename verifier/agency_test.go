// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
)

// madeList is a year whose operator numbers the events of the consumer, and shows it its list.
type madeList struct {
	*made
	next  uint64
	calls []uint64 // what the consumer was answered with
}

func newMadeList(t testing.TB) *madeList { return &madeList{made: newMade(t, 2026, nil)} }

func (m *madeList) seen(origin string) []uint64 {
	if origin != m.log.Origin {
		m.t.Errorf("asked about %s", origin)
	}
	return m.calls
}

func (m *madeList) tag(j uint64) ledger.Hash {
	_, beta := m.vrf.Prove(ledger.AgencyAlpha(consumer, m.epoch))
	k := [32]byte(beta[:32])
	return ledger.AgencyTag(&k, j)
}

// access is an event of the consumer, with its next number.
func (m *madeList) access(e event) uint64 {
	m.t.Helper()
	before := e.tags
	e.tags = func(l *ledger.Event) {
		l.AgencyTag = m.tag(m.next)
		m.next++
		if before != nil {
			before(l)
		}
	}
	at := m.event(e)
	m.calls = append(m.calls, at)
	return at
}

// piece is a part of the list under the last head, and what the operator makes of it.
func (m *madeList) piece(from uint64, count int) *history.AgencyPart {
	m.t.Helper()
	pi, _ := m.vrf.Prove(ledger.AgencyAlpha(consumer, m.epoch))
	p := &history.AgencyPart{Agency: consumer, From: from, Pi: pi[:]}
	p.Origin, p.Head = ledger.Origin(ledgerName, m.epoch), m.heads[len(m.heads)-1]
	tags := []ledger.Hash{m.tag(from)}
	for range count {
		at, ok := m.keys.Get(tags[len(tags)-1])
		if !ok {
			break
		}
		e := m.opened[at]
		e.Index = at
		p.Events = append(p.Events, e)
		if v, ok := m.private[at]; ok && e.Nonce != nil {
			p.Private = append(p.Private, v)
		}
		tags = append(tags, m.tag(from+uint64(len(p.Events))))
	}
	p.Index = m.keys.ProveMany(tags)
	var shown []uint64
	for i, raw := range m.log.Leaves {
		leaf, _ := ledger.ParseLeaf(raw)
		_, event := leaf.(ledger.Event)
		if !event || slices.ContainsFunc(p.Events, func(e history.Event) bool { return e.Index == uint64(i) }) {
			shown = append(shown, uint64(i))
		}
	}
	m.show(&p.Shard, shown)
	return p
}

func (m *madeList) judge(cfg verifier.AgencyConfig, parts ...*history.AgencyPart) *verifier.AgencyReport {
	m.t.Helper()
	var file bytes.Buffer
	for _, p := range parts {
		text, err := history.FormatAgencyPart(p)
		if err != nil {
			m.t.Fatal(err)
		}
		file.Write(text)
	}
	cfg.Policy, cfg.Now = m.policy, m.now
	r, err := verifier.Agency(&file, cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func agencyCodes(r *verifier.AgencyReport) string {
	var codes []string
	if r.Malformed != nil {
		codes = append(codes, "malformed")
	}
	for _, p := range r.Problems {
		codes = append(codes, p.Code)
	}
	return strings.Join(slices.Compact(codes), " ")
}

// TestAgencyList: a right list is complete, however it is cut into parts, and whenever these were made.
func TestAgencyList(t *testing.T) {
	m := newMadeList(t)
	for range 3 {
		m.access(event{})
	}
	m.event(event{}) // another body's, for all that the list shows
	m.head(nil)
	m.access(event{subject: citizens(2)[1].Subject})
	m.settle()
	first := m.piece(0, 3)
	m.access(event{kind: ledger.KindLookUp, scope: ledger.ScopeLedger, iss: consumer})
	m.access(event{scope: ledger.ScopeReported, iss: consumer})
	m.settle()
	for name, parts := range map[string][]*history.AgencyPart{
		"in one":                         {m.piece(0, 100)},
		"in three":                       {m.piece(0, 2), m.piece(2, 2), m.piece(4, 2)},
		"one by one":                     {m.piece(0, 1), m.piece(1, 1), m.piece(2, 1), m.piece(3, 1), m.piece(4, 1), m.piece(5, 1)},
		"with the end in a part":         {m.piece(0, 6), m.piece(6, 2)},
		"with its first part of earlier": {first, m.piece(3, 10)},
	} {
		r := m.judge(verifier.AgencyConfig{Seen: m.seen, AllSeen: true}, parts...)
		if !r.Proven() || r.Events != 6 || r.Open != 6 || r.Compared != 6 || r.Agency != consumer || r.Parts != len(parts) {
			t.Errorf("%s: %+v", name, r)
		}
		if want := time.UnixMilli(int64(m.ms)).UTC(); !r.CompleteUntil.Equal(want) {
			t.Errorf("%s: complete until %s, want %s", name, r.CompleteUntil, want)
		}
	}
	empty := newMadeList(t)
	empty.settle()
	if r := empty.judge(verifier.AgencyConfig{}, empty.piece(0, 5)); !r.Proven() || r.Events != 0 {
		t.Errorf("a list without events: %+v", r)
	}
}

// TestAgencyFindings: each rule of docs/agency-list.md, broken.
func TestAgencyFindings(t *testing.T) {
	stranger := citizens(3)[2].Subject
	for _, test := range []struct {
		name string
		make func(m *madeList) (verifier.AgencyConfig, []*history.AgencyPart)
		want string
	}{
		{"an access of the body's kept out of its list", one(func(m *madeList) { m.calls = append(m.calls, m.event(event{})) }), verifier.CodeNotListed},
		{"an access under another body's tag", one(func(m *madeList) {
			m.calls = append(m.calls, m.event(event{tags: func(l *ledger.Event) { l.AgencyTag = ledger.Hash{9} }}))
		}), verifier.CodeNotListed},
		{"an access that the body didn't make", one(func(m *madeList) { m.access(event{}); m.calls = m.calls[:len(m.calls)-1] }), verifier.CodeNotItsOwn},
		{"a look-up that it didn't make", one(func(m *madeList) {
			m.access(event{kind: ledger.KindLookUp, scope: ledger.ScopeLedger, iss: consumer})
			m.calls = m.calls[:len(m.calls)-1]
		}), verifier.CodeNotItsOwn},
		{"a number twice", one(func(m *madeList) { m.next--; m.access(event{}) }), verifier.CodeNotListed},
		{"an event of another body in the list", one(func(m *madeList) {
			m.access(event{receipt: func(r *ledger.Receipt) { r.Consumer = "c_f205" }})
		}), verifier.CodeOtherAgency},
		{"an agency other than the consumer", one(func(m *madeList) { m.access(event{body: func(b *ledger.Body) { b.Agency = "c_f205" }}) }), "wrong_agency other_agency"},
		{"the number's key in the other field", one(func(m *madeList) {
			m.access(event{leaf: func(l *ledger.Event) { l.SubjectTag, l.AgencyTag = l.AgencyTag, l.SubjectTag }})
		}), verifier.CodeWrongTag},
		{"an event that opens to something else", one(func(m *madeList) {
			at := m.access(event{})
			e := m.opened[at]
			e.Nonce = &[32]byte{}
			m.opened[at] = e
		}), "commitment_mismatch"},
		{"a signature by nobody's key", one(func(m *madeList) { m.access(event{kid: "none"}) }), "key_unknown"},
		{"another's signature", one(func(m *madeList) { m.access(event{signer: signerOf("c_f205")}) }), "bad_signature"},
		{"a receipt of another ledger", one(func(m *madeList) { m.access(event{receipt: func(r *ledger.Receipt) { r.Aud = "other.example" }}) }), "wrong_audience"},
		{"a receipt about another citizen", one(func(m *madeList) {
			m.access(event{body: func(b *ledger.Body) { b.Subject.Code = stranger }})
		}), "subject_mismatch"},
		{"an event out of its time", one(func(m *madeList) {
			m.access(event{body: func(b *ledger.Body) { b.RecordedAt -= time.Hour.Milliseconds() }})
		}), "before_head"},
		{"a receipt twice", one(func(m *madeList) {
			var first ledger.Body
			m.access(event{body: func(b *ledger.Body) { first = *b }})
			m.access(event{body: func(b *ledger.Body) { b.Receipt, b.Subject = first.Receipt, first.Subject }})
		}), verifier.CodeTwice},
		{"another private part", one(func(m *madeList) {
			at := m.access(event{private: &ledger.Private{Case: "2026/1"}})
			v := m.private[at]
			v.Content = []byte(`{"case":"2026/2"}`)
			m.private[at] = v
		}), verifier.CodePrivate},
		{"a private part under another salt", one(func(m *madeList) {
			at := m.access(event{private: &ledger.Private{Case: "2026/1"}})
			v := m.private[at]
			v.Salt[3] ^= 1
			m.private[at] = v
		}), verifier.CodePrivate},
		{"a body withheld", one(func(m *madeList) { m.access(event{erased: true}) }), verifier.CodeNotOpened},

		{"a part left out", pieces(func(m *madeList) []*history.AgencyPart { return []*history.AgencyPart{m.piece(0, 1), m.piece(2, 5)} }), verifier.CodeNumberGap},
		{"a part twice", pieces(func(m *madeList) []*history.AgencyPart { return []*history.AgencyPart{m.piece(0, 1), m.piece(0, 5)} }), verifier.CodeNumberGap},
		{"a list not from its start", pieces(func(m *madeList) []*history.AgencyPart { return []*history.AgencyPart{m.piece(1, 5)} }), verifier.CodeNumberGap},
		{"a list without its end", pieces(func(m *madeList) []*history.AgencyPart { return []*history.AgencyPart{m.piece(0, 2)} }), verifier.CodeListGoesOn},
		{"another body's part", change(func(p *history.AgencyPart) { p.Agency = "c_f205" }), verifier.CodeBadVRFProof},
		{"another VRF proof", change(func(p *history.AgencyPart) { p.Pi[40] ^= 1 }), verifier.CodeBadVRFProof},
		{"another index proof", change(func(p *history.AgencyPart) { p.Index[len(p.Index)-1] ^= 1 }), verifier.CodeBadIndexProof},
		{"an event less than the proof", change(func(p *history.AgencyPart) { p.Events = p.Events[:2] }), verifier.CodeBadIndexProof},
		{"another entry for a number", change(func(p *history.AgencyPart) { p.Events[2].Index++ }), verifier.CodeLeafMissing},
		{"a leaf left out", change(func(p *history.AgencyPart) {
			p.Leaves = slices.DeleteFunc(p.Leaves, func(l history.Leaf) bool { return l.Index == p.Events[1].Index })
		}), verifier.CodeBadProof},
		{"a leaf changed", change(func(p *history.AgencyPart) { p.Leaves[len(p.Leaves)-2].Leaf[20] ^= 1 }), verifier.CodeBadProof},
		{"another leaf for the head", change(func(p *history.AgencyPart) { p.Head-- }), verifier.CodeNoHead},
		{"another log", change(func(p *history.AgencyPart) { p.Origin = "registro.example/2027" }), verifier.CodeWrongOrigin},
		{"a checkpoint of nobody", change(func(p *history.AgencyPart) { p.Checkpoint = []byte("x\n1\n\n\n") }), verifier.CodeBadCheckpoint},
		{"two bodies' lists", pieces(func(m *madeList) []*history.AgencyPart {
			p := m.piece(1, 5)
			p.Agency = "c_f205"
			return []*history.AgencyPart{m.piece(0, 1), p}
		}), verifier.CodeOtherList},
		{"an old state", func(m *madeList) (verifier.AgencyConfig, []*history.AgencyPart) {
			m.settle()
			p := m.piece(0, 5)
			m.now = m.now.Add(49 * time.Hour)
			return verifier.AgencyConfig{Seen: m.seen}, []*history.AgencyPart{p}
		}, verifier.CodeStale},
		{"too few witnesses", func(m *madeList) (verifier.AgencyConfig, []*history.AgencyPart) {
			m.settle()
			p := m.piece(0, 5)
			p.Checkpoint = m.cosigned(m.monitor)
			return verifier.AgencyConfig{}, []*history.AgencyPart{p}
		}, verifier.CodeTooFewWitnesses},
		{"a policy that names no monitor", func(m *madeList) (verifier.AgencyConfig, []*history.AgencyPart) {
			m.settle()
			m.policy.Monitors = nil
			return verifier.AgencyConfig{}, []*history.AgencyPart{m.piece(0, 5)}
		}, verifier.CodeNoMonitor},
		{"two histories", func(m *madeList) (verifier.AgencyConfig, []*history.AgencyPart) {
			m.settle()
			p := m.piece(0, 1)
			last := len(m.log.Leaves) - 1
			leaf, _ := ledger.ParseLeaf(m.log.Leaves[last])
			head := leaf.(ledger.Head)
			head.UnixMS++
			m.log.Leaves[last], _ = ledger.FormatLeaf(head)
			return verifier.AgencyConfig{}, []*history.AgencyPart{p, m.piece(1, 9)}
		}, verifier.CodeFork},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMadeList(t)
			for range 3 {
				m.access(event{})
			}
			cfg, parts := test.make(m)
			r := m.judge(cfg, parts...)
			if got := agencyCodes(r); got != test.want || r.Proven() {
				t.Errorf("got %q (proven %v), want %q: %+v", got, r.Proven(), test.want, r.Problems)
			}
			// A list with an entry too many is still complete.
			if want := test.want == verifier.CodeNotItsOwn; r.Complete != want || r.CompleteUntil.IsZero() == (want || r.Stale) {
				t.Errorf("complete %v, until %s", r.Complete, r.CompleteUntil)
			}
			if len(r.Missing) != len(r.Problems) {
				t.Errorf("%d problems in %d words", len(r.Problems), len(r.Missing))
			}
			for _, words := range r.Missing {
				if strings.Contains(words, string(m.subject)) || strings.Contains(words, string(stranger)) {
					t.Errorf("a finding names a citizen: %s", words)
				}
			}
		})
	}
}

// one lets the operator do something, and compares the whole list in one part with what the body was answered with.
func one(do func(m *madeList)) func(m *madeList) (verifier.AgencyConfig, []*history.AgencyPart) {
	return func(m *madeList) (verifier.AgencyConfig, []*history.AgencyPart) {
		do(m)
		m.settle()
		return verifier.AgencyConfig{Seen: m.seen, AllSeen: true}, []*history.AgencyPart{m.piece(0, 100)}
	}
}

// pieces shows the list in parts.
func pieces(cut func(m *madeList) []*history.AgencyPart) func(m *madeList) (verifier.AgencyConfig, []*history.AgencyPart) {
	return func(m *madeList) (verifier.AgencyConfig, []*history.AgencyPart) {
		m.settle()
		return verifier.AgencyConfig{}, cut(m)
	}
}

// change shows the list in one part, changed.
func change(do func(p *history.AgencyPart)) func(m *madeList) (verifier.AgencyConfig, []*history.AgencyPart) {
	return pieces(func(m *madeList) []*history.AgencyPart {
		p := m.piece(0, 100)
		for i := range p.Leaves {
			p.Leaves[i].Leaf = bytes.Clone(p.Leaves[i].Leaf)
		}
		p.Pi, p.Index = bytes.Clone(p.Pi), bytes.Clone(p.Index)
		do(p)
		return []*history.AgencyPart{p}
	})
}

// TestAgencyUnopened: what isn't opened needs a ground, unless the reader asked for nothing else.
func TestAgencyUnopened(t *testing.T) {
	m := newMadeList(t)
	m.record(`{"kind":"retention","months":24}`)
	at := m.access(event{erased: true})
	other := m.access(event{erased: true})
	m.access(event{})
	m.settle()
	if r := m.judge(verifier.AgencyConfig{ProofsOnly: true, Seen: m.seen, AllSeen: true}, m.piece(0, 9)); !r.Proven() || r.Withheld != 2 || r.Open != 1 {
		t.Errorf("proofs only: %+v", r)
	}
	m.access(event{
		kind: ledger.KindRequest, scope: ledger.ScopeConsent, iss: consumer,
		receipt: func(r *ledger.Receipt) { r.Operation = history.Erasure{Epoch: 2026, Index: at}.Operation() },
	})
	m.settle()
	if r := m.judge(verifier.AgencyConfig{}, m.piece(0, 9)); agencyCodes(r) != verifier.CodeNotOpened || r.Erased != 1 || r.Withheld != 1 || r.Proven() {
		t.Errorf("a request for one of two: %+v", r)
	}
	m.access(event{
		kind: ledger.KindRequest, scope: ledger.ScopeConsent, iss: consumer,
		receipt: func(r *ledger.Receipt) { r.Operation = history.Erasure{Month: "2026-06"}.Operation() },
	})
	m.settle()
	if r := m.judge(verifier.AgencyConfig{}, m.piece(0, 9)); !r.Proven() || r.Erased != 2 {
		t.Errorf("a request for the month: %+v", r)
	}
	after := m.access(event{erased: true})
	m.settle()
	if r := m.judge(verifier.AgencyConfig{}, m.piece(0, 9)); agencyCodes(r) != verifier.CodeNotOpened || r.Withheld != 1 {
		t.Errorf("erased after the request, %d and %d: %+v", other, after, r)
	}

	// The term is over.
	late := newMadeList(t)
	late.record(`{"kind":"retention","months":1}`)
	late.access(event{erased: true})
	late.head(nil)
	late.wait(40 * 24 * time.Hour).settle()
	if r := late.judge(verifier.AgencyConfig{}, late.piece(0, 9)); !r.Proven() || r.Erased != 1 {
		t.Errorf("after the term: %+v", r)
	}
}

// TestAgencySeen: entries of after the list's head say nothing against it.
func TestAgencySeen(t *testing.T) {
	m := newMadeList(t)
	m.access(event{})
	m.settle()
	p := m.piece(0, 9)
	later := m.access(event{})
	r := m.judge(verifier.AgencyConfig{Seen: m.seen, AllSeen: true}, p)
	if !r.Proven() || r.Compared != 1 || r.Later != 1 {
		t.Errorf("an entry at %d, later than the list: %+v", later, r)
	}
	if r := m.judge(verifier.AgencyConfig{}, p); !r.Proven() || r.Compared != 0 {
		t.Errorf("nothing to compare with: %+v", r)
	}
	if r := m.judge(verifier.AgencyConfig{Seen: func(string) []uint64 { return nil }, AllSeen: true}, p); agencyCodes(r) != verifier.CodeNotItsOwn || r.Foreign != 1 || r.ForeignEvents[0].Issuer != provider {
		t.Errorf("a body that made no call: %+v", r)
	}
}

// TestAgencyEach: every event is handed on in the order of the list, whichever part was judged first, with the private part
// that its receipt commits to.
func TestAgencyEach(t *testing.T) {
	m := newMadeList(t)
	const events = 40
	var want []string
	for n := range events {
		want = append(want, fmt.Sprintf("case %d", n))
		m.access(event{private: &ledger.Private{Case: want[n]}})
	}
	m.access(event{})
	m.settle()
	var parts []*history.AgencyPart
	for n := range uint64(events) + 1 {
		parts = append(parts, m.piece(n, 1))
	}
	var got []string
	r := m.judge(verifier.AgencyConfig{Each: func(e *verifier.ListedEvent) error {
		switch {
		case e.State != verifier.StateOpen || e.Opened == nil || e.Epoch != 2026:
			t.Errorf("event %d: %+v", e.Number, e)
		case e.Private == nil && e.Number != events:
			t.Errorf("event %d has no private part", e.Number)
		case e.Private != nil:
			got = append(got, e.Private.Case)
		}
		return nil
	}}, parts...)
	if !r.Proven() || !slices.Equal(got, want) {
		t.Errorf("%v: %q", r.Problems, got)
	}
	broken := errors.New("the disk is full")
	file, err := history.FormatAgencyPart(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	_, err = verifier.Agency(bytes.NewReader(file), verifier.AgencyConfig{Policy: m.policy, Now: m.now, Each: func(*verifier.ListedEvent) error { return broken }})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the caller's own error", err)
	}
}

// TestAgencyRevoked: log order decides whether a key is good.
func TestAgencyRevoked(t *testing.T) {
	m := newMadeList(t)
	m.access(event{})
	m.record(registry.KeyRevoked{Body: provider, Kid: provider + "-1", Reason: "lost"})
	m.settle()
	if r := m.judge(verifier.AgencyConfig{}, m.piece(0, 9)); !r.Proven() {
		t.Errorf("revoked later: %+v", r.Problems)
	}
	m.access(event{})
	m.settle()
	if r := m.judge(verifier.AgencyConfig{}, m.piece(0, 9)); agencyCodes(r) != "key_revoked" || r.Unexplained != 1 {
		t.Errorf("revoked before: %+v", r.Problems)
	}
}

// TestAgencyFile: whatever isn't a whole list is none, and what it holds before that is said.
func TestAgencyFile(t *testing.T) {
	m := newMadeList(t)
	m.access(event{})
	m.access(event{})
	m.settle()
	var file []byte
	for j := range uint64(2) {
		text, err := history.FormatAgencyPart(m.piece(j, 1))
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, text...)
	}
	for name, test := range map[string]struct {
		file  []byte
		parts int
	}{
		"nothing":            {nil, 0},
		"another file":       {[]byte("a list"), 0},
		"cut in the second":  {file[:len(file)-20], 1},
		"something behind":   {append(bytes.Clone(file), 1), 2},
		"the second damaged": {func() []byte { f := bytes.Clone(file); f[len(f)-400] ^= 1; return f }(), 1},
	} {
		r, err := verifier.Agency(bytes.NewReader(test.file), verifier.AgencyConfig{Policy: m.policy, Now: m.now})
		if err != nil || r.Malformed == nil || r.Parts != test.parts || r.Proven() || r.Complete {
			t.Errorf("%s: %d parts, %v, %v", name, r.Parts, r.Malformed, err)
		}
	}
	// Every byte counts, but for those of gzip that say nothing.
	unpack := func(file []byte) []byte {
		z, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			return nil
		}
		text, _ := io.ReadAll(z)
		return text
	}
	text := unpack(file)
	for n := range file {
		changed := bytes.Clone(file)
		changed[n] ^= 1 << (n % 8)
		r, err := verifier.Agency(bytes.NewReader(changed), verifier.AgencyConfig{Policy: m.policy, Now: m.now})
		if err == nil && r.Proven() && !bytes.Equal(unpack(changed), text) {
			t.Fatalf("byte %d changed, and still proven", n)
		}
	}
}

func BenchmarkAgency(b *testing.B) {
	m := newMadeList(b)
	for range 200 {
		m.access(event{})
	}
	m.settle()
	file, err := history.FormatAgencyPart(m.piece(0, 200))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := verifier.Agency(bytes.NewReader(file), verifier.AgencyConfig{Policy: m.policy, Now: m.now})
		if err != nil || !r.Proven() {
			b.Fatal(err, r)
		}
	}
	b.ReportMetric(float64(len(file))/200, "bytes/event")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/200, "µs/event")
}
