// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
)

// maxStatistics bounds the output of verifier statistics, in bytes: some 100,000 aggregates.
const maxStatistics = 64 << 20

// readStatistics reads what verifier statistics --json said.
func readStatistics(path string) (*statisticsAnswer, error) {
	data, err := cli.ReadFile(path, maxStatistics)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the aggregates: %w", err)
	}
	a := new(statisticsAnswer)
	if err := json.Unmarshal(data, a); err != nil || a.Schema != "traccia/verifier-statistics/1" {
		return nil, cli.Usagef("--cohorts %s: expected what verifier statistics --json says", path)
	}
	return a, nil
}

var errCohort = errors.New("expected an aggregate as verifier statistics tells of it")

// record is what the public record says of the call.
func (c *toldCohort) record() (*ledger.Cohort, error) {
	iss, jti, _ := strings.Cut(c.ID, "/")
	pair, err := hex.DecodeString(c.Pair)
	_, _, originErr := ledger.ParseOrigin(c.Origin)
	_, timeErr := time.Parse(time.RFC3339, c.OccurredAt)
	if err = errors.Join(err, originErr, timeErr, ledger.CheckID(iss), ledger.CheckUUID(jti), ledger.CheckUUID(c.PurposeID), ledger.CheckUUID(c.EService)); err != nil || len(pair) != 32 {
		return nil, errCohort
	}
	return &ledger.Cohort{
		Iss: iss, JTI: jti, Provider: c.Provider, Consumer: c.Consumer, EService: c.EService, PurposeID: c.PurposeID,
		Operation: ledger.Operation{Method: c.Method}, OccurredAt: c.OccurredAt, Pair: ledger.Hex(pair),
	}, nil
}
