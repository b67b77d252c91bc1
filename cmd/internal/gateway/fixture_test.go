// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/alertstest"
	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/traces"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/policies"
)

const ledgerName = "registro.example"

var quiet = slog.New(slog.DiscardHandler)

// keysDir has the keys of the stand-in for PDND.
var keysDir string

func TestMain(m *testing.M) {
	var err error
	if keysDir, err = os.MkdirTemp("", "traccia-gateway-world-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(keysDir)
	os.Exit(code)
}

// world is one for all tests; its voucher is that of a call to a provider of the hub.
var world = sync.OnceValues(func() (*dev.World, error) {
	dir := keysDir
	for seed := uint64(1); ; seed++ {
		w, err := dev.NewWorld(dev.Config{
			Dir: dir, Ledger: ledgerName, Seed: seed, Profile: ledger.ProfileAudit02, Subjects: 1, VoucherReuse: 1 << 20, NewSubjects: true,
		})
		if err != nil {
			return nil, err
		}
		s, err := w.Submission(0)
		if err != nil {
			return nil, err
		}
		r, err := ledger.ParseReceipt(s.Receipt)
		if err != nil {
			return nil, err
		}
		if r.Role == ledger.RoleProvider && r.Provider == "inps" {
			return w, nil
		}
	}
})

// fixture is a ledger, a provider's server and a gateway between, all over HTTP.
type fixture struct {
	t       *testing.T
	world   *dev.World
	sample  *ledger.Submission
	receipt *ledger.SignedReceipt

	dir      string
	past     atomic.Pointer[time.Time] // nil for now, else the ledger's clock stands at it
	node     *node.Node
	logKey   string // of the log that it began with
	api      atomic.Pointer[http.Handler]
	ledger   *httptest.Server
	skew     atomic.Int64                                                                    // of the ledger's clock
	between  atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)] // the ledger's network
	watchers []note.Signer
	policy   checkpoint.Policy // a witness and a monitor, who are watchers
	cosigned atomic.Bool

	provider *httptest.Server
	answer   atomic.Pointer[http.HandlerFunc]
	asked    atomic.Int32 // calls that reached the provider

	parts   *Parts
	memory  *memory.Memory
	gateway *Gateway
	front   *httptest.Server
	metrics *alertstest.Registry
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir()}
	f.begin()
	return f
}

