// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
)

// rig is a ledger and a gateway as processes of their own, that can be killed at any instant; between them a network that can
// break, and beside them what consumers received: in the end it is compared with what the log holds.
type rig struct {
	*path
	binary  string // of ledgerd
	ledger  atomic.Pointer[url.URL]
	process *exec.Cmd // of ledgerd
	way     atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]
	answer  atomic.Pointer[http.HandlerFunc] // the provider's
	next    int                              // person of the next call
	people  int                              // whom calls are about in turns; 0: of each somebody else

	mu    sync.Mutex
	given map[string]ledger.Subject // by receipt, the person whose answer a consumer has whole; guarded by mu
	cut   bool                      // an answer may be on its way to a consumer that nobody knows of; guarded by mu
}

// ledgerdBinary is built once.
var ledgerdBinary = sync.OnceValues(func() (string, error) {
	var err error
	if binaries, err = os.MkdirTemp("", "traccia-binaries-"); err != nil {
		return "", err
	}
	file := filepath.Join(binaries, "ledgerd")
	if out, err := exec.Command("go", "build", "-o", file, "../ledgerd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("couldn't build ledgerd: %w\n%s", err, out)
	}
	return file, nil
})

const answered = `{"isee": 12345.67}`

func newRig(t *testing.T) *rig {
	t.Helper()
	t.Parallel() // they wait more than they work
	r := &rig{path: &path{t: t, dir: t.TempDir()}, given: map[string]ledger.Subject{}}
	var err error
	if r.binary, err = ledgerdBinary(); err != nil {
		t.Fatal(err)
	}
	r.sampleCall()
	r.makeLedger()
	r.startLedger()
	proxy := &httputil.ReverseProxy{
		Rewrite:      func(p *httputil.ProxyRequest) { p.SetURL(r.ledger.Load()) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if way := r.way.Load(); way != nil && req.Method == http.MethodPost {
			(*way)(w, req, proxy)
			return
		}
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(front.Close)
	r.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answered)
	})
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { (*r.answer.Load())(w, req) }))
	t.Cleanup(provider.Close)
	r.key(r.world, "inps.key")
	r.configure(front.URL, provider.URL, "nome")
	// A second operation, on vital interests.
	config := r.read("gateway.yaml")
	head, first, _ := strings.Cut(config, "    operations:\n")
	second := strings.Replace(strings.Replace(first, "/consultazione", "/emergenza", 1), r.receipt.LegalBasis, "https://w3id.org/dpv/legal/eu/gdpr#A6-1-d", 1)
	r.write("gateway.yaml", []byte(head+"    vital: true\n    timeout: 1s\n    operations:\n"+first+second), 0o644)
	r.command("init", r.config())
	r.start()
	return r
}

func (r *rig) config() string { return filepath.Join(r.dir, "gateway.yaml") }

func (r *rig) read(name string) string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

// key writes INPS's key file with the key that it has in a world.
func (r *rig) key(w *dev.World, name string) jws.Key {
	r.t.Helper()
	key, _ := w.Key("inps")
	file, err := agencykey.Format(&agencykey.Key{Key: key, Body: "inps", Signer: w.Signer("inps")}, "")
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(name, file, 0o600)
	return key
}

func (r *rig) answers(h http.HandlerFunc) { r.answer.Store(&h) }

func (r *rig) onTheWay(h func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	if h == nil {
		r.way.Store(nil)
		return
	}
	r.way.Store(&h)
}

