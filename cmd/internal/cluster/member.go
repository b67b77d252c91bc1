// SPDX-License-Identifier: EUPL-1.2

// Package cluster makes several ledgerd on one database one ledger. Each of them
// takes every request. The one that holds the store's lease (ledger/postgres)
// sequences; the others forward to it what they can't answer themselves, at the
// URL that it publishes beside its lease.
//
// A node that forwards keeps the request in memory until it has the answer. When
// the sequencer dies or leaves it waits for the next one and sends the request
// again, which does no harm: a submission is recorded once, by (iss, jti), and
// what was acknowledged is durable. So nothing that waits is ever in a table.
//
// Trusted: the database, and TLS between the nodes. A forwarded request names the
// lease that it is for by the holder's 16 random bytes, which nobody knows who
// can't read the database. That lets a node tell it from a client's, refuse what
// was meant for another, and believe which client it came from. It is never
// forwarded again.
//
// What must always hold: only the holder sequences, and every commit checks that
// (ledger/postgres); what this package believes decides where a request goes and
// nothing else.
package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/ledger/place"
	"github.com/traccia-ledger/traccia/ledger/postgres"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Config of a member. All fields but Roots are required.
type Config struct {
	URL string // where the other nodes reach this one, without a path
	// Lease reads who may commit now.
	Lease func(context.Context) (postgres.Lease, error)
	// Lead opens the ledger, under this claim. The error wraps store.ErrLocked where
	// another node was quicker.
	Lead func(context.Context, place.Claim) (*Service, error)
	// Able says why Lead would fail, as far as can be seen while another node
	// sequences; nil: it wouldn't.
	Able func() error
	// Log answers for what is public of the log, without the node that sequences,
	// while LogTrouble is nil.
	Log        http.Handler
	LogTrouble func() error
	Roots      *x509.CertPool // whose certificates other nodes have; nil: the system's
	Logger     *slog.Logger
	Metrics    prometheus.Registerer
}

// Service is the ledger while this node sequences.
type Service struct {
	Handler http.Handler
	Submit  api.Submit    // a line of a batch
	Err     func() error  // why it can't go on, or nil
	Unready func() string // why it takes no submissions now; "": it does
	Close   func() error  // hands the lease over
}

// Times of a member.
const (
	// lookEvery is how often the lease is looked at: so much later than it could a
	// node takes over.
	lookEvery = 200 * time.Millisecond
	// pause is between two attempts at one request.
	pause = 50 * time.Millisecond
	// patience is how long a request waits for somebody to take it. A holder that died
	// on another machine is replaced after eight seconds.
	patience = 30 * time.Second
	// ableEvery is how often it is looked whether this node could sequence.
	ableEvery = 30 * time.Second
	// failedPause is how long a node that couldn't sequence leaves it to others.
	failedPause = 2 * time.Second
	// drain is how long requests under way may take before the store is left: longer
	// ones are sent again to the next sequencer.
	drain = 2 * time.Second
	// alonePatience is how long a node that ends waits for another one to sequence
	// though no request does: where there is one it takes the lease at once.
	alonePatience = 3 * time.Second
	// blind is for how long the database, or the node that sequences, may not answer
	// before a node says that it isn't ready: longer than a dead one keeps the lease.
	blind = 10 * time.Second
	// knockEvery is how often the node that sequences is asked whether it can be
	// reached, knockPatience how long it may take to say so.
	knockEvery    = time.Second
	knockPatience = 3 * time.Second
	// patienceElsewhere is how long another node may answer in its place: until the
	// lease was looked at.
	patienceElsewhere = 2 * time.Second
)

// Member is one node. It is an http.Handler for what clients and other nodes ask.
type Member struct {
	Config
	client  *http.Client
	batches *api.Batches

	mu        sync.Mutex
	current   *view     // guarded by mu; never changed in place
	looked    time.Time // when the lease was last read; guarded by mu
	leaving   bool      // guarded by mu
	unreached unreached // guarded by mu
	unable    error     // why this node couldn't sequence when that was last seen; guarded by mu

	inHand  atomic.Int64 // requests that the service answers
	waiting atomic.Int64 // requests and lines that aren't answered, and can be by any node

	stopping chan struct{} // closed when nobody waits any more

	leads     prometheus.Gauge
	forwarded *prometheus.CounterVec
}

