// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger"
)

const testLedger = "registro.example"

func TestMain(m *testing.M) {
	testscript.Main(cleaning{m}, map[string]func(){"agency": main})
}

// cleaning removes the stand-in's keys after the tests.
type cleaning struct{ *testing.M }

func (c cleaning) Run() int {
	code := c.M.Run()
	if keysDir != "" {
		os.RemoveAll(keysDir)
	}
	return code
}

var keysDir string // set by world

// world is the stand-in for PDND that issues the tests' tokens. Its public keys
// are in keysDir.
var world = sync.OnceValue(func() *dev.World {
	var err error
	if keysDir, err = os.MkdirTemp("", "traccia-agency-*"); err != nil {
		panic(err)
	}
	w, err := dev.NewWorld(dev.Config{Dir: keysDir, Ledger: testLedger, Profile: ledger.ProfileAudit02})
	if err != nil {
		panic(err)
	}
	return w
})

// TestScripts drives the binary against a ledger of which faults can be asked.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			f, err := startFake("127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Defer(f.stop)
			env.Values["ledger"] = f
			env.Setenv("URL", "http://"+f.addr)
			return writeInputs(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ledger": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Value("ledger").(*fakeLedger).script(ts, neg, args)
			},
			"bulk": bulk,
			"mode": mode,
		},
	})
}

// reported gives an access that its consumer reports, as all of a small
// municipality's are.
func reported() (*ledger.Submission, *ledger.SignedReceipt, error) {
	w := world()
	for n := 0; ; n++ {
		s, err := w.Submission(n)
		if err != nil {
			return nil, nil, err
		}
		r, err := ledger.ParseReceipt(s.Receipt)
		if err != nil || r.Role == ledger.RoleConsumer && strings.HasPrefix(r.Consumer, "c_") {
			return s, r, err
		}
	}
}

// writeInputs puts into the script's directory what an office would have at
// hand after an access: claims.json, voucher.jwt, evidence.jwt. BODY is the
// consumer's id.
func writeInputs(env *testscript.Env) error {
	s, r, err := reported()
	if err != nil {
		return err
	}
	env.Setenv("BODY", r.Consumer)
	env.Setenv("PROVIDER", r.Provider)
	claims, err := json.Marshal(claims{
		Aud: r.Aud, Provider: r.Provider, Consumer: r.Consumer, Purpose: r.Purpose, LegalBasis: r.LegalBasis,
		LegalReference: r.LegalReference, DataCategories: r.DataCategories, Actor: r.Actor, Operation: r.Operation, OccurredAt: r.OccurredAt,
	})
	if err != nil {
		return err
	}
	for name, data := range map[string]string{"claims.json": string(claims), "voucher.jwt": s.Voucher + "\n", "evidence.jwt": s.Evidence + "\r\n"} {
		if err := os.WriteFile(env.WorkDir+"/"+name, []byte(data), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// bulk is the command "bulk FILE N [BAD...]": N submissions, of which those of
// the numbers BAD, from 1, don't fit together.
func bulk(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var file bytes.Buffer
	w := world()
	for i := range n {
		s, err := w.Submission(i)
		ts.Check(err)
		for _, bad := range args[2:] {
			if bad == fmt.Sprint(i+1) {
				s.Private.Salt[0] ^= 1
			}
		}
		data, err := ledger.FormatSubmission(s)
		ts.Check(err)
		file.Write(append(data, '\n'))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), file.Bytes(), 0o600))
}

func TestParseURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://registro.example":           true,
		"https://registro.example/traccia":   true,
		"http://127.0.0.1:8080":              true,
		"http://[::1]:8080":                  true,
		"http://localhost:8080":              true,
		"http://registro.example":            false,
		"http://127.0.0.1.example":           false,
		"http://localhost.example":           false,
		"http://10.0.0.1":                    false,
		"https://user:pass@registro.example": false,
		"https://registro.example?x=1":       false,
		"registro.example":                   false,
		"ftp://127.0.0.1":                    false,
		"https://":                           false,
		"":                                   false,
	} {
		if _, err := parseURL(text); (err == nil) != ok {
			t.Errorf("parseURL(%q) = %v", text, err)
		}
	}
	u, err := parseURL("https://registro.example/traccia/")
	if err != nil {
		t.Fatal(err)
	}
	if got := u.JoinPath("v1/access-receipts").String(); got != "https://registro.example/traccia/v1/access-receipts" {
		t.Errorf("joined to %s", got)
	}
}

// TestExamples signs what --help shows.
func TestExamples(t *testing.T) {
	help := receiptSignCommand().Long
	for _, example := range []string{exampleClaims, examplePrivate} {
		for line := range strings.Lines(example) {
			if !strings.Contains(help, "  "+line) {
				t.Errorf("the help lacks %q", line)
			}
		}
	}
	write := func(name, text string) string {
		path := t.TempDir() + "/" + name
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c, err := readClaims(write("claims.json", exampleClaims))
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPrivate(write("private.json", examplePrivate))
	if err != nil {
		t.Fatal(err)
	}
	k, err := agencykey.New("c_a944", "EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	p.Voucher = "e30.e30.AA"
	a := &access{key: k, claims: c, voucher: &voucherClaims{jti: "x"}, private: p, subjects: []ledger.Subject{"RSSMRA80A01H501U"}}
	r, _, err := a.submission(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if r.JTI != c.JTI || r.IssuedAt != c.IssuedAt || r.EService != c.EService || r.OccurredAt != c.OccurredAt {
		t.Errorf("the receipt doesn't say what the claims do: %+v", r)
	}
}
