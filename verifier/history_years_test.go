// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// TestPairs: a consumer's receipt is tied to the provider's, one to one.
func TestPairs(t *testing.T) {
	reported := func(pair ledger.Hex) event {
		return event{scope: ledger.ScopeReported, iss: consumer, pair: pair}
	}
	m := newMade(t, 2026, nil)
	m.scope(consumer, "c_f205")
	m.event(event{pair: ledger.Hex{4}, scope: consumer, iss: consumer, receipt: providedBy("c_f205")})
	m.scope(consumer, requester)
	again := m.event(event{pair: ledger.Hex{4}, scope: ledger.ScopeReported, iss: consumer, receipt: providedBy("c_f205")}) // no other side: it has signed before
	first := m.event(event{pair: ledger.Hex{1}})
	m.event(event{pair: ledger.Hex{2}})
	same := m.event(event{pair: ledger.Hex{1}})
	mate := m.event(reported(ledger.Hex{1}))
	alone := m.event(reported(ledger.Hex{3}))
	r := m.settle().check(m.bundle())
	if !r.Complete {
		t.Fatal(r.Problems)
	}
	for _, e := range r.Events {
		switch {
		case e.Index == first && (e.Partner == nil || *e.Partner != mate), e.Index == mate && (e.Partner == nil || *e.Partner != first):
			t.Errorf("event %d isn't paired: %v", e.Index, e.Partner)
		case (e.Index == same || e.Index == alone || e.Index == again) && e.Partner != nil:
			t.Errorf("event %d is paired with %d", e.Index, *e.Partner)
		}
	}
}

// attest has the provider's party sign a check up to the last head.
func (m *made) attest(result string, change func(s *registry.CheckStatement)) time.Time {
	m.t.Helper()
	now := m.log.At(uint64(len(m.log.Leaves)))
	s := registry.CheckStatement{
		Aud: m.log.Origin, Scope: provider, IssuedAt: int64(m.ms / 1000), Head: m.heads[len(m.heads)-1], Until: m.ms,
		Size: now.Size, Root: ledger.Hex(now.Root), Result: result,
	}
	if change != nil {
		change(&s)
	}
	payload, err := registry.FormatCheckStatement(s)
	if err != nil {
		m.t.Fatal(err)
	}
	statement, err := jws.Sign(registry.CheckStatementType, payload, provider+"-1", signerOf(provider))
	if err != nil {
		m.t.Fatal(err)
	}
	m.record(registry.ProviderCheck{Scope: s.Scope, Statement: statement})
	return time.UnixMilli(int64(s.Until)).UTC()
}

// TestAttested: a scope shows up to when its party last checked, if it signed that.
func TestAttested(t *testing.T) {
	for name, c := range map[string]struct {
		make            func(m *made) (attested, alarm time.Time)
		declared, notes int
	}{
		"never":               {func(m *made) (a, b time.Time) { return a, b }, 1, 0},
		"without a signature": {func(m *made) (a, b time.Time) { m.record(`{"kind":"provider-check","scope":"inps"}`); return a, b }, 1, 0},
		"once":                {func(m *made) (a, b time.Time) { return m.attest(registry.CheckProven, nil), b }, 0, 0},
		"twice": {func(m *made) (a, b time.Time) {
			m.attest(registry.CheckProven, nil)
			m.head(nil)
			return m.attest(registry.CheckProven, nil), b
		}, 0, 0},
		"said again": {func(m *made) (a, b time.Time) {
			a = m.attest(registry.CheckProven, nil)
			m.leaf(ledger.Record{Epoch: m.epoch, JSON: mustRecord(m, len(m.log.Leaves)-1)})
			return a, b
		}, 0, 0},
		"of another year": {func(m *made) (a, b time.Time) {
			m.attest(registry.CheckProven, func(s *registry.CheckStatement) { s.Aud = "registro.example/2025" })
			return a, b
		}, 1, 0},
		"an alarm": {func(m *made) (a, b time.Time) { return a, m.attest(registry.CheckNotProven, nil) }, 0, 1},
		"an alarm after": {func(m *made) (a, b time.Time) {
			m.attest(registry.CheckProven, nil)
			m.head(nil)
			return a, m.attest(registry.CheckNotProven, nil)
		}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMade(t, 2026, nil)
			attested, alarm := c.make(m)
			r := m.settle().check(m.bundle())
			if !r.Complete {
				t.Error(r.Problems)
			}
			for _, s := range r.Scopes {
				if s.Scope == provider && !(s.Attested.Equal(attested) && s.Alarm.Equal(alarm)) || s.Scope != provider && !(s.Attested.IsZero() && s.Alarm.IsZero()) {
					t.Errorf("%s was attested at %s, alarmed at %s; want %s, %s", s.Scope, s.Attested, s.Alarm, attested, alarm)
				}
			}
			said := func(words string) (n int) {
				for _, note := range r.Notes("en") {
					if strings.Contains(note, words) {
						n++
					}
				}
				return n
			}
			if got := said("declared, not checked"); got != c.declared {
				t.Errorf("declared, not checked: %d", got)
			}
			if got := said("that they don't agree"); got != c.notes {
				t.Errorf("doesn't agree: %d", got)
			}
		})
	}
}

