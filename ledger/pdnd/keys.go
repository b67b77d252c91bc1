// SPDX-License-Identifier: EUPL-1.2

package pdnd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// Keys finds a public key by its kid as it stood at an instant. ErrUnknownKey and ErrKeyNotInForce say that there is none;
// any other error, that the source couldn't be asked. It is called by many goroutines, and often.
type Keys interface {
	Key(ctx context.Context, kid string, at time.Time) (jose.JSONWebKey, error)
}

var (
	ErrUnknownKey    = errors.New("no key has this kid")
	ErrKeyNotInForce = errors.New("the key with this kid was not in force then")
)

const (
	maxKeySet   = 4 << 20          // bytes of a JWK set
	maxRetired  = 10_000           // keys remembered after they left the set
	minRefresh  = 30 * time.Second // between two loads of a URL, whatever kids come
	minReread   = time.Second      // the same for a file
	maxAge      = 10 * time.Minute // after it the set is loaded again in the background
	loadTimeout = 10 * time.Second
)

// heldKey is a key with the time it is in force, from (inclusive) to (exclusive); zero times are open.
type heldKey struct {
	jose.JSONWebKey
	from, to time.Time
}

// KeySet serves the keys of a JWK set (RFC 7517) that changes now and then. A member may carry "nbf" and "exp", seconds
// since 1970, beside the key:
//
//	{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"qZndzptl…","e":"AQAB","n":"1fhEJkAg…","nbf":1767225600}]}
//
// An unknown kid makes it load the set again, at most every 30 seconds from a URL and every second from a file. When that fails the last good set stands. A key that
// has left the set was in force until then: tokens judged at earlier instants still verify, until the process ends.
type KeySet struct {
	load  func(context.Context) ([]byte, error)
	pause time.Duration // at least this between two loads

	mu      sync.Mutex
	keys    map[string][]heldKey // guarded by mu
	tried   time.Time            // guarded by mu: when the last load began
	loading chan struct{}        // guarded by mu: closed when the load under way ends; nil if none is
	failure error                // guarded by mu: of the last load
}

// FileKeys serves a JWK set from a file. The file may be replaced while it is served.
func FileKeys(path string) (*KeySet, error) {
	return newKeySet(minReread, func(context.Context) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readBounded(f)
	})
}

// URLKeys serves a JWK set from an https URL (http on loopback), such as PDND's /.well-known/jwks.json. The client's
// timeout, if longer than 10 seconds or none, is cut to that; redirects to anything but https are refused.
func URLKeys(source string, client *http.Client) (*KeySet, error) {
	u, err := url.Parse(source)
	if err != nil || !secure(u) {
		return nil, errors.New("couldn't use the URL of a key set: it must be https, or http on loopback")
	}
	own := *client
	own.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if !secure(r.URL) || len(via) >= 5 {
			return errors.New("redirect refused")
		}
		return nil
	}
	return newKeySet(minRefresh, func(ctx context.Context) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Accept", "application/json")
		response, err := own.Do(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("answered %s", response.Status)
		}
		return readBounded(response.Body)
	})
}

func secure(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback)
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxKeySet+1))
	if err == nil && len(data) > maxKeySet {
		err = fmt.Errorf("longer than %d bytes", maxKeySet)
	}
	return data, err
}

// newKeySet loads the set once, so that a wrong path or URL shows at start.
func newKeySet(pause time.Duration, load func(context.Context) ([]byte, error)) (*KeySet, error) {
	s := &KeySet{load: load, pause: pause, keys: make(map[string][]heldKey), loading: make(chan struct{}), tried: time.Now()}
	if s.refresh(); s.failure != nil {
		return nil, s.failure
	}
	return s, nil
}

// Key returns ErrUnknownKey only after the set was loaded again, unless that was done moments ago.
func (s *KeySet) Key(ctx context.Context, kid string, at time.Time) (jose.JSONWebKey, error) {
	s.mu.Lock()
	k, err := s.find(kid, at)
	since := time.Since(s.tried)
	if s.loading == nil && (err != nil && since >= s.pause || since >= maxAge) {
		s.loading, s.tried = make(chan struct{}), time.Now()
		go s.refresh()
	}
	loading := s.loading
	s.mu.Unlock()
	if err == nil {
		return k, nil
	}
	if loading != nil {
		select {
		case <-loading:
		case <-ctx.Done():
			return jose.JSONWebKey{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, err = s.find(kid, at); err != nil && s.failure != nil {
		return k, s.failure // the key may well be in the set that couldn't be loaded
	}
	return k, err
}

// find needs mu.
func (s *KeySet) find(kid string, at time.Time) (jose.JSONWebKey, error) {
	held := s.keys[kid]
	for _, k := range held {
		if !at.Before(k.from) && (k.to.IsZero() || at.Before(k.to)) {
			return k.JSONWebKey, nil
		}
	}
	if len(held) > 0 {
		return jose.JSONWebKey{}, ErrKeyNotInForce
	}
	return jose.JSONWebKey{}, ErrUnknownKey
}

// refresh runs once at a time: whoever set loading calls it.
func (s *KeySet) refresh() {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	data, err := s.load(ctx)
	var keys map[string][]heldKey
	if err == nil {
		keys, err = parseKeySet(data)
	}
	if err != nil {
		err = fmt.Errorf("couldn't load a key set: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure = err; err == nil {
		s.replace(keys, time.Now())
	}
	close(s.loading)
	s.loading = nil
}

// replace needs mu.
func (s *KeySet) replace(keys map[string][]heldKey, now time.Time) {
	retired := 0
	for kid, held := range s.keys {
		for _, k := range held {
			if contains(keys[kid], k) || retired >= maxRetired {
				continue
			}
			if k.to.IsZero() || k.to.After(now) {
				k.to = now
			}
			keys[kid] = append(keys[kid], k)
			retired++
		}
	}
	s.keys = keys
}

// contains looks for the same key; its times are then those of the newer set.
func contains(held []heldKey, k heldKey) bool {
	for _, h := range held {
		if same(h.Key, k.Key) {
			return true
		}
	}
	return false
}

// parseKeySet keeps the keys that fit one of our algorithms and have a kid, and passes over the others. A private or shared
// key in the set is an error: whoever published it has to know.
func parseKeySet(data []byte) (map[string][]heldKey, error) {
	members, err := parseObject(data)
	if err != nil {
		return nil, fmt.Errorf("the JWK set: %w", err)
	}
	var list []json.RawMessage
	if raw := find(members, "keys"); raw == nil || json.Unmarshal(raw, &list) != nil || list == nil {
		return nil, errors.New(`the JWK set has no list "keys"`)
	}
	keys := make(map[string][]heldKey)
	for i, raw := range list {
		m, err := parseObject(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d of the set: %w", i, err)
		}
		if find(m, "d") != nil || find(m, "k") != nil {
			return nil, fmt.Errorf("key %d of the set is private", i)
		}
		k := heldKey{}
		if k.UnmarshalJSON(raw) != nil || k.KeyID == "" || k.Use != "" && k.Use != "sig" || !usable(k.Key) {
			continue
		}
		r := reader{where: fmt.Sprintf("key %d of the set", i), members: m}
		if r.has("nbf") {
			k.from = r.seconds("nbf")
		}
		if r.has("exp") {
			k.to = r.seconds("exp")
		}
		if r.problem != nil {
			return nil, r.problem
		}
		keys[k.KeyID] = append(keys[k.KeyID], k)
	}
	return keys, nil
}

func usable(key any) bool {
	return fits(key, jose.RS256) || fits(key, jose.ES256) || fits(key, jose.EdDSA)
}
