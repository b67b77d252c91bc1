// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/cmd/internal/browser"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/cmd/internal/web/standin"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// devPages are the pages of the sample ledger, which anyone enters as one of its invented people.
func devPages(w *dev.World, verifier func() *browser.Site) pagesMaker {
	return func(n *node.Node, url string, log *slog.Logger, metrics prometheus.Registerer) (*web.Pages, error) {
		people := func() [][]ledger.Subject {
			people := w.People()
			// The citizen of the sample files is there too, once these are.
			if subjects, err := readSubjects(subjectFile(n.Dir)); err == nil && !slices.ContainsFunc(people, func(p []ledger.Subject) bool { return p[0] == subjects[0] }) {
				people = append([][]ledger.Subject{subjects}, people...)
			}
			return people
		}
		door, err := standin.New(n.Settings.Name, people, n.Now)
		if err != nil {
			return nil, err
		}
		return web.New(web.Config{
			Node: n, Origin: url, Doors: []web.Door{door}, Operator: web.Operator{Name: "Registro di prova"}, Verifier: verifier, Log: log, Metrics: metrics,
		})
	}
}
