// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
)

// TestMain lets the test binary be the children that loadgen runs.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{ledgerUse, providerUse, proxyUse, edgeUse}, os.Args[1]) {
		main()
	}
	os.Exit(m.Run())
}

func runLoadgen(t *testing.T, args ...string) (code int, stdout []byte, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Run(t.Context(), newRoot(), args, &out, &errs)
	return code, out.Bytes(), errs.String()
}

// measured runs loadgen with --json and checks what every report has.
func measured(t *testing.T, receipts, perReceipt int, args ...string) report {
	t.Helper()
	args = append(args, "--receipts", strconv.Itoa(receipts), "--subjects-per-receipt", strconv.Itoa(perReceipt), "--json")
	code, out, errs := runLoadgen(t, args...)
	if code != cli.ExitDone {
		t.Fatalf("exit %d: %s %s", code, out, errs)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(out, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"schema", "result", "problems", "verify_only_per_s", "ingest_per_s", "ratio", "events_per_s", "p50_ms", "p99_ms", "cpu_us_per_receipt"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("no %s in %s", name, out)
		}
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if r.Schema != "traccia/loadgen/1" || r.Result != cli.Proven || len(r.Problems) != 0 {
		t.Errorf("%s", out)
	}
	events := receipts * perReceipt
	if r.Receipts != receipts || r.Events != events || r.LogSize < r.LogSizeBefore+uint64(events) {
		t.Errorf("%d receipts, %d events, log %d to %d; want %d, %d", r.Receipts, r.Events, r.LogSizeBefore, r.LogSize, receipts, events)
	}
	near := func(name string, got, want float64) {
		if want <= 0 || math.Abs(got-want) > 0.01*want {
			t.Errorf("%s: %g, want about %g", name, got, want)
		}
	}
	near("events_per_s", r.EventRate, r.Ingest*float64(perReceipt))
	if want := r.Ingest / r.VerifyOnly; math.Abs(r.Ratio-want) > 0.001 {
		t.Errorf("ratio %g, want %g", r.Ratio, want)
	}
	if r.P50 <= 0 || r.P99 < r.P50 || r.VerifyCPU <= 0 || r.ClientCPU <= 0 {
		t.Errorf("%s", out)
	}
	return r
}

// TestGateway drives a gateway, and finds each of its answers in the log.
func TestGateway(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT CHECKED with -short: five processes for a measurement")
	}
	code, out, errs := runLoadgen(t, "gateway", "--calls", "40", "--rounds", "2", "--voucher-reuse", "5", "--rate", "100", "--json")
	var r gatewayReport
	if err := json.Unmarshal(out, &r); err != nil || code != cli.ExitDone || r.Schema != "traccia/loadgen-gateway/1" || r.Result != cli.Proven || len(r.Problems) != 0 {
		t.Fatalf("exit %d, %v: %s %s", code, err, out, errs)
	}
	if r.Calls != 40 || len(r.Turns) != 2 || r.Gateway.P50 <= r.Proxy.P50 || r.Proxy.P50 <= 0 || r.Gateway.P99 < r.Gateway.P50 || r.CPU <= 0 || r.Ledger <= 0 || r.Answered <= 0 {
		t.Errorf("%s", out)
	}
	for _, args := range [][]string{{"--rounds", "0"}, {"--calls", "1"}, {"--rate", "0"}, {"--voucher-reuse", "0"}} {
		if code, _, _ := runLoadgen(t, append([]string{"gateway"}, args...)...); code != cli.ExitUsage {
			t.Errorf("%v: exit %d", args, code)
		}
	}
}

func TestOwnLedger(t *testing.T) {
	for _, test := range []struct {
		name                 string
		receipts, perReceipt int
		args                 []string
	}{
		{"batch, seen", 100, 1, []string{"--subjects", "seen", "--endpoint", "batch", "--voucher-reuse", "10"}},
		{"single, new, at a rate", 30, 3, []string{"--subjects", "new", "--endpoint", "single", "--rate", "100"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := measured(t, test.receipts, test.perReceipt, test.args...)
			if r.CPU == nil || *r.CPU < 0 || len(r.Memory) == 0 || r.Memory[len(r.Memory)-1].ResidentMB == 0 {
				t.Errorf("CPU %v, memory %v of its own ledger", r.CPU, r.Memory)
			}
		})
	}
}

