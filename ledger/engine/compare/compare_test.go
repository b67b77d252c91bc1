// SPDX-License-Identifier: EUPL-1.2

// Package compare puts the same leaves into one PostgreSQL through our store and
// through Trillian's two SQL storages, one after the other. It is a module of its
// own, for what those two import.
//
//	go test -bench . -benchtime 20000x
package compare

import (
	"context"
	"database/sql"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/trillian"
	"github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/crdb"
	"github.com/google/trillian/storage/postgresql"
	"github.com/google/trillian/storage/testonly"
	"github.com/google/trillian/types"
	"github.com/google/trillian/util/clock"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/postgres"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// batch is how many leaves a commit has.
const batch = 1024

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// leaves returns n leaves of 150 bytes, the same each time.
func leaves(n int) [][]byte {
	random := rand.NewChaCha8([32]byte{1})
	all := make([][]byte, n)
	for i := range all {
		all[i] = make([]byte, 150)
		random.Read(all[i])
		binary.BigEndian.PutUint64(all[i], uint64(i))
	}
	return all
}

// a log takes leaves and integrates them.
type appender func(ctx context.Context, leaves [][]byte) error

var storages = []struct {
	name string
	open func(t testing.TB, s *pgtest.Server) appender
}{
	{"ours", ours},
	{"trillian-postgresql", trillianPostgreSQL},
	{"trillian-crdb", trillianCRDB},
}

// BenchmarkAppend counts leaves.
func BenchmarkAppend(b *testing.B) {
	for _, s := range storages {
		b.Run(s.name, func(b *testing.B) {
			add := s.open(b, pgtest.Postgres(b))
			all := leaves(b.N)
			b.ResetTimer()
			for at := 0; at < len(all); at += batch {
				if err := add(b.Context(), all[at:min(at+batch, len(all))]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
		})
	}
}

// TestAppend: what is compared works.
func TestAppend(t *testing.T) {
	for _, s := range storages {
		t.Run(s.name, func(t *testing.T) {
			if err := s.open(t, pgtest.Postgres(t))(t.Context(), leaves(20)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func ours(t testing.TB, s *pgtest.Server) appender {
	a, err := postgres.ParseAddress(s.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	st, err := postgres.Create(t.Context(), a, postgres.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	e, err := engine.New(st)
	if err != nil {
		t.Fatal(err)
	}
	shard, err := e.CreateShard(t.Context(), 2026)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, leaves [][]byte) error {
		_, err := shard.Append(ctx, leaves, nil)
		return err
	}
}

func trillianPostgreSQL(t testing.TB, s *pgtest.Server) appender {
	text := withSchema(t, s, "postgresql", strings.NewReplacer())
	pool, err := pgxpool.New(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return queued(t, postgresql.NewLogStorage(pool, nil), postgresql.NewAdminStorage(pool))
}

// trillianCRDB runs Trillian's storage for CockroachDB on PostgreSQL, whose word
// for BYTES is another.
func trillianCRDB(t testing.TB, s *pgtest.Server) appender {
	text := withSchema(t, s, "crdb", strings.NewReplacer(" BYTES", " BYTEA"))
	db, err := sql.Open("postgres", text+"&sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return queued(t, crdb.NewLogStorage(db, nil), crdb.NewSQLAdminStorage(db))
}

// withSchema makes the tables of one of Trillian's storages, and returns their URL.
func withSchema(t testing.TB, s *pgtest.Server, name string, words *strings.Replacer) string {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/trillian").Output()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "storage", name, "schema", "storage.sql"))
	if err != nil {
		t.Fatal(err)
	}
	text := s.Database(t)
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "SET search_path = "+u.Query().Get("search_path")+"; "+words.Replace(string(schema)))
	return text
}

// queued is Trillian's way: leaves go to a queue, and from there into the tree.
func queued(t testing.TB, ls storage.LogStorage, as storage.AdminStorage) appender {
	log.InitMetrics(nil)
	tree, err := storage.CreateTree(t.Context(), as, testonly.LogTree)
	if err != nil {
		t.Fatal(err)
	}
	root, err := (&types.LogRootV1{RootHash: rfc6962.DefaultHasher.EmptyRoot(), TimestampNanos: 1}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := ls.ReadWriteTransaction(t.Context(), tree, func(ctx context.Context, tx storage.LogTreeTX) error {
		return tx.StoreSignedLogRoot(ctx, &trillian.SignedLogRoot{LogRoot: root})
	}); err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, leaves [][]byte) error {
		all := make([]*trillian.LogLeaf, len(leaves))
		for i, leaf := range leaves {
			hash := rfc6962.DefaultHasher.HashLeaf(leaf)
			all[i] = &trillian.LogLeaf{LeafValue: leaf, MerkleLeafHash: hash, LeafIdentityHash: hash}
		}
		if _, err := ls.QueueLeaves(ctx, tree, all, clock.System.Now()); err != nil {
			return err
		}
		for done := 0; done < len(leaves); {
			n, err := log.IntegrateBatch(ctx, tree, len(leaves), 0, 0, clock.System, ls, quota.Noop())
			if err != nil {
				return err
			}
			done += n
		}
		return nil
	}
}