// TestAttestedOverNewYear: what a party said of a year in the next one's log counts, if it is later.
func TestAttestedOverNewYear(t *testing.T) {
	p := newMade(t, 2025, nil)
	p.event(event{})
	p.head(nil)
	early := p.attest(registry.CheckProven, nil)
	p.event(event{})
	p.final = true
	p.settle()
	m := newMade(t, 2026, p)
	late := early.Add(time.Hour)
	m.attest(registry.CheckProven, func(s *registry.CheckStatement) {
		s.Aud, s.Head, s.Size, s.Until = p.log.Origin, 100, 101, uint64(late.UnixMilli())
	})
	whole := m.settle().check(m.bundle(p.part()))
	alone := p.check(p.bundle())
	if !whole.Complete || !alone.Complete {
		t.Fatal(whole.Problems, alone.Problems)
	}
	for _, c := range []struct {
		r    *verifier.HistoryReport
		year uint32
		want time.Time
	}{{whole, 2025, late}, {whole, 2026, time.Time{}}, {alone, 2025, early}} {
		for _, s := range c.r.Scopes {
			if s.Scope == provider && s.Epoch == c.year && !s.Attested.Equal(c.want) {
				t.Errorf("%d attested at %s, want %s", c.year, s.Attested, c.want)
			}
		}
	}
}

func mustRecord(m *made, at int) []byte {
	leaf, err := ledger.ParseLeaf(m.log.Leaves[at])
	if err != nil {
		m.t.Fatal(err)
	}
	return leaf.(ledger.Record).JSON
}

// TestYears: the parts of a history follow on each other.
func TestYears(t *testing.T) {
	past := func(final bool) *made {
		m := newMade(t, 2025, nil)
		m.event(event{})
		m.event(event{scope: ledger.ScopeConsent, kind: ledger.KindConsentGiven, iss: consumer})
		m.final = final
		return m.settle()
	}
	for name, c := range map[string]struct {
		past   *made
		after  func(p *made) *made
		change func(b *history.Bundle)
		want   string
	}{
		"two years":            {past(true), func(p *made) *made { return newMade(t, 2026, p) }, nil, ""},
		"a past year not over": {past(false), func(p *made) *made { return newMade(t, 2026, p) }, nil, verifier.CodeNotFinal},
		"another past": {past(true), func(p *made) *made {
			m := newMade(t, 2026, past(true))
			m.policy.Logs = append(m.policy.Logs[:1:1], p.policy.Logs...)
			return m
		}, nil, verifier.CodePreviousLog},
		"a year between": {past(true), func(p *made) *made { return newMade(t, 2027, p) }, nil, verifier.CodeYearMissing},
	} {
		t.Run(name, func(t *testing.T) {
			m := c.after(c.past)
			m.event(event{receipt: consentOf(consentID)})
			r := m.settle().check(m.bundle(c.past.part()))
			if r.Complete != (c.want == "") || c.want != "" && !slices.Contains(codes(r), c.want) {
				t.Errorf("complete %v, want %q: %v", r.Complete, c.want, r.Problems)
			}
		})
	}
	// One receipt in two years, and +deferred long after the first.
	p := newMade(t, 2023, nil)
	p.event(event{jti: "11111111-1111-4111-8111-111111111111"})
	p.final = true
	p.settle()
	if r := p.check(p.bundle()); !r.Complete {
		t.Error(r.Problems)
	}
	p.at = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	p.now = p.at
	if r := p.check(p.bundle()); r.Complete || !slices.Contains(codes(r), verifier.CodeDeferredOverdue) {
		t.Errorf("+deferred is overdue: %v", r.Problems)
	}
	m := newMade(t, 2024, p)
	m.event(event{jti: "11111111-1111-4111-8111-111111111111"})
	m.settle()
	p.at = m.at
	if r := m.check(m.bundle(p.part())); !slices.Contains(codes(r), verifier.CodeTwice) {
		t.Errorf("one receipt in two years: %v", r.Problems)
	}
}