// begin starts all of it.
func (f *fixture) begin() {
	t := f.t
	t.Helper()
	var err error
	if f.world, err = world(); err != nil {
		t.Fatal(err)
	}
	if f.sample, err = f.world.Submission(0); err != nil {
		t.Fatal(err)
	}
	if f.receipt, err = ledger.ParseReceipt(f.sample.Receipt); err != nil {
		t.Fatal(err)
	}
	f.startLedger()
	f.provider = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.asked.Add(1)
		(*f.answer.Load())(w, r)
	}))
	t.Cleanup(f.provider.Close)
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"esito":"ok"}`)
	})
	f.configure()
	if err := memory.Create(f.parts.Config.Memory, "inps", ledgerName); err != nil {
		t.Fatal(err)
	}
	f.start()
	t.Cleanup(func() { f.stop() })
}

func (f *fixture) now() time.Time {
	if t := f.past.Load(); t != nil {
		return *t
	}
	return time.Now().Add(time.Duration(f.skew.Load()))
}

func (f *fixture) answers(h http.HandlerFunc) { f.answer.Store(&h) }

func (f *fixture) onTheWay(h func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	if h == nil {
		f.between.Store(nil)
		return
	}
	f.between.Store(&h)
}

func (f *fixture) startLedger() {
	t, ctx := f.t, context.Background()
	dir := filepath.Join(f.dir, "ledger")
	err := node.Create(ctx, dir, node.Settings{
		Name: ledgerName, PublishInterval: "50ms",
		PDND: node.PDNDSettings{
			Issuers:     []string{dev.Issuer},
			VoucherKeys: []string{filepath.Join(keysDir, dev.PDNDKeysFile)},
			ClientKeys:  []string{filepath.Join(keysDir, dev.ClientKeysFile)},
		},
	}, node.Options{Now: f.now})
	if err != nil {
		t.Fatal(err)
	}
	if f.node, err = node.Open(ctx, dir, node.Options{Policies: policies.Open, Consents: webauthn.Rules{}, Now: f.now}); err != nil {
		t.Fatal(err)
	}
	f.logKey = f.node.VKey()
	t.Cleanup(func() { f.node.Close() })
	for _, b := range f.world.Bodies() {
		if b.ID != "inps" && b.ID != f.receipt.Consumer {
			continue
		}
		if _, err := f.node.AddBody(ctx, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant, Attributes: b.Attributes}); err != nil {
			t.Fatal(err)
		}
	}
	key, _ := f.world.Key("inps")
	if _, err := f.node.AddKey(ctx, "inps", key, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := f.node.SetScope(ctx, registry.Scope{ID: "inps", Providers: []string{"inps"}}); err != nil {
		t.Fatal(err)
	}
	handler := api.New(f.node, quiet, prometheus.NewRegistry()).Handler()
	f.api.Store(&handler)
	f.policy.K = 1
	for name, group := range map[string]*[]checkpoint.Witness{"alfa": &f.policy.Witnesses, "mona": &f.policy.Monitors} {
		secret, public, err := note.GenerateKey(rand.Reader, name+".example")
		if err != nil {
			t.Fatal(err)
		}
		vkey, err := f_note.VKeyToCosignatureV1(public)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := f_note.NewSignerForCosignatureV1(secret)
		if err != nil {
			t.Fatal(err)
		}
		f.watchers = append(f.watchers, signer)
		*group = []checkpoint.Witness{{Name: name, VKey: vkey}}
	}
	f.ledger = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next := http.HandlerFunc(f.serveLedger)
		if h := f.between.Load(); h != nil {
			(*h)(w, r, next)
			return
		}
		next(w, r)
	}))
	t.Cleanup(f.ledger.Close)
}

// serveLedger serves the node, with the watchers' cosignatures once there are any.
func (f *fixture) serveLedger(w http.ResponseWriter, r *http.Request) {
	if f.cosigned.Load() && strings.HasSuffix(r.URL.Path, "/checkpoint") {
		rec := httptest.NewRecorder()
		(*f.api.Load()).ServeHTTP(rec, r)
		log, err := checkpoint.ParseKey(f.node.VKey())
		if err != nil {
			f.t.Error(err)
		}
		signed := rec.Body.Bytes()
		for _, s := range f.watchers {
			if signed, err = checkpoint.Cosign(signed, log, s); err != nil {
				f.t.Error(err)
			}
		}
		w.Write(signed)
		return
	}
	(*f.api.Load()).ServeHTTP(w, r)
}

// configure makes the configuration of one e-service with some operations.
func (f *fixture) configure() {
	base, err := url.Parse(f.ledger.URL)
	if err != nil {
		f.t.Fatal(err)
	}
	operation := func(method, path string) config.Operation {
		return config.Operation{
			Method: method, Path: path, Purpose: f.receipt.Purpose, LegalBasis: f.receipt.LegalBasis, LegalReference: f.receipt.LegalReference,
			DataCategories: f.receipt.DataCategories,
		}
	}
	person := operation("POST", "/persona")
	person.Request = []config.Source{{JSON: "/cf"}}
	list := operation("POST", "/elenco")
	list.Response = []config.Source{{JSON: "/persone/*/cf"}}
	list.MayBeEmpty = true
	both := operation("POST", "/nucleo")
	both.Request, both.Response = []config.Source{{JSON: "/cf"}}, []config.Source{{JSON: "/componenti/*"}}
	agreed, agreedList := operation("POST", "/consenso"), operation("POST", "/consensi")
	agreed.LegalBasis, agreedList.LegalBasis = "https://w3id.org/dpv/legal/eu/gdpr#A6-1-a", "CONSENT"
	agreed.Request, agreedList.Response = person.Request, list.Response
	group := operation("POST", "/coorte")
	group.Purpose, group.Cohort = "cohort-analytics", &config.Cohort{Size: "/coorte/persone", Minimum: 50}
	status := operation("GET", "/status")
	status.NoPersons = true

	key, _ := f.world.Key("inps")
	policy := f.policy
	policy.Logs = []checkpoint.Log{{VKey: f.logKey}}
	f.parts = &Parts{
		Config: &config.Config{
			Memory: filepath.Join(f.dir, "memory"), Ledger: config.Ledger{URL: f.ledger.URL, Name: ledgerName}, Identity: config.Identity{Body: "inps"},
			EServices: []config.EService{{
				ID: f.receipt.EService, Name: "prova", Provider: "inps", URL: "https://api.example/rest/prova/v1", Upstream: f.provider.URL + "/interno",
				Timeout: 5 * time.Second, MaxRequest: 1 << 16, MaxAnswer: 4 << 20, Operations: []config.Operation{person, list, both, agreed, agreedList, group, status},
			}},
		},
		Judge: judge{f}, Key: &agencykey.Key{Key: key, Body: "inps", Signer: f.world.Signer("inps")}, Ledger: base,
		Policy: &policy,
	}
}

func (f *fixture) start() { f.startWith(func(*memory.Memory) error { return nil }) }

// startWith is start with a memory that is changed before.
func (f *fixture) startWith(change func(*memory.Memory) error) {
	var err error
	if f.memory, err = memory.Open(f.parts.Config.Memory, "inps", ledgerName, memory.Options{Logger: quiet}); err != nil {
		f.t.Fatal(err)
	}
	if err := change(f.memory); err != nil {
		f.t.Fatal(err)
	}
	if f.parts.Traces, err = traces.Open(filepath.Join(f.dir, "traces.log")); err != nil {
		f.t.Fatal(err)
	}
	f.metrics = alertstest.NewRegistry()
	if f.gateway, err = New(f.parts, f.memory, quiet, f.metrics); err != nil {
		f.t.Fatal(err)
	}
	f.front = httptest.NewServer(f.gateway)
}

func (f *fixture) stop() {
	f.front.Close()
	f.gateway.Close()
	if err := f.memory.Close(); err != nil {
		f.t.Error(err)
	}
}

// judge takes every call for the sample's, whose tokens are real. Package checks has its own tests.
type judge struct{ f *fixture }

func (j judge) Check(_ context.Context, r *http.Request, body []byte, _ *config.Route) (*checks.Call, error) {
	if r.Header.Get("Authorization") == "" {
		return nil, &ledger.Problem{Code: ledger.CodeMissing, Where: "header:Authorization", Expected: "Bearer and a voucher", Found: "nothing"}
	}
	var claims struct{ JTI string }
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(j.f.sample.Voucher, ".")[1])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		return nil, err
	}
	digest := ""
	if len(body) > 0 {
		digest = fmt.Sprintf("%x", sha256.Sum256(body))
	}
	evidence := fmt.Sprintf("%x", sha256.Sum256([]byte(j.f.sample.Evidence)))
	return &checks.Call{
		At: time.Now(), Consumer: j.f.receipt.Consumer, VoucherID: claims.JTI, PurposeID: j.f.receipt.PurposeID, Actor: ledger.ActorOperator,
		Pair:      ledger.Hex(ledger.Pair(claims.JTI, evidence, digest)),
		Assurance: ledger.Assurance{Profile: ledger.ProfileAudit02, LoA: 3},
		Private: ledger.Private{
			Voucher: j.f.sample.Voucher, Evidence: j.f.sample.Evidence, Operator: &ledger.Operator{ID: "m.rossi", Office: "0042"}, RequestDigest: digest,
		},
	}, nil
}

// person is the n-th of some persons.
func (f *fixture) person(n int) ledger.Subject {
	s, err := f.world.Submission(n + 1)
	if err != nil {
		f.t.Fatal(err)
	}
	return s.Subjects[0].Subject
}

// got is what a consumer was answered.
type got struct {
	status  int
	header  http.Header
	body    []byte
	problem problem
	err     error
}

func (f *fixture) post(path, body string) got {
	f.t.Helper()
	return f.call(context.Background(), http.MethodPost, path, body)
}

func (f *fixture) call(ctx context.Context, method, path, body string) got {
	r, err := http.NewRequestWithContext(ctx, method, f.front.URL+"/rest/prova/v1"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.sample.Voucher)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return got{err: err}
	}
	defer resp.Body.Close()
	g := got{status: resp.StatusCode, header: resp.Header}
	if g.body, err = io.ReadAll(resp.Body); err != nil {
		g.err = err
	}
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		if err := json.Unmarshal(g.body, &g.problem); err != nil {
			f.t.Errorf("%s: %v", g.body, err)
		}
	}
	return g
}

func (f *fixture) records() []own.Entry {
	f.t.Helper()
	var list []own.Entry
	if err := f.memory.Records(func(e *own.Entry) error { list = append(list, *e); return nil }); err != nil {
		f.t.Fatal(err)
	}
	return list
}

// leaves are those of the log.
func (f *fixture) leaves() (list [][]byte) {
	f.t.Helper()
	if err := f.node.Settle(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	size := f.node.Latest().Root.Size
	for at := uint64(0); at*checkpoint.TileWidth < size; at++ {
		width := int(min(size-at*checkpoint.TileWidth, checkpoint.TileWidth))
		bundle, err := f.node.Entries(f.t.Context(), f.node.Epoch(), at, width)
		if err != nil {
			f.t.Fatal(err)
		}
		leaves, err := checkpoint.ParseEntries(bundle, width)
		if err != nil {
			f.t.Fatal(err)
		}
		list = append(list, leaves...)
	}
	return list
}

// events is how many events about persons the log has.
func (f *fixture) events() (n int) {
	f.t.Helper()
	for _, leaf := range f.leaves() {
		if leaf[1] == 1 {
			n++
		}
	}
	return n
}

// eventually waits for something that happens in the background.
func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("not within 20 seconds: %s", what)
		}
	}
}

// cut breaks a connection as a killed process does.
func cut(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

// forked is a checkpoint of a log that never was.
func forked(epoch uint32, size uint64) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{Origin: ledger.Origin(ledgerName, epoch), Size: size, Root: ledger.Hash{1, 2, 3}}
}
