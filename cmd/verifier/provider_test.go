// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/cmd/internal/provider"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/export"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
)

var sampleDir string // set by sampleKeys

// sampleKeys is a directory of keys, made once: RSA keys take longer than the tests.
var sampleKeys = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "traccia-verifier-*")
	if err == nil {
		_, err = newSampleWorld(dir)
	}
	if err != nil {
		panic(err)
	}
	sampleDir = dir
	return dir
})

func newSampleWorld(keys string) (*dev.World, error) {
	return dev.NewWorld(dev.Config{Dir: keys, Ledger: "registro.example", Seed: 5, Profile: ledger.ProfileRequest, Subjects: 1})
}

// hubScripts runs a folder's scripts, each against a real ledger with a witness at URL, as INPS's hub uses it. To commands they
// have submit N: accesses by the hub's consumers, of N more citizens, of which the hub keeps its records; and
// settle: what was recorded is published.
func hubScripts(t *testing.T, folder string, commands map[string]func(*testscript.TestScript, bool, []string)) {
	commands["submit"] = func(ts *testscript.TestScript, _ bool, args []string) {
		n, err := strconv.Atoi(args[0])
		ts.Check(err)
		ts.Check(ts.Value("ledger").(*hubLedger).submit(n, true))
	}
	commands["settle"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		ts.Check(ts.Value("ledger").(*hubLedger).node.Settle(context.Background()))
	}
	testscript.Run(t, testscript.Params{
		Dir:                 folder,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			l, err := newHubLedger(env.WorkDir)
			if err != nil {
				return err
			}
			env.Defer(l.close)
			env.Values["ledger"] = l
			env.Setenv("URL", l.http.URL)
			return nil
		},
		Cmds: commands,
	})
}

// TestProviderScripts drives the binary against a real ledger with a witness, as INPS's hub does.
func TestProviderScripts(t *testing.T) {
	hubScripts(t, "testdata/provider", map[string]func(*testscript.TestScript, bool, []string){
		// forget: one more access of a citizen that the hub knows, of which it keeps nothing
		"forget": func(ts *testscript.TestScript, _ bool, _ []string) {
			ts.Check(ts.Value("ledger").(*hubLedger).submit(1, false))
		},
		// attested proven|not_proven|never: what the last citizen's history shows of the hub
		"attested": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(ts.Value("ledger").(*hubLedger).attested(args[0]))
		},
		// export FOLDER: what is published, as ledgerd export writes it
		"export": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(ts.Value("ledger").(*hubLedger).export(ts.MkAbs(args[0])))
		},
		// key: the operator registers a key for the hub that isn't its own
		"key": func(ts *testscript.TestScript, _ bool, _ []string) {
			ts.Check(ts.Value("ledger").(*hubLedger).stranger())
		},
		"mode0600": func(ts *testscript.TestScript, _ bool, args []string) {
			info, err := os.Stat(ts.MkAbs(args[0]))
			ts.Check(err)
			if info.Mode().Perm() != 0o600 {
				ts.Fatalf("%s has mode %o", args[0], info.Mode().Perm())
			}
		},
	})
}

// hubLedger is a ledger that is served, its witness, and INPS's hub with its files in dir.
type hubLedger struct {
	dir      string
	world    *dev.World
	node     *node.Node
	http     *httptest.Server
	watchers []*httptest.Server
	policy   *checkpoint.Policy
	sent     int
	last     *ledger.Submission
	all      []*ledger.Submission
	cohorts  []*ledger.CohortSubmission
	verifier note.Verifier
}

func newHubLedger(dir string) (*hubLedger, error) {
	l, keys := &hubLedger{dir: dir}, sampleKeys()
	var err error
	if l.world, err = newSampleWorld(keys); err != nil {
		return nil, err
	}
	ctx, data := context.Background(), filepath.Join(dir, "ledger")
	err = node.Create(ctx, data, node.Settings{
		Name: "registro.example", WitnessPolicy: "policy.txt", PublishInterval: "1s",
		PDND: node.PDNDSettings{
			Issuers:     []string{dev.Issuer},
			VoucherKeys: []string{filepath.Join(keys, dev.PDNDKeysFile)},
			ClientKeys:  []string{filepath.Join(keys, dev.ClientKeysFile)},
		},
	}, node.Options{})
	if err != nil {
		return nil, err
	}
	if err := l.watch(data); err != nil {
		return nil, err
	}
	if l.node, err = node.Open(ctx, data, node.Options{}); err != nil {
		return nil, err
	}
	l.http = httptest.NewServer(api.New(l.node, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Handler())
	var bodies []registry.Body
	for _, b := range l.world.Bodies() {
		bodies = append(bodies, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant})
	}
	if _, err := l.node.AddBodies(ctx, bodies); err != nil {
		return nil, err
	}
	hub, providers := l.world.Hub()
	key, _ := l.world.Key(hub)
	if _, err := l.node.AddKey(ctx, hub, key, ""); err != nil {
		return nil, err
	}
	if _, err := l.node.SetScope(ctx, registry.Scope{ID: hub, Providers: providers}); err != nil {
		return nil, err
	}
	private, err := agencykey.Format(&agencykey.Key{Key: key, Body: hub, Signer: l.world.Signer(hub)}, "")
	if err != nil {
		return nil, err
	}
	public, err := jws.FormatKeys([]jws.Key{key})
	if err != nil {
		return nil, err
	}
	return l, errors.Join(
		os.WriteFile(filepath.Join(dir, "hub.key"), private, 0o600),
		os.WriteFile(filepath.Join(dir, "hub.jwks"), public, 0o644),
		os.WriteFile(filepath.Join(dir, "providers"), []byte(strings.Join(providers, ",")), 0o644),
	)
}

