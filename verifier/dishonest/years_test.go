// SPDX-License-Identifier: EUPL-1.2

package dishonest

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/replay"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/ledger/vrf"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// yearLie is a lie of the year's change, or about a month's totals.
type yearLie struct {
	name string
	end  func(y *twoYears)                                   // instead of announcing the next log and closing the old one
	next func(p *ledger.Preamble, records [][]byte) [][]byte // how the new log begins
	head func(y *twoYears)                                   // instead of its first head
	tell func(t *statistics.Totals)                          // what becomes of December's totals
	mute bool                                                // they aren't told
	then func(y *twoYears)                                   // at last, with the lie or without
	// Who notices, by which words: citizen, monitor, whoever follows with verifier log, whoever counts with verifier
	// statistics, the body that compares its own line.
	citizen, monitor, follower, counter, body told
}

var yearLies = []yearLie{
	{
		name:     "follows on another past",
		next:     func(p *ledger.Preamble, r [][]byte) [][]byte { p.PreviousRoot[0] ^= 1; return r },
		citizen:  noMonitor.and(verifier.CodePreviousLog, "A year doesn't follow on the one before."),
		monitor:  told{verifier.CodePreviousLog: "broken, leaf 0: expected a shard before of size 112 with root "},
		follower: told{verifier.CodePreviousLog: "expected a preamble that follows on registro.example/2026 of size 112"},
		counter:  told{verifier.CodePreviousLog: "expected a preamble that follows on registro.example/2026"},
	},
	{
		name:    "drops a revocation",
		next:    func(_ *ledger.Preamble, r [][]byte) [][]byte { return slices.Delete(r, 3, 4) },
		monitor: told{verifier.CodeNotRepeated: "expected before the first head the record of kind key-revoked"},
	},
	{
		name:    "drops a scope",
		next:    func(_ *ledger.Preamble, r [][]byte) [][]byte { return slices.Delete(r, 4, 5) },
		monitor: told{verifier.CodeNotRepeated: "expected before the first head the record of kind scope"},
	},
	{
		name: "repeats a record in other words",
		next: func(_ *ledger.Preamble, r [][]byte) [][]byte {
			r[0] = []byte(`{"kind":"body","id":"inps","name":"I.N.P.S."}`)
			return r
		},
		monitor: told{verifier.CodeNotRepeated: "the record of kind body"},
	},
	{
		name:     "opens the next log under another key",
		end:      func(y *twoYears) { y.old.Close(verifiertest.NewShard(y.new.Origin), yearEnds) },
		citizen:  told{verifier.CodeBadCheckpoint: "The file doesn't come from a ledger that you trust"},
		monitor:  told{verifier.CodeBadSignature: "expected a checkpoint signed by the log's key"},
		follower: told{verifier.CodeBadSignature: "expected a checkpoint signed by the log's key"},
		counter:  told{verifier.CodeBadSignature: "expected a checkpoint signed by the log's key"},
	},
	{
		name:    "announces no key",
		end:     func(y *twoYears) { y.old.Close(nil, yearEnds) },
		citizen: told{verifier.CodeBadCheckpoint: "The file doesn't come from a ledger that you trust"},
		monitor: told{verifier.CodeNoLogKey: "expected the key of registro.example/2027 announced before the final head, found no record of it"},
	},
	{
		name: "announces two keys",
		end: func(y *twoYears) {
			y.old.Record(registry.LogKey{Origin: y.new.Origin, VKey: verifiertest.NewLog(y.new.Origin).VKey})
			y.old.Close(y.new, yearEnds)
		},
		citizen: told{verifier.CodeBadCheckpoint: "The file doesn't come from a ledger that you trust"},
		monitor: told{verifier.CodeRecordRefused: "found log_key_repeated at /origin", verifier.CodeBadSignature: "expected a checkpoint signed by the log's key"},
		counter: told{verifier.CodeBadSignature: "expected a checkpoint signed by the log's key"},
	},
	{
		name: "gives the old log no final head",
		end: func(y *twoYears) {
			y.old.Record(registry.LogKey{Origin: y.new.Origin, VKey: y.new.VKey})
			y.old.Head(yearEnds)
		},
		then:    func(y *twoYears) { y.run(10 * time.Minute) },
		citizen: noMonitor.and(verifier.CodeNotFinal, "A past year isn't shown up to its end."),
		monitor: told{verifier.CodeNotFinal: "expected the final head of registro.example/2026, whose year is over", verifier.CodeHeadGap: "found none at"},
	},
	{
		name:    "goes on in the old log",
		end:     func(y *twoYears) { y.old.Close(y.new, yearEnds); y.old.Event(1) },
		citizen: noMonitor.and(verifier.CodeAfterFinal, "The ledger went on after it had closed the year.").and(verifier.CodeNotFinal, "isn't shown up to its end"),
		monitor: told{"after_final": "broken, leaf 112: expected a leaf as the formats say, found a leaf after the final head"},
	},
	{
		name:    "turns its clock back over the year",
		head:    func(y *twoYears) { y.new.Head(-5) },
		citizen: noMonitor,
		monitor: told{verifier.CodeClockBack: "expected a head later than the final one of registro.example/2026"},
	},
	{
		name:    "records before the first head",
		head:    func(y *twoYears) { y.new.Event(1); y.new.Head(0.5) },
		citizen: noMonitor,
		monitor: told{"event_before_head": "broken, leaf 7: expected a leaf as the formats say, found an event before the first head"},
	},
	{
		name:    "adds to a body's total",
		tell:    func(t *statistics.Totals) { t.Bodies[0].Events++ },
		monitor: told{statistics.CodeSum: "expected lines that add up to 100 events, found 101"},
		counter: told{statistics.CodeSum: "expected lines that add up to 100 events, found 101"},
		body:    told{statistics.CodeOwn: "expected 40 events of c_a944, as it counted, found 41"},
	},
	{
		name: "moves events from body to body",
		tell: func(t *statistics.Totals) { t.Bodies[0].Events -= 5; t.Bodies[1].Events += 5 },
		body: told{statistics.CodeOwn: "expected 40 events of c_a944, as it counted, found 35"},
	},
	{
		name:    "counts fewer events than there are",
		tell:    func(t *statistics.Totals) { t.Bodies[0].Events -= 5; t.Events -= 5 },
		monitor: told{statistics.CodeEvents: "expected 100 events, which 2026-12 has by the heads, found 95"},
		counter: told{statistics.CodeEvents: "expected 100 events, which 2026-12 has by the heads, found 95"},
		body:    told{statistics.CodeOwn: "found 35"},
	},
	{
		name: "tells of a body with fewer than ten",
		tell: func(t *statistics.Totals) {
			t.Bodies = append([]statistics.Line{}, t.Bodies[0], statistics.Line{ID: "c_f205", Events: 7}, t.Bodies[1])
			t.Others.Bodies, t.Others.Events = 2, 13
		},
		monitor: told{statistics.CodeFew: "expected 10 events or more on a line"},
		counter: told{statistics.CodeFew: "expected 10 events or more on a line"},
	},
	{
		name: "leaves a joined line alone",
		tell: func(t *statistics.Totals) {
			t.Bodies[1].Events += 14
			t.Others.Bodies, t.Others.Events = 1, 6
		},
		monitor: told{statistics.CodeAlone: "expected two joined bodies or more, found one"},
		counter: told{statistics.CodeAlone: "expected two joined bodies or more, found one"},
	},
	{
		name:    "doesn't tell a month",
		mute:    true,
		then:    func(y *twoYears) { y.run(49 * time.Hour) },
		monitor: told{statistics.CodeMissing: "expected the totals of 2026-12 within two days of its end, found none"},
		counter: told{statistics.CodeMissing: "expected the totals of 2026-12 within two days of its end, found none"},
	},
}

