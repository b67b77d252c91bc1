// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// run runs a command to its end and decodes what it printed with --json.
func (p *path) run(answer any, name string, args ...string) (code int) {
	p.t.Helper()
	cmd := exec.Command(name, append(args, "--json")...)
	cmd.Env = append(os.Environ(), processEnv+"=1")
	cmd.Dir = p.dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		p.t.Fatal(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), answer); err != nil {
		p.t.Fatalf("%s %v: exit %d: %v\n%s\n%s", name, args, code, err, &stdout, &stderr)
	}
	return code
}

// TestAttest takes a call through real processes, compares the memory with the log, and has verifier provider find the same
// in what gateway records writes.
func TestAttest(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT CHECKED with -short: verifier provider is built for it")
	}
	p := newPath(t)
	yaml := filepath.Join(p.dir, "gateway.yaml")
	own, _ := p.world.Key("inps")
	set, err := jws.FormatKeys([]jws.Key{own})
	if err != nil {
		t.Fatal(err)
	}
	p.write("own.jwks", set, 0o644)
	text, err := os.ReadFile(yaml)
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	for range 2 {
		if resp, body, err := p.call(p.sample.Evidence); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %s %v\n%s", resp, body, err, p.stderr)
		}
	}
	p.process.Process.Signal(syscall.SIGTERM)
	if err := p.process.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, p.stderr)
	}
	if err := p.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	var attested attestAnswer
	if code := p.run(&attested, os.Args[0], "attest", yaml); code != cli.ExitCouldNotCheck {
		t.Errorf("without a block check: exit %d, %+v", code, attested)
	}
	p.write("gateway.yaml", append(text, "check: {at: \"00:00\", keys: own.jwks, providers: [inps], in_flight: 1ms}\n"...), 0o644)
	if code := p.run(&attested, os.Args[0], "attest", yaml); code != cli.ExitDone || len(attested.Checks) != 1 || attested.Checks[0].Index == nil || attested.Checks[0].Entries != 2 {
		t.Fatalf("exit %d, %+v", code, attested)
	}
	if _, ok := p.node.Registry().Attested("inps", ledger.Origin(ledgerName, p.node.Epoch())); !ok {
		t.Error("the log has no record of it")
	}

	tool := filepath.Join(p.dir, "verifier")
	if out, err := exec.Command("go", "build", "-o", tool, "../verifier").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.write("own.ndjson", []byte(p.command("records", yaml)), 0o600)
	var checked struct {
		Result  string
		Entries int
	}
	args := []string{"provider", "--scope", "inps", "--records", "own.ndjson", "--proofs", "proofs.ndjson", "--keys", "own.jwks", "--providers", "inps",
		"--url", p.url, "--policy", "policy.txt", "--signing-key", "inps.key", "--in-flight", "1ms"}
	if code := p.run(&checked, tool, args...); code != cli.ExitDone || checked.Result != "proven" || checked.Entries != 2 {
		t.Errorf("exit %d, %+v", code, checked)
	}
	lines, err := os.ReadFile(filepath.Join(p.dir, "own.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("own.ndjson", []byte(strings.SplitAfter(string(lines), "\n")[1]), 0o600)
	if code := p.run(&checked, tool, args...); code != cli.ExitNotProven {
		t.Errorf("with a line less: exit %d, %+v", code, checked)
	}

	// A gateway that serves does it when it is asked, and its last check isn't ten minutes old.
	p.start()
	if code := p.run(&attested, os.Args[0], "attest", yaml); code != cli.ExitCouldNotCheck || attested.Result != cli.Unchecked || !strings.Contains(attested.Checks[0].Note, "too_soon") {
		t.Errorf("exit %d, %+v", code, attested)
	}
	var state statusAnswer
	if code := p.run(&state, os.Args[0], "status", yaml); code != cli.ExitDone || !state.Serving || len(state.Checks) != 1 || state.Checks[0].Found != 0 {
		t.Errorf("exit %d, %+v", code, state)
	}

	// The ledger says whether it has registered the key.
	var check checkAnswer
	if code := p.run(&check, os.Args[0], "check", yaml); code != cli.ExitDone || len(check.Notes) != 1 {
		t.Errorf("exit %d, %+v", code, check)
	}
	key, err := agencykey.New("inps", jws.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	file, err := agencykey.Format(key, "")
	if err != nil {
		t.Fatal(err)
	}
	p.write("inps.key", file, 0o600)
	if set, err = jws.FormatKeys([]jws.Key{own, key.Key}); err != nil {
		t.Fatal(err)
	}
	p.write("own.jwks", set, 0o644)
	if code := p.run(&check, os.Args[0], "check", yaml); code != cli.ExitNotProven || len(check.Problems) != 1 || check.Problems[0].Code != "not_registered" {
		t.Errorf("a key that isn't registered: exit %d, %+v", code, check)
	}
}
