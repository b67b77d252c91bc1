// SPDX-License-Identifier: EUPL-1.2

package accesses

import (
	"crypto/sha256"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// maxSignatures is how many are remembered, some 100 bytes each.
const maxSignatures = 1 << 17

// signatures remembers which receipts' signatures were verified in this process, so that a citizen who comes back doesn't wait
// for those of past years again: a third of a history's check. That a signature is good follows from the bytes of token and
// key alone and never changes; whether the key was in force, and all else about an event, is judged each time. What is
// remembered is a digest of both and tells of nobody. A signature that isn't good is never remembered.
type signatures struct {
	good *lru.Cache[[32]byte, struct{}]
}

func newSignatures() *signatures {
	good, err := lru.New[[32]byte, struct{}](maxSignatures)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return &signatures{good}
}

// verify is verifier.Rules.Verify.
func (s *signatures) verify(r *ledger.SignedReceipt, key jws.Key) error {
	jwk, err := jws.FormatKey(key)
	if err != nil {
		return err
	}
	id := digest(jwk, r.Compact)
	if _, known := s.good.Get(id); known {
		return nil
	}
	if err := r.JWS.Verify(key); err != nil {
		return err
	}
	s.good.Add(id, struct{}{})
	return nil
}

// digest is of a key, whose digest has one length, and a token.
func digest(jwk []byte, compact string) (id [32]byte) {
	of := sha256.Sum256(jwk)
	h := sha256.New()
	h.Write(of[:])
	h.Write([]byte(compact))
	h.Sum(id[:0])
	return id
}
