// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/cmd/internal/serving"
)

// TestStatus asks a ledger that serves, one that doesn't, and a process that says
// that it isn't ready.
func TestStatus(t *testing.T) {
	_, dir := newData(t)
	p := serve(t, "serve", "--data", dir)
	metrics, err := url.Parse(p.ready.MetricsURL)
	if err != nil {
		t.Fatal(err)
	}
	if a := done(t, "status", "--data", dir); a["result"] != "proven" || a["size"] == 0.0 || a["origin"] == "" {
		t.Errorf("status: %v", a)
	}
	if a := done(t, "status", "--ready", metrics.Host); a["result"] != "proven" || a["size"] != nil {
		t.Errorf("status --ready: %v", a)
	}
	p.stop()
	for _, args := range [][]string{{"--data", dir}, {"--ready", metrics.Host}} {
		if nobody := ledgerd(t, append([]string{"status"}, args...)...); nobody.code != 3 || !strings.Contains(nobody.stderr.String(), "no process") {
			t.Errorf("%v of nobody: %d, %s", args, nobody.code, nobody.stderr.String())
		}
	}
	unready := httptest.NewServer(serving.Metrics(prometheus.NewRegistry(), func() string { return "no node sequences" }))
	defer unready.Close()
	if not := ledgerd(t, "status", "--ready", strings.TrimPrefix(unready.URL, "http://"), "--json"); not.code != 1 || !strings.Contains(not.stdout.String(), "no node sequences") {
		t.Errorf("of who isn't ready: %d, %s", not.code, not.stdout.String())
	}
	if wrong := ledgerd(t, "status", "--ready", "a b"); wrong.code != 2 {
		t.Errorf("of no address: %d, %s", wrong.code, wrong.stderr.String())
	}
}
