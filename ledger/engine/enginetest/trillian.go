// SPDX-License-Identifier: EUPL-1.2

package enginetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/integration"
	"github.com/google/trillian/integration/storagetest"
	"github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/testonly"
	"github.com/google/trillian/util/clock"
	"github.com/google/trillian/util/election2"
	"google.golang.org/grpc"

	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/store/storetest"
)

func openStore(t *testing.T, f storetest.Factory) store.Store {
	t.Helper()
	s := f.Open(t)
	t.Cleanup(func() { s.Close() })
	return s
}

func newEngine(t *testing.T, s store.Store) *engine.Engine {
	t.Helper()
	e, err := engine.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// runTrillian runs the suites that Trillian's own storages pass.
func runTrillian(t *testing.T, f func(t *testing.T) storetest.Factory) {
	t.Run("LogStorage", func(t *testing.T) {
		storagetest.RunLogStorageTests(t, func(_ context.Context, t *testing.T) (storage.LogStorage, storage.AdminStorage) {
			e := newEngine(t, openStore(t, f(t)))
			return e.LogStorage(), e.AdminStorage()
		})
	})
	t.Run("AdminStorage", func(t *testing.T) {
		(&testonly.AdminStorageTester{NewAdminStorage: func() storage.AdminStorage {
			return newEngine(t, openStore(t, f(t))).AdminStorage()
		}}).RunAllTests(t)
	})
	t.Run("LogIntegration", func(t *testing.T) {
		e := newEngine(t, openStore(t, f(t)))
		client := newClient(e)
		tree, err := storage.CreateTree(t.Context(), e.AdminStorage(), testonly.LogTree)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.server.InitLog(t.Context(), &trillian.InitLogRequest{LogId: tree.TreeId}); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		signed := make(chan error, 1)
		go func() {
			for {
				select {
				case <-stop:
					signed <- nil
					return
				case <-time.After(5 * time.Millisecond):
				}
				if _, err := integrate(context.Background(), e, tree, 100); err != nil {
					signed <- err
					return
				}
			}
		}()
		params := integration.DefaultTestParameters(tree.TreeId)
		params.SequencingPollWait = 20 * time.Millisecond
		if err := integration.RunLogIntegration(client, params); err != nil {
			t.Error(err)
		}
		close(stop)
		if err := <-signed; err != nil {
			t.Errorf("the signer stopped: %v", err)
		}
	})
}

func integrate(ctx context.Context, e *engine.Engine, tree *trillian.Tree, limit int) (int, error) {
	return log.IntegrateBatch(ctx, tree, limit, 0, 0, clock.System, e.LogStorage(), quota.Noop())
}

// client calls the server's methods without a socket.
type client struct {
	trillian.TrillianLogClient // nil: the suite calls nothing else
	server                     *server.TrillianLogRPCServer
}

func newClient(e *engine.Engine) *client {
	return &client{server: server.NewTrillianLogRPCServer(extension.Registry{
		AdminStorage:    e.AdminStorage(),
		LogStorage:      e.LogStorage(),
		QuotaManager:    quota.Noop(),
		ElectionFactory: election2.NoopFactory{},
	}, clock.System)}
}

func (c *client) QueueLeaf(ctx context.Context, r *trillian.QueueLeafRequest, _ ...grpc.CallOption) (*trillian.QueueLeafResponse, error) {
	return c.server.QueueLeaf(ctx, r)
}

func (c *client) GetLatestSignedLogRoot(ctx context.Context, r *trillian.GetLatestSignedLogRootRequest, _ ...grpc.CallOption) (*trillian.GetLatestSignedLogRootResponse, error) {
	return c.server.GetLatestSignedLogRoot(ctx, r)
}

func (c *client) GetLeavesByRange(ctx context.Context, r *trillian.GetLeavesByRangeRequest, _ ...grpc.CallOption) (*trillian.GetLeavesByRangeResponse, error) {
	return c.server.GetLeavesByRange(ctx, r)
}

func (c *client) GetInclusionProof(ctx context.Context, r *trillian.GetInclusionProofRequest, _ ...grpc.CallOption) (*trillian.GetInclusionProofResponse, error) {
	return c.server.GetInclusionProof(ctx, r)
}

func (c *client) GetInclusionProofByHash(ctx context.Context, r *trillian.GetInclusionProofByHashRequest, _ ...grpc.CallOption) (*trillian.GetInclusionProofByHashResponse, error) {
	return c.server.GetInclusionProofByHash(ctx, r)
}

func (c *client) GetConsistencyProof(ctx context.Context, r *trillian.GetConsistencyProofRequest, _ ...grpc.CallOption) (*trillian.GetConsistencyProofResponse, error) {
	return c.server.GetConsistencyProof(ctx, r)
}
