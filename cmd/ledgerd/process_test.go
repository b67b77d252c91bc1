// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// processEnv makes this test binary be ledgerd.
const processEnv = "TRACCIA_TEST_LEDGERD"

func TestMain(m *testing.M) {
	if os.Getenv(processEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a ledgerd of its own.
type process struct {
	t       *testing.T
	command *exec.Cmd
	stderr  lockedBuffer
	stdout  lockedBuffer
	ready   ready
	ended   chan struct{}
	code    int // once ended
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, command: exec.Command(program, args...), ended: make(chan struct{})}
	p.command.Env = append(os.Environ(), processEnv+"=1")
	p.command.Stdout, p.command.Stderr = &p.stdout, &p.stderr
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.command.Wait()
		p.code = p.command.ProcessState.ExitCode()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.command.Process.Kill()
		<-p.ended
	})
	return p
}

// finish waits for the end and gives the exit code, −1 of a killed process.
func (p *process) finish() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.t.Fatalf("ledgerd never ended:\n%s", p.stderr.String())
	}
	return p.code
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// awaitLog waits until standard error has the word, or the process ended.
func (p *process) awaitLog(word string) string {
	for !strings.Contains(p.stderr.String(), word) {
		select {
		case <-p.ended:
			return p.stderr.String()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return p.stderr.String()
}

// stop asks it to end, which must go well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.finish(); code != 0 {
		p.t.Errorf("stopped with %d:\n%s", code, p.stderr.String())
	}
}

// serve starts a ledgerd that serves, and waits until it is ready.
func serve(t *testing.T, args ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	p := start(t, append(args, "--listen", "127.0.0.1:0", "--ready-file", file)...)
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(file)
		if err == nil {
			if err := json.Unmarshal(data, &p.ready); err != nil {
				t.Fatalf("the ready file holds %q: %v", data, err)
			}
			return p
		}
		select {
		case <-p.ended:
			t.Fatalf("ledgerd ended with %d before it was ready:\n%s", p.code, p.stderr.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("ledgerd isn't ready:\n%s", p.stderr.String())
		}
	}
}

// ledgerd runs a command to its end.
func ledgerd(t *testing.T, args ...string) *process {
	t.Helper()
	p := start(t, args...)
	p.finish()
	return p
}

// answer reads the one JSON object that a command printed.
func (p *process) answer() map[string]any {
	p.t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(p.stdout.String()), &object); err != nil {
		p.t.Fatalf("standard output isn't one JSON object: %v\n%s\n%s", err, p.stdout.String(), p.stderr.String())
	}
	return object
}

// newData makes a ledger with the world's bodies.
func newData(t *testing.T) (*nodetest.World, string) {
	t.Helper()
	w := nodetest.NewWorld(t, time.Now())
	dir := filepath.Join(t.TempDir(), "data")
	w.Create(t, dir, node.Options{})
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.Register(t, n)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return w, dir
}

// post sends one submission. The error is the connection's.
func post(url string, raw []byte) (status int, answer *ledger.Answer, err error) {
	response, err := http.Post(url+"/v1/access-receipts", "application/json", bytes.NewReader(raw))
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err
	}
	if response.StatusCode/100 == 2 {
		answer, err = ledger.ParseAnswer(body)
	}
	return response.StatusCode, answer, err
}

// acknowledged is what submitters were told, by number of the submission.
type acknowledged struct {
	mu      sync.Mutex
	answers map[int]*ledger.Answer
}

func (a *acknowledged) add(t *testing.T, n int, answer *ledger.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.answers[n]; before != nil {
		if err := nodetest.SameEntries(before, answer); err != nil {
			t.Errorf("submission %d, answered again: %v", n, err)
		}
	}
	a.answers[n] = answer
}

func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.answers)
}

