// SPDX-License-Identifier: EUPL-1.2

package login_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
)

// TestInBrowser: in and out with a real browser, whose rules for cookies, forms and redirects between sites aren't those of
// a test's client. The provider is another site.
func TestInBrowser(t *testing.T) {
	s := newSite(t)
	b := webtest.NewBrowser(t)
	cookie, err := json.Marshal(who{Account: "anna", ACR: levelTwo})
	if err != nil {
		t.Fatal(err)
	}
	b.SetCookie(s.provider.front.URL, "who", url.PathEscape(string(cookie)))
	b.Open(s.URL + "/it/entra?verso=privacy")
	b.Click(`.traccia-door-spid a`, `.traccia-whose`)
	if at := webtest.Eval[string](b, `location.pathname`); at != "/it/privacy" {
		t.Errorf("the login ended at %s", at)
	}
	if text := webtest.Eval[string](b, `document.querySelector('.traccia-whose').innerText`); !strings.Contains(text, string(anna)) {
		t.Errorf("it says %q", text)
	}
	if readable := webtest.Eval[string](b, `document.cookie`); readable != "" {
		t.Errorf("scripts can read %q", readable)
	}
	// Out: by way of the provider, which asks whether its own session is to end, and back.
	b.Click(`.traccia-slim form button`, `button[name="logout"]`)
	b.Click(`button[name="logout"]`, `.traccia-brand`)
	if at := webtest.Eval[string](b, `location.pathname`); at != "/it/uscita" {
		t.Errorf("the logout ended at %s", at)
	}
	b.Open(s.URL + "/it")
	if in := webtest.Eval[bool](b, `document.querySelector('.traccia-whose') !== null`); in {
		t.Error("still logged in")
	}
}
