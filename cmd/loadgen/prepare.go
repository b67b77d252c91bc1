// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"crypto"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// prepared is a submission ready to go.
type prepared struct {
	raw    []byte // as it is sent, without a line end
	id     string // <iss>/<jti>
	events int
	tokens [3]token // receipt, voucher, evidence
}

// token is a compact JWS with the key that it is verified by.
type token struct {
	compact string
	alg     []jose.SignatureAlgorithm
	key     crypto.PublicKey
}

// source makes submissions to one ledger.
type source struct {
	world *dev.World
	keys  map[string]crypto.PublicKey // of PDND and its clients, by kid
}

// openSource uses the keys of a data directory of ledgerd dev. Each makes the same accesses, under other ids.
func openSource(dir, name string, s settings) (*source, error) {
	keysDir := filepath.Join(dir, devDir)
	world, err := dev.NewWorld(dev.Config{
		Dir: keysDir, Ledger: name, VoucherReuse: s.reuse, Profile: ledger.ProfileAudit01,
		Subjects: s.perReceipt, NewSubjects: s.subjects == "new",
	})
	if err != nil {
		return nil, err
	}
	src := &source{world, make(map[string]crypto.PublicKey)}
	for _, file := range []string{dev.PDNDKeysFile, dev.ClientKeysFile} {
		data, err := os.ReadFile(filepath.Join(keysDir, file))
		if err != nil {
			return nil, fmt.Errorf("couldn't read PDND's keys: %w", err)
		}
		list, err := jws.ParseKeys(data)
		if err != nil {
			return nil, fmt.Errorf("couldn't read PDND's keys: %w", err)
		}
		for _, k := range list {
			src.keys[k.Kid] = k.Public
		}
	}
	return src, nil
}

// prepare makes n submissions on all cores.
func (src *source) prepare(cmd *cobra.Command, n int) ([]prepared, error) {
	progress := cli.NewProgress(cmd, "signing submissions", int64(n))
	defer progress.Close()
	list := make([]prepared, n)
	var next atomic.Int64
	g, ctx := errgroup.WithContext(cmd.Context())
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return ctx.Err()
				}
				var err error
				if list[i], _, err = src.one(i); err != nil {
					return fmt.Errorf("couldn't prepare submission %d: %w", i, err)
				}
				progress.Add(1)
			}
		})
	}
	return list, g.Wait()
}

// one makes the i-th submission. kind tells apart what the ledger keeps
// separate counters and keys for: whose subjects, in which scope.
func (src *source) one(i int) (p prepared, kind string, err error) {
	sub, err := src.world.Submission(i)
	if err != nil {
		return p, "", err
	}
	if p.raw, err = ledger.FormatSubmission(sub); err != nil {
		return p, "", err
	}
	receipt, err := ledger.ParseReceipt(sub.Receipt)
	if err != nil {
		return p, "", err
	}
	p.id, p.events = receipt.ReceiptID(), len(sub.Subjects)
	key, ok := src.world.Key(receipt.Iss)
	if !ok {
		return p, "", fmt.Errorf("no key of %s", receipt.Iss)
	}
	p.tokens[0] = token{sub.Receipt, []jose.SignatureAlgorithm{jose.ES256}, key.Public}
	for i, compact := range []string{sub.Voucher, sub.Evidence} {
		if p.tokens[1+i], err = src.token(compact); err != nil {
			return p, "", err
		}
	}
	return p, fmt.Sprint(receipt.Role, len(sub.Subjects[0].Subject)), nil
}

func (src *source) token(compact string) (token, error) {
	algs := []jose.SignatureAlgorithm{jose.RS256}
	signed, err := jose.ParseSignedCompact(compact, algs)
	if err != nil {
		return token{}, err
	}
	key, ok := src.keys[signed.Signatures[0].Header.KeyID]
	if !ok {
		return token{}, fmt.Errorf("no key of a token")
	}
	return token{compact, algs, key}, nil
}

// warm returns submissions after which the ledger has met every subject of the
// population that "seen" ones are drawn from; for new ones, a single receipt.
func warm(dir, name string, s settings) ([]prepared, error) {
	const kinds, tries, population = 4, 64, 2_500
	s.reuse = 1
	if s.subjects == "seen" {
		s.perReceipt = max(population, s.perReceipt)
	}
	src, err := openSource(dir, name, s)
	if err != nil {
		return nil, err
	}
	var list []prepared
	met := make(map[string]bool)
	for i := 0; i < tries && len(met) < kinds; i++ {
		p, kind, err := src.one(i)
		if err != nil {
			return nil, fmt.Errorf("couldn't prepare: %w", err)
		}
		if !met[kind] {
			met[kind] = true
			list = append(list, p)
		}
		if s.subjects == "new" {
			break
		}
	}
	return list, nil
}

// verify parses and verifies the tokens of a list with go-jose on all cores,
// over and over until it took long enough to be measured. It returns how many
// receipts it verified.
func verify(list []prepared) (int, time.Duration, error) {
	const enough = 100 * time.Millisecond
	begun := time.Now()
	var next atomic.Int64
	var g errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) && time.Since(begun) >= enough {
					return nil
				}
				for _, t := range list[i%len(list)].tokens {
					signed, err := jose.ParseSignedCompact(t.compact, t.alg)
					if err == nil {
						_, err = signed.Verify(t.key)
					}
					if err != nil {
						return fmt.Errorf("couldn't verify a prepared token: %w", err)
					}
				}
			}
		})
	}
	err := g.Wait()
	return int(next.Load()) - runtime.GOMAXPROCS(0), time.Since(begun), err
}