// yearWatchers are those of the second table, in its order, and how it marks them.
var yearWatchers = []string{"citizen", "monitor", "log", "statistics", "body"}

func (l *yearLie) want() map[string]told {
	return map[string]told{"citizen": l.citizen, "monitor": l.monitor, "log": l.follower, "statistics": l.counter, "body": l.body}
}

// yearEnds is the old log's last head, in seconds from the start of its year.
const yearEnds = 365*24*3600 - 1

// twoYears are a ledger's two logs over a year's change.
type twoYears struct {
	t        *testing.T
	old, new *verifiertest.Shard
	now      float64 // the last head of the new one
}

// run lets the new log run on, with a head every four minutes.
func (y *twoYears) run(d time.Duration) {
	for end := y.now + d.Seconds(); y.now < end; {
		y.now += 240
		y.new.Head(y.now)
	}
}

// play has the year change, with a lie or without.
func (l *yearLie) play(t *testing.T, lying bool) map[string][]string {
	t.Helper()
	do := yearLie{}
	if lying {
		do = *l
	}
	if do.end == nil {
		do.end = func(y *twoYears) { y.old.Close(y.new, yearEnds) }
	}
	if do.next == nil {
		do.next = func(_ *ledger.Preamble, r [][]byte) [][]byte { return r }
	}
	if do.head == nil {
		do.head = func(y *twoYears) { y.new.Head(0.5) }
	}
	if do.tell == nil {
		do.tell = func(*statistics.Totals) {}
	}
	y := &twoYears{t: t, old: verifiertest.NewShard(ledger.Origin(ledgerName, epoch)), new: verifiertest.NewShard(ledger.Origin(ledgerName, epoch+1)), now: 30}
	y.old.Leaf(ledger.Preamble{Epoch: epoch, VRFKey: verifiertest.VRFKey, Name: ledgerName})
	y.old.Record(registry.Body{ID: provider, Name: "INPS"})
	y.old.Record(verifiertest.InpsKey(1))
	y.old.Record(verifiertest.InpsKey(2))
	y.old.Record(registry.KeyRevoked{Body: provider, Kid: "inps-1", Reason: "lost"})
	y.old.Record(registry.Scope{ID: provider, Providers: []string{provider}})
	y.old.JSON(`{"kind":"retention","months":24}`)
	y.old.Head(yearEnds - 200)
	y.old.Event(100)
	y.old.Head(yearEnds - 100)
	y.old.Head(yearEnds - 50)
	do.end(y)
	y.new.Follow(y.old, do.next)
	do.head(y)
	if !do.mute {
		y.december(do.tell)
	}
	y.new.Head(y.now)
	if l.then != nil {
		l.then(y)
	}
	return y.seen()
}

