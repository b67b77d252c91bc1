// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// bodyAnswer says which record was written. With several keys in one file,
// kids lists them all and kid is the first.
type bodyAnswer struct {
	cli.Done
	Body        string   `json:"body"`
	Kid         string   `json:"kid,omitempty"`
	Kids        []string `json:"kids,omitempty"`
	RecordIndex uint64   `json:"record_index"`
	done        string
}

func (a *bodyAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s %s", a.Body, a.done)
	if len(a.Kids) > 0 {
		fmt.Fprintf(w, " %s", strings.Join(a.Kids, ", "))
	}
	fmt.Fprintf(w, ": record %d of the log\n", a.RecordIndex)
}

func bodyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "body",
		Short: "Register bodies and their keys",
		Long: `Bodies and keys are public records in the log: everyone sees who was admitted,
with which key, on whose word. Log order decides: a key counts for receipts
recorded after its record and before its revocation, whatever their date.`,
	}
	cmd.AddCommand(bodyAddCommand(), bodyListCommand(), keyAddCommand(), keyRevokeCommand())
	return cmd
}

func bodyAddCommand() *cobra.Command {
	var flags ledgerFlags
	var body registry.Body
	var jwks string
	cmd := &cobra.Command{
		Use:   "add --id ID --name NAME",
		Short: "Register a body, with its first keys if given",
		Example: `  ledgerd body add --id c_a944 --name "Comune di Bologna" \
    --tenant 1d19a0bd-6d5b-4c1c-9d3f-0d6f1a2b3c4d --jwks c_a944.jwks \
    --attribute "Comuni e loro Consorzi e Associazioni"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.CheckID("--id", body.ID); err != nil {
				return err
			}
			if body.Name == "" {
				body.Name = body.ID
			}
			var keys *addKeys
			if jwks != "" {
				var err error
				if keys, err = readKeys(body.ID, jwks); err != nil {
					return err
				}
			}
			reply, err := adminDo(cmd, &flags, adminCall{AddBody: &body})
			if err != nil {
				return err
			}
			answer := &bodyAnswer{Body: body.ID, RecordIndex: reply.Index, done: "registered"}
			if keys != nil {
				added, err := adminDo(cmd, &flags, adminCall{AddKeys: keys})
				if err != nil {
					return err
				}
				answer.Kid, answer.Kids, answer.done = added.Kids[0], added.Kids, "registered with key"
			}
			return cli.Print(cmd, answer)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&body.ID, "id", "", "the body's id: 1 to 64 of [a-z0-9_-]")
	cmd.Flags().StringVar(&body.Name, "name", "", "its name, as PDND writes it (default: the id)")
	cmd.Flags().StringVar(&body.Tenant, "tenant", "", "its PDND tenant uuid: tokens are then checked against it")
	cmd.Flags().StringArrayVar(&body.Attributes, "attribute", nil, "an attribute of the body's in PDND, as its open data write it; policies ask for them; may be repeated")
	cmd.Flags().StringVar(&jwks, "jwks", "", "JWK set with its first keys")
	return cmd
}

func keyAddCommand() *cobra.Command {
	var flags ledgerFlags
	var id, jwks string
	var word bool
	cmd := &cobra.Command{
		Use:   "key-add --id ID --jwks FILE",
		Short: "Register further keys of a body",
		Long: `Registers the keys of a JWK set. Where the body has a key in force, each new key
carries a proof signed by it, in the member "proof" beside the key (agency key
new --signed-by makes it). Without one the record would rest on the operator's
word alone, would say so for ever, and monitors would ask: --operator-word
insists.`,
		Example: `  agency key new --body c_a944 --out keys-2027 --signed-by keys-2026/c_a944.key --ledger registro.example
  ledgerd body key-add --id c_a944 --jwks keys-2027/c_a944.jwks`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.CheckID("--id", id); err != nil {
				return err
			}
			if jwks == "" {
				return cli.WrongFlag("--jwks", "a file with a JWK set", "nothing")
			}
			keys, err := readKeys(id, jwks)
			if err != nil {
				return err
			}
			keys.OperatorWord = word
			reply, err := adminDo(cmd, &flags, adminCall{AddKeys: keys})
			if err != nil {
				return err
			}
			return cli.Print(cmd, &bodyAnswer{Body: id, Kid: reply.Kids[0], Kids: reply.Kids, RecordIndex: reply.Index, done: "has a new key"})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&id, "id", "", "the body's id")
	cmd.Flags().StringVar(&jwks, "jwks", "", "JWK set with the keys")
	cmd.Flags().BoolVar(&word, "operator-word", false, "register a further key on the operator's word alone")
	return cmd
}

func keyRevokeCommand() *cobra.Command {
	var flags ledgerFlags
	var call revokeKey
	cmd := &cobra.Command{
		Use:   "key-revoke --id ID --kid KID|--all",
		Short: "Revoke a key of a body, or all",
		Long: `Ends a key at this place of the log. What was recorded before still verifies;
nothing recorded after does. With --all no key of the body is left in force: it
records nothing any more until another is registered.`,
		Example: `  ledgerd body key-revoke --id c_a944 --kid Zk3hN0 --reason "laptop stolen"
  ledgerd body key-revoke --id c_a944 --all --reason "merged into c_b012"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.CheckID("--id", call.Body); err != nil {
				return err
			}
			if (call.Kid == "") != call.All {
				found := "neither"
				if call.All {
					found = "both"
				}
				return cli.WrongFlag("--kid", "a key's kid, or --all", found)
			}
			reply, err := adminDo(cmd, &flags, adminCall{RevokeKey: &call})
			if err != nil {
				return err
			}
			return cli.Print(cmd, &bodyAnswer{Body: call.Body, Kid: reply.Kids[0], Kids: reply.Kids, RecordIndex: reply.Index, done: "no longer signs with"})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&call.Body, "id", "", "the body's id")
	cmd.Flags().StringVar(&call.Kid, "kid", "", "the key's kid")
	cmd.Flags().BoolVar(&call.All, "all", false, "every key in force")
	cmd.Flags().StringVar(&call.Reason, "reason", "", "why, in public")
	return cmd
}