// flood posts submissions from 6 clients, and in one batch, until the ledger
// no longer takes any.
func (a *acknowledged) flood(t *testing.T, w *nodetest.World, url string, from int) *sync.WaitGroup {
	t.Helper()
	var g sync.WaitGroup
	for client := range 6 {
		g.Go(func() {
			for n := from + client; ; n += 8 {
				status, answer, err := post(url, w.Submission(t, n))
				switch {
				case err != nil || status == http.StatusServiceUnavailable:
					return // refused, or cut off: nobody was told anything
				case answer == nil:
					t.Errorf("submission %d was answered %d", n, status)
					return
				}
				a.add(t, n, answer)
			}
		})
	}
	g.Go(func() {
		body, feed := io.Pipe()
		go func() {
			for n := from + 6; ; n += 8 {
				if _, err := feed.Write(append(w.Submission(t, n), '\n')); err != nil {
					return
				}
			}
		}()
		defer body.Close()
		response, err := http.Post(url+"/v1/access-receipts/batch", "application/x-ndjson", body)
		if err != nil {
			return
		}
		defer response.Body.Close()
		for lines := json.NewDecoder(response.Body); ; {
			var line struct {
				Line   int
				Status int
				Answer *ledger.Answer
			}
			if err := lines.Decode(&line); err != nil {
				return
			}
			if line.Answer != nil {
				a.add(t, from+6+8*(line.Line-1), line.Answer)
			}
		}
	})
	return &g
}

// holds checks the ledger against what submitters were told.
func (a *acknowledged) holds(t *testing.T, dir string) {
	t.Helper()
	seen, err := nodetest.AuditDir(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	for n, answer := range a.answers {
		if first, ok := seen.Receipts[answer.ReceiptID]; !ok || first != answer.FirstIndex {
			t.Errorf("submission %d was acknowledged at %d, the log has it at %d (%v)", n, answer.FirstIndex, first, ok)
		}
	}
}

// TestStoppedUnderLoad asks a ledger to end, and then kills one, while clients
// go on. Nothing acknowledged is lost, and the retries get the same entries.
func TestStoppedUnderLoad(t *testing.T) {
	w, dir := newData(t)
	acks := &acknowledged{answers: map[int]*ledger.Answer{}}
	from := 0
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM} {
		p := serve(t, "serve", "--data", dir)
		before := acks.count()
		clients := acks.flood(t, w, p.ready.URL, from)
		for end := time.Now().Add(20 * time.Second); acks.count() < before+60 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		begun := time.Now()
		p.signal(signal)
		code := p.finish()
		clients.Wait() // and their batch ended, though it has no end
		if signal != syscall.SIGKILL && code != 0 {
			t.Errorf("%s: exit %d:\n%s", signal, code, p.stderr.String())
		}
		took := time.Since(begun)
		if took > 10*time.Second {
			t.Errorf("%s: it took %s to end", signal, took)
		}
		acks.holds(t, dir)
		from += 100_000
		t.Logf("%s after %d acknowledgements: ended in %s", signal, acks.count()-before, took.Round(time.Millisecond))
	}
	p := serve(t, "serve", "--data", dir)
	for n, answer := range acks.answers {
		if n%5 != 0 {
			continue
		}
		status, again, err := post(p.ready.URL, w.Submission(t, n))
		if err != nil || status != http.StatusOK {
			t.Fatalf("the retry of submission %d: %d, %v", n, status, err)
		}
		if err := nodetest.SameEntries(answer, again); err != nil {
			t.Errorf("the retry of submission %d: %v", n, err)
		}
	}
	p.stop()
	acks.holds(t, dir)
}

func TestReadyFile(t *testing.T) {
	_, dir := newData(t)
	p := serve(t, "serve", "--data", dir)
	r := p.ready
	if !strings.HasPrefix(r.URL, "http://127.0.0.1:") || r.Data != dir || r.LogKeyFile != filepath.Join(dir, "log.vkey") {
		t.Errorf("the ready file says %+v", r)
	}
	for _, url := range []string{r.URL + "/status", r.URL + "/openapi.yaml", r.MetricsURL, strings.TrimSuffix(r.MetricsURL, "/metrics") + "/ready"} {
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s", url, response.Status)
		}
	}
	p.stop()
}

