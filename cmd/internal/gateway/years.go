// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/singleflight"

	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
)

// years are the keys of the ledger's logs, one a year: those of the policy file,
// and those that a log which is trusted announced for the next year's
// (docs/formats.md §7), which the memory keeps. So a new year needs nobody.
type years struct {
	ctx    context.Context // of what goes on when its call has ended
	base   *url.URL
	name   string // of the ledger
	memory *memory.Memory
	log    *slog.Logger
	flight singleflight.Group

	mu     sync.Mutex
	file   *checkpoint.Policy // as the operator wrote it; guarded by mu
	policy *checkpoint.Policy // with what was learnt; replaced, never changed; guarded by mu
	keys   map[uint32][]note.Verifier
	all    []note.Verifier // replaced, never changed; guarded by mu
}

func newYears(ctx context.Context, base *url.URL, name string, policy *checkpoint.Policy, m *memory.Memory, log *slog.Logger) (*years, error) {
	y := &years{ctx: ctx, base: base, name: name, memory: m, log: log}
	return y, y.use(policy)
}

// use takes a policy file. What it says of a year goes before what was announced.
func (y *years) use(file *checkpoint.Policy) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.merge(file)
}

// merge adds what the memory has to the policy file. The caller holds mu.
func (y *years) merge(file *checkpoint.Policy) error {
	learnt, err := y.memory.LogKeys()
	if err != nil {
		return err
	}
	policy := *file
	policy.Logs = nil
	keys := map[uint32][]note.Verifier{}
	add := func(l checkpoint.Log) error {
		v, err := checkpoint.ParseKey(l.VKey)
		if err != nil {
			return fmt.Errorf("couldn't use a log's key: %w", err)
		}
		_, epoch, err := ledger.ParseOrigin(v.Name())
		if err != nil {
			return fmt.Errorf("couldn't use a log's key: %w", err)
		}
		policy.Logs, keys[epoch] = append(policy.Logs, l), append(keys[epoch], v)
		return nil
	}
	for _, l := range file.Logs {
		if err := add(l); err != nil {
			return err
		}
	}
	for epoch, vkey := range learnt {
		if len(keys[epoch]) > 0 {
			continue
		}
		if err := add(checkpoint.Log{VKey: vkey}); err != nil {
			return err
		}
	}
	y.file, y.policy, y.keys, y.all = file, &policy, keys, nil
	for _, list := range keys {
		y.all = append(y.all, list...)
	}
	return nil
}

// trusted is the policy with the keys of all years that are known.
func (y *years) trusted() *checkpoint.Policy {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.policy
}

// known are the keys of all years that are known.
func (y *years) known() []note.Verifier {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.all
}

// verifiers are the keys of the log of this origin, which is followed to where it
// isn't known yet. The error is a *ledger.Problem where what stands there isn't
// the ledger's, and wraps errUnknown where that can't be told now.
func (y *years) verifiers(ctx context.Context, origin string) ([]note.Verifier, error) {
	name, epoch, err := ledger.ParseOrigin(origin)
	if err != nil || name != y.name {
		return nil, &ledger.Problem{Code: ledger.CodeBadName, Where: "/origin", Expected: "a log of " + y.name, Found: "another"}
	}
	if list, latest := y.of(epoch); len(list) > 0 || epoch < latest {
		return list, nil
	}
	// Once for all calls that wait, and to its end if they don't.
	done := y.flight.DoChan("", func() (any, error) { return nil, y.follow(y.ctx, epoch) })
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: the key of %s isn't known yet", errUnknown, origin)
	case r := <-done:
		list, _ := y.of(epoch)
		return list, r.Err
	}
}

func (y *years) of(epoch uint32) (list []note.Verifier, latest uint32) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for e := range y.keys {
		latest = max(latest, e)
	}
	return y.keys[epoch], latest
}

// follow goes from the latest log that is trusted to that of a later year.
func (y *years) follow(ctx context.Context, to uint32) error {
	latest, err := y.latest(ctx)
	if errors.As(err, new(*ledger.Problem)) {
		y.log.Error("the logs of the ledger don't follow one on the other", "error", err)
		return err
	}
	if err != nil || latest < to {
		y.log.Warn("the ledger answers from a log whose key isn't known yet; it is looked for again", "year", to, "error", err)
		return fmt.Errorf("%w: the key of the log of %d isn't known yet", errUnknown, to)
	}
	return nil
}

// latest follows the logs to the last one that is open, and returns its year.
func (y *years) latest(ctx context.Context) (uint32, error) {
	_, from := y.of(0)
	keys, _ := y.of(from)
	latest, next, err := verifier.Latest(ctx, y.year, from, keys)
	if err == nil && next != nil {
		err = y.learn(latest, next.VKey)
	}
	if err != nil {
		return 0, fmt.Errorf("couldn't follow the ledger's logs: %w", err)
	}
	return latest, nil
}

// learn takes a key that was announced by a log that is trusted.
func (y *years) learn(epoch uint32, vkey string) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.keys[epoch]) > 0 {
		return nil
	}
	if err := y.memory.Announced(epoch, vkey); err != nil {
		return err
	}
	y.log.Info("took the key that the log before announced for a new year's; add it to ledger/policy", "year", epoch, "key", vkey)
	return y.merge(y.file)
}

// year reads a year's log.
func (y *years) year(epoch uint32) checkpoint.Fetcher {
	return fetch.NewLog(y.base.JoinPath("log", strconv.FormatUint(uint64(epoch), 10)))
}
