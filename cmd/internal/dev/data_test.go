// SPDX-License-Identifier: EUPL-1.2

package dev

import (
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

func TestAllBodies(t *testing.T) {
	bodies, err := AllBodies()
	if err != nil {
		t.Fatal(err)
	}
	if len(bodies) != 10_020 {
		t.Errorf("%d bodies, want 10,020", len(bodies))
	}
	ids, tenants := make(map[string]Body), make(map[string]bool)
	for _, b := range bodies {
		if err := ledger.CheckID(b.ID); err != nil || b.Name == "" {
			t.Errorf("%+v: %v", b, err)
		}
		if _, ok := ids[b.ID]; ok || tenants[b.Tenant] {
			t.Errorf("%s twice", b.ID)
		}
		ids[b.ID], tenants[b.Tenant] = b, true
	}
	for id, tenant := range map[string]string{
		"inps": "53b40136-65f2-424b-acfb-7fae17e35c60", "c_a944": "2d6de81f-961a-4e12-8617-cce887ed7f86", "p_tn": "5e9111c4-45ae-42e1-a874-e03cdf45a3c2",
		"8eaeb70c-1183-408a-a5e3-4a9f29bbd6ff": "", "7b226c7f-46e4-4921-9186-ba677e421396": "7b226c7f-46e4-4921-9186-ba677e421396",
	} {
		if got := ids[id].Tenant; tenant != "" && got != tenant {
			t.Errorf("%s: tenant %s, want %s", id, got, tenant)
		}
	}
	if _, ok := ids["arllf"]; ok {
		t.Error("two tenants bear the IPA code arllf: want their uuids")
	}
}

// The default vocabulary's kinds of body are those of PDND.
func TestKinds(t *testing.T) {
	all, err := AllBodies()
	if err != nil {
		t.Fatal(err)
	}
	borne := make(map[string]int)
	for _, b := range all {
		for _, name := range b.Attributes {
			borne[name]++
		}
	}
	known, err := kindAttributes()
	if err != nil {
		t.Fatal(err)
	}
	for name := range known {
		if borne[name] == 0 {
			t.Errorf("no body on PDND bears %q", name)
		}
	}
	if n := borne["Comuni e loro Consorzi e Associazioni"]; n < 7000 {
		t.Errorf("%d municipalities", n)
	}
}

func TestFlows(t *testing.T) {
	w := newTestWorld(t, Config{})
	seen := make(map[string]service)
	for _, list := range [][]weighted{w.hubbed, w.others} {
		before := 0.0
		for _, f := range list {
			seen[f.service.id] = f.service
			if f.upTo <= before || f.tokens <= 0 || f.service.slug == "" || f.service.purpose == "" {
				t.Errorf("%+v", f)
			}
			before = f.upTo
		}
	}
	for id, purpose := range map[string]string{
		"843ac013-941a-4afe-8243-e668142e73e6": "SocialWelfareEligibilityAssessment", "8ffc6245-0ab1-4e2e-8423-6e1a855c320a": "SocialWelfareEligibilityAssessment",
		"978e5066-7159-42a1-b057-ec7e47525f8b": "SocialWelfareProvision", "07903d52-5949-469d-add0-fb05f4d79a03": "SocialWelfareProvision",
	} {
		if got := seen[id].purpose; got != sector+purpose {
			t.Errorf("%s (%s): purpose %s, want %s", id, seen[id].name, got, purpose)
		}
	}
	if s := seen["19efdb32-dd4e-493e-8982-3d28f2e8be64"]; !s.organisations {
		t.Errorf("the subjects of %s are organisations", s.name)
	}
}

func TestCitizens(t *testing.T) {
	seen := make(map[ledger.Subject]bool)
	var eleven, changed int
	add := func(s ledger.Subject) {
		if _, err := ledger.ParseSubject(string(s)); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if seen[s] {
			t.Fatalf("%s twice", s)
		}
		seen[s] = true
	}
	for _, from := range []uint64{0, 123_456_789, 999_990_000} {
		for i := range uint64(10_000) {
			s := citizen(from + i)
			add(s)
			add(organisation(from + i))
			switch {
			case len(s) == 11:
				eleven++
			case s[11] != 'N':
				t.Fatalf("%s: a place that exists", s)
			case s[14] > '9':
				changed++
			}
		}
	}
	if eleven != 300 || changed != 600 {
		t.Errorf("%d of 11 digits and %d changed for omocodia, want 300 and 600", eleven, changed)
	}
}
