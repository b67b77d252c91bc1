// SPDX-License-Identifier: EUPL-1.2

// Package standin lets anyone in as anyone: the door of a sample ledger, whose people are invented.
//
// It proves nothing. ledgerd dev alone links it to a ledger (a test of cmd/ledgerd holds that), and it refuses a ledger of
// another name than the sample's.
package standin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
)

// Ledger is the name of the one ledger that it is for.
const Ledger = "dev.traccia.example"

// Door of a sample ledger.
type Door struct {
	people func() [][]ledger.Subject
	now    func() time.Time
}

// New returns the door of a ledger of this name for these people, each with the codes that are theirs.
func New(name string, people func() [][]ledger.Subject, now func() time.Time) (*Door, error) {
	if name != Ledger {
		return nil, fmt.Errorf("couldn't let anyone in as anyone: this is the ledger %s, no sample", name)
	}
	return &Door{people, now}, nil
}

var _ web.Door = (*Door)(nil)

// ID, Kind and Name are web.Door's.
func (d *Door) ID() string { return "prova" }

func (d *Door) Kind() string { return "sample" }

func (d *Door) Name() string { return "PROVA / SAMPLE" }

// Options are the people, by the code in force.
func (d *Door) Options() []string {
	var options []string
	for _, codes := range d.people() {
		options = append(options, string(codes[0]))
	}
	return options
}

// Begin lets in who was chosen.
func (d *Door) Begin(r *http.Request, _ web.Visit) (web.Step, error) {
	chosen := ledger.Subject(r.PostFormValue("chi"))
	people := d.people()
	i := slices.IndexFunc(people, func(codes []ledger.Subject) bool { return codes[0] == chosen })
	if i < 0 {
		return web.Step{}, &web.Refusal{Reason: "no_code", Cause: errors.New("nobody of the sample")}
	}
	return web.Step{Identity: &session.Identity{Provider: d.ID(), Level: 2, Subjects: people[i], At: d.now()}}, nil
}

// Return has nobody to take back.
func (d *Door) Return(*http.Request, string) (session.Identity, web.Visit, error) {
	return session.Identity{}, web.Visit{}, &web.Refusal{Reason: "expired", Cause: errors.New("no login of the sample goes elsewhere")}
}

// Leave has no session to end elsewhere.
func (d *Door) Leave(context.Context, session.Identity, string) string { return "" }
