// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/govway"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// memorySorter sorts in memory.
type memorySorter []ReconcileItem

func (s *memorySorter) Add(i *ReconcileItem) error { *s = append(*s, *i); return nil }
func (s *memorySorter) Close() error               { return nil }

func (s *memorySorter) Sorted() iter.Seq2[*ReconcileItem, error] {
	slices.SortStableFunc(*s, func(a, b ReconcileItem) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Side, b.Side))
	})
	return func(yield func(*ReconcileItem, error) bool) {
		for n := range *s {
			if !yield(&(*s)[n], nil) {
				return
			}
		}
	}
}

const (
	testPurpose  = "4a153b51-5d47-4db9-be7e-e73dbcae4bb9"
	testEService = "978e5066-7159-42a1-b057-ec7e47525f8b"
	testCode     = "RSSMRA80A01H501U"
)

// access is one access as each side saw it; changes make the sides differ.
type access struct {
	jti, voucher, evidence string
	at                     time.Time
	status                 string
	shown                  bool // the trace has its receipt
	purpose, eservice      string
	role                   string
	nobody                 bool   // says the trace
	about                  string // of a statement: the receipt that it is about
}

func testAccess(n int) access {
	return access{
		jti: fmt.Sprintf("5a0e7b3c-52f0-4d0e-9d5e-%012d", n), voucher: fmt.Sprintf("99382e29-b0cf-412b-a060-%012d", n/2), evidence: fmt.Sprintf("a.b%d.c", n),
		at: time.Date(2026, 11, 22, 10, 0, n, 0, time.UTC), status: "200", purpose: testPurpose, eservice: testEService, role: ledger.RoleProvider,
	}
}

func (a access) trace() string {
	shown := ""
	if a.shown {
		shown = "inps/" + a.jti + "; index=4711"
	}
	if a.nobody {
		shown = govway.Nobody
	}
	return govway.FormatFields([]string{
		"traccia", "tx-" + a.jti, strings.Replace(a.at.Format("2006-01-02 15:04:05.000"), ".", ":", 1), a.voucher, a.purpose, a.eservice, a.evidence, "", "GET", a.status, shown,
	})
}

func (a access) receipt() *ledger.Receipt {
	sum := sha256.Sum256([]byte(a.evidence))
	r := &ledger.Receipt{
		Aud: "registro.example", Iss: "inps", JTI: a.jti, IssuedAt: a.at.Unix(), Role: a.role, Provider: "inps", Consumer: "c_a944", EService: a.eservice,
		PurposeID: a.purpose, Purpose: "Verifica ISEE", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-e", DataCategories: []string{"https://w3id.org/dpv/pd#Income"},
		Actor: ledger.ActorService, Operation: ledger.Operation{Method: "GET", Path: "/isee"}, OccurredAt: a.at.Format(time.RFC3339),
		Pair: ledger.Hex(ledger.Pair(a.voucher, hex.EncodeToString(sum[:]), "")), PrivateDigest: ledger.Hex{2},
	}
	if a.role == ledger.RoleConsumer {
		r.Iss = "c_a944"
	}
	if a.about != "" {
		r.Statement, r.EService, r.PurposeID, r.Pair = &ledger.Statement{Kind: ledger.StatementUndelivered, Receipt: a.about}, "", "", ledger.Hex{}
	}
	return r
}

func jwtOf(claims string) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + e.EncodeToString([]byte(claims)) + "."
}

func (a access) signed(t testing.TB) (string, ledger.SaltedSubject, *ledger.SubjectTree) {
	t.Helper()
	s := ledger.SaltedSubject{Subject: testCode, Salt: [32]byte{1}}
	tree, err := ledger.NewSubjectTree([]ledger.SaltedSubject{s})
	if err != nil {
		t.Fatal(err)
	}
	r := a.receipt()
	r.Subjects = ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(tree.Root())}
	compact, err := ledger.SignReceipt(r, "k", ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return compact, s, tree
}

