// SPDX-License-Identifier: EUPL-1.2

package monitor

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// Register adds the monitor's metrics.
func (m *Monitor) Register(r prometheus.Registerer) {
	gauge := func(name, help string, read func(verifier.MonitorReport) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "traccia_monitor_" + name, Help: help}, func() float64 { return read(m.Report()) }))
	}
	gauge("epoch", "Year of the log that is followed.", func(r verifier.MonitorReport) float64 {
		_, epoch, _ := ledger.ParseOrigin(r.Origin)
		return float64(epoch)
	})
	gauge("leaves", "Leaves verified.", func(r verifier.MonitorReport) float64 { return float64(r.Size) })
	gauge("public_leaves", "Largest size that the log showed to all.", func(r verifier.MonitorReport) float64 { return float64(r.Public) })
	gauge("heads", "Heads recomputed.", func(r verifier.MonitorReport) float64 { return float64(r.Heads) })
	gauge("keys", "Keys of the index.", func(r verifier.MonitorReport) float64 { return float64(r.Keys) })
	gauge("last_head_timestamp_seconds", "The instant that the newest head states.", func(r verifier.MonitorReport) float64 {
		if r.LastHead.IsZero() {
			return 0
		}
		return float64(r.LastHead.UnixMilli()) / 1000
	})
	gauge("last_look_timestamp_seconds", "When the log was last read to its end.", func(r verifier.MonitorReport) float64 {
		if r.Looked.IsZero() {
			return 0
		}
		return float64(r.Looked.UnixMilli()) / 1000
	})
	gauge("alarms", "Alarms that stand, and those of this run, also about the log of the year before.", func(r verifier.MonitorReport) float64 {
		n := uint64(len(r.Alarms)) + r.MoreAlarms
		if b := m.Before(); b != nil {
			n += uint64(len(b.Alarms))
		}
		return float64(n)
	})
	gauge("broken", "1 when something was found that nothing mends: the log isn't cosigned any more.", func(r verifier.MonitorReport) float64 {
		if r.Broken {
			return 1
		}
		return 0
	})
	for i, outcome := range []string{"given", "refused"} {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "traccia_monitor_cosignatures_total", Help: "Submitted checkpoints, by what became of them.",
			ConstLabels: prometheus.Labels{"outcome": outcome},
		}, func() float64 { return float64(m.cosigns[i].Load()) }))
	}
}
