// SPDX-License-Identifier: EUPL-1.2

package agencykey

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

// oneKey is all that the ledger registers.
type oneKey struct{ own *Key }

func (k oneKey) Key(_ context.Context, kid string, _ time.Time) (jose.JSONWebKey, error) {
	if kid != k.own.Kid {
		return jose.JSONWebKey{}, pdnd.ErrUnknownKey
	}
	return jose.JSONWebKey{Key: k.own.Public, KeyID: kid, Algorithm: k.own.Alg}, nil
}

// TestSignRequest: the ledger takes what is signed here, and nothing else.
func TestSignRequest(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, alg := range []string{jws.ES256, jws.EdDSA, jws.RS256} {
		k, err := New("c_a944", alg)
		if err != nil {
			t.Fatal(err)
		}
		for _, content := range [][]byte{nil, []byte(`{"epoch":2026}`)} {
			r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1/v1/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.SignRequest(r, content, "registro.example", now); err != nil {
				t.Fatal(err)
			}
			s, err := pdnd.CheckRequest(t.Context(), r, content, []string{"registro.example"}, oneKey{k}, now.Add(time.Minute))
			if err != nil || s.Issuer != "c_a944" || s.JTI == "" {
				t.Errorf("%s: %+v, %v", alg, s, err)
			}
			if _, err := pdnd.CheckRequest(t.Context(), r, content, []string{"altro.example"}, oneKey{k}, now); err == nil {
				t.Error("taken for another ledger")
			}
			if _, err := pdnd.CheckRequest(t.Context(), r, append(content, ' '), []string{"registro.example"}, oneKey{k}, now); err == nil {
				t.Error("taken with other content")
			}
		}
	}
}
