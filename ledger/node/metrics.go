// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of a node. Labels are words of this program, never values that a
// client sent. A nil *Metrics counts nothing.
type Metrics struct {
	registerer prometheus.Registerer
	batch      prometheus.Histogram
	wait       prometheus.Histogram
	append     prometheus.Histogram
	publish    prometheus.Histogram
	cosigns    *prometheus.CounterVec
	lag        *prometheus.GaugeVec
}

// NewMetrics registers a node's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		registerer: r,
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "traccia_commit_leaves", Help: "Leaves in one durable commit.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "traccia_queue_seconds", Help: "Time that the first submission of a commit waited for it to begin.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		append: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "traccia_commit_seconds", Help: "Time of one durable commit, signing included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
	}
	m.publish = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "traccia_publish_seconds", Help: "Time to make one checkpoint public, its witnesses' answers included.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
	})
	m.cosigns = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "traccia_cosignatures_total", Help: "Cosignatures asked of each witness of the policy, by outcome.",
	}, []string{"witness", "outcome"})
	m.lag = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "traccia_witness_lag_seconds", Help: "For how long a witness of the policy has cosigned no checkpoint that it was asked to, as of the last time it was asked; 0 when it did.",
	}, []string{"witness"})
	r.MustRegister(m.batch, m.wait, m.append, m.publish, m.cosigns, m.lag)
	return m
}

func (m *Metrics) commit(leaves int, wait, commit time.Duration) {
	if m == nil {
		return
	}
	m.batch.Observe(float64(leaves))
	m.wait.Observe(wait.Seconds())
	m.append.Observe(commit.Seconds())
}

func (m *Metrics) published(took time.Duration) {
	if m != nil {
		m.publish.Observe(took.Seconds())
	}
}

func (m *Metrics) cosigned(witness string, ok bool) {
	if m == nil {
		return
	}
	outcome := "got"
	if !ok {
		outcome = "missed"
	}
	m.cosigns.WithLabelValues(witness, outcome).Inc()
}

// lags says how long a witness of the newest log has been lacking.
func (m *Metrics) lags(witness string, lag time.Duration) {
	if m != nil {
		m.lag.WithLabelValues(witness).Set(lag.Seconds())
	}
}

// publishedSize is that of the newest log.
func (n *Node) publishedSize() uint64 {
	if p := n.year().published.Load(); p != nil {
		return p.Root.Size
	}
	return 0
}

// missingFinal counts the cosignatures that past years' last checkpoints lack.
func (n *Node) missingFinal() (missing int) {
	years := n.all()
	for _, y := range years[:len(years)-1] {
		missing += int(y.lacking.Load())
	}
	return missing
}

// watch adds what is read off the node when asked.
func (m *Metrics) watch(n *Node) {
	if m == nil {
		return
	}
	gauge := func(name, help string, read func() float64) {
		m.registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	gauge("traccia_queue_leaves", "Leaves waiting for the sequencer.", func() float64 { return float64(n.Queued()) })
	gauge("traccia_log_size", "Leaves in the durable log.", func() float64 { return float64(n.Latest().Root.Size) })
	gauge("traccia_published_size", "Leaves in the public log.", func() float64 { return float64(n.publishedSize()) })
	gauge("traccia_cosigned_size", "Leaves in the public log under as many cosignatures as the policy asks for.", func() float64 { return float64(n.year().quorate.Load()) })
	if _, err := freeBytes(n.Dir); err == nil {
		gauge("traccia_free_bytes", "Bytes left on the file system of the data directory; -1 when it can't be asked.", func() float64 {
			free, err := freeBytes(n.Dir)
			if err != nil {
				return -1
			}
			return float64(free)
		})
	}
	gauge("traccia_epoch", "The year whose log is recorded in.", func() float64 { return float64(n.Epoch()) })
	gauge("traccia_final_cosignatures_missing", "Cosignatures that the last checkpoints of past years lack.", func() float64 { return float64(n.missingFinal()) })
	gauge("traccia_head_age_seconds", "Age of the last head.", func() float64 { return n.Now().Sub(n.LastHead()).Seconds() })
	gauge("traccia_database_away_seconds", "For how long the database hasn't answered; 0 while it does, and of a store in a directory.", func() float64 { return n.databaseAway().Seconds() })
	gauge("traccia_stopped", "1 when the sequencer stopped after a failed write.", func() float64 {
		if n.Err() != nil {
			return 1
		}
		return 0
	})
}
