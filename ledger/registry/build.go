// SPDX-License-Identifier: EUPL-1.2

package registry

import (
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
)

// KindBuild is the kind of a Build.
const KindBuild = "build"

// BrowserVerifier names the verifier that citizens' browsers run (docs/verify.md).
const BrowserVerifier = "browser-verifier"

// Build says which verifier the ledger hands out, so that whoever gets one can compare it: with what others get, and with
// what they build from the source. The digest is that of its SHA256SUMS, which the log serves by it.
//
//	{"kind":"build","name":"browser-verifier","version":"1.0.0","toolchain":"go1.26.8","sha256":"4c1d…64 hex"}
type Build struct {
	Kind      string     `json:"kind"`
	Name      string     `json:"name"`      // what was built: BrowserVerifier
	Version   string     `json:"version"`   // of the source, as the operator says; 1 to 80 bytes
	Toolchain string     `json:"toolchain"` // that built it, 1 to 80 bytes
	SHA256    ledger.Hex `json:"sha256"`
}

func checkBuild(r Build) error {
	switch {
	case r.Name != BrowserVerifier:
		return refuse(ledger.CodeBadValue, "/name", BrowserVerifier, fmt.Sprintf("%d bytes", len(r.Name)))
	case len(r.Version) < 1 || len(r.Version) > 80:
		return refuse("too_long", "/version", "1 to 80 bytes", fmt.Sprintf("%d bytes", len(r.Version)))
	case len(r.Toolchain) < 1 || len(r.Toolchain) > 80:
		return refuse("too_long", "/toolchain", "1 to 80 bytes", fmt.Sprintf("%d bytes", len(r.Toolchain)))
	case r.SHA256 == (ledger.Hex{}):
		return refuse("bad_hash", "/sha256", "the digest of SHA256SUMS", "zeros")
	}
	return nil
}

// Build returns the log index of the last record of a build with this digest; false where there is none.
func (r *Registry) Build(digest ledger.Hash) (index uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	index, ok = r.builds[digest]
	return index, ok
}
