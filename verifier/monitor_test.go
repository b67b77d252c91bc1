// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

func TestMonitorFollows(t *testing.T) {
	l := usual()
	w := newWatch(t, l, nil)
	for i, n := range []int{0, 1, 300, 5000, 3} {
		l.Event(n)
		l.Head(float64(i+1) * 30)
		if err := w.look(t, l.Now(), at(float64(i+1)*30+2)); err != nil {
			t.Fatal(err)
		}
		report := l.Report()
		got := w.Report()
		want := verifier.MonitorReport{
			Checkpoint: l.Now(), Public: uint64(len(l.Leaves)), Events: l.Events, Heads: uint64(i + 2), Keys: report.Keys, LastHead: at(float64(i+1) * 30), Looked: at(float64(i+1)*30 + 2), Alarm: "none",
			Notices: got.Notices,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %d more events (-want +got):\n%s", n, diff)
		}
	}
	if w.Broken() != nil || w.alarms() != nil || !slices.EqualFunc(w.kept, l.Leaves, slices.Equal) {
		t.Errorf("alarms %v, %d leaves kept of %d", w.alarms(), len(w.kept), len(l.Leaves))
	}
	key := verifiertest.InpsKey(1)
	print := thumbprint(t, key)
	if len(w.told) != 2 || w.told[0].Code != verifier.CodeNewKey || w.told[1].Code != verifier.CodeNewScope ||
		w.told[0].Where != "leaf 2" || !strings.Contains(w.told[0].Found, `"inps-1" of inps, thumbprint `+print+", on the word of the ledger's operator alone, record ") {
		t.Errorf("told %v", w.told)
	}
	// The same again is no news; a restart tells nothing twice.
	if err := w.look(t, l.Now(), at(160)); err != nil || len(w.told) != 2 {
		t.Errorf("%v, told %v", err, w.told)
	}
	again := newWatch(t, l, nil)
	if err := again.Resume(l.Now(), inOrder(w.kept), uint64(len(w.kept)), at(160)); err != nil || again.told != nil {
		t.Fatalf("%v, told %v", err, again.told)
	}
	again.kept = w.kept
	l.Event(10)
	l.Head(170)
	if err := again.look(t, l.Now(), at(171)); err != nil || again.told != nil || again.Report().Checkpoint != l.Now() || again.Report().Keys != 2*l.Events {
		t.Errorf("%v, told %v, at %+v", err, again.told, again.Report())
	}
}

func thumbprint(t *testing.T, k registry.Key) string {
	t.Helper()
	key, err := jws.ParseKey(k.JWK)
	if err != nil {
		t.Fatal(err)
	}
	print, err := jws.Thumbprint(key.Public)
	if err != nil {
		t.Fatal(err)
	}
	return print
}

