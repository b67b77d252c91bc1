// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync"

	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/policies"
)

// lessons decide on an access before the provider is called, by what the last
// proven answers said: which bundle of policies is active, and of which kinds each
// body is. It only saves a call that would be denied: what is released was decided
// on by the ledger. Where nothing was learnt yet, nothing is denied.
type lessons struct {
	base *url.URL
	log  *slog.Logger

	mu       sync.Mutex
	engine   *policies.Engine    // nil until known, or where none is active; guarded by mu
	fetching ledger.Hash         // the bundle that is on its way; guarded by mu
	kinds    map[string][]string // of bodies, by id; guarded by mu
}

func newLessons(base *url.URL, log *slog.Logger) *lessons {
	return &lessons{base: base, log: log, kinds: map[string][]string{}}
}

// denies says whether the active policies deny the access even if every consent
// that it names is in force.
func (l *lessons) denies(r *ledger.Receipt, a *ledger.Assurance) bool {
	l.mu.Lock()
	engine := l.engine
	kinds, known := l.kinds[r.Consumer]
	provider, providerKnown := l.kinds[r.Provider]
	l.mu.Unlock()
	if engine == nil || !known || !providerKnown {
		return false
	}
	facts := engine.Facts(&ledger.Access{Receipt: r, Assurance: a, Grant: ledger.Grant{Consent: r.ConsentID != ""}})
	facts.Kinds, facts.ProviderKinds = kinds, provider
	d, err := engine.DecideOn(facts)
	return err == nil && d.Effect == ledger.EffectDeny
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
			go l.fetch(ctx, epoch, digest)
		}
	}
	l.kinds[d.Facts.Consumer], l.kinds[d.Facts.Provider] = d.Facts.Kinds, d.Facts.ProviderKinds
}

// forget starts anew with a bundle. The caller holds mu.
func (l *lessons) forget(digest ledger.Hash) {
	l.engine, l.fetching = nil, digest
	clear(l.kinds)
}

func (l *lessons) fetch(ctx context.Context, epoch uint32, digest ledger.Hash) {
	engine, err := l.compile(ctx, epoch, digest)
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
}

func (l *lessons) compile(ctx context.Context, epoch uint32, digest ledger.Hash) (*policies.Engine, error) {
	log := fetch.NewLog(l.base.JoinPath("log", strconv.FormatUint(uint64(epoch), 10)))
	document, err := log.Fetch(ctx, "blob/"+hex.EncodeToString(digest[:]))
	if err != nil {
		return nil, fmt.Errorf("couldn't fetch the active policies: %w", err)
	}
	if policies.Digest(document) != digest {
		return nil, fmt.Errorf("couldn't fetch the active policies: others came than those of %x", digest[:8])
	}
	return policies.Compile(document)
}
