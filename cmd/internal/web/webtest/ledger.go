// SPDX-License-Identifier: EUPL-1.2

// Package webtest is what tests of the citizens' pages share: a ledger of several years with a citizen's accesses in it,
// cosigned by a witness and a monitor of its own, and a real browser that looks at a page.
package webtest

import (
	"context"
	"crypto"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/consent/webauthn"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/policies"
)

// Name of the ledger. Its bodies are those of package dev.
const Name = "registro.example"

// People of the ledger: Citizen has accesses of every kind, Other some of their own, Nobody none. The codes are invented.
const (
	Citizen ledger.Subject = "RSSMRA80A01H501U"
	Other   ledger.Subject = "VRDLGU75C02F205F"
	Nobody  ledger.Subject = "80078750587"
)

// Config of a Ledger.
type Config struct {
	Years    int // that it spans, the present one included
	Accesses int // of Citizen in each
	Scopes   int // how many there are beside INPS's hub, in each year
}

// Ledger is a running one.
type Ledger struct {
	*node.Node
	t        testing.TB
	dir      string
	clock    *clock
	world    *dev.World
	watchers []*witness.Witness
	made     int // submissions
	last     lastAccess
}

// clock is as far from the real one as a test has put it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time   { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) set(to time.Time) { c.ahead.Store(int64(time.Until(to))) }

// NewLedger makes a ledger, and ends it with the test.
func NewLedger(t testing.TB, c Config) *Ledger {
	t.Helper()
	l := &Ledger{t: t, dir: t.TempDir(), clock: new(clock)}
	present := time.Now()
	first := present.Year() - c.Years + 1
	if c.Years > 1 {
		l.clock.set(time.Date(first, 2, 3, 9, 0, 0, 0, time.UTC))
	}
	l.create()
	l.register(c)
	for year := first; year < present.Year(); year++ {
		for i := range 4 {
			l.visit(time.Date(year, time.Month(3*i+2), 4+i, 9, 30, 0, 0, time.UTC), c.Accesses/4)
		}
		l.at(time.Date(year+1, 1, 2, 10, 0, 0, 0, time.UTC))
		l.wait("the next year's log", func() bool { return int(l.Epoch()) == year+1 })
		l.watch(year - first + 2)
	}
	l.visit(present, c.Accesses)
	l.settle()
	return l
}

func (l *Ledger) create() {
	l.t.Helper()
	must := func(err error) {
		if err != nil {
			l.t.Helper()
			l.t.Fatal(err)
		}
	}
	keys := filepath.Join(l.dir, "dev")
	must(os.Mkdir(keys, 0o700))
	l.newWorld()
	settings := node.Settings{
		Name: Name, PublishInterval: "20ms", WitnessPolicy: "policy.txt",
		PDND: node.PDNDSettings{
			Issuers: []string{dev.Issuer}, VoucherKeys: []string{filepath.Join("dev", dev.PDNDKeysFile)}, ClientKeys: []string{filepath.Join("dev", dev.ClientKeysFile)},
		},
	}
	opt := node.Options{Now: l.clock.now, Policies: policies.Open, Consents: webauthn.Rules{}}
	must(node.Create(context.Background(), l.dir, settings, opt))
	var policy checkpoint.Policy
	for _, name := range []string{"witness", "monitor"} {
		policy = l.watcher(policy, name)
	}
	policy.K = 1
	l.watch(1)
	for _, v := range l.logs() {
		policy.Logs = append(policy.Logs, checkpoint.Log{VKey: v})
	}
	text, err := checkpoint.FormatPolicy(&policy)
	must(err)
	must(os.WriteFile(filepath.Join(l.dir, "policy.txt"), text, 0o644))
	l.Node, err = node.Open(context.Background(), l.dir, opt)
	must(err)
	l.t.Cleanup(func() { l.Close() })
}

