// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/cmd/internal/web/login"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// pagesMaker makes the pages that a ledger serves beside its API, at this URL.
type pagesMaker func(n *node.Node, url string, log *slog.Logger, metrics prometheus.Registerer) (*web.Pages, error)

// loginPages are the pages that citizens enter as a file says; none without one.
func loginPages(file string) (pagesMaker, error) {
	if file == "" {
		return nil, nil
	}
	settings, err := login.ReadSettings(file)
	if err != nil {
		return nil, err
	}
	return func(n *node.Node, _ string, log *slog.Logger, metrics prometheus.Registerer) (*web.Pages, error) {
		doors, keys, err := login.Open(settings, n.Now, log)
		if err != nil {
			return nil, err
		}
		public := map[string][]byte{}
		for name, document := range map[string]any{"jwks.json": keys.Public(), "metadata.json": settings.Metadata(keys)} {
			if public[name], err = json.Marshal(document); err != nil {
				return nil, err
			}
		}
		return web.New(web.Config{
			Node: n, Origin: settings.Origin, Doors: doors, Public: public, Operator: settings.Operator, Log: log, Metrics: metrics,
		})
	}, nil
}

func loginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Prepare the citizens' login with SPID and CIE",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(loginKeyCommand(), loginMetadataCommand())
	return cmd
}

// loginKeyAnswer says which keys are there.
type loginKeyAnswer struct {
	cli.Done
	File string   `json:"file"`
	Kids []string `json:"kids"` // the newest first
}

func (a *loginKeyAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s has %d keys; the first two are new. Serve the ledger anew, and tell the providers: ledgerd login metadata.\n", a.File, len(a.Kids))
}

func loginKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "key FILE",
		Short: "Make keys for speaking to providers of identity",
		Long: `Adds a key for signing and one for encryption to the file of keys that FILE, the
login's settings, names, and makes it if it isn't there. Requests are signed with
the newest; what was encrypted for an older one is still opened. Take old ones out
once every provider has read the new.`,
		Example: `  ledgerd login key /etc/traccia/login.json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := login.ReadSettings(args[0])
			if err != nil {
				return err
			}
			keys, err := login.NewKeys(settings.Keys)
			if err != nil {
				return err
			}
			a := &loginKeyAnswer{File: settings.Keys}
			for _, key := range keys.Public().Keys {
				a.Kids = append(a.Kids, key.KeyID)
			}
			return cli.Print(cmd, a)
		},
	}
}

type loginMetadataAnswer struct {
	cli.Done
	Metadata map[string]any `json:"metadata"`
}

func (a *loginMetadataAnswer) Text(w io.Writer) {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(a.Metadata)
}

func loginMetadataCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "metadata FILE",
		Short: "Print what providers of identity have to know about this ledger",
		Long: `Prints the metadata of the ledger as a relying party of OpenID Connect, with its
public keys: what is registered with a provider, or goes into its entry in a
federation as openid_relying_party. A ledger that serves shows the same at
/entra/metadata.json.`,
		Example: `  ledgerd login metadata /etc/traccia/login.json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := login.ReadSettings(args[0])
			if err != nil {
				return err
			}
			keys, err := login.ReadKeys(settings.Keys)
			if err != nil {
				return err
			}
			return cli.Print(cmd, &loginMetadataAnswer{Metadata: settings.Metadata(keys)})
		},
	}
}
