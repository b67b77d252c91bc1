// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"context"
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
)

// BenchmarkIngest records receipts of one subject each (EdDSA, one RS256
// voucher for all), 256 at once, with fsync and without HTTP. ratio is to how
// many receipts go-jose verifies in the same run, both tokens of each on all
// cores. What the project aims at is measured by cmd/loadgen instead.
func BenchmarkIngest(b *testing.B) {
	l := newLedger(b, node.Options{})
	defer l.Close()
	set, err := os.ReadFile(filepath.Join(l.dir, nodetest.Settings().PDND.VoucherKeys[0]))
	if err != nil {
		b.Fatal(err)
	}
	pdnd, err := jws.ParseKeys(set)
	if err != nil {
		b.Fatal(err)
	}
	raws, receipts := make([][]byte, b.N), make([]*ledger.SignedReceipt, b.N)
	var voucher string
	for i := range raws {
		raws[i] = l.world.Make(b, i, nodetest.Access{Subjects: 1, First: i % 40})
		sub, err := ledger.ParseSubmission(raws[i])
		if err != nil {
			b.Fatal(err)
		}
		if receipts[i], err = ledger.ParseReceipt(sub.Receipt); err != nil {
			b.Fatal(err)
		}
		voucher = sub.Voucher
	}

	b.ResetTimer()
	ingest := share(b, 256, func(i int) error {
		_, _, err := l.Submit(context.Background(), raws[i])
		return err
	})
	b.StopTimer()
	verification := share(b, runtime.GOMAXPROCS(0), func(i int) error {
		err := verify(receipts[i].Compact, jose.EdDSA, nodetest.Key(receipts[i].Iss, 0).Public)
		return errors.Join(err, verify(voucher, jose.RS256, pdnd[0].Public))
	})
	b.ReportMetric(verification.Seconds()/ingest.Seconds(), "ratio")
}

func verify(token string, alg jose.SignatureAlgorithm, key crypto.PublicKey) error {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{alg})
	if err == nil {
		_, err = signed.Verify(key)
	}
	return err
}

// share has so many goroutines do 0 … b.N−1 and says how long they took.
func share(b *testing.B, goroutines int, do func(i int) error) time.Duration {
	b.Helper()
	begun := time.Now()
	var next atomic.Int64
	var g errgroup.Group
	for range goroutines {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return nil
				}
				if err := do(i); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}