// view is who sequences, as this node knows it.
type view struct {
	lease   postgres.Lease
	claim   postgres.Holder // this node's, from before it asks for the lease until it gave it back
	service *Service        // nil unless this node sequences
	over    chan struct{}   // closed when there is another view
}

// New returns a member. Watch and Run make it one.
func New(c Config) *Member {
	transport := &http.Transport{
		Proxy: nil, TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: time.Minute,
		MaxConnsPerHost: 256, MaxIdleConnsPerHost: 256, DisableCompression: true,
	}
	m := &Member{
		Config: c, current: &view{over: make(chan struct{})}, looked: time.Now(), stopping: make(chan struct{}),
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		leads: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "traccia_sequencing", Help: "1 while this node holds the lease and sequences, else 0.",
		}),
		forwarded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "traccia_forwarded_total", Help: "Requests forwarded to the node that sequences, by outcome: answered, again (nobody took it, and it is sent again), uncertain, given_up.",
		}, []string{"outcome"}),
	}
	m.batches = api.NewBatches(c.Logger, m.submit)
	c.Metrics.MustRegister(m.leads, m.forwarded, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "traccia_ready", Help: "1 while this node says that it is ready, else 0.",
	}, func() float64 { return map[bool]float64{true: 1}[m.Unready() == ""] }))
	return m
}

func (m *Member) view() *view {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current
}

// change replaces the view by one that differs by f.
func (m *Member) change(f func(*view)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := *m.current
	f(&next)
	next.over = make(chan struct{})
	close(m.current.over)
	m.current = &next
	m.leads.Set(map[bool]float64{true: 1}[next.service != nil])
}

// Watch looks at the lease until ctx ends, and whether the node that has it can be
// reached.
func (m *Member) Watch(ctx context.Context) {
	go m.knock(ctx)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	failed := false
	for {
		// Who began to sequence while this was read isn't to be told that it doesn't.
		before := m.view()
		lease, err := m.Lease(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failed {
				m.Logger.Warn("couldn't see who sequences", "error", err)
			}
		default:
			m.mu.Lock()
			m.looked = time.Now()
			m.mu.Unlock()
			if before == m.view() && before.lease != lease {
				m.change(func(v *view) { v.lease = lease })
			}
		}
		failed = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Rehearse looks again and again whether this node could sequence, until ctx ends.
func (m *Member) Rehearse(ctx context.Context) {
	tick := time.NewTicker(ableEvery)
	defer tick.Stop()
	for {
		m.rehearse()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (m *Member) rehearse() {
	if m.view().claim == (postgres.Holder{}) {
		m.noteAble(m.Able())
	}
}

// noteAble takes note of why this node couldn't sequence, nil if it could.
func (m *Member) noteAble(err error) {
	m.mu.Lock()
	before := m.unable
	m.unable = err
	m.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		m.Logger.Error("this node couldn't sequence: it tries again, and leaves it to others meanwhile", "error", err)
	case err == nil && before != nil:
		m.Logger.Info("this node could sequence again")
	}
}

// Run sequences whenever nobody else does, until ctx ends; it then hands the lease
// over. An error is why it couldn't.
func (m *Member) Run(ctx context.Context) error {
	for {
		v := m.view()
		if ctx.Err() != nil {
			return nil
		}
		if v.lease.Free {
			if err := m.lead(ctx); err != nil {
				return err
			}
		}
		select {
		case <-v.over:
		case <-ctx.Done():
		}
	}
}

// lead opens the ledger, and sequences until ctx ends or the lease is lost.
func (m *Member) lead(ctx context.Context) error {
	claim := place.Claim{Holder: postgres.NewHolder(), URL: m.URL}
	m.change(func(v *view) { v.claim = claim.Holder })
	service, err := m.Lead(ctx, claim)
	if err != nil {
		m.change(func(v *view) { v.claim = postgres.Holder{} })
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, store.ErrLocked) {
			time.Sleep(lookEvery)
			return nil
		}
		m.noteAble(err)
		select {
		case <-time.After(failedPause):
		case <-ctx.Done():
		}
		return nil
	}
	m.noteAble(nil)
	m.change(func(v *view) {
		v.service, v.lease = service, postgres.Lease{Holder: claim.Holder, URL: m.URL}
	})
	m.Logger.Info("sequencing", "url", m.URL)
	why := m.untilLost(ctx, service, claim.Holder)
	m.change(func(v *view) { v.service, v.lease.URL, v.lease.Free = nil, "", false })
	m.drain()
	err = service.Close()
	m.change(func(v *view) { v.claim = postgres.Holder{} })
	if why == nil {
		return err // it was asked to
	}
	m.Logger.Error("not sequencing any more", "because", why, "closing", err)
	select {
	case <-time.After(time.Second): // whoever has less trouble goes first
	case <-ctx.Done():
	}
	return nil
}

var errReplaced = errors.New("another node sequences")

// untilLost returns why this node can't sequence any more, nil when ctx ended.
func (m *Member) untilLost(ctx context.Context, s *Service, claim postgres.Holder) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		v := m.view()
		if err := s.Err(); err != nil {
			return err
		}
		if v.lease.Holder != claim {
			return errReplaced
		}
		select {
		case <-tick.C:
		case <-v.over:
		case <-ctx.Done():
			return nil
		}
	}
}