// december tells what bodies had in December, if it is over.
func (y *twoYears) december(change func(t *statistics.Totals)) {
	if len(y.old.Spans()) > 0 {
		y.new.Totals(y.old, "2026-12", map[string]uint64{consumer: 40, provider: 40, "c_f205": 7, "c_h501": 7, "c_l219": 6}, change)
	}
}

// seen is what each watcher tells.
func (y *twoYears) seen() map[string][]string {
	y.t.Helper()
	lines := map[string][]string{}
	tell := func(who string, p ledger.Problem, level string) {
		lines[who] = append(lines[who], p.Code+": "+level+p.Where+": expected "+p.Expected+", found "+p.Found)
	}
	right := y.monitored(func(f verifier.Finding) {
		if f.Level != verifier.LevelNotice {
			tell("monitor", f.Problem, string(f.Level)+", ")
		}
	})
	if p := y.followed(); p != nil {
		tell("log", *p, "")
	}
	counted, err := verifier.Statistics(y.t.Context(), verifier.StatisticsConfig{
		Origin: y.old.Origin, Logs: []note.Verifier{y.old.Verifier()}, Year: func(epoch uint32) checkpoint.Fetcher { return y.log(epoch) },
	})
	if err != nil {
		y.t.Fatal(err)
	}
	for _, p := range counted.Problems {
		tell("statistics", p, "")
	}
	for _, m := range counted.Months {
		if p := m.Own(consumer, 40); p != nil {
			tell("body", *p, "")
		}
	}
	report := y.read(right)
	for i, words := range report.Missing("en") {
		lines["citizen"] = append(lines["citizen"], report.Problems[i].Code+": "+words)
	}
	if report.Complete != (lines["citizen"] == nil) {
		y.t.Errorf("complete: %v, %v, %v", report.Complete, report.Malformed, report.Problems)
	}
	return lines
}