// watcher adds a witness, or a monitor that verifies nothing, and serves it.
func (l *Ledger) watcher(p checkpoint.Policy, name string) checkpoint.Policy {
	l.t.Helper()
	skey, vkey, err := witness.NewKey(name + ".example")
	if err != nil {
		l.t.Fatal(err)
	}
	file := filepath.Join(l.dir, name+".key")
	if err := os.WriteFile(file, []byte(skey), 0o600); err != nil {
		l.t.Fatal(err)
	}
	signer, err := witness.ReadKey(file)
	if err != nil {
		l.t.Fatal(err)
	}
	dir := filepath.Join(l.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	w := witness.New(dir, signer)
	server := httptest.NewServer(http.Handler(w))
	l.t.Cleanup(server.Close)
	l.watchers = append(l.watchers, w)
	entry := checkpoint.Witness{Name: name, VKey: vkey, URL: server.URL}
	if name == "witness" {
		p.Witnesses = append(p.Witnesses, entry)
	} else {
		p.Monitors = append(p.Monitors, entry)
	}
	return p
}

func (l *Ledger) logs() []string {
	l.t.Helper()
	file, err := os.ReadFile(filepath.Join(l.dir, "log.vkey"))
	if err != nil {
		l.t.Fatal(err)
	}
	return strings.Fields(string(file))
}

// watch waits until so many logs have keys, and has the watchers cosign them.
func (l *Ledger) watch(logs int) {
	l.t.Helper()
	l.wait("the keys of the logs", func() bool { return len(l.logs()) >= logs })
	file, err := os.ReadFile(filepath.Join(l.dir, "log.vkey"))
	if err != nil {
		l.t.Fatal(err)
	}
	verifiers, err := checkpoint.ParseKeys(file)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, w := range l.watchers {
		for _, v := range verifiers {
			w.Know(v)
		}
	}
}

// newWorld makes the world of the clock's instant.
func (l *Ledger) newWorld() {
	l.t.Helper()
	var err error
	l.world, err = dev.NewWorld(dev.Config{Dir: filepath.Join(l.dir, "dev"), Ledger: Name, Seed: 1, Now: l.clock.now(), Subjects: 1})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *Ledger) register(c Config) {
	l.t.Helper()
	ctx := context.Background()
	var bodies []registry.Body
	for _, b := range l.world.Bodies() {
		bodies = append(bodies, registry.Body{ID: b.ID, Name: b.Name, Tenant: b.Tenant, Attributes: b.Attributes})
	}
	for i := range c.Scopes {
		bodies = append(bodies, registry.Body{ID: fmt.Sprintf("hub%03d", i), Name: fmt.Sprintf("Aggregatore %d", i)})
	}
	if _, err := l.AddBodies(ctx, bodies); err != nil {
		l.t.Fatal(err)
	}
	for _, b := range l.world.Bodies() {
		key, _ := l.world.Key(b.ID)
		if _, err := l.AddKey(ctx, b.ID, key, ""); err != nil {
			l.t.Fatal(err)
		}
	}
	hub, providers := l.world.Hub()
	for i := range c.Scopes {
		id := fmt.Sprintf("hub%03d", i)
		if _, err := l.SetScope(ctx, registry.Scope{ID: id, Providers: []string{id}}); err != nil {
			l.t.Fatal(err)
		}
	}
	if _, err := l.SetScope(ctx, registry.Scope{ID: hub, Providers: providers}); err != nil {
		l.t.Fatal(err)
	}
	if _, active := l.Registry().Policy(math.MaxUint64); !active {
		if _, err := l.ActivatePolicies(ctx, policies.Default()); err != nil {
			l.t.Fatal(err)
		}
	}
}

// at sets the clock, and has something recorded by it so that the ledger notices.
func (l *Ledger) at(t time.Time) { l.clock.set(t) }

// visit records so many accesses to Citizen's data, and one to Other's.
func (l *Ledger) visit(t time.Time, accesses int) {
	l.t.Helper()
	l.at(t)
	l.newWorld()
	l.Access(Other, nil)
	for i := range accesses {
		l.Access(Citizen, nil)
		if i%9 == 4 {
			l.repeat(Citizen)
		}
	}
}

// Access records one, with the claims that change makes of it, and returns the id of its receipt.
func (l *Ledger) Access(subject ledger.Subject, change func(r *ledger.Receipt)) string {
	l.t.Helper()
	var sub *ledger.Submission
	var receipt *ledger.SignedReceipt
	for {
		var err error
		if sub, err = l.world.Submission(l.made); err != nil {
			l.t.Fatal(err)
		}
		l.made++
		if receipt, err = ledger.ParseReceipt(sub.Receipt); err != nil {
			l.t.Fatal(err)
		}
		if len(sub.Subjects[0].Subject) == len(Citizen) {
			break // else it is about an organisation
		}
	}
	r := receipt.Receipt
	if change != nil {
		change(&r)
	}
	l.submit(sub, &r, subject)
	l.last = lastAccess{sub, r}
	return r.ReceiptID()
}

// submit signs a receipt about one person, and records it. A refusal by the policies is recorded too.
func (l *Ledger) submit(sub *ledger.Submission, r *ledger.Receipt, subject ledger.Subject) {
	l.t.Helper()
	sub.Subjects = []ledger.SaltedSubject{{Subject: subject, Salt: sub.Subjects[0].Salt}}
	tree, err := ledger.NewSubjectTree(sub.Subjects)
	if err != nil {
		l.t.Fatal(err)
	}
	r.PrivateDigest = ledger.Hex(ledger.PrivateDigest(&sub.Private.Salt, sub.Private.Content))
	r.Subjects = ledger.SubjectCommitment{Count: 1, Root: ledger.Hex(tree.Root())}
	key, _ := l.world.Key(r.Iss)
	if sub.Receipt, err = ledger.SignReceipt(r, key.Kid, crypto.Signer(l.world.Signer(r.Iss))); err != nil {
		l.t.Fatal(err)
	}
	raw, err := ledger.FormatSubmission(sub)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, _, err := l.Submit(context.Background(), raw); err != nil {
		if _, denied := err.(*node.Denied); !denied {
			l.t.Fatal(err)
		}
	}
}

type lastAccess struct {
	submission *ledger.Submission
	receipt    ledger.Receipt
}

// repeat has the consumer of the last access report it too, where the provider's side signed it.
func (l *Ledger) repeat(subject ledger.Subject) {
	l.t.Helper()
	r := l.last.receipt
	if r.Role != ledger.RoleProvider || r.Provider == r.Consumer {
		return
	}
	r.Iss, r.Role, r.JTI = r.Consumer, ledger.RoleConsumer, uuid.NewString()
	sub := *l.last.submission
	sub.Subjects[0].Salt[0] ^= 1
	sub.Private.Salt[0] ^= 1
	l.submit(&sub, &r, subject)
}

// State has a body state something of an access of Citizen's, whose receipt is r.
func (l *Ledger) State(kind, text string) {
	l.t.Helper()
	r := l.last.receipt
	r.Statement = &ledger.Statement{Kind: kind, Receipt: r.ReceiptID(), Text: text}
	r.EService, r.PurposeID, r.Pair, r.JTI, r.ConsentID = "", "", ledger.Hex{}, uuid.NewString(), ""
	if kind == ledger.StatementNotAsked {
		r.Iss, r.Role = r.Consumer, ledger.RoleConsumer
	}
	sub := &ledger.Submission{Private: ledger.SaltedPrivate{Content: []byte("{}")}, Subjects: []ledger.SaltedSubject{{}}}
	copy(sub.Subjects[0].Salt[:], r.JTI)
	copy(sub.Private.Salt[:], r.JTI[4:])
	l.submit(sub, &r, Citizen)
}

// settle waits until all that is recorded is in the public log, cosigned.
func (l *Ledger) settle() {
	l.t.Helper()
	if err := l.Settle(context.Background()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *Ledger) wait(what string, ready func() bool) {
	l.t.Helper()
	for end := time.Now().Add(time.Minute); !ready(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("waited for %s in vain", what)
		}
	}
}

// Later lets time pass.
func (l *Ledger) Later(d time.Duration) {
	l.t.Helper()
	l.clock.ahead.Add(int64(d))
	l.newWorld()
}

// Delegate has the sample's municipality record that somebody may act for a citizen, and returns the mandate's id.
func (l *Ledger) Delegate(citizen, delegate ledger.Subject) string {
	l.t.Helper()
	epoch, previous, err := l.ConsentPlace(l.t.Context(), citizen)
	if err != nil {
		l.t.Fatal(err)
	}
	raw, id, err := l.world.Mandate(citizen, delegate, epoch, previous, l.Now())
	if err != nil {
		l.t.Fatal(err)
	}
	if _, _, err := l.RecordConsent(l.t.Context(), raw); err != nil {
		l.t.Fatal(err)
	}
	return id
}