type listAnswer struct {
	cli.Done
	Bodies []listedBody `json:"bodies"`
}

func (a *listAnswer) Text(w io.Writer) {
	for _, b := range a.Bodies {
		fmt.Fprintf(w, "%s\t%s\n", b.ID, b.Name)
		if b.Providers != nil {
			fmt.Fprintf(w, "\tscope: speaks for %s\n", strings.Join(b.Providers, ", "))
		}
		for _, k := range b.Keys {
			fmt.Fprintf(w, "\tkey %s %s, record %d, on the word of: %s", k.Kid, k.Alg, k.Index, k.Basis)
			if k.Revoked {
				fmt.Fprintf(w, ", revoked (%s)", k.Reason)
			}
			fmt.Fprintln(w)
		}
	}
}

func bodyListCommand() *cobra.Command {
	var flags ledgerFlags
	var id string
	cmd := &cobra.Command{
		Use: "list [--id ID]", Short: "List the bodies, their keys and scopes",
		Example: `  ledgerd body list --data /var/lib/traccia --json
  ledgerd body list --id c_a944`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			reply, err := adminDo(cmd, &flags, adminCall{List: true})
			if err != nil {
				return err
			}
			others := func(b listedBody) bool { return id != "" && b.ID != id }
			return cli.Print(cmd, &listAnswer{Bodies: slices.DeleteFunc(reply.Bodies, others)})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&id, "id", "", "only this body")
	return cmd
}

func scopeCommand() *cobra.Command {
	var flags ledgerFlags
	var scope registry.Scope
	cmd := &cobra.Command{Use: "scope", Short: "Say who speaks for which providers"}
	set := &cobra.Command{
		Use:   "set --id ID --providers ID,…",
		Short: "Name the providers that a recording party speaks for",
		Long: `A scope is a party that runs a recording gateway and keeps the running numbers:
INPS's hub, a region, a software house for its municipalities. Its record names
the providers it speaks for, itself included, from the next event on.`,
		Example: `  ledgerd scope set --id inps --providers inps,c_a944`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.CheckID("--id", scope.ID); err != nil {
				return err
			}
			reply, err := adminDo(cmd, &flags, adminCall{SetScope: &scope})
			if err != nil {
				return err
			}
			return cli.Print(cmd, &bodyAnswer{Body: scope.ID, RecordIndex: reply.Index, done: "speaks for " + strings.Join(scope.Providers, ", ")})
		},
	}
	flags.add(set)
	set.Flags().StringVar(&scope.ID, "id", "", "the party's id")
	set.Flags().StringSliceVar(&scope.Providers, "providers", nil, "ids of the providers")
	cmd.AddCommand(set)
	return cmd
}

// readKeys reads a JWK set and the proofs beside its keys.
func readKeys(body, path string) (*addKeys, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the keys: %w", err)
	}
	var set struct {
		Keys []struct {
			Proof string `json:"proof"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil || len(set.Keys) == 0 {
		return nil, cli.Usagef("%s: expected a JWK set with at least one key", path)
	}
	keys := &addKeys{Body: body, JWKS: data}
	for _, k := range set.Keys {
		keys.Proofs = append(keys.Proofs, k.Proof)
	}
	return keys, nil
}