func (y *twoYears) log(of uint32) checkpoint.Fetcher {
	switch of {
	case epoch:
		return y.old
	case epoch + 1:
		return y.new
	}
	return nothing{}
}

// nothing is a log that isn't open.
type nothing struct{}

func (nothing) Fetch(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }

// monitored has a monitor follow both logs, as cmd/internal/monitor does, and returns those that it would cosign.
func (y *twoYears) monitored(found func(verifier.Finding)) (right []*verifiertest.Shard) {
	y.t.Helper()
	at := y.new.Instant(y.now + 1)
	watch := func(l *verifiertest.Shard, after *verifier.Ended) *verifier.Monitor {
		m, err := verifier.NewMonitor(verifier.MonitorConfig{Origin: l.Origin, Fetch: l, After: after, Found: found})
		if err != nil {
			y.t.Fatal(err)
		}
		return m
	}
	look := func(m *verifier.Monitor, l *verifiertest.Shard) {
		if err := m.Public(y.t.Context(), l.Now(), at, keep); err != nil {
			y.t.Fatal(err)
		}
		if m.Broken() == nil {
			right = append(right, l)
		}
	}
	first := watch(y.old, nil)
	look(first, y.old)
	ended, ok := first.Ended()
	if !ok || ended.NextKey == "" {
		return right
	}
	key, err := checkpoint.ParseKey(ended.NextKey)
	if err != nil {
		y.t.Fatal(err)
	}
	second := watch(y.new, ended)
	if _, err := checkpoint.Open(y.new.Checkpoint(), key); err != nil {
		second.BadSignature()
		return right
	}
	look(second, y.new)
	return right
}

// followed does what verifier log does.
func (y *twoYears) followed() *ledger.Problem {
	y.t.Helper()
	r, err := verifier.Log(y.t.Context(), y.old, []note.Verifier{y.old.Verifier()}, nil)
	if err != nil || r.Problem != nil {
		y.t.Fatal(err, r)
	}
	end, err := verifier.End(y.t.Context(), y.old, r.New, func(int) {})
	if err != nil {
		y.t.Fatal(err)
	}
	if !end.Final || end.Next == nil {
		return nil
	}
	if r, err = verifier.Roll(y.t.Context(), y.new, r.New, end.Next); err != nil {
		y.t.Fatal(err)
	}
	return r.Problem
}

// read has a citizen of whom neither log holds anything read their history, with the old log's key alone.
func (y *twoYears) read(right []*verifiertest.Shard) *verifier.HistoryReport {
	y.t.Helper()
	w, m := newCosigner("w0.example"), newCosigner("mona.example")
	policy := &checkpoint.Policy{
		Logs: []checkpoint.Log{{VKey: y.old.VKey}}, Witnesses: []checkpoint.Witness{{Name: "w0", VKey: w.vkey}}, K: 1,
		Monitors: []checkpoint.Witness{{Name: "mona", VKey: m.vkey}},
	}
	b := &history.Bundle{Subject: citizen}
	for _, l := range []*verifiertest.Shard{y.old, y.new} {
		by := []*cosigner{w}
		if slices.Contains(right, l) {
			by = append(by, m)
		}
		b.Shards = append(b.Shards, y.part(l, by))
	}
	file, err := history.Format(b)
	if err != nil {
		y.t.Fatal(err)
	}
	return verifier.History(file, policy, y.new.Instant(y.now+60), verifier.Rules{})
}

