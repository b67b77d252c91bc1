// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// devHub is INPS's hub of the sample ledger. Its gateway's memory gets the sample
// accesses as though the gateway had released them, but from the ledger's own
// process, so that the gateway which is served then goes on from there, and what it
// attests is of all of them.
type devHub struct {
	dir    string // DIR/sample
	world  *dev.World
	memory *memory.Memory // while the sample data are loaded
}

func newDevHub(dir string, w *dev.World) *devHub {
	return &devHub{dir: filepath.Join(dir, "sample"), world: w}
}

func (h *devHub) path(name ...string) string {
	return filepath.Join(append([]string{h.dir}, name...)...)
}

// The hub's files: to try other commands on.
func (h *devHub) configFile() string { return h.path("gateway.yaml") }
func (h *devHub) keysFile() string   { return h.path("hub.jwks") }
func (h *devHub) keyFile() string    { return h.path("hub.key") }
func (h *devHub) memoryDir() string  { return h.path("memory") }

// prepare writes the hub's keys, and makes its memory for a new ledger.
func (h *devHub) prepare(fresh bool) error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("couldn't write the samples: %w", err)
	}
	_, err := os.Stat(filepath.Join(h.memoryDir(), "memory.key"))
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case !fresh:
		return cli.Usagef("%s has a sample ledger of an earlier version, without a gateway: use another --data, or delete it", filepath.Dir(h.dir))
	default:
		hub, _ := h.world.Hub()
		err := os.RemoveAll(h.memoryDir()) // which an interrupted run was making
		if err == nil {
			err = memory.Create(h.memoryDir(), hub, devName)
		}
		if err != nil {
			return err
		}
	}
	key := h.key()
	private, err := agencykey.Format(key, "")
	if err != nil {
		return err
	}
	public, err := jws.FormatKeys([]jws.Key{key.Key})
	if err == nil {
		err = os.WriteFile(h.keysFile(), append(public, '\n'), 0o644)
	}
	if err == nil {
		err = os.WriteFile(h.keyFile(), private, 0o600)
	}
	if err != nil {
		return fmt.Errorf("couldn't write the samples: %w", err)
	}
	return nil
}

func (h *devHub) key() *agencykey.Key {
	hub, _ := h.world.Hub()
	key, _ := h.world.Key(hub)
	return &agencykey.Key{Key: key, Body: hub, Signer: h.world.Signer(hub)}
}

// begin opens the memory to load the sample data. What an interrupted run had on its
// way is sent again.
func (h *devHub) begin(ctx context.Context, n *node.Node) error {
	hub, _ := h.world.Hub()
	var err error
	if h.memory, err = memory.Open(h.memoryDir(), hub, devName, memory.Options{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	for _, p := range h.memory.Unsettled() {
		raw, err := h.memory.Submission(p)
		if err != nil {
			return err
		}
		s, err := ledger.ParseSubmission(raw)
		if err != nil {
			return err
		}
		if _, err := h.send(ctx, n, p, raw, s); err != nil {
			return err
		}
	}
	return nil
}

// record has an access recorded, and remembers it if it is the hub's.
func (h *devHub) record(ctx context.Context, n *node.Node, s *ledger.Submission) (*ledger.Answer, error) {
	raw, err := ledger.FormatSubmission(s)
	if err != nil {
		return nil, err
	}
	r, err := ledger.ParseReceipt(s.Receipt)
	if err != nil {
		return nil, err
	}
	if hub, _ := h.world.Hub(); r.Iss != hub {
		a, _, err := n.Submit(ctx, raw)
		return a, err
	}
	p, err := h.memory.Begin(r.JTI, raw)
	if err != nil {
		return nil, err
	}
	return h.send(ctx, n, p, raw, s)
}

func (h *devHub) send(ctx context.Context, n *node.Node, p *memory.Pending, raw []byte, s *ledger.Submission) (*ledger.Answer, error) {
	a, _, err := n.Submit(ctx, raw)
	if err != nil {
		return nil, err
	}
	log, err := checkpoint.ParseKey(n.VKey())
	if err != nil {
		return nil, err
	}
	at, err := checkpoint.Open([]byte(a.Checkpoint), log)
	if err != nil {
		return nil, err
	}
	entries, err := own.Entries(a, s, time.Now())
	if err != nil {
		return nil, err
	}
	return a, h.memory.Acknowledge(p, at, entries)
}

// end closes the memory, if it is open.
func (h *devHub) end() error {
	if h.memory == nil {
		return nil
	}
	defer func() { h.memory = nil }()
	return h.memory.Close()
}

// attest compares the memory with the served log, and has the ledger record what
// comes out. No call is in flight.
func (h *devHub) attest(ctx context.Context) error {
	c, err := config.Load(h.configFile())
	if err != nil {
		return err
	}
	c.Check.InFlight = 0
	o, problems := service.Open(c, false)
	if len(problems) > 0 {
		return &config.Refused{Problems: problems}
	}
	m, err := memory.Open(c.Memory, c.Identity.Body, c.Ledger.Name, memory.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	list, err := gateway.Attest(ctx, &gateway.Parts{Config: c, Key: o.Key, Policy: o.Policy, Ledger: o.Ledger}, m, slog.New(slog.DiscardHandler))
	if err = errors.Join(err, m.Close()); err != nil {
		return fmt.Errorf("couldn't make the sample provider's check: %w", err)
	}
	for _, check := range list {
		if check.Found > 0 || check.Index == nil {
			return fmt.Errorf("the sample provider's memory doesn't agree with the log: %v %s", check.Problems, check.Note)
		}
	}
	return nil
}
