// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
	"github.com/traccia-ledger/traccia/verifier"
)

// TestNode drives the binary against a real ledger over loopback.
func TestNode(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/node",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			s, err := startService(filepath.Join(env.WorkDir, "ledger"))
			if err != nil {
				return err
			}
			env.Defer(func() { s.stop() })
			env.Values["service"] = s
			env.Setenv("URL", "http://"+s.addr)
			return writeInputs(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"bulk":    bulk,
			"cut":     cut,
			"flip":    flip,
			"govway":  startGovWay,
			"mode":    mode,
			"traced":  traced,
			"ledger":  serviceCommand,
			"listed":  listed,
			"lookups": lookUps,
			"proven":  proven,
			"setid":   setID,
		},
	})
}

// service is a ledger that is served, with the bodies of the stand-in for PDND
// and their keys registered.
type service struct {
	dir, addr string
	node      *node.Node
	server    *http.Server
	handlers  sync.WaitGroup
}

func startService(dir string) (*service, error) {
	w := world()
	err := node.Create(context.Background(), dir, node.Settings{
		Name: testLedger, PublishInterval: "50ms",
		PDND: node.PDNDSettings{
			Issuers:     []string{dev.Issuer},
			VoucherKeys: []string{filepath.Join(keysDir, dev.PDNDKeysFile)},
			ClientKeys:  []string{filepath.Join(keysDir, dev.ClientKeysFile)},
			EService:    &eservice,
		},
	}, node.Options{})
	if err != nil {
		return nil, err
	}
	s := &service{dir: dir, addr: "127.0.0.1:0"}
	if err := s.start(); err != nil {
		return nil, err
	}
	ctx := context.Background()
	for _, b := range w.Bodies() {
		if _, err := s.node.AddBody(ctx, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant}); err != nil {
			return nil, err
		}
		if key, ok := w.Key(b.ID); ok {
			if _, err := s.node.AddKey(ctx, b.ID, key, ""); err != nil {
				return nil, err
			}
		}
	}
	hub, providers := w.Hub()
	_, err = s.node.SetScope(ctx, registry.Scope{ID: hub, Providers: providers})
	return s, err
}

func (s *service) start() error {
	var err error
	if s.node, err = node.Open(context.Background(), s.dir, node.Options{Policies: policies.Open, Consents: webauthn.Rules{}}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.addr = l.Addr().String()
	handler := api.New(s.node, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Handler()
	s.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handlers.Add(1)
		defer s.handlers.Done()
		handler.ServeHTTP(w, r)
	})}
	go s.server.Serve(l)
	return nil
}

// stop breaks all connections, whatever is under way on them, and closes the
// ledger.
func (s *service) stop() error {
	err := s.server.Close()
	s.handlers.Wait()
	return errors.Join(err, s.node.Close())
}

// serviceCommand is the command "ledger" of the scripts:
//
//	ledger register BODY JWKS   registers the keys of a file that agency key new made
//	ledger revoke BODY KEYFILE  revokes a key
//	ledger forbid               activates policies that permit nothing
//	ledger restart PAUSE        stops, and starts again after a pause
//	ledger reached N            waits until the log has N leaves more than now
func serviceCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("service").(*service)
	ctx := context.Background()
	switch args[0] {
	case "register":
		err := register(s.node, args[1], []byte(ts.ReadFile(args[2])))
		if (err != nil) != neg {
			ts.Fatalf("registering gave %v", err)
		}
	case "revoke":
		f, err := agencykey.Parse([]byte(ts.ReadFile(args[2])))
		ts.Check(err)
		_, err = s.node.RevokeKey(ctx, args[1], f.Kid, "test")
		ts.Check(err)
	case "forbid":
		term := []policies.Term{{ID: "x", IRI: "https://w3id.org/dpv/pd#Income", It: "x", En: "x", SentenceIt: "x", SentenceEn: "x"}}
		document, err := (&policies.Bundle{
			Schema: policies.BundleSchema, Version: "none", DescriptionIt: "Prova", DescriptionEn: "Test",
			Vocabulary: policies.Vocabulary{Categories: term, Purposes: term, LegalBases: term, BodyKinds: term},
			Files: []policies.File{{Name: "all.cedar", Text: `
@id("nobody") @reference("L. 241/1990") @reason_it("Nessuno.") @reason_en("Nobody.")
permit (principal, action, resource) when { context.subjects < 0 };
`}},
		}).Format()
		ts.Check(err)
		_, err = s.node.ActivatePolicies(ctx, document)
		ts.Check(err)
	case "restart":
		pause, err := time.ParseDuration(args[1])
		ts.Check(err)
		ts.Check(s.stop())
		time.Sleep(pause)
		ts.Check(s.start())
	case "reached":
		n, err := strconv.ParseUint(args[1], 10, 64)
		ts.Check(err)
		for from := s.node.Latest().Root.Size; s.node.Latest().Root.Size < from+n; time.Sleep(5 * time.Millisecond) {
		}
	default:
		ts.Fatalf("unknown command ledger %s", args[0])
	}
}

// register does what the operator's command does with a JWK set and the proofs
// beside its keys.
func register(n *node.Node, body string, jwks []byte) error {
	keys, err := jws.ParseKeys(jwks)
	if err != nil {
		return err
	}
	var set struct {
		Keys []struct {
			Proof string `json:"proof"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return err
	}
	for i, k := range keys {
		if _, err := n.AddKey(context.Background(), body, k, set.Keys[i].Proof); err != nil {
			return err
		}
	}
	return nil
}

// setID is the command "setid FILE": the variable ID is the consent_id in a JSON file.
func setID(ts *testscript.TestScript, _ bool, args []string) {
	var a struct {
		ID string `json:"consent_id"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &a))
	ts.Setenv("ID", a.ID)
}

// proven is the command "proven SUBMISSION RECEIPT...": fails unless the
// verifier says so of each receipt; SUBMISSION is - where it isn't at hand.
func proven(ts *testscript.TestScript, neg bool, args []string) {
	key, err := note.NewVerifier(ts.Value("service").(*service).node.VKey())
	ts.Check(err)
	var submission *ledger.Submission
	if args[0] != "-" {
		submission, err = ledger.ParseSubmission([]byte(ts.ReadFile(args[0])))
		ts.Check(err)
	}
	for _, pattern := range args[1:] {
		names, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(names) == 0 {
			ts.Fatalf("no receipt %s", pattern)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			ts.Check(err)
			if report := verifier.Receipt(data, []note.Verifier{key}, submission); !report.Proven() {
				ts.Fatalf("%s isn't proven: %+v", name, report.Checks)
			}
		}
	}
}