// part is the citizen's part of a log: no event, and the absence of any.
func (y *twoYears) part(l *verifiertest.Shard, by []*cosigner) history.Shard {
	y.t.Helper()
	_, of, _ := ledger.ParseOrigin(l.Origin)
	report := l.Report()
	head := report.Heads[len(report.Heads)-1]
	s := history.Shard{Origin: l.Origin, Head: head.Leaf}
	tree := testonly.New(rfc6962.DefaultHasher)
	tree.AppendData(l.Leaves...)
	keys, err := replay.New(l.Origin)
	if err != nil {
		y.t.Fatal(err)
	}
	var indexes []uint64
	for i, raw := range l.Leaves {
		if uint64(i) < head.Leaf {
			keys.Add(raw)
		}
		leaf, _ := ledger.ParseLeaf(raw)
		if _, event := leaf.(ledger.Event); !event {
			indexes = append(indexes, uint64(i))
			s.Leaves = append(s.Leaves, history.Leaf{Index: uint64(i), Leaf: raw})
		}
	}
	s.Lists, s.Index = y.absent(keys.Index(), append(slices.Clone(report.Scopes), ledger.ScopeConsent, ledger.ScopeLedger, ledger.ScopeReported, ledger.ScopeDeferred), of)
	s.Proof, err = history.ProveLeaves(l.Now().Size, indexes, func(at uint64) (path []ledger.Hash, err error) {
		hashes, err := tree.InclusionProof(at, l.Now().Size)
		for _, h := range hashes {
			path = append(path, ledger.Hash(h))
		}
		return path, err
	})
	if err != nil {
		y.t.Fatal(err)
	}
	s.Checkpoint = l.Checkpoint()
	for _, c := range by {
		c.now = instantOf(head.UnixMS).Add(2 * time.Second)
		if s.Checkpoint, err = checkpoint.Cosign(s.Checkpoint, l.Verifier(), c); err != nil {
			y.t.Fatal(err)
		}
	}
	return s
}

func instantOf(ms uint64) time.Time { return time.UnixMilli(int64(ms)).UTC() }

// absent are the citizen's lists of a log, without any event, and the proof of it.
func (y *twoYears) absent(keys *index.Tree, scopes []string, of uint32) (lists []history.List, proof []byte) {
	slices.Sort(scopes)
	var tags []ledger.Hash
	for _, scope := range scopes {
		l := history.List{Scope: scope}
		if scope != ledger.ScopeDeferred {
			pi, beta := vrf.NewKey([32]byte{1}).Prove(ledger.SubjectAlpha(citizen, scope, of))
			l.Pi = pi[:]
			tags = append(tags, ledger.SubjectTag((*[32]byte)(beta[:32]), 0))
		}
		lists = append(lists, l)
	}
	return lists, keys.ProveMany(tags)
}

// TestYearLies: each lie of the year's change is told by exactly those of the table, and an honest change by nobody.
func TestYearLies(t *testing.T) {
	for _, l := range yearLies {
		t.Run(l.name, func(t *testing.T) {
			for who, lines := range l.play(t, false) {
				t.Errorf("%s finds fault with an honest year: %s", who, strings.Join(lines, "\n"))
			}
			lying := l.play(t, true)
			for who, want := range l.want() {
				lines := lying[who]
				if got := codes(lines); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
					t.Errorf("%s tells %v, want %v:\n%s", who, got, slices.Sorted(maps.Keys(want)), strings.Join(lines, "\n"))
				}
				for code, words := range want {
					if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, code+": ") && strings.Contains(line, words) }) {
						t.Errorf("%s doesn't say %q: %q", who, words, lines)
					}
				}
			}
		})
	}
}

// row is a lie's line in the package's second table.
func (l *yearLie) row() string {
	var marks, by []string
	want := l.want()
	for _, who := range yearWatchers {
		mark := strings.ToUpper(who[:1])
		if want[who] == nil {
			marks = append(marks, "-")
			continue
		}
		marks = append(marks, mark)
		by = append(by, mark+" "+strings.Join(slices.Sorted(maps.Keys(want[who])), ", "))
	}
	return strings.TrimRight(fmt.Sprintf("//\t%-48s %s   %s", l.name, strings.Join(marks, " "), strings.Join(by, "; ")), " ")
}

// TestYearTable: the package's documentation says who notices what.
func TestYearTable(t *testing.T) {
	var rows []string
	for _, l := range yearLies {
		rows = append(rows, l.row())
	}
	file, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	if table := strings.Join(rows, "\n"); !strings.Contains(string(file), "\n//\n"+table+"\n//\n") {
		t.Errorf("doc.go doesn't have this table:\n%s", table)
	}
}
