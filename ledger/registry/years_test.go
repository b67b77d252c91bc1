// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"reflect"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
)

func newVKey(t testing.TB, origin string) string {
	t.Helper()
	_, vkey, err := note.GenerateKey(nil, origin)
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}

// TestLogKey: a shard announces one key for an origin, of this ledger.
func TestLogKey(t *testing.T) {
	r := New(name)
	origin := ledger.Origin(name, 2027)
	vkey := newVKey(t, origin)
	if _, ok := r.LogKey(origin); ok {
		t.Error("announced before its record")
	}
	apply(t, r, 7, format(t, LogKey{Origin: origin, VKey: vkey}))
	if a, ok := r.LogKey(origin); !ok || a != (Announcement{vkey, 7}) {
		t.Errorf("got %+v, %v", a, ok)
	}
	other := ledger.Origin("altro.example", 2027)
	for _, c := range []struct {
		code   string
		record []byte
	}{
		{"log_key_repeated", format(t, LogKey{Origin: origin, VKey: newVKey(t, origin)})},
		{"log_key_repeated", format(t, LogKey{Origin: origin, VKey: vkey})},
		{"other_ledger", format(t, LogKey{Origin: other, VKey: newVKey(t, other)})},
		{"bad_key", format(t, LogKey{Origin: ledger.Origin(name, 2028), VKey: vkey})},
		{"bad_key", format(t, LogKey{Origin: origin, VKey: vkey[:len(vkey)-1]})},
		{"bad_key", format(t, LogKey{Origin: origin})},
		{"bad_origin", format(t, LogKey{Origin: name, VKey: vkey})},
		{"bad_origin", format(t, LogKey{Origin: name + "/02027", VKey: vkey})},
		{"syntax", []byte(`{"kind":"log-key","origin":"` + origin + `"}`)},
		{"log_key_repeated", []byte(`{"kind":"log-key","origin":"` + origin + `","vkey":"` + vkey + `","note":"x"}`)},
	} {
		refused(t, r, c.record, c.code)
	}
	apply(t, r, 8, format(t, LogKey{Origin: ledger.Origin(name, 2028), VKey: newVKey(t, ledger.Origin(name, 2028))}))
}

// TestInForce: what the next shard repeats, and that a registry which begins with it answers like the one before.
func TestInForce(t *testing.T) {
	r := New(name)
	const tenant = "53b40136-65f2-424b-acfb-7fae17e35c60"
	k1, k2, k3 := newSigner(t, "k1"), newSigner(t, "k2"), newSigner(t, "k3")
	records := map[uint64][]byte{}
	add := func(index uint64, record []byte) {
		t.Helper()
		apply(t, r, index, record)
		records[index] = record
	}
	add(1, format(t, Body{ID: "inps", Name: "INPS", Tenant: tenant}))
	add(2, format(t, Body{ID: "c_a944", Name: "Bologna"}))
	add(3, k1.record(t, "c_a944", nil))
	add(4, format(t, Scope{ID: "inps", Providers: []string{"inps"}}))
	add(5, []byte(`{"kind":"retention","months":24}`))
	add(6, format(t, Policy{Version: "1", SHA256: ledger.Hex{1}}))
	add(7, k2.record(t, "c_a944", &k1))
	add(8, format(t, KeyRevoked{Body: "c_a944", Kid: "k1"}))
	add(9, format(t, Body{ID: "inps", Name: "INPS"}))
	add(10, format(t, Body{ID: "inail", Name: "INAIL", Tenant: tenant}))
	add(11, format(t, Scope{ID: "inps", Providers: []string{"inps", "inail"}}))
	add(12, []byte(`{"kind":"retention","months":36}`))
	add(13, format(t, LogKey{Origin: ledger.Origin(name, 2027), VKey: newVKey(t, ledger.Origin(name, 2027))}))
	add(14, []byte(`{"kind":"erasure","month":"2026-11","count":"fewer than 10"}`))
	add(15, format(t, Body{ID: "c_a944", Name: "Comune di Bologna", Attributes: []string{"Pubbliche Amministrazioni"}}))
	if err := r.Apply(16, k3.record(t, "c_a944", &k1)); err == nil {
		t.Fatal("a key vouched for by a revoked one was taken")
	}

	got := r.InForce()
	if want := []uint64{9, 10, 15, 3, 7, 8, 11, 6, 12}; !slices.Equal(got, want) {
		t.Fatalf("in force: %v, want %v", got, want)
	}
	next := New(name)
	for i, index := range got {
		apply(t, next, uint64(i+1), records[index])
	}
	if a, b := r.Bodies(), next.Bodies(); !reflect.DeepEqual(a, b) {
		t.Errorf("bodies %v, then %v", a, b)
	}
	for _, kid := range []string{"k1", "k2", "k3"} {
		_, before := r.Key("c_a944", kid, 100)
		_, after := next.Key("c_a944", kid, 100)
		if before != after {
			t.Errorf("key %s: %v, then %v", kid, before, after)
		}
	}
	if p, _ := next.Providers("inps"); !slices.Equal(p, []string{"inps", "inail"}) {
		t.Errorf("providers %v", p)
	}
	if p, ok := next.Policy(100); !ok || p.Version != "1" {
		t.Errorf("policy %v", p)
	}
	if a := next.Attributes("c_a944", 100); !slices.Equal(a, []string{"Pubbliche Amministrazioni"}) {
		t.Errorf("attributes %v", a)
	}
	again := next.InForce()
	for i, index := range again {
		if index != uint64(i+1) {
			t.Fatalf("in force in the next shard: %v", again)
		}
	}
	if _, ok := next.LogKey(ledger.Origin(name, 2027)); ok {
		t.Error("an announcement was repeated")
	}
}