// TestRefusedStarts: what can't be started says why, and ends with the code of
// the contract.
func TestRefusedStarts(t *testing.T) {
	_, dir := newData(t)
	p := serve(t, "serve", "--data", dir)
	for _, c := range []struct {
		name string
		args []string
		code int
		hint string
	}{
		{"a second process", []string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, 3, "stop the process"},
		{"no ledger", []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}, 3, "ledgerd init"},
		{"plain HTTP for everyone", []string{"serve", "--data", dir, "--listen", "0.0.0.0:0"}, 2, "--tls-cert"},
		{"plain HTTP on every address", []string{"serve", "--data", dir, "--listen", ":0"}, 2, "--tls-cert"},
		{"plain HTTP by a name", []string{"serve", "--data", dir, "--listen", "ledger.example:80"}, 2, "--tls-cert"},
		{"metrics for everyone", []string{"serve", "--data", dir, "--metrics-listen", "0.0.0.0:0"}, 2, "--metrics-listen"},
		{"half of TLS", []string{"serve", "--data", dir, "--tls-cert", "x"}, 2, "go together"},
		{"no address", []string{"serve", "--data", dir, "--listen", "8080"}, 2, "host:port"},
		{"an unknown flag", []string{"serve", "--date", dir}, 2, "--help"},
		{"an unknown command", []string{"server"}, 2, "serve"},
		{"a second ledger", []string{"init", "--data", dir, "--name", "altro.example"}, 3, ""},
		{"a ledger without a name", []string{"init", "--data", filepath.Join(t.TempDir(), "x")}, 2, "--name"},
		{"a sample over a real ledger", []string{"dev", "--data", dir}, 2, "another --data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused := ledgerd(t, c.args...)
			if refused.code != c.code || !strings.Contains(refused.stderr.String(), c.hint) {
				t.Errorf("exit %d, expected %d and a word of %q:\n%s", refused.code, c.code, c.hint, refused.stderr.String())
			}
			if refused.stdout.String() != "" {
				t.Errorf("standard output: %s", refused.stdout.String())
			}
		})
	}
	response, err := http.Get(p.ready.URL + "/status")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("the first process no longer serves: %v", err)
	}
	p.stop()
}

