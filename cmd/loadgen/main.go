// SPDX-License-Identifier: EUPL-1.2

// Command loadgen measures a ledger against the signatures that somebody has
// to verify anyway: it drives it over HTTP with prepared submissions, verifies
// the same tokens with go-jose alone on the same cores in the same run, and
// reports the ratio.
//
// What keeps the figures honest:
//
//   - submissions are made, signed and serialised before any clock starts, and
//     answers are judged after it stopped;
//   - without --url the ledger is a process of its own on a temporary directory
//     with real fsync, behind real HTTP on loopback: what the client costs, and
//     what it keeps in memory, isn't taken for the ledger's. Client and ledger
//     share the cores, so the ratio is what is left of them;
//   - verification parses and verifies each receipt's three tokens on all cores
//     and remembers nothing. A run is cut into rounds, each ingested between two
//     halves of its own verification, so that a machine that slows down slows
//     both;
//   - every answer is checked against what was sent, and the part of the public
//     log that grew meanwhile is read back against its signed checkpoints: each
//     event stands where an answer says, and there are no others.
//
// It trusts the development world (cmd/internal/dev) that it signs with.
package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
)

func main() { cli.Main(newRoot()) }

// settings are the flags.
type settings struct {
	url, metricsURL, world string
	store                  string
	receipts, perReceipt   int
	subjects, endpoint     string
	reuse, connections     int
	rate                   float64
}

func newRoot() *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use:   "loadgen",
		Short: "Measure a ledger against verifying the same signatures alone",
		Long: `loadgen prepares submissions (RS256 voucher, RS256 evidence of its own for each,
ES256 receipt), sends them, and compares receipts acknowledged per second,
durable and proven, with how many the same cores verify by go-jose alone.

Without --url it starts a ledger of its own, a process on a temporary directory
with real fsync; its rows go into an empty database with --store. With --url it
drives that ledger, which must know the keys of the sample world: --world names
the data directory of ledgerd dev. CPU and memory are read from its metrics
(--metrics-url), and are null without.

All that is sent stays in the log, with --url too. Before anything is measured the
ledger meets the subjects: --subjects seen sends a few receipts of 2,500 subjects
first, up to 10,000 events.

With --rate it sends at fixed instants whatever becomes of the answers, and
latency counts from those instants; else as fast as answers come.`,
		Example: `  loadgen --receipts 20000 --subjects seen --endpoint batch --voucher-reuse 10 --json
  loadgen --receipts 20000 --subjects new --endpoint single --voucher-reuse 1
  loadgen --receipts 20 --subjects seen --endpoint batch --subjects-per-receipt 10000
  loadgen --receipts 1500 --subjects seen --endpoint single --rate 50 --json

  ledgerd dev --data DIR --ready-file ready.json
  loadgen --url http://127.0.0.1:8080 --world DIR --receipts 5000 --subjects seen --endpoint batch`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.check(); err != nil {
				return err
			}
			r, err := measure(cmd, s)
			if err != nil {
				return err
			}
			return cli.Print(cmd, r)
		},
	}
	f := root.Flags()
	f.StringVar(&s.url, "url", "", "ledger to drive (default: one of its own)")
	f.StringVar(&s.metricsURL, "metrics-url", "", "metrics of the ledger at --url, for its CPU and memory")
	f.StringVar(&s.store, "store", "", "an empty database for the rows of its own ledger: postgres://… or cockroach://…")
	f.StringVar(&s.world, "world", "", "with --url: the data directory of ledgerd dev")
	f.IntVar(&s.receipts, "receipts", 5000, "receipts to submit")
	f.StringVar(&s.subjects, "subjects", "seen", "seen: subjects that the ledger has met; new: each for the first time")
	f.StringVar(&s.endpoint, "endpoint", "batch", "batch or single")
	f.IntVar(&s.reuse, "voucher-reuse", 1, "receipts that rest on one voucher")
	f.IntVar(&s.perReceipt, "subjects-per-receipt", 1, "subjects that each receipt names")
	f.Float64Var(&s.rate, "rate", 0, "receipts per second (default: as many as possible)")
	f.IntVar(&s.connections, "connections", 64, "requests under way at once, single and without --rate")
	root.MarkFlagsMutuallyExclusive("url", "store")
	root.MarkFlagsMutuallyExclusive("rate", "connections")
	root.MarkFlagDirname("world")
	root.AddCommand(gatewayCommand(), ledgerCommand())
	root.AddCommand(edgeCommands()...)
	return root
}

