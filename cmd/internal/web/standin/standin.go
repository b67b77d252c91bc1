// SPDX-License-Identifier: EUPL-1.2

// Package standin lets anyone in as anyone: the door of a sample ledger, whose people are invented.
//
// It proves nothing. ledgerd dev alone links it to a ledger (a test of cmd/ledgerd holds that), and it refuses a ledger of
// another name than the sample's.
package standin

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// Ledger is the name of the one ledger that it is for.
const Ledger = "dev.traccia.example"

// Door of a sample ledger.
type Door struct {
	people func() [][]ledger.Subject
	now    func() time.Time
	key    ed25519.PrivateKey // of its tokens, of which nobody else knows
}

// tokenType marks what stands for the signed token of a real login: no provider's.
const tokenType = "traccia-sample-login+jwt"

// New returns the door of a ledger of this name for these people, each with the codes that are theirs.
func New(name string, people func() [][]ledger.Subject, now func() time.Time) (*Door, error) {
	if name != Ledger {
		return nil, fmt.Errorf("couldn't let anyone in as anyone: this is the ledger %s, no sample", name)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return &Door{people, now, key}, err
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
	at := d.now()
	claims, err := json.Marshal(map[string]any{"iss": Ledger, "sub": chosen, "iat": at.Unix()})
	if err != nil {
		return web.Step{}, err
	}
	token, err := jws.Sign(tokenType, claims, "", d.key)
	return web.Step{Identity: &session.Identity{Provider: d.ID(), Level: 2, Subjects: people[i], At: at, Token: token}}, err
}

// Return has nobody to take back.
func (d *Door) Return(*http.Request, string) (session.Identity, web.Visit, error) {
	return session.Identity{}, web.Visit{}, &web.Refusal{Reason: "expired", Cause: errors.New("no login of the sample goes elsewhere")}
}

// Leave has no session to end elsewhere.
func (d *Door) Leave(context.Context, session.Identity, string) string { return "" }
