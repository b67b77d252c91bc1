// SPDX-License-Identifier: EUPL-1.2

package cluster

import (
	"log/slog"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/alertstest"
)

// TestAlerts: what the alerts about nodes ask for is exported.
func TestAlerts(t *testing.T) {
	metrics := alertstest.NewRegistry()
	New(Config{URL: "https://node1.registro.example", Logger: slog.New(slog.DiscardHandler), Metrics: metrics})
	alertstest.Check(t, metrics, "../../..", "nodes")
}
