// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/authoritykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/node"
)

type authorityAnswer struct {
	cli.Done
	Kid     string `json:"kid"`     // thumbprint of the authority's key, "" without one
	Changed bool   `json:"changed"` // by this call: it takes effect at the next start
}

func (a *authorityAnswer) Text(w io.Writer) {
	if a.Kid == "" {
		fmt.Fprintln(w, "no authority opens what is recorded here")
	} else {
		fmt.Fprintf(w, "what is recorded here opens for the authority with the key %s\n", a.Kid)
	}
	if a.Changed {
		fmt.Fprintln(w, "The ledger does so from its next start on: it then goes once through all sealing keys.")
	}
}

func authorityCommand() *cobra.Command {
	var data, set string
	var remove bool
	cmd := &cobra.Command{
		Use:   "authority --data DIR [--set FILE | --remove]",
		Short: "Say for which authority sealing keys are wrapped, or set it",
		Long: `With an authority's public key in the configuration, every key that seals events
and private parts is wrapped for that authority too, who opens what ledgerd export
--authority hands over offline, without the operator. What it opens so is recorded
nowhere. There is none unless it is set here.

FILE is the public key that verifier authority key writes (.jwk). Compare its kid
with the authority by another way before you set it. The next start of the ledger
wraps all keys that still open for it; with --remove it takes the wraps away.`,
		Example: `  ledgerd authority --data /var/lib/traccia
  ledgerd authority --data /var/lib/traccia --set garante.jwk
  ledgerd authority --data /var/lib/traccia --remove`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := runAuthority(data, set, remove)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	cmd.Flags().StringVar(&data, "data", "traccia-data", "the ledger's directory")
	cmd.Flags().StringVar(&set, "set", "", "file with the authority's public key")
	cmd.Flags().BoolVar(&remove, "remove", false, "take the authority's key out of the configuration")
	cmd.MarkFlagsMutuallyExclusive("set", "remove")
	cmd.MarkFlagDirname("data")
	cmd.MarkFlagFilename("set", "jwk")
	return cmd
}

const maxPublicKey = 4096

func runAuthority(data, set string, remove bool) (*authorityAnswer, error) {
	switch {
	case set != "":
		text, err := cli.ReadFile(set, maxPublicKey)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the authority's key: %w", err)
		}
		public, err := authoritykey.ParsePublic(text)
		if err != nil {
			return nil, cli.Usagef("--set %s: %w", set, err)
		}
		if err := node.SetAuthority(data, &public); err != nil {
			return nil, err
		}
	case remove:
		if err := node.SetAuthority(data, nil); err != nil {
			return nil, err
		}
	}
	s, err := node.ReadSettings(data)
	if err != nil {
		return nil, err
	}
	public, err := s.Authority()
	if err != nil {
		return nil, err
	}
	a := &authorityAnswer{Changed: set != "" || remove}
	if public != nil {
		a.Kid = authoritykey.Kid(*public)
	}
	return a, nil
}
