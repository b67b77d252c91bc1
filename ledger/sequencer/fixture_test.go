// SPDX-License-Identifier: EUPL-1.2

package sequencer_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/engine"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/pebble"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/store"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

var quiet = slog.New(slog.DiscardHandler)

// fixture is a sequencer over a real store in memory.
type fixture struct {
	t     testing.TB
	world *nodetest.World
	disk  *vfs.MemFS
	db    *pebble.Store
	// configure changes the Config of each opening.
	configure func(*sequencer.Config)

	epoch    uint32
	signer   note.Signer
	verifier note.Verifier
	vrf      *vrf.PrivateKey
	output   func(alpha []byte) [32]byte
	registry *registry.Registry
	shard    *engine.Shard
	seq      *sequencer.Sequencer
	months   memoryMonths
}

var handleKey = [32]byte{4, 2}

// memoryMonths stands for the keys directory.
type memoryMonths struct{}

func (memoryMonths) key(month string) *[32]byte {
	var k [32]byte
	copy(k[:], month)
	return &k
}

func (m memoryMonths) Wrap(month string, handle ledger.Hash, k *[32]byte) ([]byte, error) {
	return seal.Wrap(m.key(month), handle, k), nil
}

func (m memoryMonths) Unwrap(month string, handle ledger.Hash, stored []byte) ([32]byte, error) {
	return seal.Unwrap(m.key(month), handle, stored)
}

// newFixture makes a log with its preamble and opens its sequencer.
func newFixture(t testing.TB, configure func(*sequencer.Config)) *fixture {
	t.Helper()
	f := newLog(t, configure)
	f.mustOpen()
	t.Cleanup(func() {
		f.seq.Close()
		f.db.Close()
	})
	return f
}

// newLog makes a log with its preamble.
func newLog(t testing.TB, configure func(*sequencer.Config)) *fixture {
	t.Helper()
	now := time.Now()
	f := &fixture{
		t: t, world: nodetest.NewWorld(t, now), disk: vfs.NewCrashableMem(), configure: configure,
		epoch: ledger.EpochOf(now), vrf: vrf.NewKey([32]byte{1}),
	}
	f.output = nodetest.Outputs(f.vrf)
	skey, vkey, err := note.GenerateKey(rand.Reader, ledger.Origin(nodetest.Name, f.epoch))
	f.must(err)
	f.signer, err = note.NewSigner(skey)
	f.must(err)
	f.verifier, err = note.NewVerifier(vkey)
	f.must(err)
	f.db, err = pebble.Create("/store", f.options())
	f.must(err)
	e, err := engine.New(f.db)
	f.must(err)
	f.shard, err = e.CreateShard(context.Background(), f.epoch)
	f.must(err)
	f.append(ledger.Preamble{Epoch: f.epoch, VRFKey: f.vrf.Public(), Name: nodetest.Name})
	return f
}