func (a access) submission(t testing.TB) []byte {
	compact, s, _ := a.signed(t)
	text, err := ledger.FormatSubmission(&ledger.Submission{
		Receipt: compact, Voucher: jwtOf(`{"jti":"`+a.voucher+`"}`) + "c2ln", Evidence: "YQ.Yg.Yw", Subjects: []ledger.SaltedSubject{s},
		Private: ledger.SaltedPrivate{Content: []byte(`{}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (a access) record(index uint64) []byte {
	line := own.AppendEntry(nil, &own.Entry{Subject: testCode, Origin: "registro.example/2026", Index: index, Receipt: "inps/" + a.jti, At: a.at.UnixMilli()})
	return line[:len(line)-1]
}

func (a access) event(t testing.TB, index uint64, kind string) history.Event {
	compact, s, tree := a.signed(t)
	body, err := ledger.FormatBody(&ledger.Body{
		Origin: "registro.example/2026", Kind: kind, Subject: ledger.BodySubject{Code: s.Subject, Salt: s.Salt, Proof: tree.Proof(0)}, Scope: "inps", Agency: "c_a944",
		RecordedAt: a.at.UnixMilli(), Receipt: compact, Assurance: ledger.Assurance{Profile: ledger.ProfileRequest, Flags: []string{}}, Decision: []byte(`{"effect":"recorded"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return history.Event{Index: index, Nonce: new([32]byte), Body: body}
}

// sides are what each side has of four accesses; cases change it.
type sides struct {
	calls, recorded, submitted, listed []access
	kind                               string
	tracing                            []string
}

func newSides(shown bool) *sides {
	s := &sides{kind: ledger.KindAccess}
	for n := range 4 {
		a := testAccess(n)
		a.shown = shown
		s.calls, s.recorded, s.submitted = append(s.calls, a), append(s.recorded, a), append(s.submitted, a)
	}
	return s
}

func (s *sides) run(t testing.TB, traces bool, change func(*ReconcileConfig)) *ReconcileReport {
	t.Helper()
	c := ReconcileConfig{
		NewSorter: func() (Sorter[ReconcileItem], error) { return new(memorySorter), nil }, Zone: time.UTC, Window: 10 * time.Minute,
		Traces: traces, Ledger: s.recorded != nil || s.listed != nil, Tracing: s.tracing != nil, NoVouchers: s.listed != nil,
	}
	if change != nil {
		change(&c)
	}
	r, err := NewReconciler(c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if traces {
		for n, a := range s.calls {
			must(r.Trace(0, uint64(n+1), []byte(a.trace())))
		}
	}
	for n, a := range s.recorded {
		must(r.Record(uint64(n+1), a.record(uint64(n+70))))
	}
	for n, a := range s.submitted {
		must(r.Submission(0, uint64(n+1), a.submission(t)))
	}
	if s.listed != nil {
		p := &history.AgencyPart{Agency: "c_a944", Shard: history.Shard{Origin: "registro.example/2026"}}
		for n, a := range s.listed {
			kind := s.kind
			if a.about != "" {
				kind = ledger.KindUndelivered
			}
			p.Events = append(p.Events, a.event(t, uint64(n+70), kind))
		}
		must(r.Listed(p))
	}
	for n, line := range s.tracing {
		if n == 0 {
			continue
		}
		columns, ok := ParseTracingHeader([]byte(s.tracing[0]))
		if !ok {
			t.Fatal("header")
		}
		must(r.Filed(0, uint64(n+1), []byte(line), columns))
	}
	report, err := r.Conclude()
	must(err)
	return report
}

// said are the findings of a report, with their places.
func said(r *ReconcileReport) string {
	var list []string
	for _, p := range r.Problems {
		list = append(list, p.Code+" "+p.Where)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// TestReconcileLedger: each way in which a gateway's calls and the ledger may not agree, by each of the keys.
func TestReconcileLedger(t *testing.T) {
	later := func(a access, by time.Duration) access { a.at = a.at.Add(by); return a }
	for name, c := range map[string]struct {
		shown   bool
		change  func(*sides)
		period  func(*ReconcileConfig)
		want    string
		matched uint64
	}{
		"same by receipt":       {shown: true, matched: 4},
		"same by pair":          {matched: 4},
		"records alone":         {shown: true, change: func(s *sides) { s.submitted = nil }, matched: 4},
		"records without a key": {change: func(s *sides) { s.submitted = nil; s.recorded, s.calls = s.recorded[:1], s.calls[:1] }, want: "missing_at_gateway ledger/registro.example/2026/70, missing_in_ledger traces/0/line/1, no_common_key traces"},
		"by voucher": {change: func(s *sides) {
			for n := range s.calls {
				s.calls[n].evidence = "other"
			}
		}, matched: 4},
		"not in the ledger, by receipt": {shown: true, change: func(s *sides) { s.recorded, s.submitted = s.recorded[1:], s.submitted[1:] }, want: "missing_in_ledger traces/0/line/1", matched: 3},
		"not in the ledger, by pair":    {change: func(s *sides) { s.recorded, s.submitted = s.recorded[1:], s.submitted[1:] }, want: "missing_in_ledger traces/0/line/1", matched: 3},
		"not at the gateway":            {change: func(s *sides) { s.calls = s.calls[:3] }, want: "missing_at_gateway ledger/registro.example/2026/73", matched: 3},
		"not at the gateway, by id":     {shown: true, change: func(s *sides) { s.calls = s.calls[:3] }, want: "missing_at_gateway ledger/registro.example/2026/73", matched: 3},
		"submitted in vain":             {change: func(s *sides) { s.recorded, s.calls = s.recorded[1:], s.calls[1:] }, want: "not_acknowledged submissions/0/line/1", matched: 3},
		"one receipt for two calls": {shown: true, change: func(s *sides) {
			s.calls = append(s.calls, later(s.calls[3], time.Second))
			s.calls[4].jti = s.calls[3].jti
		}, matched: 4},
		"undelivered, shown": {shown: true, change: func(s *sides) { s.submitted, s.recorded = nil, append(s.recorded, s.recorded[1].undelivered()) }, matched: 4},
		"undelivered, no call": {shown: true, change: func(s *sides) {
			s.submitted, s.calls, s.recorded = nil, s.calls[1:], append(s.recorded, s.recorded[0].undelivered())
		}, matched: 3},
		"undelivered, of list": {change: func(s *sides) {
			s.listed, s.recorded, s.submitted, s.calls = append(s.recorded, s.recorded[0].undelivered()), nil, nil, s.calls[1:]
		}, matched: 3},
		"undelivered, of none": {shown: true, change: func(s *sides) { s.submitted, s.recorded = nil, append(s.recorded, testAccess(9).undelivered()) }, want: "missing_at_gateway ledger/registro.example/2026/74", matched: 4},
		"undelivered, of other": {shown: true, change: func(s *sides) {
			s.submitted, s.calls, s.recorded = nil, s.calls[1:], append(s.recorded, s.recorded[1].undelivered())
		}, want: "missing_at_gateway ledger/registro.example/2026/70", matched: 3},
		"not released":      {change: func(s *sides) { s.recorded, s.submitted, s.calls[0].status = s.recorded[1:], s.submitted[1:], "404" }, matched: 3},
		"about nobody":      {change: func(s *sides) { s.recorded, s.submitted, s.calls[0].nobody = s.recorded[1:], s.submitted[1:], true }, matched: 3},
		"status not known":  {change: func(s *sides) { s.recorded, s.submitted, s.calls[0].status = s.recorded[1:], s.submitted[1:], "" }, want: "missing_in_ledger traces/0/line/1", matched: 3},
		"other purpose":     {shown: true, change: func(s *sides) { s.calls[1].purpose = testEService }, want: "differs traces/0/line/2#purpose_id", matched: 4},
		"other e-service":   {change: func(s *sides) { s.calls[1].eservice = testPurpose }, want: "differs traces/0/line/2#eservice", matched: 4},
		"other voucher":     {shown: true, change: func(s *sides) { s.calls[1].voucher = testPurpose }, want: "differs traces/0/line/2#voucher", matched: 4},
		"other time":        {shown: true, change: func(s *sides) { s.calls[1] = later(s.calls[1], time.Hour) }, want: "differs traces/0/line/2#time", matched: 4},
		"another day":       {shown: true, period: func(c *ReconcileConfig) { c.From = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC) }},
		"at an end":         {change: func(s *sides) { s.calls = s.calls[:3] }, period: func(c *ReconcileConfig) { c.From = time.Date(2026, 11, 22, 9, 55, 0, 0, time.UTC) }, matched: 3},
		"far from its ends": {change: func(s *sides) { s.calls = s.calls[:3] }, period: func(c *ReconcileConfig) { c.From = time.Date(2026, 11, 22, 9, 45, 0, 0, time.UTC) }, want: "missing_at_gateway ledger/registro.example/2026/73", matched: 3},
		"not of PDND": {change: func(s *sides) {
			s.calls = append(s.calls, access{jti: "x", at: s.calls[0].at, status: "200"})
		}, matched: 4},
		"list":              {change: func(s *sides) { s.listed, s.recorded, s.submitted = s.recorded, nil, nil }, matched: 4},
		"list, without one": {change: func(s *sides) { s.listed, s.recorded, s.submitted = s.recorded[1:], nil, nil }, want: "missing_in_ledger traces/0/line/1", matched: 3},
		"list, denied": {change: func(s *sides) {
			s.listed, s.recorded, s.submitted, s.kind = s.recorded, nil, nil, ledger.KindDenied
			s.calls[0].status = "403"
		}, want: "differs traces/0/line/2#status, differs traces/0/line/3#status, differs traces/0/line/4#status", matched: 4},
		"list, of both sides": {change: func(s *sides) { s.listed, s.recorded, s.submitted = twins(s.recorded), nil, nil }, matched: 4},
		"list, of both sides, shown": {shown: true, change: func(s *sides) {
			s.listed, s.recorded, s.submitted = twins(s.recorded), nil, nil
		}, matched: 4},
		"list, of both sides, without a call": {change: func(s *sides) {
			s.listed, s.recorded, s.submitted, s.calls = twins(s.recorded), nil, nil, s.calls[1:]
		}, want: "missing_at_gateway ledger/registro.example/2026/70", matched: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSides(c.shown)
			if c.change != nil {
				c.change(s)
			}
			r := s.run(t, true, c.period)
			if got := said(r); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
			if got := r.Comparisons[0].Matched; got != c.matched {
				t.Errorf("%d matched, want %d", got, c.matched)
			}
			for _, p := range r.Problems {
				if text := fmt.Sprint(p); strings.Contains(text, testCode) || strings.Contains(text, "99382e29") || strings.Contains(text, "a.b") {
					t.Errorf("a finding says too much: %s", text)
				}
			}
		})
	}
}

// undelivered is the gateway's statement that nothing was released of an access.
func (a access) undelivered() access {
	a.about = "inps/" + a.jti
	a.jti = ledger.UndeliveredJTI(a.about)
	return a
}

// twins adds the consumer's own receipt to each access.
func twins(list []access) (both []access) {
	both = slices.Clone(list)
	for _, a := range list {
		a.jti, a.role = strings.Replace(a.jti, "5a0e", "6b1f", 1), ledger.RoleConsumer
		both = append(both, a)
	}
	return both
}

// TestReconcileTracing: what was filed, against calls and against the ledger.
func TestReconcileTracing(t *testing.T) {
	const header = "date,purpose_id,status,token_id,requests_count"
	row := func(token, count int, rest string) string {
		return fmt.Sprintf("2026-11-22,%s,%s,99382e29-b0cf-412b-a060-%012d,%d", testPurpose, rest, token, count)
	}
	for name, c := range map[string]struct {
		traces  bool
		change  func(*sides)
		filed   []string
		want    string
		matched uint64
	}{
		"same":                    {true, nil, []string{header, row(0, 2, "200"), row(1, 2, "200")}, "", 4},
		"same, of several lines":  {true, nil, []string{header, row(0, 1, "200"), row(0, 1, "200"), row(1, 2, "200")}, "", 4},
		"other count":             {true, nil, []string{header, row(0, 2, "200"), row(1, 3, "200")}, "differs tracing/0/line/3", 4},
		"fewer":                   {true, nil, []string{header, row(0, 2, "200"), row(1, 1, "200")}, "differs tracing/0/line/3", 3},
		"not filed":               {true, nil, []string{header, row(0, 2, "200")}, "missing_in_tracing traces/0/line/3", 2},
		"not called":              {true, nil, []string{header, row(0, 2, "200"), row(1, 2, "200"), row(2, 2, "200")}, "missing_at_gateway tracing/0/line/4", 4},
		"other status":            {true, nil, []string{header, row(0, 2, "200"), row(1, 2, "500")}, "missing_at_gateway tracing/0/line/3, missing_in_tracing traces/0/line/3", 2},
		"a bad line":              {true, nil, []string{header, row(0, 2, "200"), row(1, 2, "200"), "2026-11-22,x,200,y,1"}, "bad_line tracing/0/line/4", 4},
		"ledger, same":            {false, nil, []string{header, row(0, 2, "200"), row(1, 2, "201"), row(1, 9, "404")}, "", 4},
		"ledger, fewer":           {false, nil, []string{header, row(0, 2, "200"), row(1, 4, "200")}, "differs tracing/0/line/3", 4},
		"ledger, not there":       {false, nil, []string{header, row(0, 2, "200"), row(1, 2, "200"), row(3, 1, "200")}, "missing_in_ledger tracing/0/line/4", 4},
		"ledger, not filed":       {false, nil, []string{header, row(0, 2, "200")}, "missing_in_tracing ledger/registro.example/2026/72", 2},
		"ledger, of records only": {false, func(s *sides) { s.submitted = nil }, []string{header, row(0, 2, "200")}, "no_common_key tracing", 0},
		"a list":                  {false, func(s *sides) { s.listed, s.recorded, s.submitted = s.recorded, nil, nil }, []string{header, row(7, 4, "200")}, "", 4},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSides(false)
			s.tracing = c.filed
			if c.change != nil {
				c.change(s)
			}
			if c.traces {
				s.recorded, s.submitted = nil, nil
			}
			r := s.run(t, c.traces, nil)
			if got := said(r); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
			if len(r.Comparisons) > 0 && r.Comparisons[0].Matched != c.matched {
				t.Errorf("%d matched, want %d", r.Comparisons[0].Matched, c.matched)
			}
		})
	}
}

// TestGovWayTopics: a call of GovWay's topics as they are shipped, in two files.
func TestGovWayTopics(t *testing.T) {
	a := testAccess(0)
	a.shown = true
	voucher := jwtOf(`{"jti":"` + a.voucher + `","purposeId":"` + testPurpose + `","eserviceId":"` + testEService + `"}`)
	asked := `"in-request"|"b6cdd758-342c-4599-ae95-33a781730b3f"|"govway-ModI"|"2026-11-22 10:00:00:123"|"+0100"|"10.0.0.1"|"HTTP/1.1"|"GET"|"https://gw:8443/isee?cf=` + testCode +
		`"|"application/json"|"0"|"HEADERS"|"authorization=Bearer ` + voucher + `"|"Agid-JWT-TrackingEvidence=` + a.evidence + `"|"X=\"q\""`
	told := `"in-response"|"b6cdd758-342c-4599-ae95-33a781730b3f"|"govway-ModI"|"2026-11-22 10:00:01:123"|"+0100"|"10.0.0.1"|"HTTP/1.1"|"GET"|"https://gw:8443/isee"|"200"|"12345"|"application/json"|"99"|"HEADERS"|"Traccia-Receipt=inps/` + a.jti + `; index=4711"`
	for name, lines := range map[string][]string{"both": {asked, told}, "the other way round": {told, asked}} {
		t.Run(name, func(t *testing.T) {
			s := newSides(false)
			s.calls, s.recorded, s.submitted = nil, s.recorded[:1], s.submitted[:1]
			c := ReconcileConfig{NewSorter: func() (Sorter[ReconcileItem], error) { return new(memorySorter), nil }, Zone: time.UTC, Window: time.Minute, Traces: true, Ledger: true}
			r, err := NewReconciler(c)
			if err != nil {
				t.Fatal(err)
			}
			for n, line := range lines {
				if err := r.Trace(n, 1, []byte(line)); err != nil {
					t.Fatal(err)
				}
			}
			r.Record(1, a.record(70))
			r.Submission(0, 1, a.submission(t))
			report, err := r.Conclude()
			if err != nil || !report.Proven() || report.Calls != 1 || report.By.Receipt != 1 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
	i, ok := ParseTraceLine([]byte(asked))
	if sum := sha256.Sum256([]byte(a.evidence)); !ok || i.Pair != fmt.Sprintf("%x", ledger.Pair(a.voucher, hex.EncodeToString(sum[:]), "")) {
		t.Errorf("%+v", i)
	}
	for _, line := range []string{
		"", "x", `"traccia"`, strings.Replace(told, `"200"`, `"2000"`, 1), strings.Replace(asked, "2026-11-22 10:00:00:123", "2026-11-22T10:00:00", 1),
		strings.Replace(asked, "in-request", "requestBody", 1), strings.Replace(testAccess(1).trace(), testPurpose, testCode, 1), asked + "|", asked + `|"`,
	} {
		if i, ok := ParseTraceLine([]byte(line)); ok {
			t.Errorf("took %s as %+v", line, i)
		}
	}
}

func FuzzTraceLine(f *testing.F) {
	a := testAccess(0)
	a.shown = true
	f.Add(a.trace())
	f.Add(`"in-request"|"tx"|"g"|"2026-11-22 10:00:00:123"|"+0100"|"ip"|"HTTP/1.1"|"GET"|"u"|"ct"|"0"|"HEADERS"|"Authorization=Bearer a.e30."`)
	f.Add(`"a\""|"\"`)
	f.Fuzz(func(t *testing.T, line string) {
		fields, ok := govway.ParseFields(line)
		if ok && govway.FormatFields(fields) != line {
			t.Errorf("%q is %q again", line, govway.FormatFields(fields))
		}
		i, ok := ParseTraceLine([]byte(line))
		if !ok {
			return
		}
		for _, id := range []string{i.Purpose, i.EService} {
			if id != "" && !isUUID(id) {
				t.Errorf("kept %q", id)
			}
		}
		if i.Method != "" && !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, i.Method) || i.Receipt != "" && receiptOf(i.Receipt) != i.Receipt {
			t.Errorf("kept %+v", i)
		}
	})
}

func FuzzTracingLine(f *testing.F) {
	f.Add("date,purpose_id,token_id,status,requests_count", "2026-11-22,"+testPurpose+","+testEService+",200,48")
	f.Fuzz(func(t *testing.T, header, line string) {
		c, ok := ParseTracingHeader([]byte(header))
		if !ok {
			return
		}
		day, i, ok := ParseTracingLine([]byte(line), c)
		if !ok {
			return
		}
		var again [5]string
		again[c[0]], again[c[1]], again[c[2]], again[c[3]], again[c[4]] = day, i.Purpose, i.Voucher, fmt.Sprint(i.Status), fmt.Sprint(i.Count)
		if got := strings.Join(again[:], ","); got != line {
			t.Errorf("%q is %q again", line, got)
		}
	})
}
