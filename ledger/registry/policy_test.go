// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

func TestPolicy(t *testing.T) {
	r := New(name)
	if _, ok := r.Policy(100); ok {
		t.Error("a policy from nowhere")
	}
	before := r.Version()
	apply(t, r, 3, format(t, Policy{Version: "1", SHA256: ledger.Hex{1}}))
	apply(t, r, 5, format(t, Policy{Version: "2", SHA256: ledger.Hex{2}}))
	if r.Version() == before {
		t.Error("who decided by the one before isn't sent back")
	}
	for at, want := range map[uint64]string{3: "", 4: "1", 5: "1", 6: "2", 100: "2"} {
		if p, _ := r.Policy(at); p.Version != want {
			t.Errorf("at %d: %q, want %q", at, p.Version, want)
		}
	}
	if list := r.Policies(); len(list) != 2 || list[1].SHA256 != (ledger.Hex{2}) {
		t.Errorf("%v", list)
	}
	for _, record := range []string{
		`{"kind":"policy","version":"1"}`,
		`{"kind":"policy","version":"","sha256":"` + strings.Repeat("11", 32) + `"}`,
		`{"kind":"policy","version":"1","sha256":"` + strings.Repeat("00", 32) + `"}`,
		`{"kind":"policy","version":"1","sha256":"` + strings.Repeat("11", 31) + `"}`,
		`{"kind":"policy","version":1,"sha256":"` + strings.Repeat("11", 32) + `"}`,
	} {
		var p *ledger.Problem
		if err := r.Apply(7, []byte(record)); !errors.As(err, &p) {
			t.Errorf("%s: %v", record, err)
		}
	}
}

// TestAttributes: an event is judged by what the body's record said before it.
func TestAttributes(t *testing.T) {
	r := New(name)
	apply(t, r, 2, format(t, Body{ID: "c_a944", Name: "Bologna"}))
	apply(t, r, 4, format(t, Body{ID: "c_a944", Name: "Bologna", Attributes: []string{"Comuni", "PA"}}))
	apply(t, r, 6, format(t, Body{ID: "c_a944", Name: "Comune di Bologna", Attributes: []string{"Comuni", "PA"}}))
	apply(t, r, 8, format(t, Body{ID: "c_a944", Name: "Comune di Bologna"}))
	for at, want := range map[uint64][]string{2: nil, 4: nil, 5: {"Comuni", "PA"}, 7: {"Comuni", "PA"}, 8: {"Comuni", "PA"}, 9: nil} {
		if got := r.Attributes("c_a944", at); !slices.Equal(got, want) {
			t.Errorf("at %d: %v, want %v", at, got, want)
		}
	}
	if got := r.Attributes("inps", 9); got != nil {
		t.Errorf("of a stranger: %v", got)
	}
	many := make([]string, MaxAttributes+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for code, list := range map[string][]string{"repeated": {"a", "a"}, "too_long": {strings.Repeat("x", 301)}, "too_many": many} {
		refused(t, r, format(t, Body{ID: "inps", Name: "INPS", Attributes: list}), code)
	}
}