func TestServeTLS(t *testing.T) {
	w, dir := newData(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: certificate}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := serve(t, "serve", "--data", dir, "--tls-cert", certFile, "--tls-key", keyFile)
	if !strings.HasPrefix(p.ready.URL, "https://127.0.0.1:") {
		t.Fatalf("it serves on %s", p.ready.URL)
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	response, err := client.Post(p.ready.URL+"/v1/access-receipts", "application/json", bytes.NewReader(w.Submission(t, 1)))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Errorf("a submission over TLS: %s", response.Status)
	}
	if response, err := http.Get(strings.Replace(p.ready.URL, "https://", "http://", 1) + "/status"); err == nil && response.StatusCode == http.StatusOK {
		t.Error("it answers in the clear too")
	}
	p.stop()
	// A certificate that can't be used is a failure to start, at once.
	if err := os.WriteFile(certFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := ledgerd(t, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--tls-cert", certFile, "--tls-key", keyFile); p.code != 3 {
		t.Errorf("a broken certificate: exit %d\n%s", p.code, p.stderr.String())
	}
}

// TestBodyCommands registers bodies and keys, on a ledger that is served and
// on one that isn't, and after a process that was killed left its socket.
func TestBodyCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if p := ledgerd(t, "init", "--data", dir, "--name", "registro.example", "--json"); p.code != 0 || p.answer()["name"] != "registro.example" {
		t.Fatalf("init: exit %d\n%s", p.code, p.stderr.String())
	}
	keys := func(id string, generation int) (file, kid string) {
		key := nodetest.Key(id, generation)
		set, err := jws.FormatKeys([]jws.Key{key})
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(t.TempDir(), id+".jwks")
		if err := os.WriteFile(file, set, 0o644); err != nil {
			t.Fatal(err)
		}
		return file, key.Kid
	}
	run := func(args ...string) map[string]any {
		t.Helper()
		p := ledgerd(t, append([]string{"body"}, append(args, "--data", dir, "--json")...)...)
		answer := p.answer()
		answer["exit"] = p.code
		return answer
	}
	for i, how := range []string{"alone", "served", "left"} {
		id := "c_" + how
		var p *process
		switch how {
		case "served":
			p = serve(t, "serve", "--data", dir)
		case "left":
			p = serve(t, "serve", "--data", dir)
			p.signal(syscall.SIGKILL)
			p.finish()
			if _, err := os.Stat(filepath.Join(dir, adminSocket)); err != nil {
				t.Fatalf("the killed process left no socket: %v", err)
			}
		}
		first, kid := keys(id, 0)
		second, kid2 := keys(id, 1)
		added := run("add", "--id", id, "--name", "Comune "+how, "--jwks", first)
		if added["exit"] != 0 || added["body"] != id || added["kid"] != kid || added["record_index"].(float64) < 1 {
			t.Errorf("%s: add: %v", how, added)
		}
		if refused := run("key-add", "--id", id, "--jwks", second); refused["exit"] != 1 || problemCode(refused) != "proof_missing" {
			t.Errorf("%s: a further key on nobody's word: %v", how, refused)
		}
		if more := run("key-add", "--id", id, "--jwks", second, "--operator-word"); more["exit"] != 0 || more["kid"] != kid2 {
			t.Errorf("%s: key-add: %v", how, more)
		}
		if gone := run("key-revoke", "--id", id, "--kid", kid, "--reason", "rotazione"); gone["exit"] != 0 || gone["kid"] != kid {
			t.Errorf("%s: key-revoke: %v", how, gone)
		}
		if refused := run("key-revoke", "--id", id, "--kid", kid); refused["exit"] != 1 || problemCode(refused) != "unknown_key" {
			t.Errorf("%s: a key revoked twice: %v", how, refused)
		}
		if refused := run("add", "--id", "NON_VALIDO"); refused["exit"] != 1 {
			t.Errorf("%s: an id that isn't one: %v", how, refused)
		}
		list := run("list")
		listed := 0
		for _, body := range list["bodies"].([]any) {
			if strings.HasPrefix(body.(map[string]any)["id"].(string), "c_") {
				listed++
			}
		}
		if list["exit"] != 0 || listed != i+1 {
			t.Errorf("%s: list: %v", how, list)
		}
		if p != nil && how == "served" {
			p.stop()
		}
	}
	// Each is a record of the log, in its order.
	n, err := node.Open(t.Context(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var last uint64
	for _, id := range []string{"c_alone", "c_served", "c_left"} {
		for _, k := range n.Registry.Keys(id) {
			if k.Index <= last || k.Basis != registry.BasisOperator || k.Revoked != (k.Kid == nodetest.Key(id, 0).Kid) {
				t.Errorf("%s has the key %+v after index %d", id, k, last)
			}
			last = k.Index
		}
	}
}

func problemCode(answer map[string]any) any {
	problems, _ := answer["problems"].([]any)
	if len(problems) == 0 {
		return nil
	}
	return problems[0].(map[string]any)["code"]
}

// TestDevOnce runs the sample ledger to its end, twice, and serves it.
func TestDevOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := ledgerd(t, "dev", "--once", "--json", "--receipts", "300", "--data", dir)
	first := p.answer()
	if p.code != 0 || first["result"] != "proven" || first["receipts"] != 300.0 || first["schema"] != "traccia/ledgerd-dev/1" {
		t.Fatalf("exit %d, %v\n%s", p.code, first, p.stderr.String())
	}
	events, size := first["events"].(float64), first["log_size"].(float64)
	if events < 300 || size <= events || len(first["root"].(string)) != 64 || first["seconds"].(float64) <= 0 || len(first["problems"].([]any)) != 0 {
		t.Errorf("%v", first)
	}
	if want := ledger.Origin(devName, ledger.EpochOf(time.Now())); first["origin"] != want {
		t.Errorf("origin %v, expected %s", first["origin"], want)
	}
	if first["log_key_file"] != filepath.Join(dir, "log.vkey") {
		t.Errorf("log_key_file %v", first["log_key_file"])
	}
	for _, name := range []string{"log.vkey", "policy.txt", "sample/submission.json", "sample/receipt.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%v", err)
		}
	}
	// Started again it goes on with what it has.
	p = serve(t, "dev", "--data", dir)
	submission, err := os.ReadFile(filepath.Join(dir, "sample", "submission.json"))
	if err != nil {
		t.Fatal(err)
	}
	status, again, err := post(p.ready.URL, submission)
	if err != nil || status != http.StatusOK {
		t.Fatalf("the sample submission again: %d, %v", status, err)
	}
	receipt, err := os.ReadFile(filepath.Join(dir, "sample", "receipt.json"))
	if err != nil {
		t.Fatal(err)
	}
	before, err := ledger.ParseAnswer(receipt)
	if err != nil {
		t.Fatal(err)
	}
	if err := nodetest.SameEntries(before, again); err != nil {
		t.Errorf("the sample receipt: %v", err)
	}
	if p.ready.PolicyFile != filepath.Join(dir, "policy.txt") {
		t.Errorf("the ready file says %+v", p.ready)
	}
	p.stop()
	p = ledgerd(t, "dev", "--once", "--json", "--data", dir)
	second := p.answer()
	if p.code != 0 || second["result"] != "proven" || second["receipts"] != 0.0 || second["events"] != events || second["log_size"].(float64) < size {
		t.Errorf("exit %d, after %v: %v", p.code, first, second)
	}
}

