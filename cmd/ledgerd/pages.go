// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/browser"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/cmd/internal/web/login"
	"github.com/traccia-ledger/traccia/cmd/internal/web/notice"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// pagesMaker makes the pages that a ledger serves beside its API, at this URL.
type pagesMaker func(n *node.Node, url string, log *slog.Logger, metrics prometheus.Registerer) (*web.Pages, error)

// loginPages are the pages that citizens enter as a file says, with this verifier for browsers; without a file those that
// nobody enters, which tell what is public anyway. check says why they couldn't be made, as far as it isn't the ledger's.
func loginPages(file string, verifier func() *browser.Site) (pages pagesMaker, check func() error, err error) {
	if file == "" {
		return func(n *node.Node, _ string, log *slog.Logger, metrics prometheus.Registerer) (*web.Pages, error) {
			return web.New(web.Config{Node: n, Operator: web.Operator{Name: n.Settings.Name}, Verifier: verifier, Log: log, Metrics: metrics})
		}, func() error { return nil }, nil
	}
	settings, err := login.ReadSettings(file)
	if err != nil {
		return nil, nil, err
	}
	open := func(now func() time.Time, log *slog.Logger) (doors []web.Door, keys *login.Keys, notices notice.Sender, err error) {
		if doors, keys, err = login.Open(settings, now, log); err == nil && settings.Notices != nil {
			notices, err = notice.Open(*settings.Notices, nil)
		}
		return doors, keys, notices, err
	}
	pages = func(n *node.Node, _ string, log *slog.Logger, metrics prometheus.Registerer) (*web.Pages, error) {
		doors, keys, notices, err := open(n.Now, log)
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
			Node: n, Origin: settings.Origin, Doors: doors, Public: public, Messages: settings.Messages != nil, Operator: settings.Operator, Verifier: verifier, Notices: notices,
			Log: log, Metrics: metrics,
		})
	}
	check = func() error {
		_, _, _, err := open(time.Now, slog.New(slog.DiscardHandler))
		return err
	}
	return pages, check, nil
}

func loginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Prepare the citizens' login with SPID and CIE",
	}
	cmd.AddCommand(loginKeyCommand(), loginMetadataCommand(), loginMessagesKeyCommand(), loginMessagesCommand())
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

type messagesKeyAnswer struct {
	cli.Done
	Private string `json:"private_file"`
	Public  string `json:"public_file"`
}

func (a *messagesKeyAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s goes to the ledger, as messages.key of the login's settings. Keep %s elsewhere: it alone reads what was kept.\n", a.Public, a.Private)
}

func loginMessagesKeyCommand() *cobra.Command {
	var private, public string
	cmd := &cobra.Command{
		Use:   "messages-key --private F --public F",
		Short: "Make the keys of whoever may read the messages of logins",
		Long: `Providers of services keep the messages of logins for 24 months. The ledger seals them
for a public key; whoever holds the private one can read them, and the ledger can't.
Make it on the machine of whoever is appointed to.`,
		Example: `  ledgerd login messages-key --private messages.key --public messages.pub`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := login.NewMessagesKey(private, public); err != nil {
				return err
			}
			return cli.Print(cmd, &messagesKeyAnswer{Private: private, Public: public})
		},
	}
	cmd.Flags().StringVar(&private, "private", "", "the file to write the private key to")
	cmd.Flags().StringVar(&public, "public", "", "the file to write the public key to")
	cmd.MarkFlagRequired("private")
	cmd.MarkFlagRequired("public")
	return cmd
}

func loginMessagesCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "messages FILE --key F",
		Short: "Read the messages of a month's logins",
		Long: `Opens FILE, a month of the messages that a ledger kept, checks that no line was taken out
of its middle or changed, and prints each as one JSON object a line: the signed
request, and what came back. They name citizens: mind where they go.`,
		Example: `  ledgerd login messages logins-2026-11.ndjson --key messages.key`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("couldn't read the messages: %w", err)
			}
			defer file.Close()
			lines := json.NewEncoder(cmd.OutOrStdout())
			return login.ReadMessages(file, key, func(m login.Message) error { return lines.Encode(m) })
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "file with the private key")
	cmd.MarkFlagRequired("key")
	return cmd
}