// makeLedger makes the data of a ledger with bodies, keys, a scope and policies that permit all.
func (r *rig) makeLedger() {
	r.t.Helper()
	ctx, dir := context.Background(), filepath.Join(r.dir, "ledger")
	must := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	must(node.Create(ctx, dir, node.Settings{
		Name: ledgerName, PublishInterval: "50ms",
		PDND: node.PDNDSettings{
			Issuers: []string{dev.Issuer}, VoucherKeys: []string{filepath.Join(r.dir, dev.PDNDKeysFile)}, ClientKeys: []string{filepath.Join(r.dir, dev.ClientKeysFile)},
		},
	}, node.Options{}))
	n, err := node.Open(ctx, dir, node.Options{Policies: policies.Open})
	must(err)
	for _, b := range r.world.Bodies() {
		if b.ID == "inps" || b.ID == r.receipt.Consumer {
			_, err := n.AddBody(ctx, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant, Attributes: b.Attributes})
			must(err)
		}
	}
	key, _ := r.world.Key("inps")
	_, err = n.AddKey(ctx, "inps", key, "")
	must(err)
	_, err = n.SetScope(ctx, registry.Scope{ID: "inps", Providers: []string{"inps"}})
	must(err)
	term := []policies.Term{{ID: "x", IRI: "https://w3id.org/dpv/pd#Income", It: "x", En: "x", SentenceIt: "x", SentenceEn: "x"}}
	document, err := (&policies.Bundle{
		Schema: policies.BundleSchema, Version: "1", DescriptionIt: "Prova", DescriptionEn: "Test",
		Vocabulary: policies.Vocabulary{Categories: term, Purposes: term, LegalBases: term, BodyKinds: term},
		Files: []policies.File{{Name: "all.cedar", Text: `
@id("all") @reference("GDPR Art. 6") @reason_it("Tutti.") @reason_en("All.")
permit (principal, action, resource) when { context.subjects > 0 };
`}},
	}).Format()
	must(err)
	_, err = n.ActivatePolicies(ctx, document)
	must(err)
	_, public, err := note.GenerateKey(rand.Reader, "alfa.example")
	must(err)
	public, err = f_note.VKeyToCosignatureV1(public)
	must(err)
	policy, err := checkpoint.FormatPolicy(&checkpoint.Policy{
		Logs: []checkpoint.Log{{VKey: n.VKey()}}, K: 1, Witnesses: []checkpoint.Witness{{Name: "alfa", VKey: public}},
	})
	must(err)
	r.write("policy.txt", policy, 0o644)
	must(n.Close())
}

func (r *rig) startLedger() {
	r.t.Helper()
	file := filepath.Join(r.dir, "ledgerd.json")
	os.Remove(file)
	r.process = exec.Command(r.binary, "serve", "--data", filepath.Join(r.dir, "ledger"), "--listen", "127.0.0.1:0", "--ready-file", file)
	stderr := new(bytes.Buffer)
	r.process.Stderr = stderr
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	process := r.process
	r.t.Cleanup(func() {
		process.Process.Kill()
		process.Wait()
	})
	r.eventually("the ledger serves", func() bool {
		data, err := os.ReadFile(file)
		var ready struct{ URL string }
		if err != nil || json.Unmarshal(data, &ready) != nil {
			return false
		}
		at, err := url.Parse(ready.URL)
		if err != nil {
			r.t.Fatal(err)
		}
		r.ledger.Store(at)
		return true
	})
}

// killLedger kills ledgerd, and killGateway the gateway, as a power cut does.
func (r *rig) killLedger() { kill(r.process) }

func (r *rig) killGateway() {
	kill(r.path.process)
	r.mu.Lock()
	r.cut = true
	r.mu.Unlock()
}

func kill(c *exec.Cmd) {
	c.Process.Kill()
	c.Wait()
}

