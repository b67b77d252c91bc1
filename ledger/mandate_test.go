// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
)

// TestMandateClaim: a receipt names a delegate's mandate in a look-up alone, and a private part a delegate by their code.
func TestMandateClaim(t *testing.T) {
	lookUp := func() *ledger.Receipt {
		r := sampleReceipt(t, sampleSubjects(), []byte("{}"))
		r.Role, r.Provider, r.Consumer = ledger.RoleRequester, r.Iss, r.Iss
		r.EService, r.PurposeID, r.Pair, r.ConsentID = "", "", ledger.Hex{}, ""
		r.Mandate = "6f1c2d3e-52f0-4d0e-9d5e-3f1b7f0f7a11"
		return r
	}
	if _, err := ledger.FormatReceipt(lookUp()); err != nil {
		t.Errorf("a look-up: %v", err)
	}
	for name, spoil := range map[string]func(*ledger.Receipt){
		"no uuid": func(r *ledger.Receipt) { r.Mandate = "mandate" },
		"an access": func(r *ledger.Receipt) {
			*r = *sampleReceipt(t, sampleSubjects(), []byte("{}"))
			r.Mandate = lookUp().Mandate
		},
		"about consent":      func(r *ledger.Receipt) { r.ConsentDigest = ledger.Hex{1} },
		"a uuid in capitals": func(r *ledger.Receipt) { r.Mandate = strings.ToUpper(r.Mandate) },
	} {
		r := lookUp()
		spoil(r)
		var p *ledger.Problem
		if _, err := ledger.FormatReceipt(r); !errors.As(err, &p) || p.Where != "receipt#mandate" {
			t.Errorf("%s: %v", name, err)
		}
	}
	const code = "RSSMRA80A01H501U"
	if v, err := ledger.ParsePrivate([]byte(`{"delegate":"` + code + `"}`)); err != nil || v.Delegate != code {
		t.Errorf("%+v, %v", v, err)
	}
	var p *ledger.Problem
	if _, err := ledger.ParsePrivate([]byte(`{"delegate":"` + strings.ToLower(code) + `"}`)); !errors.As(err, &p) || p.Where != "private#delegate" || strings.Contains(strings.ToUpper(err.Error()), code) {
		t.Errorf("a code in lower case: %v", err)
	}
}