// drain waits for the requests that the service answers.
func (m *Member) drain() {
	for end := time.Now().Add(drain); m.inHand.Load() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

// Settled returns once somebody sequences to whom this node can send requests, or
// ctx ends.
func (m *Member) Settled(ctx context.Context) {
	for v := m.view(); v.service == nil && !v.reachable(); v = m.view() {
		select {
		case <-v.over:
		case <-ctx.Done():
			return
		}
	}
}

// reachable says whether another node sequences and says where.
func (v *view) reachable() bool {
	return v.lease.URL != "" && !v.lease.Free && v.lease.Holder != v.claim
}

// Leave has clients go elsewhere: their connections end with the next answer, and
// Unready says so. Requests are still taken.
func (m *Member) Leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaving = true
}

func (m *Member) isLeaving() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leaving
}

// Unready says why this node takes no requests; "": it does.
func (m *Member) Unready() string {
	v := m.view()
	m.mu.Lock()
	seen, leaving, unable := time.Since(m.looked), m.leaving, m.unable
	m.mu.Unlock()
	switch {
	case leaving:
		return "leaving"
	case v.service != nil:
		return v.service.Unready()
	case unable != nil:
		return "couldn't sequence: " + unable.Error()
	case !v.reachable():
		return "no node sequences"
	case seen > blind:
		return "the database doesn't answer"
	}
	if since, err := m.unreachable(); err != nil && time.Since(since) > blind {
		return fmt.Sprintf("the node that sequences can't be reached at %s: %v", v.lease.URL, err)
	}
	if err := m.LogTrouble(); err != nil {
		return err.Error()
	}
	return ""
}

// Part is for a node that doesn't sequence and is to end: it waits until another
// one does, and takes requests for a while more, each the last of its connection.
// Where there is no other it gives up once nobody waits, or patience is over.
func (m *Member) Part(patience, linger time.Duration) {
	m.Leave()
	begun := time.Now()
	for v := m.view(); !v.reachable(); v = m.view() {
		if alone := time.Since(begun); alone > patience || alone > alonePatience && m.waiting.Load() == 0 {
			return
		}
		select {
		case <-v.over:
		case <-time.After(lookEvery):
		}
	}
	time.Sleep(linger)
}

// End lets nobody wait any longer: requests that no node took get 503, batches end.
func (m *Member) End() {
	close(m.stopping)
	m.batches.End()
}
