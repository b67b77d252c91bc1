// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// errNotSigner: a request isn't signed with a key in force of the body that it is for.
var errNotSigner = errors.New("the request is signed by another")

// signedBy authenticates a body by its signed request: INTEGRITY_REST_02 over
// the content, which the caller has read, with a key that the log registers for
// the body and hasn't revoked, for this ledger, by a token that wasn't used
// before (docs/api.md, "Signed requests"). It is the one way in for bodies that
// ask for what isn't public.
//
// The error is errNotSigner where another key or another body signed, or a
// *ledger.Problem that names what the caller can mend, which tells nothing to
// a stranger; it is a fault of a header, whatever its code.
func (s *Server) signedBy(r *http.Request, body string, content []byte) error {
	signature, err := pdnd.CheckRequest(r.Context(), r, content, []string{s.node.Settings.Name}, bodyKeys{s.node, body}, s.node.Now())
	var p *ledger.Problem
	switch {
	case errors.As(err, &p) && slices.Contains([]string{pdnd.CodeKeyUnknown, pdnd.CodeKeyNotInForce, pdnd.CodeSignature}, p.Code):
		return errNotSigner
	case err != nil:
		return err
	case signature.Issuer != body:
		return errNotSigner
	}
	return s.tokens.use(signature, r, s.node.Now())
}

// bodyKeys gives the keys in force of one body, in the form that tokens of
// others are checked with.
type bodyKeys struct {
	node *node.Node
	body string
}

func (k bodyKeys) Key(_ context.Context, kid string, _ time.Time) (jose.JSONWebKey, error) {
	key, err := k.node.Registry().Key(k.body, kid, k.node.Latest().Root.Size)
	switch {
	case errors.Is(err, registry.ErrUnknownKey):
		return jose.JSONWebKey{}, pdnd.ErrUnknownKey
	case errors.Is(err, registry.ErrRevokedKey):
		return jose.JSONWebKey{}, pdnd.ErrKeyNotInForce
	case err != nil:
		return jose.JSONWebKey{}, err
	}
	return jose.JSONWebKey{Key: key.Public, KeyID: key.Kid, Algorithm: key.Alg}, nil
}

const (
	// maxTokenLife is how long the token of a signed request may be good from now.
	maxTokenLife = time.Hour
	// beforeStart is how much older than this process a token may be, for
	// clients whose clocks are behind. Tokens of that minute that were used
	// before a restart could be used once more after it.
	beforeStart = time.Minute
	// maxTokens is how many live tokens of a body are remembered.
	maxTokens = 1 << 12
)

// tokenUses ties each token of a signed request to the one request that it was
// used for. INTEGRITY_REST_02 signs headers and content, not the path: whoever
// gets hold of a header that was sent, from a proxy's log say, could else ask
// for something with it again. Only a GET may be sent again as it was.
type tokenUses struct {
	started time.Time
	max     int // tokens of a body
	mu      sync.Mutex
	of      map[string]*bodyTokens // by body; guarded by mu
}

// bodyTokens are the live tokens of one body. Nobody but the body itself can
// fill them, and what doesn't fit is refused rather than forgotten.
type bodyTokens struct {
	uses     map[tokenID]ledger.Hash // what each was used for
	byExpiry expiries
	dropped  time.Time // tokens that expire by then are no longer remembered, so none is taken
}

// tokenID is what a token calls itself, hashed: ECDSA gives the same claims a
// second good signature, so its bytes would not do.
type tokenID [16]byte

func newTokenUses(started time.Time) *tokenUses {
	return &tokenUses{started: started, max: maxTokens, of: make(map[string]*bodyTokens)}
}

// use notes what a good token is used for.
func (u *tokenUses) use(token *pdnd.Signature, r *http.Request, now time.Time) error {
	const where = "header:Agid-JWT-Signature"
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	if latest := now.Add(maxTokenLife); token.Expires.After(latest) {
		return &ledger.Problem{Code: pdnd.CodeLifetime, Where: where + "#exp", Expected: "not after " + stamp(latest), Found: stamp(token.Expires)}
	}
	tooOld := func(name string, earliest, found time.Time) error {
		return &ledger.Problem{Code: "token_too_old", Where: where + "#" + name, Expected: "after " + stamp(earliest), Found: stamp(found)}
	}
	if earliest := u.started.Add(-beforeStart); token.Issued.Before(earliest) {
		return tooOld("iat", earliest, token.Issued)
	}
	sum := sha256.Sum256([]byte(token.JTI))
	id := tokenID(sum[:])
	request := ledger.Hash(sha256.Sum256([]byte(r.URL.Path + "\n" + r.Header.Get("Digest"))))

	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.of[token.Issuer]
	if t == nil {
		t = &bodyTokens{uses: make(map[tokenID]ledger.Hash)}
		u.of[token.Issuer] = t
	}
	if first, known := t.uses[id]; known {
		if again := r.Method == http.MethodGet || r.Method == http.MethodHead; again && first == request {
			return nil
		}
		return &ledger.Problem{Code: "token_used", Where: where + "#jti", Expected: "a token of its own for each request", Found: "one that was used for another"}
	}
	if !token.Expires.After(t.dropped) {
		return tooOld("exp", t.dropped, token.Expires)
	}
	t.makeRoom(u.max, now)
	t.uses[id] = request
	heap.Push(&t.byExpiry, expiry{token.Expires, id})
	return nil
}

// makeRoom forgets tokens that are over and, if there are still too many, the
// one that will be over first.
func (t *bodyTokens) makeRoom(most int, now time.Time) {
	for len(t.byExpiry) > 0 {
		first := t.byExpiry[0]
		if over := first.at.Before(now.Add(-pdnd.Leeway)); !over && len(t.byExpiry) < most {
			return
		} else if !over {
			t.dropped = first.at
		}
		delete(t.uses, first.id)
		heap.Pop(&t.byExpiry)
	}
}

type expiry struct {
	at time.Time
	id tokenID
}

// expiries is a heap, the earliest first.
type expiries []expiry

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e expiries) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *expiries) Push(x any)        { *e = append(*e, x.(expiry)) }
func (e *expiries) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}