// cutOff breaks a connection as a killed process does.
func cutOff(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

// got is what a consumer was answered.
type got struct {
	status  int
	receipt string // Traccia-Receipt
	body    string
	err     error
}

// ask makes a call about a person of its own, and notes what the consumer received.
func (r *rig) ask(ctx context.Context, path string, sample *ledger.Submission) got {
	r.mu.Lock()
	r.next++
	n := r.next
	if r.people > 0 {
		n = n%r.people + 1
	}
	r.mu.Unlock()
	person, err := r.world.Submission(n)
	if err != nil {
		r.t.Error(err)
		return got{err: err}
	}
	subject := person.Subjects[0].Subject
	_, rest, _ := strings.Cut(strings.TrimPrefix(r.claims.Audience, "https://"), "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.ready.Listen+"/"+rest+path, strings.NewReader(fmt.Sprintf(`{"cf":%q}`, subject)))
	if err != nil {
		r.t.Error(err)
		return got{err: err}
	}
	req.Header.Set("Authorization", "Bearer "+sample.Voucher)
	req.Header.Set("Agid-JWT-TrackingEvidence", sample.Evidence)
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		r.mu.Lock()
		r.cut = true
		r.mu.Unlock()
		return got{err: err}
	}
	defer resp.Body.Close()
	g := got{status: resp.StatusCode, receipt: resp.Header.Get("Traccia-Receipt")}
	body, err := io.ReadAll(resp.Body)
	g.body, g.err = string(body), err
	r.mu.Lock()
	defer r.mu.Unlock()
	if resp.StatusCode == http.StatusOK || strings.Contains(g.body, "isee") {
		id, _, _ := strings.Cut(g.receipt, ";")
		if id == "" {
			r.t.Errorf("data without a receipt: %d %s", resp.StatusCode, g.body)
		}
		r.given[id] = subject
	}
	return g
}

func (r *rig) call(path string) got { return r.ask(context.Background(), path, r.sample) }

// compare stops both, and compares what consumers received with what the log holds. An access that nobody received must be
// stated as undelivered, unless a process was killed or a consumer left (then nobody knows).
func (r *rig) compare() (kinds map[string]int) {
	r.t.Helper()
	r.onTheWay(nil)
	r.eventually("nothing is on its way to the ledger", func() bool {
		s := r.state()
		return s.Unsettled == 0 && s.Spooled == 0
	})
	list := r.records()
	kill(r.path.process)
	r.process.Process.Signal(os.Interrupt)
	if err := r.process.Wait(); err != nil {
		r.t.Errorf("ledgerd: %v", err)
	}
	if out, err := exec.Command(r.binary, "fsck", "--data", filepath.Join(r.dir, "ledger")).CombinedOutput(); err != nil {
		r.t.Errorf("fsck: %v\n%s", err, out)
	}
	n, err := node.Open(r.t.Context(), filepath.Join(r.dir, "ledger"), node.Options{Policies: policies.Open})
	if err != nil {
		r.t.Fatal(err)
	}
	defer n.Close()
	kinds = map[string]int{}
	accesses, undelivered := map[string]ledger.Subject{}, map[string]bool{}
	for _, e := range list {
		iss, jti, _ := strings.Cut(e.Receipt, "/")
		a, err := n.Fetch(r.t.Context(), iss, jti)
		if err != nil {
			r.t.Errorf("the gateway knows of an event that the log doesn't have: %v", err)
			continue
		}
		b, err := ledger.ParseBody(a.Entries[0].Body)
		if err != nil {
			r.t.Fatal(err)
		}
		receipt, err := ledger.ParseReceipt(b.Receipt)
		if err != nil {
			r.t.Fatal(err)
		}
		kinds[b.Kind]++
		if b.Kind == ledger.KindUndelivered {
			undelivered[receipt.Statement.Receipt] = true
		} else {
			accesses[e.Receipt] = b.Subject.Code
		}
	}
	if events := logEvents(r.t, n); events != len(list) {
		r.t.Errorf("the log has %d events, the gateway knows %d", events, len(list))
	}
	for id, subject := range r.given {
		if accesses[id] != subject {
			r.t.Errorf("a consumer has data that the log doesn't tell of: %s", id)
		}
		if undelivered[id] {
			r.t.Errorf("a consumer has data that are said to be undelivered: %s", id)
		}
	}
	for id := range accesses {
		if _, received := r.given[id]; !received && !undelivered[id] && !r.cut {
			r.t.Errorf("nobody received what %s authorised, and nothing says so", id)
		}
	}
	return kinds
}

// state is what gateway status says, which ends with 1 where something is an alarm.
func (r *rig) state() (s statusAnswer) {
	r.t.Helper()
	cmd := exec.Command(os.Args[0], "status", r.config(), "--json")
	cmd.Env = append(os.Environ(), processEnv+"=1")
	out, err := cmd.Output()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(out, &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// logEvents counts the events of the log of this year.
func logEvents(t *testing.T, n *node.Node) (events int) {
	t.Helper()
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	size := n.Latest().Root.Size
	for at := uint64(0); at*checkpoint.TileWidth < size; at++ {
		width := int(min(size-at*checkpoint.TileWidth, checkpoint.TileWidth))
		bundle, err := n.Entries(t.Context(), n.Epoch(), at, width)
		if err != nil {
			t.Fatal(err)
		}
		leaves, err := checkpoint.ParseEntries(bundle, width)
		if err != nil {
			t.Fatal(err)
		}
		for _, leaf := range leaves {
			if leaf[1] == 1 {
				events++
			}
		}
	}
	return events
}

// soon is a context of a consumer that doesn't wait long.
func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