// TestHistoryRollsForward: a policy that knows the first year's key alone takes those that each year announces for the next.
func TestHistoryRollsForward(t *testing.T) {
	// years are three, of which the policy knows the first, as announce has each announce the next.
	years := func(announce func(m *made)) (last *made, parts []history.Shard) {
		for epoch := uint32(2024); epoch <= 2026; epoch++ {
			last = newMade(t, epoch, last)
			last.event(event{})
			if last.final = epoch < 2026; last.final {
				announce(last)
			}
			parts = append(parts, last.settle().part())
		}
		return last, parts
	}
	right := func(m *made) { m.announce() }
	origin := func(epoch uint32) string { return ledger.Origin(ledgerName, epoch) }
	for name, c := range map[string]struct {
		announce func(m *made)
		shown    func(parts []history.Shard) []history.Shard
		known    int // how many years the policy names
		want     string
	}{
		"announced":                        {right, nil, 1, ""},
		"without the second year":          {right, func(p []history.Shard) []history.Shard { return []history.Shard{p[0], p[2]} }, 1, verifier.CodeBadCheckpoint},
		"without the first year":           {right, func(p []history.Shard) []history.Shard { return p[1:] }, 1, verifier.CodeBadCheckpoint},
		"nothing announced":                {func(*made) {}, nil, 1, verifier.CodeBadCheckpoint},
		"nothing announced, all known":     {func(*made) {}, nil, 3, ""},
		"another key":                      {func(m *made) { m.announce(); m.next = nil }, nil, 1, verifier.CodeBadCheckpoint},
		"another key, the right one known": {func(m *made) { m.announce(); m.next = nil }, nil, 3, ""},
		"the second of two keys":           {func(m *made) { m.announce(); m.announce() }, nil, 1, verifier.CodeBadCheckpoint},
		"a key of another ledger": {func(m *made) {
			other := ledger.Origin("altro.example", m.epoch+1)
			m.record(registry.LogKey{Origin: other, VKey: verifiertest.NewLog(other).VKey})
		}, nil, 1, verifier.CodeBadCheckpoint},
		"the key of a year later": {func(m *made) {
			m.record(registry.LogKey{Origin: origin(m.epoch + 2), VKey: verifiertest.NewLog(origin(m.epoch + 2)).VKey})
		}, nil, 1, verifier.CodeBadCheckpoint},
	} {
		t.Run(name, func(t *testing.T) {
			m, parts := years(c.announce)
			if c.shown != nil {
				parts = c.shown(parts)
			}
			m.policy.Logs = m.policy.Logs[len(m.policy.Logs)-c.known:] // the latest year is first
			r := m.check(&history.Bundle{Subject: m.subject, Shards: parts})
			if r.Complete != (c.want == "") || c.want != "" && !slices.Contains(codes(r), c.want) {
				t.Fatalf("complete %v, want %q: %v", r.Complete, c.want, r.Problems)
			}
			if len(m.policy.Logs) != c.known {
				t.Error("the reader's policy was changed")
			}
			for i, s := range r.Shards {
				if want := i > 0 && c.known == 1 && r.Complete; want != (s.KeyFrom == origin(2023+uint32(i))) {
					t.Errorf("the key of %s is from %q", s.Origin, s.KeyFrom)
				}
			}
		})
	}
}

