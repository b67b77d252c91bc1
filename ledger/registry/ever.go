// SPDX-License-Identifier: EUPL-1.2

package registry

import "github.com/traccia-ledger/traccia/ledger/jws"

// KeyEver returns the body's key with this kid, whenever it was registered and whether or not it was revoked: to verify a
// signature once for several places in the log. Whether the key was in force at one of them is for Key to say.
func (r *Registry) KeyEver(body, kid string) (jws.Key, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := r.find(body, kid)
	if i < 0 {
		return jws.Key{}, ErrUnknownKey
	}
	return r.keys[body][i].key, nil
}
