// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

func TestTokenUses(t *testing.T) {
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	now := start
	uses := newTokenUses(start)
	uses.max = 3
	use := func(method, path, iss, jti string, issued, expires time.Time) string {
		t.Helper()
		token := &pdnd.Signature{Issuer: iss, JTI: jti, Issued: issued, Expires: expires}
		err := uses.use(token, httptest.NewRequest(method, path, nil), now)
		var p *ledger.Problem
		if errors.As(err, &p) {
			return p.Code + " " + p.Where
		}
		if err != nil {
			t.Fatal(err)
		}
		return ""
	}
	const get, post = http.MethodGet, http.MethodPost
	soon := start.Add(time.Minute)
	for _, test := range []struct {
		name, method, path, iss, jti string
		issued, expires              time.Time
		want                         string
	}{
		{"the first", get, "/a", "inps", "1", start, soon, ""},
		{"a GET again", get, "/a", "inps", "1", start, soon, ""},
		{"another path", get, "/b", "inps", "1", start, soon, "token_used header:Agid-JWT-Signature#jti"},
		{"another method", post, "/a", "inps", "1", start, soon, "token_used header:Agid-JWT-Signature#jti"},
		{"of another body", post, "/a", "c_a944", "1", start, soon, ""},
		{"a POST again", post, "/a", "c_a944", "1", start, soon, "token_used header:Agid-JWT-Signature#jti"},
		{"good for too long", get, "/a", "inps", "2", start, start.Add(time.Hour + time.Second), "lifetime_wrong header:Agid-JWT-Signature#exp"},
		{"of a clock that is behind", get, "/a", "inps", "3", start.Add(-beforeStart), soon, ""},
		{"of before the start", get, "/a", "inps", "4", start.Add(-beforeStart - time.Second), soon, "token_too_old header:Agid-JWT-Signature#iat"},
	} {
		if got := use(test.method, test.path, test.iss, test.jti, test.issued, test.expires); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}

	// What doesn't fit in memory isn't taken twice, but refused.
	later := start.Add(2 * time.Minute)
	for n := range 3 {
		if got := use(post, "/a", "inps", fmt.Sprint("later", n), start, later); got != "" {
			t.Fatalf("token %d: %s", n, got)
		}
	}
	for _, jti := range []string{"1", "3", "never used"} {
		if got, want := use(post, "/a", "inps", jti, start, soon), "token_too_old header:Agid-JWT-Signature#exp"; got != want {
			t.Errorf("token %s that expires before those remembered: got %q, want %q", jti, got, want)
		}
	}
	if got := use(post, "/a", "roma", "never used", start, soon); got != "" {
		t.Errorf("one body's tokens stand in another's way: %s", got)
	}
	if n := len(uses.of["inps"].uses); n != 3 || n != len(uses.of["inps"].byExpiry) {
		t.Errorf("%d tokens remembered, want 3", n)
	}

	// Tokens that are over leave.
	now = later.Add(pdnd.Leeway + time.Second)
	if got := use(post, "/a", "inps", "new", now, now.Add(time.Minute)); got != "" {
		t.Error(got)
	}
	if n := len(uses.of["inps"].uses); n != 1 {
		t.Errorf("%d tokens remembered, want 1", n)
	}
}
