// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/witness"
)

// witnessPatience is how long publication waits for cosignatures. It goes on
// with those it got: a dead witness delays nobody for longer.
const witnessPatience = 3 * time.Second

// checkPatience is how long witnesses may take to say what they have seen. Nothing is
// recorded meanwhile.
const checkPatience = 1500 * time.Millisecond

// openWitnesses reads whom to ask for cosignatures.
func (n *Node) openWitnesses() error {
	file := n.Settings.WitnessPolicy
	if file == "" {
		return nil
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(n.Dir, file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("couldn't read the witness policy: %w", err)
	}
	policy, err := checkpoint.ParsePolicy(data)
	if err != nil {
		return fmt.Errorf("couldn't read the witness policy %s: %w", file, err)
	}
	n.policy = policy
	_, err = n.newWitnesses()
	return err
}

// newWitnesses returns the witnesses to ask about one log.
func (n *Node) newWitnesses() (clients []*witness.Client, err error) {
	if n.policy == nil {
		return nil, nil
	}
	for _, w := range slices.Concat(n.policy.Witnesses, n.policy.Monitors) {
		if w.URL == "" {
			continue // it is verified by readers, but not asked by us
		}
		c, err := witness.NewClient(w.URL, w.VKey)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// checkWitnesses asks each witness, before anything is signed, how large a log
// it has seen: a store that lacks part of that went back in time. A witness
// that can't be reached says nothing either way.
func (y *year) checkWitnesses(ctx context.Context) error {
	if len(y.witnesses) == 0 {
		return nil
	}
	// The preamble is a prefix of every state that this log ever had, so this
	// one signature commits to nothing new.
	root, err := y.shard.RootAt(ctx, 1)
	if err != nil {
		return fmt.Errorf("couldn't compute the preamble's root: %w", err)
	}
	signed, err := checkpoint.Sign(y.signer, checkpoint.Checkpoint{Origin: y.origin, Size: 1, Root: root})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	sizes, errs := make([]uint64, len(y.witnesses)), make([]error, len(y.witnesses))
	y.eachWitness(func(i int, w *witness.Client) { sizes[i], errs[i] = w.LastSize(ctx, signed) })
	for i, w := range y.witnesses {
		if errs[i] != nil {
			y.n.opt.Log.Log(ctx, missed(errs[i]), "a witness can't be asked what it has seen", "witness", w.Name(), "error", errs[i])
			continue
		}
		if size := y.shard.Root().Size; sizes[i] > size {
			return fmt.Errorf("%w: the log ends at %d, the witness %s has seen %d leaves; restore a newer backup, or declare the log lost (docs/operations.md)",
				ErrBehind, size, w.Name(), sizes[i])
		}
	}
	return nil
}

// vouch checks with the witnesses before the next signature where the outcome of a
// commit had to be looked up since the last time: the database that told it may be
// another than the one that acknowledged what came before, and lack part of that.
func (y *year) vouch(ctx context.Context) error {
	now := y.n.uncertain()
	if now == y.uncertain {
		return nil
	}
	if err := y.checkWitnesses(ctx); err != nil {
		return err
	}
	y.uncertain = now
	return nil
}

// uncertain is of how many commits the store had to look the outcome up; 0 of a store in
// a directory.
func (n *Node) uncertain() uint64 {
	if s, ok := n.rows.(interface{ Uncertain() uint64 }); ok {
		return s.Uncertain()
	}
	return 0
}

// missed is how loudly to say that a witness didn't answer as hoped: a monitor
// that has still to read what came before is nothing to worry about.
func missed(err error) slog.Level {
	if errors.Is(err, witness.ErrLater) {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// cosign returns the checkpoint with the cosignatures that could be had in
// time, of the witnesses that it lacks. The caller holds publishing.
func (y *year) cosign(at sequencer.Latest) []byte {
	if len(y.witnesses) == 0 {
		return at.Checkpoint
	}
	ctx, cancel := context.WithTimeout(context.Background(), witnessPatience)
	defer cancel()
	cp := checkpoint.Checkpoint{Origin: y.origin, Size: at.Root.Size, Root: at.Root.Hash}
	lines := make([]string, len(y.witnesses))
	y.eachWitness(func(i int, w *witness.Client) {
		if y.cosigned[i] {
			return
		}
		var err error
		lines[i], err = w.Add(ctx, cp, at.Checkpoint, y.shard.Consistency)
		y.cosigned[i] = err == nil
		y.n.opt.Metrics.cosigned(w.Name(), err == nil)
		y.lag(i, err == nil)
		switch {
		case errors.Is(err, witness.ErrAhead), errors.Is(err, witness.ErrRefused):
			y.n.opt.Log.Error("a witness holds that this log is inconsistent", "witness", w.Name(), "error", err,
				"hint", "see the fork alarm in docs/operations.md")
		case err != nil:
			y.n.opt.Log.Log(ctx, missed(err), "publishing without a witness", "witness", w.Name(), "error", err)
		}
	})
	return append(at.Checkpoint[:len(at.Checkpoint):len(at.Checkpoint)], strings.Join(lines, "")...)
}

// lag notes whether the i-th witness cosigned. The metric is about the newest log's.
func (y *year) lag(i int, ok bool) {
	lag := time.Duration(0)
	switch {
	case ok:
		y.missed[i] = time.Time{}
	case y.missed[i].IsZero():
		y.missed[i] = time.Now()
	default:
		lag = time.Since(y.missed[i])
	}
	if y.n.year() == y {
		y.n.opt.Metrics.lags(y.witnesses[i].Name(), lag)
	}
}

func (y *year) eachWitness(ask func(i int, w *witness.Client)) {
	var g sync.WaitGroup
	for i, w := range y.witnesses {
		g.Go(func() { ask(i, w) })
	}
	g.Wait()
}
