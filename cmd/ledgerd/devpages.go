// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/cmd/internal/browser"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/cmd/internal/web/notice"
	"github.com/traccia-ledger/traccia/cmd/internal/web/standin"
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// outbox has what would be e-mail.
func outbox(dir string) string { return filepath.Join(dir, "outbox") }

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
			Node: n, Origin: pagesOrigin(url), Doors: []web.Door{door}, Operator: web.Operator{Name: "Registro di prova"}, Verifier: verifier, Log: log, Metrics: metrics,
			Notices: notice.Folder(outbox(n.Dir)), NoticesEvery: 10 * time.Second,
		})
	}
}

// pagesOrigin is the address of the sample's pages: browsers let passkeys be used on localhost, and on no number.
func pagesOrigin(url string) string {
	return strings.Replace(url, "//127.0.0.1:", "//localhost:", 1)
}

// recordMandate has the sample's municipality record that one of the people may act for another, unless it did before.
func recordMandate(ctx context.Context, n *node.Node, w *dev.World) error {
	delegate, citizen := w.Delegation()
	if m, err := n.Mandate(ctx, citizen, delegate); m != nil || err != nil {
		return err
	}
	epoch, previous, err := n.ConsentPlace(ctx, citizen)
	if err != nil {
		return err
	}
	raw, _, err := w.Mandate(citizen, delegate, epoch, previous, n.Now())
	if err != nil {
		return fmt.Errorf("couldn't make a sample mandate: %w", err)
	}
	_, _, err = n.RecordConsent(ctx, raw)
	return err
}

// sampleRequest is the link by which a municipality of the sample asks citizens for a consent.
func sampleRequest(w *dev.World, url string, now time.Time) (string, error) {
	key, _ := w.Key(dev.Municipality)
	compact, err := consent.SignRequest(&consent.Request{
		Ledger: devName, Body: dev.Municipality, ID: consent.NewID(), IssuedAt: now.Unix(), Expires: now.AddDate(0, 3, 0).Unix(),
		LegalBasis: []string{consent.BasisConsent}, Recipients: []string{dev.Municipality}, Purposes: []string{"SocialWelfareProvision"},
		Categories: []string{"isee", "Name"}, Days: 365,
	}, key.Kid, w.Signer(dev.Municipality))
	if err != nil {
		return "", fmt.Errorf("couldn't make a sample request for a consent: %w", err)
	}
	return consent.RequestLink(pagesOrigin(url), "it", compact), nil
}
