// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// TestBreakGlass: the opening and closing of a session are recorded once, by the signature of the scope's party alone.
func TestBreakGlass(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	hub, _ := f.world.Hub()
	now := time.Now()
	opened := registry.SessionOpened{
		Aud: ledgerName, Scope: hub, Session: "0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55",
		Opened: now.UnixMilli(), Until: now.Add(ledger.MaxSession).UnixMilli(), Warrant: ledger.Hex{1},
	}
	closed := registry.SessionClosed{Aud: ledgerName, Scope: hub, Session: opened.Session, Closed: opened.Opened}
	state := func(by string, statement any) reply {
		t.Helper()
		payload, typ, err := registry.FormatSession(statement)
		if err != nil {
			t.Fatal(err)
		}
		key, _ := f.world.Key(by)
		compact, err := jws.Sign(typ, payload, key.Kid, f.world.Signer(by))
		if err != nil {
			t.Fatal(err)
		}
		return f.do(t, http.MethodPost, "/v1/break-glass", bytes.NewReader(marshal(t, object{"statement": compact})), "Content-Type", "application/json")
	}
	state(hub, closed).problem(t, http.StatusUnprocessableEntity, "no_session", "/statement")
	state("c_h501", opened).problem(t, http.StatusUnprocessableEntity, "bad_signature", "/statement")
	for _, statement := range []any{opened, closed} {
		first := state(hub, statement)
		if first.status != http.StatusCreated {
			t.Fatalf("%d: %s", first.status, first.body)
		}
		if again := state(hub, statement); again.status != http.StatusOK || !bytes.Equal(again.body, first.body) {
			t.Errorf("%d: %s, want %s", again.status, again.body, first.body)
		}
	}
	other := opened
	other.Warrant[0]++
	state(hub, other).problem(t, http.StatusUnprocessableEntity, "session_repeated", "/statement")
	f.do(t, http.MethodPost, "/v1/break-glass", strings.NewReader(`{"statement":"x"}`), "Content-Type", "application/json").
		problem(t, http.StatusUnprocessableEntity, "bad_statement", "/statement")
}
