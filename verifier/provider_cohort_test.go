// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/verifier"
)

// cohort is the record of an aggregate under a party's name, and what it would keep of it.
func (h *hub) cohort(signer string, n int) *own.Cohort {
	h.t.Helper()
	c := &own.Cohort{ID: fmt.Sprintf("inps/5a0e7b3c-52f0-4d0e-9d5e-%012d", n), Origin: h.log.Origin, At: int64(h.ms)}
	c.Index = h.record(signedCohort(h.t, provider+"-1", signerOf(signer), undecided, func(r *ledger.Cohort) {
		r.Aud, r.Consumer, r.JTI = ledgerName, consumer, strings.TrimPrefix(c.ID, "inps/")
	}))
	c.Leaf = ledger.HashLeaf(h.log.Leaves[c.Index])
	return c
}

// told keeps lines about aggregates.
func (h *hub) told(list ...*own.Cohort) {
	for _, c := range list {
		h.records = append(h.records, bytes.TrimSuffix(own.AppendCohort(nil, c), []byte("\n")))
	}
}

// TestProviderCohorts: each aggregate that was answered is where the answer said, and none is recorded that the party
// didn't ask for.
func TestProviderCohorts(t *testing.T) {
	for name, c := range map[string]struct {
		make       func(h *hub)
		want       []string
		cohorts    uint64
		unanswered uint64
	}{
		"as answered":         {make: func(h *hub) { h.told(h.cohort(provider, 1), h.cohort(provider, 2)) }, cohorts: 2},
		"twice in a file":     {make: func(h *hub) { c := h.cohort(provider, 1); h.told(c, c) }, cohorts: 1},
		"asked, and answered": {make: func(h *hub) { c := h.cohort(provider, 1); h.told(&own.Cohort{ID: c.ID}, c, &own.Cohort{ID: c.ID}) }, cohorts: 1},
		"asked, and recorded": {make: func(h *hub) { h.told(&own.Cohort{ID: h.cohort(provider, 1).ID}) }, unanswered: 1},
		"asked, not recorded": {make: func(h *hub) {
			c := h.cohort(provider, 1)
			h.told(c, &own.Cohort{ID: strings.Replace(c.ID, "-0", "-1", 1)})
		}, cohorts: 1},
		"never asked for":   {make: func(h *hub) { h.told(h.cohort(provider, 1)); h.cohort(provider, 2) }, want: []string{"planted leaf 12"}, cohorts: 1},
		"signed by another": {make: func(h *hub) { h.cohort("somebody", 1) }},
		"recorded again":    {make: func(h *hub) { h.told(h.cohort(provider, 1)); h.cohort(provider, 1) }, cohorts: 1},
		"at another leaf":   {make: func(h *hub) { c := h.cohort(provider, 1); c.Index--; h.told(c) }, want: []string{"leaf_missing records line 1"}, cohorts: 1},
		"another leaf":      {make: func(h *hub) { c := h.cohort(provider, 1); c.Leaf[0] ^= 1; h.told(c) }, want: []string{"leaf_missing records line 1"}, cohorts: 1},
		"not in the log": {make: func(h *hub) {
			c := h.cohort(provider, 1)
			c.ID = strings.Replace(c.ID, "-0", "-1", 1)
			h.told(c)
		}, want: []string{"leaf_missing records line 1", "planted leaf 11"}, cohorts: 1},
		"not in the log yet": {make: func(h *hub) {
			h.told(&own.Cohort{ID: "inps/5a0e7b3c-52f0-4d0e-9d5e-000000000001", Origin: h.log.Origin, Index: 1000, At: int64(h.ms)})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			c.make(h)
			h.settle()
			for _, parts := range []int{1, 3} {
				r := h.check(func(c *verifier.ProviderConfig) { c.Parts = parts })
				if name == "not in the log yet" {
					if !r.Proven() || r.Pending != 1 {
						t.Errorf("in %d parts: %+v", parts, r)
					}
					r = h.check(func(c *verifier.ProviderConfig) { c.Parts, c.Now = parts, c.Now.Add(3*time.Minute) })
					if diff := cmp.Diff([]string{"no_head records line 1"}, problemsOf(r)); diff != "" {
						t.Errorf("in %d parts: %s", parts, diff)
					}
					continue
				}
				if diff := cmp.Diff(c.want, problemsOf(r)); diff != "" || r.Cohorts != c.cohorts || r.Unanswered != c.unanswered || r.Proven() != (c.want == nil) {
					t.Errorf("in %d parts: %+v\n%s", parts, r, diff)
				}
				if (len(r.Notes) > 0) != (c.unanswered > 0) {
					t.Errorf("notes: %v", r.Notes)
				}
			}
		})
	}
}

// TestProviderCohortLines: lines that can't be an honest party's are no finding.
func TestProviderCohortLines(t *testing.T) {
	h := newHub(t)
	good := h.cohort(provider, 1)
	h.settle()
	other, stranger, year := *good, *good, *good
	other.Index++
	stranger.ID, year.Origin = strings.Replace(good.ID, "inps", "inail", 1), strings.Replace(good.Origin, "2026", "2025", 1)
	for name, list := range map[string][]*own.Cohort{"two places": {good, &other}, "another's": {&stranger}} {
		h.records = nil
		h.told(list...)
		if r, err := h.run(nil); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	h.records = nil
	h.told(good)
	h.records = append(h.records, slices.Concat(h.records[0], []byte(" ")))
	if r, err := h.run(nil); err == nil {
		t.Errorf("a line of nothing: %+v", r)
	}
	h.records = h.records[:1]
	h.told(&year)
	if r := h.check(nil); !r.Proven() || r.Others != 1 || r.Cohorts != 1 {
		t.Errorf("%+v", r)
	}
}
