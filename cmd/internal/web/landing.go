// SPDX-License-Identifier: EUPL-1.2

package web

import "net/http"

var landingPage = page{path: "", open: true, methods: []string{http.MethodGet}, serve: serveLanding, nav: "nav.home"}

func serveLanding(s *server, w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, "landing", nil)
}

// What stands where the operator names no page of theirs.
var (
	accessibilityPage = page{path: "/accessibilita", open: true, methods: []string{http.MethodGet}, serve: serveText("accessibility")}
	privacyPage       = page{path: "/privacy", open: true, methods: []string{http.MethodGet}, serve: serveText("privacy")}
)

func serveText(name string) func(*server, http.ResponseWriter, *http.Request) error {
	return func(s *server, w http.ResponseWriter, r *http.Request) error { return s.render(w, r, name, nil) }
}
