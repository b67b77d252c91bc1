// SPDX-License-Identifier: EUPL-1.2

package dishonest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/verifier"
)

// watchers are those of the table, in its order.
var watchers = []string{"citizen", "monitor", "witness", "provider", "agency"}

// saw is what each of the watchers told, and the citizen's report.
type saw struct {
	lines  map[string][]string // "code: words", by watcher
	report *verifier.HistoryReport
}

// play has a ledger run with or without a lie, and everybody look at it.
func (l *lie) play(t *testing.T, lying bool) saw {
	t.Helper()
	begin := l.key
	if !lying {
		begin = nil
	}
	s := &stage{world: newWorld(t, max(l.of, 1), begin)}
	s.shown = s.world
	if l.tell == nil {
		s.receive(access{})
	} else {
		l.tell(s, lying)
	}
	if !s.frozen {
		s.head(nil)
		s.publish()
	}
	if s.file == nil {
		part := s.shown.shard(s.shown.lastHead())
		if lying && l.show != nil {
			l.show(s, &part)
		}
		s.file = bundle(t, part)
	}
	if s.reads.IsZero() {
		s.reads = s.now.Add(time.Minute)
	}
	policy := s.policy()
	out := saw{report: verifier.History(s.file, policy, s.reads, verifier.Rules{}), lines: map[string][]string{
		"monitor": s.monitor.found, "witness": *s.refused,
		"provider": s.attests(policy), "agency": s.compares(policy),
	}}
	for i, words := range out.report.Missing("en") {
		out.lines["citizen"] = append(out.lines["citizen"], out.report.Problems[i].Code+": "+words)
	}
	return out
}

// codes are those of lines, each once.
func codes(lines []string) []string {
	var list []string
	for _, line := range lines {
		code, _, _ := strings.Cut(line, ":")
		list = append(list, code)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (l *lie) want() map[string]told {
	return map[string]told{"citizen": l.citizen, "monitor": l.monitor, "witness": l.witness, "provider": l.provider, "agency": l.agency}
}

// TestLies: each lie is told by exactly those of the table, in their words, and what is no lie by nobody.
func TestLies(t *testing.T) {
	for _, l := range lies {
		t.Run(l.name, func(t *testing.T) {
			honest := l.play(t, false)
			for _, who := range watchers {
				if lines := honest.lines[who]; lines != nil {
					t.Errorf("%s finds fault with an honest ledger: %s", who, strings.Join(lines, "\n"))
				}
			}
			if !honest.report.Complete || !honest.report.Proven() {
				t.Errorf("an honest history isn't complete: %v", honest.report.Malformed)
			}
			lying := l.play(t, true)
			for who, want := range l.want() {
				lines := lying.lines[who]
				if got := codes(lines); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
					t.Errorf("%s tells %v, want %v:\n%s", who, got, slices.Sorted(maps.Keys(want)), strings.Join(lines, "\n"))
				}
				for code, words := range want {
					if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, code+": ") && strings.Contains(line, words) }) {
						t.Errorf("%s doesn't say %q: %q", who, words, lines)
					}
				}
				for _, line := range lines {
					if strings.Contains(line, string(citizen)) || strings.Contains(line, string(neighbour)) {
						t.Errorf("%s names a citizen", who)
					}
				}
			}
			if complete := lying.report.Complete; complete != (l.citizen == nil) {
				t.Errorf("complete: %v, %v", complete, lying.report.Malformed)
			}
			if !slices.ContainsFunc(lying.report.Notes("en"), func(n string) bool { return strings.Contains(n, l.note) }) {
				t.Errorf("the citizen isn't told %q: %q", l.note, lying.report.Notes("en"))
			}
			if hidden := len(honest.report.Events) - len(lying.report.Events); l.hide != 0 && hidden != l.hide {
				t.Errorf("%d accesses hidden, want %d", hidden, l.hide)
			}
		})
	}
}

// row is a lie's line in the package's table.
func (l *lie) row() string {
	var marks, by []string
	want := l.want()
	for _, who := range watchers {
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

// TestTable: the package's documentation says of each lie who notices it, and who doesn't.
func TestTable(t *testing.T) {
	var rows []string
	for _, l := range lies {
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