// watch starts a witness and a monitor that verifies nothing, and writes the policy that trusts them.
func (l *hubLedger) watch(data string) error {
	vkey, err := os.ReadFile(filepath.Join(data, "log.vkey"))
	if err != nil {
		return err
	}
	if l.verifier, err = note.NewVerifier(strings.TrimSpace(string(vkey))); err != nil {
		return err
	}
	l.policy = &checkpoint.Policy{Logs: []checkpoint.Log{{VKey: strings.TrimSpace(string(vkey))}}, K: 1}
	for name, group := range map[string]*[]checkpoint.Witness{"alfa": &l.policy.Witnesses, "mona": &l.policy.Monitors} {
		skey, public, err := witness.NewKey(name + ".example")
		if err != nil {
			return err
		}
		dir := filepath.Join(l.dir, name)
		keyFile := filepath.Join(l.dir, name+".key")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(keyFile, []byte(skey+"\n"), 0o600)); err != nil {
			return err
		}
		signer, err := witness.ReadKey(keyFile)
		if err != nil {
			return err
		}
		server := httptest.NewServer(witness.New(dir, signer, l.verifier))
		l.watchers = append(l.watchers, server)
		*group = []checkpoint.Witness{{Name: name, VKey: public, URL: server.URL}}
	}
	text, err := checkpoint.FormatPolicy(l.policy)
	if err != nil {
		return err
	}
	blind := *l.policy
	blind.Monitors = nil
	without, err := checkpoint.FormatPolicy(&blind)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(l.dir, "no-monitor.txt"), without, 0o644),
		os.WriteFile(filepath.Join(data, "policy.txt"), text, 0o644),
		os.WriteFile(filepath.Join(l.dir, "policy.txt"), text, 0o644),
		os.WriteFile(filepath.Join(l.dir, "log.vkey"), vkey, 0o644),
	)
}

func (l *hubLedger) close() {
	l.http.Close()
	l.node.Close()
	l.unwatch()
}

func (l *hubLedger) unwatch() {
	for _, w := range l.watchers {
		w.Close()
	}
}

// submit sends the hub's next accesses over HTTP, each of a citizen of its own; with none kept, one of the last citizen's.
func (l *hubLedger) submit(count int, keep bool) error {
	records, err := provider.OpenRecords(filepath.Join(l.dir, "own.ndjson"))
	if err != nil {
		return err
	}
	defer records.Close()
	for count > 0 {
		s, r, err := l.next()
		if err != nil {
			return err
		}
		if !keep {
			if s, err = l.again(r); err != nil {
				return err
			}
		}
		raw, err := ledger.FormatSubmission(s)
		if err != nil {
			return err
		}
		answer, err := l.post("access-receipts", raw)
		if err != nil {
			return err
		}
		entries, err := provider.Entries(answer, []note.Verifier{l.verifier}, s, time.Now())
		if err != nil {
			return err
		}
		if keep {
			err = records.Append(entries)
		}
		if err != nil {
			return err
		}
		l.last = s
		l.all = append(l.all, s)
		count--
	}
	return nil
}

// next is the hub's next access.
func (l *hubLedger) next() (*ledger.Submission, *ledger.SignedReceipt, error) {
	hub, _ := l.world.Hub()
	for {
		s, err := l.world.Submission(l.sent)
		if err != nil {
			return nil, nil, err
		}
		l.sent++
		if r, err := ledger.ParseReceipt(s.Receipt); err != nil || r.Iss == hub && r.Role == ledger.RoleProvider {
			return s, r, err
		}
	}
}

