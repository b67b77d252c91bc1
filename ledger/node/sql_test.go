// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// The crash matrix with the rows in a database.

func TestKilledAtEachStepOnSQL(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) { killedAtEachStep(t, s.Database(t), []int{2}) })
}

func TestKilledAnywhereOnSQL(t *testing.T) {
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) { killedAnywhere(t, s.Database(t), 6*time.Second) })
}