// TestDevInterrupted stops the sample ledger while it is being filled, at
// several points, and lets it finish.
func TestDevInterrupted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	// Bodies of whom some have keys, as if it had been killed in between.
	world, _, err := prepareDev(t.Context(), dir, 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	// The witness's policy is written before the ledger is opened.
	w, err := startWitness(filepath.Join(dir, "dev"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.watch(filepath.Join(dir, "dev"), filepath.Join(dir, "log.vkey"), policyFile(dir)); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(context.Background(), dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := dev.AllBodies()
	if err != nil {
		t.Fatal(err)
	}
	var bodies []registry.Body
	for _, b := range all {
		bodies = append(bodies, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant})
	}
	if _, err := n.AddBodies(t.Context(), bodies); err != nil {
		t.Fatal(err)
	}
	for _, b := range world.Bodies()[:5] {
		key, _ := world.Key(b.ID)
		if _, err := n.AddKey(t.Context(), b.ID, key, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	w.close()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		p := start(t, "dev", "--receipts", "1000000", "--listen", "127.0.0.1:0", "--data", dir)
		if !strings.Contains(p.awaitLog("serving"), "serving") {
			t.Fatalf("it never served:\n%s", p.stderr.String())
		}
		time.Sleep(300 * time.Millisecond) // it loads
		p.signal(signal)
		if code := p.finish(); code == 0 {
			t.Errorf("interrupted by %s while loading: exit 0", signal)
		}
	}
	p := ledgerd(t, "dev", "--once", "--json", "--receipts", "50", "--data", dir)
	if answer := p.answer(); p.code != 0 || answer["result"] != "proven" {
		t.Fatalf("exit %d, %v\n%s", p.code, answer, p.stderr.String())
	}
	if p := ledgerd(t, "fsck", "--data", dir, "--json"); p.code != 0 || p.answer()["result"] != "proven" {
		t.Errorf("fsck: exit %d\n%.2000s\n%s", p.code, p.stdout.String(), p.stderr.String())
	}
}