// TestMonitorFinds: what each lie of a log is told as.
func TestMonitorFinds(t *testing.T) {
	announced := verifier.ParseAnnounced
	everything := func() *verifier.Announced {
		scope, _ := registry.FormatRecord(registry.Scope{ID: "inps", Providers: []string{"inps"}})
		a, err := announced(fmt.Appendf(nil, "# ours\n\n  key inps %s\nrecord %x\n", thumbprint(t, verifiertest.InpsKey(1)), sha256.Sum256(scope)))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}()
	for _, c := range []struct {
		name string
		lie  func(*verifiertest.Shard)
		want []string // level code where: expected, found
	}{
		{"nothing", func(l *verifiertest.Shard) { l.Event(3); l.Head(30) }, nil},
		{"a number used twice", func(l *verifiertest.Shard) { l.Event(3); l.Leaf(l.Tagged(1)); l.Head(30) }, []string{
			"broken tag_repeated leaf 8: expected a tag that stands nowhere else, found the subject tag of leaf 6",
			"broken tag_repeated leaf 8: expected a tag that stands nowhere else, found the agency tag of leaf 6",
		}},
		{"twins", func(l *verifiertest.Shard) {
			e := l.Tagged(7)
			l.Leaf(e)
			e.SubjectTag[31] ^= 1
			e.AgencyTag = l.Tagged(8).AgencyTag
			l.Leaf(e)
			l.Head(30)
		}, []string{"broken tag_repeated leaf 6: expected a tag that stands nowhere else, found the subject tag of leaf 5"}},
		{"a planted key", func(l *verifiertest.Shard) { l.Event(2); l.Head(30, func(h *ledger.Head) { h.Keys++; h.Root[0] ^= 1 }) }, []string{
			"broken wrong_head leaf 7: expected 4 keys, found 5 keys",
			"broken wrong_head leaf 7: expected index root ",
		}},
		{"a scope left out", func(l *verifiertest.Shard) { l.Head(30, func(h *ledger.Head) { h.Scopes = ledger.ScopesHash(nil) }) }, []string{
			"broken wrong_head leaf 5: expected scopes hash ",
		}},
		{"a head that skips events", func(l *verifiertest.Shard) {
			old := l.Report()
			l.Event(4)
			l.Head(30, func(h *ledger.Head) { h.Keys, h.Root = old.Keys, old.IndexRoot })
		}, []string{"broken wrong_head leaf 9: expected 8 keys, found 0 keys", "broken wrong_head leaf 9: expected index root "}},
		{"a clock that stands", func(l *verifiertest.Shard) { l.Head(0) }, []string{
			"broken clock_back leaf 5: expected a head later than 2026-01-01T00:00:00.000Z, found 2026-01-01T00:00:00.000Z",
		}},
		{"a clock that steps back", func(l *verifiertest.Shard) { l.Head(40); l.Head(30); l.Head(35) }, []string{
			"broken clock_back leaf 6: expected a head later than 2026-01-01T00:00:40.000Z, found 2026-01-01T00:00:30.000Z",
			"broken clock_back leaf 7: expected a head later than 2026-01-01T00:00:40.000Z, found 2026-01-01T00:00:35.000Z",
		}},
		{"frozen heads", func(l *verifiertest.Shard) { l.Event(1); l.Head(300); l.Head(601) }, []string{
			"alarm head_gap leaf 7: expected a head at most 5 minutes after that of 2026-01-01T00:05:00.000Z, found 2026-01-01T00:10:01.000Z, 5m1s later",
		}},
		{"no time at all", func(l *verifiertest.Shard) { l.Head(1, func(h *ledger.Head) { h.UnixMS = 1<<64 - 1 }) }, []string{
			"alarm head_gap leaf 5: expected a head at most 5 minutes after that of 2026-01-01T00:00:00.000Z, found 18446744073709551615 ms since 1970",
		}},
		{"a malformed leaf", func(l *verifiertest.Shard) { l.Raw([]byte("nothing")); l.Head(30) }, []string{"broken malformed_leaf leaf 5: expected a leaf as the formats say, found leaf: "}},
		{"another year", func(l *verifiertest.Shard) { e := l.Tagged(1); e.Epoch = 2027; l.Leaf(e); l.Head(30) }, []string{"broken other_epoch leaf 5: "}},
		{"after the final head", func(l *verifiertest.Shard) {
			l.Head(30, func(h *ledger.Head) { h.Final = true })
			l.Event(1)
			l.Head(60)
		}, []string{"alarm no_log_key leaf 5: ", "broken after_final leaf 6: ", "broken after_final leaf 7: "}},
		{"a second preamble", func(l *verifiertest.Shard) {
			l.Leaf(ledger.Preamble{Epoch: 2026, VRFKey: verifiertest.VRFKey, Name: "registro.example"})
			l.Head(30)
		}, []string{"broken misplaced_preamble leaf 5: "}},
		{"a key for a body", func(l *verifiertest.Shard) { l.Record(verifiertest.InpsKey(2)); l.Head(30) }, []string{
			`alarm unannounced_key leaf 5: expected one that its owner announced, found key "inps-2" of inps, thumbprint ` + thumbprint(t, verifiertest.InpsKey(2)),
		}},
		{"a scope that speaks for more", func(l *verifiertest.Shard) {
			l.Record(registry.Scope{ID: "inps", Providers: []string{"inps", "inail"}})
			l.Head(30)
		}, []string{"alarm unannounced_scope leaf 5: expected one that its owner announced, found scope inps with 2 providers, record "}},
		{"policies", func(l *verifiertest.Shard) { l.Record(policyOf(l, "a", "a")); l.Head(30) }, []string{
			"alarm unannounced_policy leaf 5: expected one that its owner announced, found policies ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb, record ",
		}},
		{"policies that nobody can read", func(l *verifiertest.Shard) { l.Record(policyOf(l, "a", "")); l.Head(30) }, []string{
			"alarm unannounced_policy leaf 5: ",
			"alarm policy_missing leaf 5: expected the policies that the record activates at blob/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb, found none",
		}},
		{"other policies", func(l *verifiertest.Shard) { l.Record(policyOf(l, "a", "b")); l.Head(30) }, []string{
			"alarm unannounced_policy leaf 5: ",
			"alarm policy_missing leaf 5: expected the policies that the record activates at blob/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb, found others",
		}},
		{"the next log's key", func(l *verifiertest.Shard) { l.Record(nextKey(2027)); l.Head(30) }, []string{
			"alarm unannounced_log_key leaf 5: expected one that its owner announced, found the key of the log registro.example/2027, record ",
		}},
		{"two keys of the next log", func(l *verifiertest.Shard) { l.Record(nextKey(2027)); l.Record(nextKey(2027)); l.Head(30) }, []string{
			"alarm unannounced_log_key leaf 5: ",
			"alarm record_refused leaf 6: expected a record that the rules of its kind accept, found log_key_repeated at /origin",
		}},
		{"the key of a later log", func(l *verifiertest.Shard) { l.Record(nextKey(2028)); l.Head(30) }, []string{
			"alarm record_refused leaf 5: expected the key of registro.example/2027, the shard after this, found one of registro.example/2028",
		}},
		{"a record of nobody's", func(l *verifiertest.Shard) { k := verifiertest.InpsKey(3); k.Body = "inail"; l.Record(k); l.Head(30) }, []string{
			"alarm record_refused leaf 5: expected a record that the rules of its kind accept, found unknown_body at /body",
		}},
		{"a key proven by none in force", func(l *verifiertest.Shard) {
			k := verifiertest.InpsKey(3)
			k.Basis, k.Proof = registry.BasisSigned, "e30.e30.AA"
			l.Record(k)
			l.Head(30)
		}, []string{"alarm record_refused leaf 5: expected a record that the rules of its kind accept, found bad_proof at /proof"}},
		{"a scope of a reserved word", func(l *verifiertest.Shard) { l.JSON(`{"kind":"scope","id":"+consent","providers":[]}`); l.Head(30) }, []string{"broken scope_id leaf 5: "}},
		{"a provider's check", func(l *verifiertest.Shard) { l.Record(inpsCheck(1, func(*registry.CheckStatement) {})); l.Head(30) }, nil},
		{"a provider's check said again", func(l *verifiertest.Shard) {
			check := inpsCheck(1, func(*registry.CheckStatement) {})
			l.Record(check)
			l.Record(check)
			l.Head(30)
		}, []string{"alarm record_refused leaf 6: expected a record that the rules of its kind accept, found not_newer at /statement"}},
		{"a provider's check by another", func(l *verifiertest.Shard) { l.Record(inpsCheck(2, func(*registry.CheckStatement) {})); l.Head(30) }, []string{
			"alarm record_refused leaf 5: expected a record that the rules of its kind accept, found bad_signature at /statement",
		}},
		{"a provider's check of the year before", func(l *verifiertest.Shard) {
			l.Record(inpsCheck(1, func(s *registry.CheckStatement) { s.Aud, s.Size = "registro.example/2025", 1000 }))
			l.Head(30)
		}, nil},
		{"a provider's check of another year", func(l *verifiertest.Shard) {
			l.Record(inpsCheck(1, func(s *registry.CheckStatement) { s.Aud = "registro.example/2024" }))
			l.Head(30)
		}, []string{"alarm record_refused leaf 5: expected a check of the leaves of registro.example/2026 before this one, or of the year before, found one of 5 leaves of registro.example/2024"}},
		{"a provider's check of leaves to come", func(l *verifiertest.Shard) {
			l.Record(inpsCheck(1, func(s *registry.CheckStatement) { s.Size = 6 }))
			l.Head(30)
		}, []string{
			"alarm record_refused leaf 5: ",
		}},
		{"a provider that doesn't agree", func(l *verifiertest.Shard) {
			l.Record(inpsCheck(1, func(s *registry.CheckStatement) { s.Result = registry.CheckNotProven }))
			l.Head(30)
		}, []string{"alarm provider_alarm leaf 5: expected a log that agrees with the records of inps, found one that doesn't, as inps signed, up to leaf 4"}},
		{"a kind nobody knows", func(l *verifiertest.Shard) { l.JSON(`{"kind":"totals","of":1}`); l.Head(30) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := usual()
			c.lie(l)
			w := newWatch(t, l, everything)
			if err := w.look(t, l.Now(), time.Time{}); err != nil {
				t.Fatal(err)
			}
			told(t, w.told, c.want)
			broken := slices.ContainsFunc(w.told, func(f verifier.Finding) bool { return f.Level == verifier.LevelBroken })
			if (w.Broken() != nil) != broken {
				t.Errorf("broken: %v", w.Broken())
			}
			if r := w.Report(); (r.Alarm == "none") != (len(c.want) == 0) || r.Size != uint64(len(l.Leaves)) {
				t.Errorf("alarm %s at %d", r.Alarm, r.Size)
			}
			// What stands is told again by the next run, and what passed isn't.
			again := newWatch(t, l, everything)
			if err := again.Resume(l.Now(), inOrder(w.kept), uint64(len(w.kept)), at(1)); err != nil || again.told != nil {
				t.Fatalf("%v, told %v", err, again.told)
			}
			// Policies that nobody can read are looked for at the next look.
			stands := slices.DeleteFunc(slices.Clone(w.told), func(f verifier.Finding) bool {
				return f.Code == verifier.CodeHeadGap || f.Code == verifier.CodePolicyMissing
			})
			if diff := cmp.Diff(stands, again.Report().Alarms, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("after a restart (-want +got):\n%s", diff)
			}
		})
	}
}

