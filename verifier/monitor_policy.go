// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// policy is a bundle of policies that a record activates and that wasn't fetched yet.
type policy struct {
	index  uint64
	digest ledger.Hash
}

func (m *Monitor) policy(index uint64, record []byte, r registry.Policy) {
	digest := hex.EncodeToString(r.SHA256[:])
	m.fresh(index, record, false, CodeNewPolicy, CodeUnannouncedPolicy, "policies "+digest)
	m.policies = append(m.policies, policy{index, ledger.Hash(r.SHA256)})
}

// bundles looks for the policies that records activate: without them nobody can replay a decision. One that couldn't be
// fetched for another reason than that it isn't there is looked for again.
func (m *Monitor) bundles(ctx context.Context) {
	var later []policy
	for _, p := range m.policies {
		path := "blob/" + hex.EncodeToString(p.digest[:])
		data, err := m.fetch.Fetch(ctx, path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			m.tell(LevelAlarm, problem(CodePolicyMissing, leafAt(p.index), "the policies that the record activates at "+path, "none"))
		case err != nil:
			later = append(later, p)
		case sha256.Sum256(data) != p.digest:
			m.tell(LevelAlarm, problem(CodePolicyMissing, leafAt(p.index), "the policies that the record activates at "+path, "others"))
		}
	}
	m.policies = later
}
