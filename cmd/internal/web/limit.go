// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"math"
	"net/http"
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
)

// How many pages may be asked for. Assets don't count.
const (
	addressPerSecond, addressAtOnce       = 20, 200 // many people share an address
	identityPerSecond, identityAtOnce     = 2, 60
	guessesPerSecond, guessesAtOnce       = 1.0 / 60, 10  // of whom a citizen may act for
	statementsPerSecond, statementsAtOnce = 1.0 / 60, 20  // passkeys, consents and refusals that are recorded; what ends one isn't limited so
	codesPerSecond, codesAtOnce           = 1.0 / 3600, 3 // messages to an address that isn't confirmed
	remembered                            = 1 << 14
)

// limits are kept in memory, for the latest addresses and identities.
type limits struct {
	addresses  *lru.Cache[netip.Prefix, *rate.Limiter]
	identities *lru.Cache[ledger.Subject, *rate.Limiter]
	guesses    *lru.Cache[ledger.Subject, *rate.Limiter]
	statements *lru.Cache[ledger.Subject, *rate.Limiter]
	codes      *lru.Cache[ledger.Subject, *rate.Limiter]
}

func newLimits() limits {
	return limits{limiters[netip.Prefix](), limiters[ledger.Subject](), limiters[ledger.Subject](), limiters[ledger.Subject](), limiters[ledger.Subject]()}
}

func limiters[K comparable]() *lru.Cache[K, *rate.Limiter] {
	c, err := lru.New[K, *rate.Limiter](remembered)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return c
}

// address says how long a client has to wait. A loopback address isn't limited: it is the operator, or a proxy of theirs
// that stands for many clients and has to limit them itself.
func (l limits) address(r *http.Request) time.Duration {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	address := peer.Addr().Unmap().WithZone("")
	if err != nil || address.IsLoopback() {
		return 0
	}
	bits := address.BitLen()
	if address.Is6() {
		bits = 64 // a client has the whole network
	}
	client, err := address.Prefix(bits)
	if err != nil {
		return 0
	}
	return take(l.addresses, client, addressPerSecond, addressAtOnce)
}

// identity says how long a citizen has to wait, whatever browser they use.
func (l limits) identity(s *session.Session) time.Duration {
	return take(l.identities, s.Identity.Subjects[0], identityPerSecond, identityAtOnce)
}

// guess says how long a citizen has to wait before they name another person.
func (l limits) guess(s *session.Session) time.Duration {
	return take(l.guesses, s.Identity.Subjects[0], guessesPerSecond, guessesAtOnce)
}

// statement says how long a citizen has to wait before they add to their list in the log.
func (l limits) statement(s *session.Session) time.Duration {
	return take(l.statements, s.Identity.Subjects[0], statementsPerSecond, statementsAtOnce)
}

// code says how long a citizen has to wait before a message goes to another address.
func (l limits) code(s *session.Session) time.Duration {
	return take(l.codes, s.Identity.Subjects[0], codesPerSecond, codesAtOnce)
}

func take[K comparable](known *lru.Cache[K, *rate.Limiter], who K, perSecond rate.Limit, atOnce int) time.Duration {
	limiter, ok := known.Get(who)
	if !ok {
		limiter = rate.NewLimiter(perSecond, atOnce)
		if earlier, ok, _ := known.PeekOrAdd(who, limiter); ok {
			limiter = earlier // of another request at the same time
		}
	}
	if limiter.Allow() {
		return 0
	}
	lacking := math.Ceil((1 - limiter.Tokens()) / float64(perSecond))
	return time.Duration(max(1, lacking)) * time.Second
}