// policyOf activates the policies that say one thing, of which the log serves another, or nothing.
func policyOf(l *verifiertest.Shard, say, serves string) registry.Policy {
	digest := sha256.Sum256([]byte(say))
	if serves != "" {
		l.Blobs = map[string][]byte{fmt.Sprintf("blob/%x", digest): []byte(serves)}
	}
	return registry.Policy{Version: "1", SHA256: digest}
}

// inpsCheck is a check of the usual shard, signed by the n-th key with the first one's kid.
func inpsCheck(n byte, change func(s *registry.CheckStatement)) registry.ProviderCheck {
	s := registry.CheckStatement{Aud: origin, Scope: "inps", Head: 4, Size: 5, Root: ledger.Hex{1}, Result: registry.CheckProven}
	change(&s)
	payload, err := registry.FormatCheckStatement(s)
	if err != nil {
		panic(err)
	}
	statement, err := jws.Sign(registry.CheckStatementType, payload, "inps-1", ed25519.NewKeyFromSeed(append(make([]byte, 31), n)))
	if err != nil {
		panic(err)
	}
	return registry.ProviderCheck{Scope: "inps", Statement: statement}
}

func nextKey(epoch uint32) registry.LogKey {
	origin := ledger.Origin("registro.example", epoch)
	return registry.LogKey{Origin: origin, VKey: verifiertest.NewLog(origin).VKey}
}

