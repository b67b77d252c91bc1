// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/deploytest"
)

// TestDeploy: what deploy/ and docs/containers.md call is there.
func TestDeploy(t *testing.T) { deploytest.Check(t, "../..", "gateway", newRoot) }
