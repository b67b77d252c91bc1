// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/monitor"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
)

// devWitness is a witness and a monitor that run beside the sample ledger, in the
// same process and by the same operator: they show what such do, so that a sample
// history comes out complete, and prove nothing.
type devWitness struct {
	witness, monitor devCosigner
	log              nodeLog
	follow           *monitor.Monitor
	following        sync.WaitGroup
	stop             context.CancelFunc
}

// devCosigner is a key and where it answers.
type devCosigner struct {
	vkey     string
	keyFile  string
	listener net.Listener
	server   *http.Server
}

// samplePolicy is what the sample policy begins with.
const samplePolicy = `# A sample: this witness and this monitor run inside the ledger that they watch.
# They prove nothing about independence; a real policy names others' keys.
`

// startWitness opens the two, making their keys the first time. They know the log
// once watch is called.
func startWitness(dir string) (*devWitness, error) {
	w := &devWitness{stop: func() {}}
	var err error
	if w.witness, err = openCosigner(dir, "witness"); err != nil {
		return nil, err
	}
	if w.monitor, err = openCosigner(dir, "monitor"); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func openCosigner(dir, kind string) (c devCosigner, err error) {
	c.keyFile = filepath.Join(dir, kind+".key")
	vkeyFile := filepath.Join(dir, kind+".vkey")
	if _, err := os.Stat(vkeyFile); errors.Is(err, fs.ErrNotExist) {
		skey, vkey, err := witness.NewKey(kind + "." + devName)
		if err == nil {
			err = durable.Replace(c.keyFile, []byte(skey+"\n"), 0o600)
		}
		if err == nil {
			err = durable.Replace(vkeyFile, []byte(vkey+"\n"), 0o644)
		}
		if err != nil {
			return c, fmt.Errorf("couldn't make the sample %s's key: %w", kind, err)
		}
	}
	vkey, err := os.ReadFile(vkeyFile)
	if err != nil {
		return c, fmt.Errorf("couldn't read the sample %s's key: %w", kind, err)
	}
	c.vkey = strings.TrimSpace(string(vkey))
	if c.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return c, fmt.Errorf("couldn't listen for the sample %s: %w", kind, err)
	}
	return c, nil
}

func (c *devCosigner) url() string { return "http://" + c.listener.Addr().String() }

func (c *devCosigner) serve(h http.Handler) {
	c.server = &http.Server{Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	go c.server.Serve(c.listener)
}

func (c *devCosigner) close() {
	if c.server != nil {
		c.server.Close()
	}
	if c.listener != nil {
		c.listener.Close()
	}
}

// watch starts to cosign the log with this verifier key, and writes the policy
// that trusts both. The monitor puts the ledger off until attach is called.
func (w *devWitness) watch(dir, logKeyFile, policyFile string) error {
	file, err := os.ReadFile(logKeyFile)
	if err != nil {
		return fmt.Errorf("couldn't read the log's key: %w", err)
	}
	logs, err := checkpoint.ParseKeys(file)
	if err != nil {
		return fmt.Errorf("couldn't read the log's key: %w", err)
	}
	signer, err := witness.ReadKey(w.witness.keyFile)
	if err != nil {
		return err
	}
	policy := &checkpoint.Policy{
		Witnesses: []checkpoint.Witness{{Name: "sample-witness", VKey: w.witness.vkey, URL: w.witness.url()}},
		K:         1,
		Monitors:  []checkpoint.Witness{{Name: "sample-monitor", VKey: w.monitor.vkey, URL: w.monitor.url()}},
	}
	for line := range strings.Lines(string(file)) {
		policy.Logs = append(policy.Logs, checkpoint.Log{VKey: strings.TrimSpace(line)})
	}
	text, err := checkpoint.FormatPolicy(policy)
	if err != nil {
		return err
	}
	if err := durable.Replace(policyFile, append([]byte(samplePolicy), text...), 0o644); err != nil {
		return fmt.Errorf("couldn't write the sample policy: %w", err)
	}
	watching := witness.New(dir, signer, logs...)
	config := monitor.Config{
		Dir: filepath.Join(dir, "monitor"), Origin: logs[len(logs)-1].Name(), Logs: logs,
		Log:     func(epoch uint32) checkpoint.Fetcher { return yearLog{&w.log, epoch} },
		Follows: watching.Know,
	}
	if config.Signer, err = witness.ReadKey(w.monitor.keyFile); err != nil {
		return err
	}
	if w.follow, err = monitor.Open(config); err != nil {
		return err
	}
	w.witness.serve(watching)
	w.monitor.serve(w.follow.Witness())
	return nil
}

// attach lets the monitor read the ledger until ctx ends, when the ledger begins
// to close.
func (w *devWitness) attach(ctx context.Context, n *node.Node, log *slog.Logger) {
	w.log.node.Store(n)
	context.AfterFunc(ctx, func() { w.log.node.Store(nil) })
	ctx, w.stop = context.WithCancel(ctx)
	w.following.Go(func() {
		err := w.follow.Follow(ctx, 5*time.Second, func(err error) { log.Warn("the sample monitor couldn't look", "error", err) })
		if err != nil {
			log.Error("the sample monitor ended", "error", err)
		}
	})
}

// close ends both, and keeps what they saw.
func (w *devWitness) close() error {
	w.stop()
	w.following.Wait()
	w.witness.close()
	w.monitor.close()
	if w.follow == nil {
		return nil
	}
	return w.follow.Close()
}

// nodeLog reads the public log of a ledger in this process, while it is open.
type nodeLog struct{ node atomic.Pointer[node.Node] }

// yearLog is one year's of it.
type yearLog struct {
	*nodeLog
	epoch uint32
}

func (l yearLog) Fetch(ctx context.Context, path string) ([]byte, error) {
	n := l.node.Load()
	if n == nil {
		return nil, errors.New("the ledger isn't open")
	}
	data, err := l.read(ctx, n, path)
	if errors.Is(err, node.ErrNotPublished) {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return data, err
}

func (l yearLog) read(ctx context.Context, n *node.Node, path string) ([]byte, error) {
	if path == verifier.CheckpointPath {
		p, err := n.Published(l.epoch)
		return p.Checkpoint, err
	}
	t, err := checkpoint.ParsePath(path)
	if err != nil {
		return nil, err
	}
	if t.Level == checkpoint.EntryLevel {
		return n.Entries(ctx, l.epoch, t.Index, t.Width)
	}
	return n.Tile(ctx, l.epoch, uint(t.Level), t.Index, t.Width)
}