// cohort has an aggregate of the hub's recorded over HTTP, with the tokens of its next call, and keeps its line.
func (l *hubLedger) cohort() error {
	s, r, err := l.next()
	if err != nil {
		return err
	}
	private, err := ledger.ParsePrivate(s.Private.Content)
	if err != nil {
		return err
	}
	hub, _ := l.world.Hub()
	key, _ := l.world.Key(hub)
	c := &ledger.CohortSubmission{Voucher: s.Voucher, Evidence: s.Evidence, RequestDigest: private.RequestDigest}
	c.Statement, err = ledger.SignCohort(&ledger.Cohort{
		Aud: r.Aud, Iss: r.Iss, JTI: r.JTI, IssuedAt: r.IssuedAt, Provider: r.Provider, Consumer: r.Consumer, EService: r.EService, PurposeID: r.PurposeID,
		Purpose: "cohort-analytics", LegalBasis: r.LegalBasis, DataCategories: r.DataCategories, Actor: ledger.ActorService, Operation: r.Operation,
		OccurredAt: r.OccurredAt, Pair: r.Pair, Size: 1200, Minimum: 50, Selection: ledger.Hex{1},
	}, key.Kid, l.world.Signer(hub))
	if err != nil {
		return err
	}
	raw, err := ledger.FormatCohortSubmission(c)
	if err != nil {
		return err
	}
	told, err := l.post("cohorts", raw)
	if err != nil {
		return err
	}
	answer, err := ledger.ParseCohortAnswer(told)
	if err != nil {
		return err
	}
	l.cohorts = append(l.cohorts, c)
	line := own.AppendCohort(nil, &own.Cohort{ID: answer.CohortID, Origin: answer.Origin, Index: answer.Index, Leaf: ledger.HashLeaf(answer.Leaf), At: time.Now().UnixMilli()})
	file, err := os.OpenFile(filepath.Join(l.dir, "own.ndjson"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(line)
	return errors.Join(err, file.Close())
}

// again is another access to the data of the last citizen.
func (l *hubLedger) again(like *ledger.SignedReceipt) (*ledger.Submission, error) {
	s := *l.last
	receipt := like.Receipt
	before, err := ledger.ParseReceipt(s.Receipt)
	if err != nil {
		return nil, err
	}
	jti := receipt.JTI
	receipt = before.Receipt
	receipt.JTI = jti
	hub, _ := l.world.Hub()
	key, _ := l.world.Key(hub)
	s.Receipt, err = ledger.SignReceipt(&receipt, key.Kid, l.world.Signer(hub))
	return &s, err
}

func (l *hubLedger) post(what string, raw []byte) ([]byte, error) {
	resp, err := http.Post(l.http.URL+"/v1/"+what, "application/json", bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusCreated {
		return nil, fmt.Errorf("%s: %s", resp.Status, b.String())
	}
	return b.Bytes(), nil
}

// tiles are those of the node's only log.
type tiles struct{ *node.Node }

func (t tiles) Tile(ctx context.Context, level uint, index uint64, width int) ([]byte, error) {
	return t.Node.Tile(ctx, t.Epoch(), level, index, width)
}

func (t tiles) Entries(ctx context.Context, index uint64, width int) ([]byte, error) {
	return t.Node.Entries(ctx, t.Epoch(), index, width)
}

func (l *hubLedger) export(folder string) error {
	published, err := l.node.Published(l.node.Epoch())
	if err != nil {
		return err
	}
	cp, err := checkpoint.Open(published.Checkpoint, l.verifier)
	if err != nil {
		return err
	}
	_, err = export.Write(context.Background(), folder, export.Source{
		Name: "registro.example", VKey: []byte(l.node.VKey() + "\n"),
		Logs: []export.SourceLog{{Epoch: l.node.Epoch(), Signed: published.Checkpoint, Checkpoint: cp, Tiles: tiles{l.node}}},
		Blob: func(context.Context, ledger.Hash) ([]byte, error) { return nil, nil },
	})
	return err
}

func (l *hubLedger) stranger() error {
	hub, _ := l.world.Hub()
	key, err := agencykey.New(hub, jws.ES256)
	if err == nil {
		_, err = l.node.AddKey(context.Background(), hub, key.Key, "")
	}
	return err
}

// attested looks what a history says of the hub.
func (l *hubLedger) attested(want string) error {
	ctx := context.Background()
	if err := l.node.Settle(ctx); err != nil {
		return err
	}
	b, err := l.node.History(ctx, l.last.Subjects[0].Subject)
	if err != nil {
		return err
	}
	file, err := history.Format(b)
	if err != nil {
		return err
	}
	r := verifier.History(file, l.policy, time.Now(), rules)
	hub, _ := l.world.Hub()
	for _, s := range r.Scopes {
		if s.Scope != hub {
			continue
		}
		got := "never"
		switch recent := 5 * time.Minute; {
		case time.Since(s.Attested) < recent:
			got = "proven"
		case time.Since(s.Alarm) < recent:
			got = "not_proven"
		}
		if got != want || !r.Complete {
			return fmt.Errorf("the hub is attested %s, want %s; complete %v: %v", got, want, r.Complete, r.Problems)
		}
		return nil
	}
	return errors.New("the hub isn't listed")
}
