// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// pagesMaker makes the pages that a ledger serves beside its API, at this URL.
type pagesMaker func(n *node.Node, url string, log *slog.Logger, metrics prometheus.Registerer) (*web.Pages, error)
