// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/keyfile"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

type keyNewFlags struct {
	body, out, alg, passphraseFile         string
	signedBy, signedByPassphrase, ledgerOf string
}

type keyNewAnswer struct {
	cli.Done
	Kid      string `json:"kid"`
	JWKSFile string `json:"jwks_file"`
	KeyFile  string `json:"key_file"`
	Body     string `json:"body"`
	Alg      string `json:"alg"`
	Proof    bool   `json:"proof"` // the JWKS file carries one
}

func (a *keyNewAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "new %s key of %s, kid %s\n", a.Alg, a.Body, a.Kid)
	fmt.Fprintf(w, "private key: %s (keep it secret, back it up)\n", a.KeyFile)
	fmt.Fprintf(w, "public key:  %s (give it to the ledger's operator)\n", a.JWKSFile)
	if !a.Proof {
		fmt.Fprintln(w, "without --signed-by the ledger shows this key as registered on its operator's word")
	}
}

func keyNewCommand() *cobra.Command {
	var f keyNewFlags
	cmd := &cobra.Command{
		Use:   "new --body ID --out DIR",
		Short: "Make a signing key for a body",
		Long: `new makes a signing key and writes two files, never over others:

  DIR/<body>-<start of kid>.key        the private key, mode 0600
  DIR/<body>-<start of kid>.jwks.json  the public key, a JWK set to be registered

The ledger's operator registers the JWK set (ledgerd body add --jwks, or body
key-add --jwks). A body's first key rests on the operator's word, and the ledger
shows it so. A further key should be signed by one already in force: --signed-by
puts a proof into the JWK set that the ledger verifies and records.

The key file is text: a line traccia-agency-key/1, the lines "kid: …" and
"body: …", then the key as PKCS#8 in PEM. With --passphrase-file the key is
encrypted (argon2id, XChaCha20-Poly1305) in a block of its own kind.`,
		Example: `  agency key new --body c_a944 --out keys
  agency key new --body c_a944 --out keys --alg EdDSA --passphrase-file passphrase.txt
  agency key new --body c_a944 --out keys --signed-by keys/c_a944-NzbLsXh8.key --ledger registro.example`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.run()
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.body, "body", "", "the body's id in the ledger, such as c_a944")
	flags.StringVar(&f.out, "out", "", "directory for the two files, made if missing")
	flags.StringVar(&f.alg, "alg", jws.ES256, "algorithm: ES256, EdDSA or RS256")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "file with a passphrase to protect the private key with")
	flags.StringVar(&f.signedBy, "signed-by", "", "key file of the body's key in force that vouches for the new one")
	flags.StringVar(&f.signedByPassphrase, "signed-by-passphrase-file", "", "file with the passphrase of the --signed-by key")
	flags.StringVar(&f.ledgerOf, "ledger", "", "name of the ledger that the proof is for, such as registro.example")
	cmd.MarkFlagRequired("body")
	cmd.MarkFlagRequired("out")
	cmd.MarkFlagsRequiredTogether("signed-by", "ledger")
	cmd.MarkFlagDirname("out")
	cmd.MarkFlagFilename("signed-by", "key")
	cmd.RegisterFlagCompletionFunc("alg", cobra.FixedCompletions([]string{jws.ES256, jws.EdDSA, jws.RS256}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *keyNewFlags) run() (*keyNewAnswer, error) {
	if err := cli.CheckID("--body", f.body); err != nil {
		return nil, err
	}
	var old *agencykey.Key
	if f.signedBy != "" {
		if err := ledger.CheckName(f.ledgerOf); err != nil {
			return nil, cli.Usagef("--ledger: %w", err)
		}
		var err error
		if old, err = agencykey.Read(f.signedBy, f.signedByPassphrase); err != nil {
			return nil, err
		}
		if old.Body != f.body {
			return nil, cli.WrongFlag("--signed-by", "a key of "+f.body, "one of "+old.Body)
		}
	}
	passphrase, err := keyfile.ReadPassphrase(f.passphraseFile)
	if err != nil {
		return nil, err
	}
	k, err := agencykey.New(f.body, f.alg)
	if err != nil {
		return nil, err
	}
	private, err := agencykey.Format(k, passphrase)
	if err != nil {
		return nil, err
	}
	public, err := formatJWKS(k, old, f.ledgerOf)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(f.out, f.body+"-"+k.Kid[:8])
	a := &keyNewAnswer{Kid: k.Kid, KeyFile: base + ".key", JWKSFile: base + ".jwks.json", Body: f.body, Alg: k.Alg, Proof: old != nil}
	if err := os.MkdirAll(f.out, 0o700); err != nil {
		return nil, fmt.Errorf("couldn't make the directory: %w", err)
	}
	// The private key first: nobody can register a key that was lost.
	if err := createKeyFile(a.KeyFile, private, 0o600); err != nil {
		return nil, err
	}
	return a, createKeyFile(a.JWKSFile, public, 0o644)
}

func createKeyFile(path string, data []byte, mode os.FileMode) error {
	err := durable.Create(path, data, mode)
	if errors.Is(err, fs.ErrExist) {
		return cli.Usagef("%s exists and is not overwritten", path)
	}
	if err != nil {
		return fmt.Errorf("couldn't write the key: %w", err)
	}
	return nil
}

// formatJWKS writes a JWK set of one key and, when an old key vouches for it,
// the proof beside its members:
//
//	{"keys":[{"alg":"ES256",…,"proof":"eyJ…"}]}
//
// The proof is a compact JWS of typ traccia-key+jwt by the old key over
// registry.KeyStatement.
func formatJWKS(k, old *agencykey.Key, ledgerName string) ([]byte, error) {
	jwk, err := jws.FormatKey(k.Key)
	if err != nil {
		return nil, fmt.Errorf("couldn't format the public key: %w", err)
	}
	var members map[string]string
	if err := json.Unmarshal(jwk, &members); err != nil {
		return nil, fmt.Errorf("couldn't format the public key: %w", err)
	}
	if old != nil {
		if members["proof"], err = prove(k, old, ledgerName); err != nil {
			return nil, err
		}
	}
	data, err := json.MarshalIndent(map[string]any{"keys": []any{members}}, "", "  ")
	return append(data, '\n'), err
}

func prove(k, old *agencykey.Key, ledgerName string) (string, error) {
	thumbprint, err := jws.Thumbprint(k.Public)
	if err != nil {
		return "", fmt.Errorf("couldn't prove the key: %w", err)
	}
	statement, err := json.Marshal(registry.KeyStatement{Aud: ledgerName, Body: k.Body, Kid: k.Kid, Thumbprint: thumbprint})
	if err != nil {
		return "", fmt.Errorf("couldn't prove the key: %w", err)
	}
	proof, err := jws.Sign(registry.KeyProofType, statement, old.Kid, old.Signer)
	if err != nil {
		return "", fmt.Errorf("couldn't prove the key: %w", err)
	}
	return proof, nil
}
