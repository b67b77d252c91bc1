// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/authoritykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/keyfile"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

type authorityKeyAnswer struct {
	cli.Done
	Kid        string `json:"kid"`
	KeyFile    string `json:"key_file"`
	PublicFile string `json:"public_file"`
}

func (a *authorityKeyAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "The private key is in %s: whoever has it, and what the operator hands over, reads everything. Keep it offline.\n", a.KeyFile)
	fmt.Fprintf(w, "The public key is in %s, for the ledger's operator (ledgerd authority --set). Its kid, to compare:\n%s\n", a.PublicFile, a.Kid)
}

func authorityCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "authority",
		Short: "The authority's own key, which opens what is recorded",
	}
	cmd.AddCommand(authorityKeyCommand())
	return cmd
}

func authorityKeyCommand() *cobra.Command {
	var out, passphraseFile string
	cmd := &cobra.Command{
		Use:   "key --out NAME",
		Short: "Make the authority's key pair: NAME.key and NAME.jwk",
		Long: `key makes the key pair of an authority such as the Garante. The ledger's operator
gets the public key (NAME.jwk, RFC 8037) and sets it with ledgerd authority --set;
the private key (NAME.key, mode 0600) opens what is recorded from then on, and with
it what was recorded before and isn't erased, without the operator: verifier audit
--all. Neither file is ever overwritten.

Make it on a machine that is never connected, with a passphrase. Who loses it opens
nothing any more; who copies it reads everything.`,
		Example: `  verifier authority key --out garante --passphrase-file passphrase.txt`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := makeAuthorityKey(out, passphraseFile)
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the two files, without .key and .jwk")
	cmd.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with a passphrase to protect the private key with")
	cmd.MarkFlagRequired("out")
	return cmd
}

func makeAuthorityKey(out, passphraseFile string) (*authorityKeyAnswer, error) {
	passphrase, err := keyfile.ReadPassphrase(passphraseFile)
	if err != nil {
		return nil, err
	}
	k, err := authoritykey.New()
	if err != nil {
		return nil, fmt.Errorf("couldn't make a key: %w", err)
	}
	private, err := authoritykey.Format(k, passphrase)
	if err != nil {
		return nil, err
	}
	public := [32]byte(k.PublicKey().Bytes())
	a := &authorityKeyAnswer{Kid: authoritykey.Kid(public), KeyFile: out + ".key", PublicFile: out + ".jwk"}
	// The private key first: nobody can be given a key that was lost.
	for _, file := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{{a.KeyFile, private, 0o600}, {a.PublicFile, authoritykey.FormatPublic(public), 0o644}} {
		if err := durable.Create(file.path, file.data, file.mode); errors.Is(err, fs.ErrExist) {
			return nil, cli.Usagef("%s exists and is not overwritten", file.path)
		} else if err != nil {
			return nil, fmt.Errorf("couldn't write the key: %w", err)
		}
	}
	return a, nil
}
