// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
	"github.com/traccia-ledger/traccia/cmd/internal/serving"
)

func serveCommand() *cobra.Command {
	var readyFile string
	cmd := &cobra.Command{
		Use:   "serve CONFIG",
		Short: "Stand before the provider's e-services",
		Long: `serve takes calls until SIGINT or SIGTERM, and then ends those under way. SIGHUP reads
CONFIG and the files that it names again; one with a fault is refused and told, and the
old one stays. Certificate, signing key, tokens' keys and e-services change so; what else
changes with a restart alone is told too.

The memory that CONFIG names is made once, by gateway init.

On the metrics address: /metrics, and /ready, which says 200 while calls are taken.`,
		Example: `  gateway init /etc/traccia/gateway.yaml
  gateway serve /etc/traccia/gateway.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			return service.Serve(cmd.Context(), args[0], log, hup, func(r service.Ready) error { return serving.WriteReady(readyFile, r) })
		},
	}
	cmd.Flags().StringVar(&readyFile, "ready-file", "", "file to write once calls are taken, as JSON")
	return cmd
}
