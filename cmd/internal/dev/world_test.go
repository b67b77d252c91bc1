// SPDX-License-Identifier: EUPL-1.2

package dev

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
	"github.com/traccia-ledger/traccia/policies"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// keyDir holds one set of keys for all tests: making RSA keys takes longer than all else.
var keyDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "traccia-dev-*")
	if err != nil {
		panic(err)
	}
	return dir
})

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(keyDir())
	os.Exit(code)
}

func newTestWorld(t testing.TB, c Config) *World {
	t.Helper()
	c.Dir, c.Ledger, c.Now = keyDir(), "registro.example", noon
	w, err := NewWorld(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newTestChecker(t testing.TB) *pdnd.Checker {
	t.Helper()
	newTestWorld(t, Config{}) // publishes the keys
	keys := func(name string) *pdnd.KeySet {
		set, err := pdnd.FileKeys(filepath.Join(keyDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	c, err := pdnd.NewChecker(pdnd.Config{Issuers: []string{Issuer}, PDND: keys(PDNDKeysFile), Clients: keys(ClientKeysFile)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// check holds a submission against everything that a ledger checks, and returns the receipt and assurance.
func check(t testing.TB, w *World, tokens *pdnd.Checker, sub *ledger.Submission) (*ledger.SignedReceipt, ledger.Assurance) {
	t.Helper()
	opened, err := sub.Open()
	if err != nil {
		t.Fatal(err)
	}
	r := opened.Receipt
	key, ok := w.Key(r.Iss)
	if !ok {
		t.Fatalf("no key of %s", r.Iss)
	}
	if err := r.JWS.Verify(key); err != nil {
		t.Fatal(err)
	}
	assurance, claims, err := tokens.Check(t.Context(), pdnd.Call{
		Voucher: sub.Voucher, Evidence: sub.Evidence, OccurredAt: r.Occurred(), EServiceID: r.EService, PurposeID: r.PurposeID,
		ProducerID: w.byID[r.Provider].Tenant, ConsumerID: w.byID[r.Consumer].Tenant,
	})
	if err != nil {
		t.Fatal(err)
	}
	if pair := ledger.Pair(claims.VoucherJTI, claims.EvidenceDigest, opened.Private.RequestDigest); pair != ledger.Hash(r.Pair) {
		t.Error("the pair isn't that of the tokens")
	}
	if late := noon.Sub(r.Occurred()); late < 0 || late > 30*time.Second {
		t.Errorf("took place at %s, want in the half minute before %s", r.OccurredAt, noon)
	}
	return r, assurance
}

func TestMix(t *testing.T) {
	w, tokens := newTestWorld(t, Config{Seed: 1}), newTestChecker(t)
	const n = 3000
	profiles, roles, services, consumers, flags := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	engine := defaultPolicies(t)
	deciding := map[string]bool{}
	var single, lists, mass, eleven int
	for i := range n {
		sub, err := w.Submission(i)
		if err != nil {
			t.Fatal(err)
		}
		r, assurance := check(t, w, tokens, sub)
		for _, id := range allowed(t, engine, w, &r.Receipt, &assurance) {
			deciding[id] = true
		}
		profiles[assurance.Profile]++
		roles[r.Role]++
		services[r.EService]++
		consumers[r.Consumer]++
		for _, f := range assurance.Flags {
			flags[f]++
		}
		switch count := len(sub.Subjects); {
		case count == 1:
			single++
		case count <= 50:
			lists++
		default:
			mass++
		}
		if len(sub.Subjects[0].Subject) == 11 {
			eleven++
		}
	}
	if single < n*9/10 || lists == 0 || mass != 1 || eleven == 0 {
		t.Errorf("%d single, %d lists, %d mass, %d with 11 digits", single, lists, mass, eleven)
	}
	if len(profiles) != 3 || profiles[ledger.ProfileAudit02] < n*6/10 {
		t.Errorf("profiles %v", profiles)
	}
	if roles[ledger.RoleProvider] < n*6/10 || roles[ledger.RoleConsumer] < n/10 {
		t.Errorf("roles %v", roles)
	}
	if services["843ac013-941a-4afe-8243-e668142e73e6"] < n/10 || len(services) < 10 || len(consumers) < 15 {
		t.Errorf("%d attestations of ISEE, %d services, %d consumers", services["843ac013-941a-4afe-8243-e668142e73e6"], len(services), len(consumers))
	}
	if len(deciding) < 8 {
		t.Errorf("%d policies allow all accesses: %v", len(deciding), deciding)
	}
	for _, f := range []string{ledger.FlagOperatorMissing, ledger.FlagOperatorConstant, ledger.FlagEvidenceLongLived, ledger.FlagDnonceText, pdnd.FlagOperatorFiscalCode, pdnd.FlagLoAMissing} {
		if flags[f] == 0 {
			t.Errorf("no access is flagged %s", f)
		}
	}
}

func defaultPolicies(t testing.TB) *policies.Engine {
	t.Helper()
	e, err := policies.Compile(policies.Default())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// allowed fails the test for an access that the default policies deny, and returns the policies that allow it.
func allowed(t testing.TB, e *policies.Engine, w *World, r *ledger.Receipt, a *ledger.Assurance) []string {
	t.Helper()
	d, err := e.Decide(&ledger.Access{
		Receipt: r, Assurance: a, ConsumerAttributes: w.byID[r.Consumer].Attributes, ProviderAttributes: w.byID[r.Provider].Attributes,
	})
	if err != nil {
		t.Fatal(err)
	}
	if d.Effect != ledger.EffectAllow {
		t.Errorf("denied by %v: %s consults %s for %q on %s, %v, by %s, %d subjects, %+v",
			d.Policies, r.Consumer, r.Provider, r.Purpose, r.LegalBasis, r.DataCategories, r.Actor, r.Subjects.Count, *a)
	}
	return d.Policies
}

// Whoever the consumer of an e-service is, and whoever acts there.
func TestEveryAccessIsAllowed(t *testing.T) {
	w, engine := newTestWorld(t, Config{}), defaultPolicies(t)
	for _, f := range slices.Concat(w.hubbed, w.others) {
		for _, g := range chosen {
			if g.category != f.category {
				continue
			}
			for _, id := range g.ids {
				for seed := range uint64(60) {
					s := &session{flow: f.flow, consumer: w.byID[id]}
					r := rand.New(rand.NewPCG(seed, 0))
					s.operate(seed > 0, r)
					s.explain(seed > 0, r)
					receipt := s.receipt()
					receipt.Subjects.Count = 1 + int(seed)%massive
					assurance := &ledger.Assurance{Profile: ledger.ProfileAudit02, LoA: 2}
					if !s.sensitive() {
						assurance = &ledger.Assurance{Profile: ledger.ProfileVoucher}
					}
					allowed(t, engine, w, receipt, assurance)
				}
			}
		}
	}
}

func TestForLoad(t *testing.T) {
	tokens := newTestChecker(t)
	for _, test := range []struct {
		name                        string
		config                      Config
		vouchers, evidences, people int // different ones among 40 submissions
		most                        int // people, where citizens and organisations come from populations of a size each
	}{
		{"one voucher for ten", Config{VoucherReuse: 10, Profile: ledger.ProfileAudit02, Subjects: 1, NewSubjects: true}, 4, 4, 40, 40},
		{"distinct vouchers", Config{VoucherReuse: 1, Profile: ledger.ProfileAudit02, Subjects: 1, NewSubjects: true}, 40, 40, 40, 40},
		{"distinct evidences", Config{VoucherReuse: 10, Profile: ledger.ProfileAudit01, Subjects: 1, NewSubjects: true}, 4, 40, 40, 40},
		{"many subjects", Config{VoucherReuse: 10, Profile: ledger.ProfileVoucher, Subjects: 3000}, 4, 1, 3000, 6000},
		{"many new subjects", Config{VoucherReuse: 10, Profile: ledger.ProfileAudit02, Subjects: 300, NewSubjects: true}, 4, 4, 40 * 300, 40 * 300},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newTestWorld(t, test.config)
			vouchers, evidences, people := map[string]bool{}, map[string]bool{}, map[ledger.Subject]bool{}
			for n := range 40 {
				sub, err := w.Submission(n)
				if err != nil {
					t.Fatal(err)
				}
				if _, assurance := check(t, w, tokens, sub); assurance.Profile != test.config.Profile || len(assurance.Flags) != 0 {
					t.Errorf("got %+v, want %s without flags", assurance, test.config.Profile)
				}
				vouchers[sub.Voucher], evidences[sub.Evidence] = true, true
				for _, s := range sub.Subjects {
					people[s.Subject] = true
				}
			}
			if len(vouchers) != test.vouchers || len(evidences) != test.evidences {
				t.Errorf("%d vouchers and %d evidences, want %d and %d", len(vouchers), len(evidences), test.vouchers, test.evidences)
			}
			if len(people) < test.people || len(people) > test.most {
				t.Errorf("%d people, want %d to %d", len(people), test.people, test.most)
			}
		})
	}
}

func TestSameFromAnyGoroutine(t *testing.T) {
	one, two := newTestWorld(t, Config{Seed: 7}), newTestWorld(t, Config{Seed: 7})
	const n = 200
	var left, right [n]*ledger.Submission
	var g errgroup.Group
	for i := range n {
		var err error
		if left[i], err = one.Submission(i); err != nil {
			t.Fatal(err)
		}
		g.Go(func() (err error) {
			right[n-1-i], err = two.Submission(n - 1 - i)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		a, b := *left[i], *right[i]
		payload := func(compact string) string { return compact[:strings.LastIndexByte(compact, '.')] }
		a.Receipt, b.Receipt = payload(a.Receipt), payload(b.Receipt)
		if d := cmp.Diff(a, b); d != "" {
			t.Fatalf("submission %d: %s", i, d)
		}
	}
	other, err := newTestWorld(t, Config{Seed: 8}).Submission(0)
	if err != nil {
		t.Fatal(err)
	}
	if other.Voucher == left[0].Voucher {
		t.Error("another seed gave the same voucher")
	}
}

func TestKeysAreKept(t *testing.T) {
	w := newTestWorld(t, Config{})
	first, _ := w.Key("inps")
	before, err := os.ReadFile(filepath.Join(keyDir(), PDNDKeysFile))
	if err != nil {
		t.Fatal(err)
	}
	second, _ := newTestWorld(t, Config{}).Key("inps")
	after, err := os.ReadFile(filepath.Join(keyDir(), PDNDKeysFile))
	if err != nil {
		t.Fatal(err)
	}
	if first.Kid != second.Kid || string(before) != string(after) {
		t.Error("keys changed when a world was opened again")
	}
	if info, err := os.Stat(filepath.Join(keyDir(), secretsFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("private keys: %v, %v", info.Mode(), err)
	}
}

func TestWorldRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewWorld(Config{Dir: dir, Ledger: "a name"}); err == nil {
		t.Error("a bad name of a ledger: want an error")
	}
	if _, err := NewWorld(Config{Dir: filepath.Join(dir, "none"), Ledger: "a"}); err == nil {
		t.Error("no directory: want an error")
	}
	if err := os.WriteFile(filepath.Join(dir, secretsFile), []byte("keys"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewWorld(Config{Dir: dir, Ledger: "a"}); err == nil {
		t.Error("damaged keys: want an error")
	}
}

func TestHub(t *testing.T) {
	w := newTestWorld(t, Config{})
	id, providers := w.Hub()
	if id != "inps" || !slices.IsSorted(providers) {
		t.Errorf("got %s for %v", id, providers)
	}
	for _, p := range append(providers, id) {
		if _, ok := w.Key(p); !ok || w.Signer(p) == nil {
			t.Errorf("%s has no key", p)
		}
	}
	if _, ok := w.Key("c_x000"); ok || w.Signer("c_x000") != nil {
		t.Error("a body that wasn't chosen has a key")
	}
	if n := len(w.Bodies()); n != 40 {
		t.Errorf("%d bodies, want 40", n)
	}
}

func BenchmarkSubmission(b *testing.B) {
	w := newTestWorld(b, Config{})
	n := 0
	for b.Loop() {
		if _, err := w.Submission(n); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

func BenchmarkSubmissionDistinctVouchers(b *testing.B) {
	w := newTestWorld(b, Config{VoucherReuse: 1, Profile: ledger.ProfileAudit02, Subjects: 1, NewSubjects: true})
	n := 0
	for b.Loop() {
		if _, err := w.Submission(n); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
