// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
)

// lessons decide on an access before the provider is called, by what the last
// proven answers said: which bundle of policies is active, and of which kinds each
// body is. It only saves a call that would be denied: what is released was decided
// on by the ledger. Where nothing was learnt yet, nothing is denied.
type lessons struct {
	base   *url.URL
	memory *memory.Memory // keeps them over a restart: by then the ledger may be down
	log    *slog.Logger

	background sync.WaitGroup // of fetches

	mu       sync.Mutex
	engine   *policies.Engine    // nil until known, or where none is active; guarded by mu
	fetching ledger.Hash         // the bundle that is on its way; guarded by mu
	kinds    map[string][]string // of bodies, by id; guarded by mu
}

func newLessons(base *url.URL, m *memory.Memory, log *slog.Logger) (*lessons, error) {
	l := &lessons{base: base, memory: m, log: log, kinds: map[string][]string{}}
	kept, err := m.Lessons()
	if err != nil || kept.Bundle == nil {
		return l, err
	}
	if l.engine, err = policies.Compile(kept.Bundle); err != nil {
		log.Warn("the policies kept from an earlier run aren't understood", "error", err)
		return l, nil
	}
	l.fetching, l.kinds = l.engine.Digest(), kept.Kinds
	return l, nil
}

// denies says whether the active policies deny the access even if every consent
// that it names is in force.
func (l *lessons) denies(r *ledger.Receipt, a *ledger.Assurance) bool {
	effect, known := l.decide(r, a, ledger.Grant{Consent: r.ConsentID != ""})
	return known && effect == ledger.EffectDeny
}

// permits says whether the policies permit an access on no consent, on which the
// ledger will decide later: also as one that is recorded late. known is false where
// it isn't known by what to decide.
func (l *lessons) permits(r *ledger.Receipt, a *ledger.Assurance) (permitted, known bool) {
	permitted = true
	for _, late := range []bool{false, true} {
		then := *a
		then.Late = late
		effect, known := l.decide(r, &then, ledger.Grant{})
		if !known {
			return false, false
		}
		permitted = permitted && effect == ledger.EffectAllow
	}
	return permitted, true
}

func (l *lessons) decide(r *ledger.Receipt, a *ledger.Assurance, grant ledger.Grant) (effect string, known bool) {
	l.mu.Lock()
	engine := l.engine
	kinds, consumerKnown := l.kinds[r.Consumer]
	provider, providerKnown := l.kinds[r.Provider]
	l.mu.Unlock()
	if engine == nil || !consumerKnown || !providerKnown {
		return "", false
	}
	facts := engine.Facts(&ledger.Access{Receipt: r, Assurance: a, Grant: grant})
	facts.Kinds, facts.ProviderKinds = kinds, provider
	d, err := engine.DecideOn(facts)
	return d.Effect, err == nil
}

// learn takes the decision of an event that is proven. A bundle that is new is
// fetched meanwhile.
func (l *lessons) learn(ctx context.Context, b *ledger.Body) {
	d, err := ledger.ParseDecision(b.Decision)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.Effect == ledger.EffectRecorded || d.Facts == nil {
		l.forget(ledger.Hash{})
		return
	}
	digest := ledger.Hash(d.Bundle)
	if l.engine == nil || l.engine.Digest() != digest {
		if l.fetching != digest {
			l.forget(digest)
			_, epoch, _ := ledger.ParseOrigin(b.Origin) // as parsed
			l.background.Go(func() { l.fetch(ctx, epoch, digest) })
		}
	}
	l.know(d.Facts.Consumer, d.Facts.Kinds)
	l.know(d.Facts.Provider, d.Facts.ProviderKinds)
}

// know takes of which kinds a body is. The caller holds mu.
func (l *lessons) know(body string, kinds []string) {
	if old, ok := l.kinds[body]; ok && slices.Equal(old, kinds) {
		return
	}
	l.kinds[body] = kinds
	if l.engine == nil {
		return // kept with the bundle
	}
	if err := l.memory.LearnKinds(body, kinds); err != nil {
		l.log.Error("couldn't keep what the ledger decided by", "error", err)
	}
}

// forget starts anew with a bundle. The caller holds mu.
func (l *lessons) forget(digest ledger.Hash) {
	l.engine, l.fetching = nil, digest
	clear(l.kinds)
}

func (l *lessons) fetch(ctx context.Context, epoch uint32, digest ledger.Hash) {
	document, engine, err := l.compile(ctx, epoch, digest)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fetching != digest {
		return // another became active meanwhile
	}
	if err != nil {
		l.log.Warn("accesses aren't decided on before the provider is called", "error", err)
		l.fetching = ledger.Hash{} // the next answer has it fetched again
		return
	}
	l.engine = engine
	if err := l.memory.Learn(memory.Lessons{Bundle: document, Kinds: l.kinds}); err != nil {
		l.log.Error("couldn't keep what the ledger decided by", "error", err)
	}
}

func (l *lessons) compile(ctx context.Context, epoch uint32, digest ledger.Hash) ([]byte, *policies.Engine, error) {
	log := fetch.NewLog(l.base.JoinPath("log", strconv.FormatUint(uint64(epoch), 10)))
	document, err := log.Fetch(ctx, "blob/"+hex.EncodeToString(digest[:]))
	if err != nil {
		return nil, nil, fmt.Errorf("couldn't fetch the active policies: %w", err)
	}
	if policies.Digest(document) != digest {
		return nil, nil, fmt.Errorf("couldn't fetch the active policies: others came than those of %x", digest[:8])
	}
	engine, err := policies.Compile(document)
	return document, engine, err
}
