// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/traccia-ledger/traccia/ledger"
)

// A refused request costs its sender nothing and the ledger a few signature
// checks, so each client address may have only so many of them. Good requests
// aren't limited here but by the sequencer's queue (503).
const (
	refusalsAtOnce    = 1000
	refusalsPerSecond = 50
	maxClients        = 1 << 14 // addresses remembered, the latest; about 200 bytes each
)

// refusals counts them by client. A loopback address isn't limited: it is the
// operator, or a proxy of theirs that stands for many clients and has to limit
// them itself.
type refusals struct {
	clients *lru.Cache[netip.Prefix, *rate.Limiter]
	now     func() time.Time
}

func newRefusals(now func() time.Time) refusals {
	clients, err := lru.New[netip.Prefix, *rate.Limiter](maxClients)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return refusals{clients, now}
}

// of returns the client's limiter, nil for one that isn't limited.
func (f refusals) of(r *http.Request) *rate.Limiter {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	address := peer.Addr().Unmap().WithZone("")
	if err != nil || address.IsLoopback() {
		return nil
	}
	bits := address.BitLen()
	if address.Is6() {
		bits = 64 // a client has the whole network
	}
	client, err := address.Prefix(bits)
	if err != nil {
		return nil
	}
	if known, ok := f.clients.Get(client); ok {
		return known
	}
	fresh := rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)
	if known, ok, _ := f.clients.PeekOrAdd(client, fresh); ok {
		return known // of another request at the same time
	}
	return fresh
}

// exhausted says whether the client has to wait, and for how many seconds.
func (f refusals) exhausted(l *rate.Limiter) (seconds int, yes bool) {
	if l == nil {
		return 0, false
	}
	lacking := 1 - l.TokensAt(f.now())
	return max(1, int(math.Ceil(lacking/refusalsPerSecond))), lacking > 0
}

// count takes one refusal off what the client has left. Requests under way at
// the same time may bring it below zero.
func (f refusals) count(l *rate.Limiter, status int) {
	if l != nil && status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusGone {
		l.ReserveN(f.now(), 1)
	}
}

// announce tells a limited client how many refusals it has left, and when all
// of them are there again.
func (f refusals) announce(h http.Header, l *rate.Limiter) {
	if l == nil {
		return
	}
	left := l.TokensAt(f.now())
	h.Set("RateLimit-Limit", strconv.Itoa(refusalsAtOnce))
	h.Set("RateLimit-Remaining", strconv.Itoa(max(0, int(left))))
	h.Set("RateLimit-Reset", strconv.Itoa(int(math.Ceil((refusalsAtOnce-left)/refusalsPerSecond))))
}

// tooMany is the answer to a client that has to wait.
var tooMany = ledger.Problem{
	Code: "too_many_refused", Expected: "at most " + strconv.Itoa(refusalsPerSecond) + " refused requests a second from an address", Found: "more",
}