// told compares findings with the beginnings of what they should say.
func told(t *testing.T, got []verifier.Finding, want []string) {
	t.Helper()
	var lines []string
	for _, f := range got {
		lines = append(lines, fmt.Sprintf("%s %s %s: expected %s, found %s", f.Level, f.Code, f.Where, f.Expected, f.Found))
	}
	if !slices.EqualFunc(lines, want, strings.HasPrefix) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// TestMonitorVRFKey: a VRF key under which any output could be proven.
func TestMonitorVRFKey(t *testing.T) {
	l := verifiertest.NewShard(origin)
	l.Leaf(ledger.Preamble{Epoch: 2026, VRFKey: [32]byte{1}, Name: "registro.example"})
	l.Head(0)
	w := newWatch(t, l, nil)
	if err := w.look(t, l.Now(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	told(t, w.told, []string{"broken bad_vrf_key leaf 0: "})
}

// TestMonitorUnread: a record is no alarm for what it has beside the members of its kind, nor for lacking them.
func TestMonitorUnread(t *testing.T) {
	l := usual()
	l.JSON(`{"kind":"policy","version":1}`)
	l.JSON(`{"kind":"statistics"}`)
	l.JSON(`{"kind":"scope","id":"inps","note":"x"}`)
	l.Head(30)
	w := newWatch(t, l, nil)
	if err := w.look(t, l.Now(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	told(t, w.told, []string{
		"notice new_key", "notice new_scope", "notice record_unread leaf 5: expected a record with the members of its kind, found syntax at /version",
		"notice statistics_malformed leaf 6: ", "notice new_scope leaf 7: expected that its owner announces it, found scope inps with 0 providers, record ",
	})
}

// TestMonitorRevoked: a revocation is told, and a kid isn't taken twice.
func TestMonitorRevoked(t *testing.T) {
	l := usual()
	l.Record(registry.KeyRevoked{Body: "inps", Kid: "inps-1", Reason: "lost"})
	l.Record(verifiertest.InpsKey(1))
	l.Head(30)
	w := newWatch(t, l, nil)
	if err := w.look(t, l.Now(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	told(t, w.told, []string{"notice new_key", "notice new_scope", `notice key_revoked leaf 5: expected that its owner knows, found key "inps-1" of inps revoked`, "alarm record_refused leaf 6: "})
}

// TestMonitorForks: two histories under one key, in each order and size.
func TestMonitorForks(t *testing.T) {
	for _, c := range []struct{ first, second int }{{10, 10}, {10, 20}, {20, 10}, {300, 700}, {700, 300}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			l := usual()
			other := usual()
			other.Log = l.Fork(len(l.Leaves))
			l.Event(c.first)
			for i := range c.second {
				other.Leaf(l.Tagged(uint64(10_000 + i)))
			}
			shown := &shownLog{l.Log}
			w := newWatch(t, shown, nil)
			if err := w.look(t, l.Now(), at(1)); err != nil {
				t.Fatal(err)
			}
			shown.Log = other.Log
			err := w.Extend(t.Context(), other.Now(), at(2), w.keep)
			if c.second < c.first {
				// To tell whether a smaller one is a prefix takes the larger one's
				// tiles, which this log doesn't have.
				if err == nil || w.Broken() != nil {
					t.Errorf("a smaller one: %v, %v", err, w.Broken())
				}
				shown.Log = l.Log
				err = w.Extend(t.Context(), other.Now(), at(2), w.keep)
			}
			if !errors.Is(err, checkpoint.ErrFork) || w.Broken() == nil || w.Broken().Code != verifier.CodeFork || w.Report().Alarm != verifier.CodeFork {
				t.Fatalf("%v, %v", err, w.Broken())
			}
			if w.Size() != uint64(len(l.Leaves)) || len(w.kept) != len(l.Leaves) {
				t.Errorf("%d leaves verified, %d kept", w.Size(), len(w.kept))
			}
		})
	}
}

// shownLog fetches from a log that changes.
type shownLog struct{ *verifiertest.Log }

func TestMonitorRollback(t *testing.T) {
	l := usual()
	l.Event(20)
	w := newWatch(t, l, nil)
	early := l.At(10)
	// Not shown to all yet: no rollback when an earlier one is.
	if err := w.Extend(t.Context(), l.Now(), at(1), w.keep); err != nil {
		t.Fatal(err)
	}
	if err := w.look(t, early, at(2)); err != nil || w.alarms() != nil {
		t.Errorf("%v, %v", err, w.alarms())
	}
	if err := w.look(t, l.Now(), at(3)); err != nil {
		t.Fatal(err)
	}
	if err := w.look(t, early, at(4)); !errors.Is(err, checkpoint.ErrRollback) || w.Broken() != nil {
		t.Errorf("%v, %v", err, w.Broken())
	}
	told(t, w.told[2:], []string{"alarm rollback checkpoint: expected size 25 or more, found size 10"})
	if err := w.look(t, l.Now(), at(5)); err != nil {
		t.Error(err)
	}
}

// lossy loses tiles, or damages them.
type lossy struct {
	checkpoint.Fetcher
	word string
	flip bool
}

func (l *lossy) Fetch(ctx context.Context, path string) ([]byte, error) {
	data, err := l.Fetcher.Fetch(ctx, path)
	if l.word == "" || !strings.Contains(path, l.word) {
		return data, err
	}
	if !l.flip || err != nil {
		return nil, fs.ErrPermission
	}
	data = slices.Clone(data)
	data[len(data)-1] ^= 1
	return data, nil
}

// TestMonitorGoesOn: a line that fails, or damages, is no alarm, and what was
// read stays.
func TestMonitorGoesOn(t *testing.T) {
	l := usual()
	l.Event(9000)
	l.Head(30)
	f := &lossy{Fetcher: l, word: "entries/020"}
	w := newWatch(t, f, nil)
	if err := w.look(t, l.Now(), at(31)); !errors.Is(err, fs.ErrPermission) || w.Size() != checkpoint.PartSize {
		t.Fatalf("%v at %d", err, w.Size())
	}
	f.flip = true
	if err := w.look(t, l.Now(), at(31)); !errors.Is(err, checkpoint.ErrTiles) || w.Size() != checkpoint.PartSize {
		t.Fatalf("%v at %d", err, w.Size())
	}
	f.word = ""
	if err := w.look(t, l.Now(), at(31)); err != nil || w.Report().Checkpoint != l.Now() || w.alarms() != nil || len(w.kept) != len(l.Leaves) {
		t.Fatalf("%v at %d, %v", err, w.Size(), w.alarms())
	}
	// Another run's leaves, one of them changed.
	bad := slices.Clone(w.kept)
	bad[17] = []byte("another")
	if err := newWatch(t, f, nil).Resume(l.Now(), inOrder(bad), 0, time.Time{}); !errors.Is(err, checkpoint.ErrTiles) {
		t.Errorf("changed leaves: %v", err)
	}
}

// TestMonitorOfVectors: of the vectors' logs no record that the formats call well formed is an alarm. Each ends without the
// next log's key, which is one.
func TestMonitorOfVectors(t *testing.T) {
	data, err := os.ReadFile("../ledger/testdata/vectors-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Logs []struct {
			Leaves [][]byte
			Report struct{ Duplicates, Problems []struct{ Leaf uint64 } }
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, v := range vectors.Logs {
		log := verifiertest.NewLog(origin)
		log.Add(v.Leaves...)
		w := newWatch(t, log, nil)
		if err := w.look(t, log.At(uint64(len(v.Leaves))), at(10)); err != nil {
			t.Fatalf("log %d: %v", i, err)
		}
		if slices.Contains(w.alarms(), verifier.CodeRecordRefused) {
			t.Errorf("log %d: %v", i, w.told)
		}
		if v.Report.Duplicates == nil && v.Report.Problems == nil {
			t.Errorf("log %d is of another form", i)
		}
		if len(v.Report.Duplicates)+len(v.Report.Problems) > 0 {
			continue
		}
		right++
		if want := []string{verifier.CodeNoLogKey}; !slices.Equal(w.alarms(), want) {
			t.Errorf("log %d: alarms %v, want %v: %v", i, w.alarms(), want, w.told)
		}
	}
	if right == 0 {
		t.Error("no log that is right")
	}
}