func (s *settings) check() error {
	switch {
	case (s.url == "") != (s.world == ""):
		return cli.Usagef("--url and --world go together: --world names the data directory of the ledgerd dev that serves --url")
	case s.subjects != "seen" && s.subjects != "new":
		return cli.WrongFlag("--subjects", "seen or new", strconv.Quote(s.subjects))
	case s.endpoint != "batch" && s.endpoint != "single":
		return cli.WrongFlag("--endpoint", "batch or single", strconv.Quote(s.endpoint))
	case s.perReceipt < 1 || s.perReceipt > 10_000:
		return cli.WrongFlag("--subjects-per-receipt", "1 to 10000", strconv.Itoa(s.perReceipt))
	case s.receipts < 1 || s.reuse < 1 || s.connections < 1:
		return cli.Usagef("--receipts, --voucher-reuse and --connections: expected 1 or more")
	case s.rate < 0:
		return cli.WrongFlag("--rate", "more than 0", fmt.Sprint(s.rate))
	}
	return nil
}

// report is what a run comes to. Rates are per second of the clock that ran
// for them alone.
type report struct {
	cli.Verdict
	Receipts      int      `json:"receipts"`
	Events        int      `json:"events"`
	VerifyOnly    float64  `json:"verify_only_per_s"` // receipts, three tokens each
	Ingest        float64  `json:"ingest_per_s"`
	Ratio         float64  `json:"ratio"`
	EventRate     float64  `json:"events_per_s"`
	P50           float64  `json:"p50_ms"`
	P99           float64  `json:"p99_ms"`
	CPU           *float64 `json:"cpu_us_per_receipt"`        // of the ledger; null where nobody says
	VerifyCPU     float64  `json:"verify_cpu_us_per_receipt"` // of verification alone
	ClientCPU     float64  `json:"client_cpu_us_per_receipt"` // of sending and taking answers
	Rounds        []round  `json:"rounds"`
	Memory        []memory `json:"memory"` // of the ledger, every two seconds
	LogSizeBefore uint64   `json:"log_size_before"`
	LogSize       uint64   `json:"log_size"`
}

// round is one part of a run.
type round struct {
	VerifyOnly float64 `json:"verify_only_per_s"`
	Ingest     float64 `json:"ingest_per_s"`
	Ratio      float64 `json:"ratio"`
}

// memory is what the ledger held when its log had this size.
type memory struct {
	LogSize    uint64 `json:"log_size"`
	ResidentMB int    `json:"resident_mb"`
}

func (r *report) Text(w io.Writer) {
	fmt.Fprintf(w, "%d receipts, %d events, acknowledged and found in the log (size %d)\n", r.Receipts, r.Events, r.LogSize)
	fmt.Fprintf(w, "verification alone  %8.0f receipts/s  %6.0f µs of CPU each\n", r.VerifyOnly, r.VerifyCPU)
	fmt.Fprintf(w, "ingest              %8.0f receipts/s", r.Ingest)
	if r.CPU != nil {
		fmt.Fprintf(w, "  %6.0f µs of the ledger's CPU each, %.0f of the client's", *r.CPU, r.ClientCPU)
	}
	fmt.Fprintf(w, "\nratio               %8.2f\n", r.Ratio)
	fmt.Fprintf(w, "events              %8.0f a second\n", r.EventRate)
	fmt.Fprintf(w, "latency             %8.1f ms p50  %.1f ms p99\n", r.P50, r.P99)
	if n := len(r.Memory); n > 0 {
		fmt.Fprintf(w, "resident            %8d MB at the end\n", r.Memory[n-1].ResidentMB)
	}
}
