// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"net/url"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// TestLedgerRolls: the latest log is the one that the years before announced, unless the URL names a year.
func TestLedgerRolls(t *testing.T) {
	s := newLogServer()
	defer s.Close()
	open := func(path string) *ledgerURL {
		t.Helper()
		base, err := url.Parse(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		l, err := ledgerOf(base, []note.Verifier{s.first.Verifier()}, "--key first.vkey")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	check := func(l *ledgerURL, epoch uint32, vkey string) {
		t.Helper()
		got, err := l.roll(t.Context())
		if err != nil || got != vkey || l.epoch != epoch || len(l.keys[epoch]) != 1 {
			t.Errorf("year %d with key %q, %v; want %d with %q", l.epoch, got, err, epoch, vkey)
		}
	}
	check(open("/years"), 2024, "")
	s.turn("end")
	check(open("/years"), 2024, "")
	s.turn("honest")
	check(open("/years"), 2025, s.second.VKey)
	check(open("/years/log/2024"), 2024, "")
	s.turn("otherwise")
	if _, err := open("/years").roll(t.Context()); err == nil {
		t.Error("a log that doesn't follow on the one before")
	}
}
