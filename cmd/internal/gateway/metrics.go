// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
)

// metrics count and time; no label holds anything of a call but a word of ours.
type metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	tokens  *prometheus.CounterVec
	fork    prometheus.Gauge
}

func newMetrics(m *memory.Memory, log *slog.Logger, r prometheus.Registerer) *metrics {
	x := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "traccia_gateway_calls_total", Help: "Calls by outcome: released, spooled, passed, denied, gone, broken_off, settled, undelivered, or the code of the problem.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "traccia_gateway_seconds", Help: "How long a part of a call took: provider, ledger, or the whole call.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, []string{"part"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "traccia_gateway_tokens_reused_total", Help: "Vouchers and evidences that came again within their lives, which is normal.",
		}, []string{"token"}),
		fork: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "traccia_gateway_fork", Help: "1 when the ledger acknowledged a log that its witnesses don't know: an alarm.",
		}),
	}
	r.MustRegister(x.calls, x.seconds, x.tokens, x.fork)
	status := recently{read: m.Status}
	gauge := func(name, help string, value func(memory.Status) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			s, err := status.get()
			if err != nil {
				log.Error("couldn't read the memory", "error", err)
			}
			return value(s)
		}))
	}
	gauge("traccia_gateway_missing_numbers", "Numbers of subjects that the ledger left out: an alarm.", func(s memory.Status) float64 { return float64(s.Missing) })
	gauge("traccia_gateway_break_glass", "1 while a session of break-glass is open.", func(s memory.Status) float64 {
		if s.BreakGlass {
			return 1
		}
		return 0
	})
	gauge("traccia_gateway_spooled", "Receipts of break-glass that wait to be recorded.", func(s memory.Status) float64 { return float64(s.Spooled) })
	gauge("traccia_gateway_break_glass_missing", "Receipts of break-glass that the ledger refuses, or that are gone: an alarm.", func(s memory.Status) float64 { return float64(s.Lacking) })
	gauge("traccia_gateway_unsettled", "Submissions whose outcome isn't known yet.", func(s memory.Status) float64 { return float64(s.Unsettled) })
	gauge("traccia_gateway_unwitnessed_seconds", "Age of the oldest acknowledged checkpoint that no witnessed one contains yet; above 600 an alarm.", func(s memory.Status) float64 {
		if s.Waiting.IsZero() {
			return 0
		}
		return time.Since(s.Waiting).Seconds()
	})
	checks := func(name, help string, value func([]memory.Check) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			list, err := m.Checks()
			if err != nil {
				log.Error("couldn't read the memory", "error", err)
			}
			return value(list)
		}))
	}
	checks("traccia_gateway_check_problems", "What the last checks of the memory against the log found: an alarm above 0.", func(list []memory.Check) (n float64) {
		for _, c := range list {
			n += float64(c.Found)
		}
		return n
	})
	checks("traccia_gateway_check_seconds", "Age of the last check that the ledger recorded; -1 where there is none. Above two days an alarm.", func(list []memory.Check) float64 {
		age := -1.0
		for _, c := range list {
			if since := time.Since(c.At).Seconds(); c.Index != nil && (age < 0 || since < age) {
				age = since
			}
		}
		return age
	})
	return x
}

func (x *metrics) outcome(word string) { x.calls.WithLabelValues(word).Inc() }

func (x *metrics) reused(c *checks.Call) {
	if c.VoucherReused {
		x.tokens.WithLabelValues("voucher").Inc()
	}
	if c.EvidenceReused {
		x.tokens.WithLabelValues("evidence").Inc()
	}
}

// recently is a status that isn't read again for each gauge.
type recently struct {
	read func() (memory.Status, error)

	mu  sync.Mutex
	at  time.Time // guarded by mu
	was memory.Status
	err error
}

func (r *recently) get() (memory.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) > time.Second {
		r.was, r.err = r.read()
		r.at = time.Now()
	}
	return r.was, r.err
}
