// SPDX-License-Identifier: EUPL-1.2

package agencykey

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/ledger/jws"
)

// requestLife is how long the token of a signed request is good: long enough
// for a clock that is behind, and used once.
const requestLife = 2 * time.Minute

// SignRequest has the body sign a request to the ledger of this name, whose
// content the caller sends as it is here, JSON or nothing (docs/api.md, "Signed
// requests"). Each attempt is signed anew: a token is used once.
//
//	Digest: SHA-256=rwHI7WmnTqjVzrf3OafVdxdXvNoin81vYV29ioA7BjI=
//	Agid-JWT-Signature: eyJhbGciOiJFUzI1NiIsImtpZCI6Ilpr…
func (k *Key) SignRequest(r *http.Request, content []byte, ledgerName string, now time.Time) error {
	sum := sha256.Sum256(content)
	digest := "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
	signed := []map[string]string{{"digest": digest}}
	r.Header.Set("Digest", digest)
	if len(content) > 0 {
		r.Header.Set("Content-Type", "application/json")
		signed = append(signed, map[string]string{"content-type": "application/json"})
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("couldn't sign the request: %w", err)
	}
	payload, err := json.Marshal(map[string]any{
		"iss": k.Body, "aud": ledgerName, "jti": id.String(), "iat": now.Unix(), "exp": now.Add(requestLife).Unix(), "signed_headers": signed,
	})
	if err != nil {
		return fmt.Errorf("couldn't sign the request: %w", err)
	}
	token, err := jws.Sign("JWT", payload, k.Kid, k.Signer)
	if err != nil {
		return fmt.Errorf("couldn't sign the request: %w", err)
	}
	r.Header.Set("Agid-JWT-Signature", token)
	return nil
}