// TestOtherLedger drives one that serves already.
func TestOtherLedger(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	target, end, err := start(cmd, t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--url", target.url, "--world", target.dir, "--subjects", "new", "--endpoint", "single"}
	if r := measured(t, 20, 1, args...); r.CPU != nil || r.Memory != nil {
		t.Errorf("CPU %v, memory %v of nowhere", *r.CPU, r.Memory)
	}
	if r := measured(t, 20, 1, append(args, "--metrics-url", target.metricsURL)...); r.CPU == nil || len(r.Memory) < 2 {
		t.Errorf("CPU %v, memory %v with its metrics", r.CPU, r.Memory)
	}
	if err := end(); err != nil {
		t.Errorf("the ledger ended with %v", err)
	}
	code, _, errs := runLoadgen(t, args...)
	if code != cli.ExitCouldNotCheck {
		t.Errorf("exit %d without a ledger: %s", code, errs)
	}
}

func TestJudge(t *testing.T) {
	list := []prepared{{id: "inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11", events: 1}}
	for _, test := range []struct{ name, endpoint, line, want string }{
		{"none", "batch", "", "answers_missing"},
		{"refused", "batch", `{"line":1,"status":422,"problem":{"code":"expired","where":"voucher#exp"}}`, "expired"},
		{"another line", "batch", `{"line":2,"status":201,"answer":{}}`, "bad_answer"},
		{"no answer", "batch", `{"line":1,"status":201,"answer":{}}`, "bad_answer"},
		{"single, no problem", "single", `no JSON`, "refused"},
	} {
		var answers []answer
		if test.line != "" {
			answers = []answer{{body: []byte(test.line), status: 500}}
		}
		spans, problems := judge(list, answers, test.endpoint)
		if len(spans) != 0 || len(problems) != 1 || problems[0].Code != test.want {
			t.Errorf("%s: %v %v, want %s", test.name, spans, problems, test.want)
		}
	}
}

func TestUsage(t *testing.T) {
	const together = "--url and --world go together"
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--subjects", "old"}, "--subjects: expected seen or new"}, {[]string{"--endpoint", "both"}, "--endpoint: expected batch or single"},
		{[]string{"--receipts", "0"}, "--receipts"}, {[]string{"--voucher-reuse", "0"}, "--voucher-reuse"}, {[]string{"--connections", "0"}, "--connections"},
		{[]string{"--subjects-per-receipt", strconv.Itoa(ledger.MaxSubjects + 1)}, "--subjects-per-receipt"}, {[]string{"--rate", "-1"}, "--rate"},
		{[]string{"--url", "http://127.0.0.1:1"}, together}, {[]string{"--world", "."}, together}, {[]string{"extra"}, `"extra"`},
	} {
		if code, _, errs := runLoadgen(t, test.args...); code != cli.ExitUsage || !strings.Contains(errs, test.want) {
			t.Errorf("%s: exit %d: %s", strings.Join(test.args, " "), code, errs)
		}
	}
}

func TestPercentile(t *testing.T) {
	for _, test := range []struct {
		n, p int
		want float64
	}{{1, 50, 1}, {1, 99, 1}, {2, 50, 1}, {100, 50, 50}, {100, 99, 99}, {1000, 99, 990}} {
		if got := percentile(milliseconds(test.n), test.p); got != test.want {
			t.Errorf("p%d of %d: %g, want %g", test.p, test.n, got, test.want)
		}
	}
}

// milliseconds are 1 ms to n ms.
func milliseconds(n int) []time.Duration {
	list := make([]time.Duration, n)
	for i := range list {
		list[i] = time.Duration(i+1) * time.Millisecond
	}
	return list
}