// TestBeginsLate: a year may be left out once its retention is over.
func TestBeginsLate(t *testing.T) {
	p := newMade(t, 2025, nil)
	p.event(event{})
	p.final = true
	p.settle()
	for term, missing := range map[string]bool{"": true, `{"kind":"retention","months":6}`: true, `{"kind":"retention","months":5}`: false} {
		m := newMade(t, 2026, p) // cosigned in June
		if term != "" {
			m.record(term)
			m.record(`{"kind":"retention","months":1}`) // a later one changes nothing
		}
		m.event(event{})
		r := m.settle().check(m.bundle())
		if got := slices.Contains(codes(r), verifier.CodeYearMissing); got != missing || r.Complete == missing {
			t.Errorf("%q: complete %v, %v", term, r.Complete, r.Problems)
		}
		if r = m.check(m.bundle(p.part())); !r.Complete {
			t.Errorf("%q, with the year before: %v", term, r.Problems)
		}
	}
}

// TestAfterFinal: nothing follows a final head.
func TestAfterFinal(t *testing.T) {
	m := newMade(t, 2026, nil)
	m.final = true
	m.head(nil)
	m.final = false
	m.event(event{})
	if r := m.settle().check(m.bundle()); !slices.Contains(codes(r), verifier.CodeAfterFinal) {
		t.Errorf("%v", r.Problems)
	}
}

// TestFlippedHistory: no bit of any proof can be changed.
func TestFlippedHistory(t *testing.T) {
	m := newMade(t, 2026, nil)
	m.event(event{})
	m.event(event{subject: citizens(2)[1].Subject})
	m.event(event{scope: ledger.ScopeReported, iss: consumer})
	m.settle()
	whole := m.bundle()
	if r := m.check(whole); !r.Complete {
		t.Fatal(r.Problems)
	}
	flip := func(what string, data []byte, every int) {
		t.Helper()
		for bit := 0; bit < 8*len(data); bit += every {
			data[bit/8] ^= 1 << (bit % 8)
			if file, err := history.Format(whole); err == nil && verifier.History(file, m.policy, m.now, rules).Proven() {
				t.Errorf("%s: bit %d changed, and proven", what, bit)
			}
			data[bit/8] ^= 1 << (bit % 8)
		}
	}
	s := &whole.Shards[0]
	flip("the index proof", s.Index, 7)
	flip("the checkpoint", s.Checkpoint, 17)
	for i := range s.Proof {
		flip("the proof of leaves", s.Proof[i][:], 7)
	}
	for i := range s.Leaves {
		flip("a leaf", s.Leaves[i].Leaf, 101)
	}
	for i := range s.Lists {
		flip("a VRF proof", s.Lists[i].Pi, 11)
		s.Lists[i].Count++
		flip("a count", []byte{0}, 8)
		s.Lists[i].Count--
	}
	for i := range s.Events {
		flip("a nonce", s.Events[i].Nonce[:], 13)
		flip("a body", s.Events[i].Body, 211)
	}
	for _, by := range []uint64{1, ^uint64(0)} {
		s.Head += by
		flip("the head", []byte{0}, 8)
		s.Head -= by
		for i := range s.Leaves {
			s.Leaves[i].Index += by
			flip("an index", []byte{0}, 8)
			s.Leaves[i].Index -= by
		}
	}
	if r := m.check(whole); !r.Complete {
		t.Error("the bundle wasn't put back")
	}
}

// TestBundleOfAnother: an excerpt is of the citizen that it names.
func TestBundleOfAnother(t *testing.T) {
	m := newMade(t, 2026, nil)
	m.event(event{})
	m.settle()
	b := m.bundle()
	x := &history.Bundle{Excerpt: true, Subject: citizens(2)[1].Subject, Shards: b.Shards}
	s := &x.Shards[0]
	s.Head, s.Lists, s.Index = 0, nil, nil
	if r := m.check(x); r.Proven() || !slices.Contains(codes(r), verifier.CodeOtherSubject) {
		t.Errorf("an excerpt under another name: %v", r.Problems)
	}
}