func (f *fixture) options() pebble.Options {
	return pebble.Options{FS: f.disk, CacheBytes: 1 << 20, Logger: quiet}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// append writes leaves behind the sequencer's back.
func (f *fixture) append(leaves ...ledger.Leaf) {
	f.t.Helper()
	for _, leaf := range leaves {
		b, err := ledger.FormatLeaf(leaf)
		f.must(err)
		_, err = f.shard.Append(context.Background(), [][]byte{b}, nil)
		f.must(err)
	}
}

func (f *fixture) mustOpen() {
	f.t.Helper()
	f.must(f.open())
}

// open starts a sequencer over the store as it is.
func (f *fixture) open() error {
	ctx := context.Background()
	cfg := sequencer.Config{
		Name: nodetest.Name, Epoch: f.epoch, Rows: f.db, Signer: f.signer,
		Handle: handleKey, Months: f.months, Log: quiet,
	}
	if f.configure != nil {
		f.configure(&cfg)
	}
	e, err := engine.New(cfg.Rows)
	f.must(err)
	f.shard, err = e.OpenShard(ctx, f.epoch)
	f.must(err)
	f.registry = registry.New(nodetest.Name)
	snap, err := f.db.Snapshot(ctx)
	f.must(err)
	defer snap.Close()
	f.must(snap.Scan(ctx, store.TableRecord, nil, nil, 0, func(key, value []byte) error {
		_, index, err := rows.ParseLeafKey(key)
		if err != nil {
			return err
		}
		return f.registry.Apply(index, value)
	}))
	cfg.Shard, cfg.Registry = f.shard, f.registry
	seq, err := sequencer.Open(ctx, cfg)
	if err == nil {
		f.seq = seq
	}
	return err
}

// restart ends sequencer and store, and starts them again.
func (f *fixture) restart() {
	f.t.Helper()
	f.seq.Close()
	f.must(f.db.Close())
	var err error
	f.db, err = pebble.Open("/store", f.options())
	f.must(err)
	f.mustOpen()
}

// powerCut is restart with the disk as a power cut leaves it, without a word
// to the processes before.
func (f *fixture) powerCut() {
	f.t.Helper()
	disk := f.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
	f.seq.Close()
	f.must(f.db.Close())
	f.disk = disk
	var err error
	f.db, err = pebble.Open("/store", f.options())
	f.must(err)
	f.mustOpen()
}

// pending is a submission as intake hands it over.
func (f *fixture) pending(n int, a nodetest.Access) *sequencer.Pending {
	f.t.Helper()
	sub, err := ledger.ParseSubmission(f.world.Make(f.t, n, a))
	f.must(err)
	opened, err := sub.Open()
	f.must(err)
	p := &sequencer.Pending{
		Receipt: opened.Receipt, Kind: ledger.KindAccess, Scope: opened.Receipt.Iss, Agency: opened.Receipt.Consumer,
		Private:   sequencer.PendingPrivate{Salt: sub.Private.Salt, Content: sub.Private.Content},
		Assurance: ledger.Assurance{Profile: ledger.ProfileVoucher, Voucher: ledger.VoucherCheck{Alg: "RS256", Kid: "k", Issuer: "pdnd.example"}},
		Decision:  []byte(`{"effect":"recorded"}`),
		Version:   f.registry.Version(),
	}
	if p.Scope != nodetest.Hub {
		p.Scope = ledger.ScopeReported
	}
	p.AgencyK = f.output(ledger.AgencyAlpha(p.Agency, f.epoch))
	for i, s := range sub.Subjects {
		p.Subjects = append(p.Subjects, sequencer.PendingSubject{
			SaltedSubject: s, Proof: opened.Subjects.Proof(i), K: f.output(ledger.SubjectAlpha(s.Subject, p.Scope, f.epoch)),
		})
	}
	return p
}

// submit records the n-th submission.
func (f *fixture) submit(n int) *sequencer.Committed {
	f.t.Helper()
	c, err := f.seq.Submit(context.Background(), f.pending(n, nodetest.Access{}))
	f.must(err)
	return c
}

// record appends one body record.
func (f *fixture) record(id string) {
	f.t.Helper()
	_, err := f.seq.Record(context.Background(), bodyRecord(f.t, id))
	f.must(err)
}

func bodyRecord(t testing.TB, id string) []byte {
	t.Helper()
	r, err := registry.FormatRecord(registry.Body{ID: id, Name: "Ente"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// audit reads the whole log and its rows again.
func (f *fixture) audit() *nodetest.Audited {
	f.t.Helper()
	seen, err := nodetest.Audit(context.Background(), nodetest.Log{
		Origin: ledger.Origin(nodetest.Name, f.epoch), Epoch: f.epoch, Shard: f.shard, Rows: f.db,
		Handle: handleKey, Output: f.output, Unwrap: f.months.Unwrap,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return seen
}

// gate holds the sequencer at a step, so that a test fills its queue meanwhile.
type gate struct {
	mu      sync.Mutex
	step    string
	reached chan struct{}
	open    chan struct{}
}

// at is a Config.Step.
func (g *gate) at(name string) {
	g.mu.Lock()
	if name != g.step {
		g.mu.Unlock()
		return
	}
	g.step = ""
	reached, open := g.reached, g.open
	g.mu.Unlock()
	close(reached)
	<-open
}

// hold makes the next commit stop at the step. The returned functions wait
// until it stands there, and let it go on.
func (g *gate) hold(step string) (wait, release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.step, g.reached, g.open = step, make(chan struct{}), make(chan struct{})
	reached, open := g.reached, g.open
	return func() { <-reached }, func() { close(open) }
}

// queued waits until that many leaves wait for the sequencer.
func (f *fixture) queued(leaves int) {
	f.t.Helper()
	for end := time.Now().Add(2 * time.Minute); f.seq.Queued() != leaves; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("%d leaves wait, expected %d", f.seq.Queued(), leaves)
		}
	}
}

// outcome is what one Submit returned.
type outcome struct {
	*sequencer.Committed
	err error
}

// start calls Submit in another goroutine.
func (f *fixture) start(p *sequencer.Pending) <-chan outcome {
	result := make(chan outcome, 1)
	go func() {
		c, err := f.seq.Submit(context.Background(), p)
		result <- outcome{c, err}
	}()
	return result
}

// submitBeside is start, and returns once the submission waits behind the one
// that a gate holds.
func (f *fixture) submitBeside(p *sequencer.Pending) <-chan outcome {
	f.t.Helper()
	before := f.seq.Queued()
	result := f.start(p)
	f.queued(before + len(p.Subjects))
	return result
}

var errDisk = errors.New("the disk says no")

// clock is a system clock that a test sets.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	reads int
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}
