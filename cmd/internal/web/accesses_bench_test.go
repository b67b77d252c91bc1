// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
	"github.com/traccia-ledger/traccia/ledger"
)

// BenchmarkFirstPage answers with the list of a citizen with 500 accesses in five years: the first time in the process ("first"),
// when their history is made and checked, later in another session ("back"), when it is made and checked anew and the signatures
// of receipts are known, and in the same session ("again"). The state of the ledger is published already. cpu-ms is the processor's time, which neighbours
// change less than the clock's.
func BenchmarkFirstPage(b *testing.B) {
	for _, scopes := range []int{5, 25, 100} {
		l := webtest.NewLedger(b, webtest.Config{Years: 5, Accesses: 100, Scopes: scopes - 5})
		p, err := New(Config{Node: l.Node, Origin: "https://registro.example", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		cookie, err := p.sessions.Begin(b.Context(), session.Identity{Provider: "test", Level: 2, Subjects: []ledger.Subject{webtest.Citizen}, At: time.Now()})
		if err != nil {
			b.Fatal(err)
		}
		for _, visit := range []string{"first", "back", "again"} {
			b.Run(fmt.Sprintf("scopes=%d/%s", scopes, visit), func(b *testing.B) {
				begun := used()
				bytes := 0
				for b.Loop() {
					p.limits = newLimits()
					switch visit {
					case "first":
						p.histories = accesses.NewKeeper(l.Node)
					case "back":
						p.histories.Forget(webtest.Citizen)
					}
					r := httptest.NewRequest(http.MethodGet, "/it/accessi", nil)
					r.AddCookie(&http.Cookie{Name: p.cookieName(sessionCookie), Value: cookie})
					w := httptest.NewRecorder()
					p.handler().ServeHTTP(w, r)
					if text := w.Body.String(); !strings.Contains(text, "In tutto 500 consultazioni") || !strings.Contains(text, "traccia-verdict-complete") {
						b.Fatal(w.Code, text)
					}
					bytes = w.Body.Len()
				}
				b.ReportMetric((used()-begun).Seconds()*1000/float64(b.N), "cpu-ms/op")
				b.ReportMetric(float64(bytes), "page-B")
			})
		}
	}
}

// used is the processor's time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
