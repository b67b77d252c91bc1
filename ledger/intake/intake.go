// SPDX-License-Identifier: EUPL-1.2

// Package intake checks a submission before it is given a place in the log
// (docs/design.md, "The pipeline inside ledgerd", step 1): syntax, digests, the
// receipt's signature, the bodies it names, the tokens it rests on. It decides by
// the active policies. It also
// computes what is costly and needs no place yet: the VRF outputs.
//
// Checks run on all cores and write nothing. What they relied on that can
// change is the registry; its version goes with the result, and the sequencer
// sends back whatever was checked against an older one.
//
// Nothing of a person is in an error: problems name fields, kinds and lengths.
package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/sequencer"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// Limits of what a receipt may say about time.
const (
	// MaxAhead is how far occurred_at and iat may lie ahead of the ledger's
	// clock.
	MaxAhead = time.Minute
	// LateAfter is how long after the access a receipt is marked late.
	LateAfter = 10 * time.Minute
)

// ErrKeys: the keys that a token has to be checked with couldn't be had. The
// submission may be good; it can be sent again.
var ErrKeys = errors.New("PDND's keys couldn't be had")

// ErrBefore: the submission is recorded in the shard before.
var ErrBefore = errors.New("recorded in the year before")

// Config says what submissions are checked against. All fields are required
// unless they say otherwise.
type Config struct {
	Name     string
	Epoch    uint32
	Registry *registry.Registry
	VRF      *vrf.PrivateKey
	Tokens   *pdnd.Checker
	// Recorded returns the log index at which a submission of this identity
	// stands, if it is recorded: it is then checked with the keys of that
	// place, so that a retry finds its entry even after a revocation.
	Recorded func(ctx context.Context, iss, jti string) (index uint64, ok bool, err error)
	// Before says whether the shard before this one has a submission of this
	// identity: then Check returns ErrBefore. nil for the ledger's first.
	Before func(ctx context.Context, iss, jti string) (bool, error)
	// First returns the submission of this identity, for a statement about it; nil
	// where none is recorded.
	First func(ctx context.Context, iss, jti string) (*First, error)
	// Bundle returns the policies with this digest, which a record activated.
	Bundle func(digest ledger.Hash) (ledger.Bundle, error)
	// Consents says what the consent that a receipt names is worth for it, as the
	// lists stand now; attributes are the consumer's.
	Consents func(ctx context.Context, r *ledger.Receipt, subjects []ledger.SaltedSubject, attributes []string) (Granted, error)
	Now      func() time.Time // nil: time.Now
}

// First is a recorded submission that a statement is about.
type First struct {
	Receipt  *ledger.SignedReceipt
	Scope    string
	Subjects map[ledger.Subject]bool // those whose events still open
	// Withheld is until when its notice is put off; zero where the citizen can read
	// it.
	Withheld time.Time
}

// Intake is safe for concurrent use.
type Intake struct {
	Config
	slots    *semaphore.Weighted
	recorded json.RawMessage                    // the decision where no policies decide
	subjects *lru.Cache[subjectScope, [32]byte] // k_s; about 200 bytes each
	agencies *lru.Cache[string, [32]byte]       // k_a
}

type subjectScope struct {
	subject ledger.Subject
	scope   string
}

// New returns an Intake for one shard.
func New(cfg Config) (*Intake, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	in := &Intake{Config: cfg, slots: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))}
	var err error
	if in.recorded, err = ledger.FormatDecision(ledger.Decision{Effect: ledger.EffectRecorded}); err != nil {
		return nil, err
	}
	if in.subjects, err = lru.New[subjectScope, [32]byte](1 << 18); err != nil {
		return nil, err
	}
	if in.agencies, err = lru.New[string, [32]byte](1 << 14); err != nil {
		return nil, err
	}
	return in, nil
}

// Check parses and checks the bytes of one submission. A refusal is a
// *ledger.Problem; any other error means that the check couldn't be done.
// It waits for a free core.
func (in *Intake) Check(ctx context.Context, raw []byte) (*sequencer.Pending, error) {
	if err := in.slots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer in.slots.Release(1)
	version := in.Registry.Version()
	sub, err := ledger.ParseSubmission(raw)
	if err != nil {
		return nil, err
	}
	opened, err := sub.Open()
	if err != nil {
		return nil, err
	}
	receipt := opened.Receipt
	if in.Before != nil {
		before, err := in.Before(ctx, receipt.Iss, receipt.JTI)
		if err != nil {
			return nil, fmt.Errorf("couldn't look up the submission: %w", err)
		}
		if before {
			return nil, ErrBefore
		}
	}
	if err := in.checkReceipt(receipt); err != nil {
		return nil, err
	}
	scope, err := in.checkParties(receipt, math.MaxUint64)
	if err != nil {
		if scope, err = in.checkRecorded(ctx, receipt, err); err != nil {
			return nil, err
		}
	}
	p := &sequencer.Pending{
		Receipt: receipt, Kind: kindOf(receipt).Name, Scope: scope, Agency: receipt.Consumer,
		Subjects: make([]sequencer.PendingSubject, len(sub.Subjects)),
		Private:  sequencer.PendingPrivate{Salt: sub.Private.Salt, Content: sub.Private.Content},
		Decision: in.recorded,
		Version:  version,
	}
	if receipt.Statement != nil {
		// Nothing stands behind it but the signature.
		p.Assurance = ledger.Assurance{Profile: ledger.ProfileRequest, Flags: []string{}}
		p.Scope, p.DeferredUntil, err = in.checkStatement(ctx, receipt, sub.Subjects, scope)
		err = in.unlessRecorded(ctx, receipt, err)
	} else {
		p.Assurance, err = in.checkTokens(ctx, sub, opened)
	}
	if err == nil && receipt.BreakGlass != nil {
		err = in.unlessRecorded(ctx, receipt, in.checkSession(receipt))
	}
	if err == nil && opened.Deferral != nil {
		p.Scope, p.Deferral, p.DeferredUntil = ledger.ScopeDeferred, opened.Deferral.Compact, opened.Deferral.Ends()
		err = in.unlessRecorded(ctx, receipt, in.checkOrder(opened.Deferral))
	}
	if err != nil {
		return nil, err
	}
	if kindOf(receipt).Accesses() {
		if err := in.allow(ctx, p, sub.Subjects); err != nil {
			return nil, err
		}
	}
	for i, subject := range sub.Subjects {
		p.Subjects[i] = sequencer.PendingSubject{SaltedSubject: subject, Proof: opened.Subjects.Proof(i)}
	}
	return p, in.outputs(p)
}

// checkReceipt checks what the receipt says of the ledger and of time.
func (in *Intake) checkReceipt(r *ledger.SignedReceipt) error {
	if r.Aud != in.Name {
		return refuse("wrong_audience", "receipt#aud", in.Name, "another ledger's name")
	}
	latest := in.Now().Add(MaxAhead)
	if at := r.Occurred(); at.After(latest) {
		return refuse("in_future", "receipt#occurred_at", "not after "+instant(latest), instant(at))
	}
	if at := time.Unix(r.IssuedAt, 0); at.After(latest) {
		return refuse("in_future", "receipt#iat", "not after "+instant(latest), instant(at))
	}
	return nil
}

// checkRecorded has the last word on a receipt that the parties of today
// refuse: recorded already, it is judged by those of its place in the log.
func (in *Intake) checkRecorded(ctx context.Context, r *ledger.SignedReceipt, refusal error) (scope string, err error) {
	index, ok, err := in.Recorded(ctx, r.Iss, r.JTI)
	if err != nil {
		return "", fmt.Errorf("couldn't look up the submission: %w", err)
	}
	if !ok {
		return "", refusal
	}
	return in.checkParties(r, index)
}

// checkParties resolves who signed and for whom, as of log index at. A new
// submission is judged at the greatest, by every record that the version
// counts, those of a commit under way included: it will stand behind them.
func (in *Intake) checkParties(r *ledger.SignedReceipt, at uint64) (scope string, err error) {
	for _, party := range []struct{ where, id string }{{"receipt#iss", r.Iss}, {"receipt#provider", r.Provider}, {"receipt#consumer", r.Consumer}} {
		if _, ok := in.Registry.Body(party.id); !ok {
			return "", refuse("unknown_body", party.where, "the id of a registered body", shown(party.id))
		}
	}
	key, err := in.Registry.Key(r.Iss, r.JWS.Header.Kid, at)
	switch {
	case errors.Is(err, registry.ErrUnknownKey):
		return "", refuse("key_unknown", "receipt#kid", "a key registered for "+r.Iss, "kid "+shown(r.JWS.Header.Kid))
	case errors.Is(err, registry.ErrRevokedKey):
		return "", refuse("key_revoked", "receipt#kid", "a key in force of "+r.Iss, "kid "+r.JWS.Header.Kid+", revoked")
	case err != nil:
		return "", err
	}
	if err := verify(r.JWS, key); err != nil {
		return "", err
	}
	kind := kindOf(r)
	scope = ledger.ScopeReported
	if kind.Role != ledger.RoleConsumer {
		if scope, err = in.Registry.Scope(r.Iss, r.Provider, r.Consumer, at); err != nil {
			return "", refuse("no_scope", "receipt#iss", "the party that speaks for "+r.Provider+", or the consumer "+r.Consumer, r.Iss)
		}
	}
	if role := kind.RoleIn(scope); r.Role != role {
		return "", refuse("wrong_role", "receipt#role", role, r.Role)
	}
	return scope, nil
}

// kindOf is the kind of event that a submitted receipt makes.
func kindOf(r *ledger.SignedReceipt) ledger.Kind {
	if r.Statement != nil {
		return r.Statement.StatedKind()
	}
	access, _ := ledger.KindOf(ledger.KindAccess)
	return access
}

func verify(token *jws.Unverified, key jws.Key) error {
	if token.Header.Alg != key.Alg {
		return refuse("wrong_algorithm", "receipt#alg", key.Alg, token.Header.Alg)
	}
	if token.Verify(key) != nil {
		return refuse("bad_signature", "receipt", "a signature by kid "+key.Kid, "one that doesn't verify")
	}
	return nil
}

// checkTokens checks voucher and evidence at the instant of the access, and
// that the pair is made of them.
func (in *Intake) checkTokens(ctx context.Context, sub *ledger.Submission, opened *ledger.Opened) (ledger.Assurance, error) {
	r := opened.Receipt
	provider, _ := in.Registry.Body(r.Provider)
	consumer, _ := in.Registry.Body(r.Consumer)
	assurance, claims, err := in.Tokens.Check(ctx, pdnd.Call{
		Voucher: sub.Voucher, Evidence: sub.Evidence, OccurredAt: r.Occurred(),
		ProducerID: provider.Tenant, ConsumerID: consumer.Tenant, EServiceID: r.EService, PurposeID: r.PurposeID,
	})
	if err != nil {
		var p *ledger.Problem
		if !errors.As(err, &p) && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", ErrKeys, err)
		}
		return assurance, err
	}
	if ledger.Pair(claims.VoucherJTI, claims.EvidenceDigest, opened.Private.RequestDigest) != r.Pair {
		return assurance, refuse("pair_mismatch", "receipt#pair", "H over voucher jti, evidence digest and request digest", "another digest")
	}
	assurance.Late = in.Now().Sub(r.Occurred()) > LateAfter
	if opened.Private.Case == "" {
		assurance.Flags = append(assurance.Flags, ledger.FlagCaseMissing)
	}
	return assurance, nil
}

// outputs fills in k_a and each k_s.
func (in *Intake) outputs(p *sequencer.Pending) error {
	k, ok := in.agencies.Get(p.Agency)
	if !ok {
		k = in.output(ledger.AgencyAlpha(p.Agency, in.Epoch))
		in.agencies.Add(p.Agency, k)
	}
	p.AgencyK = k
	// One subject is done on the core at hand; a list shares all of them.
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	const share = 16
	for from := 0; from < len(p.Subjects); from += share {
		part := p.Subjects[from:min(from+share, len(p.Subjects))]
		if len(p.Subjects) <= share {
			in.subjectOutputs(part, p.Scope)
			break
		}
		g.Go(func() error {
			in.subjectOutputs(part, p.Scope)
			return nil
		})
	}
	return g.Wait()
}

func (in *Intake) subjectOutputs(part []sequencer.PendingSubject, scope string) {
	for i := range part {
		at := subjectScope{part[i].Subject, scope}
		k, ok := in.subjects.Get(at)
		if !ok {
			k = in.output(ledger.SubjectAlpha(at.subject, scope, in.Epoch))
			in.subjects.Add(at, k)
		}
		part[i].K = k
	}
}

func (in *Intake) output(alpha []byte) (k [32]byte) {
	beta := in.VRF.Output(alpha)
	copy(k[:], beta[:32])
	return k
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// shown repeats the id of a body or key, but no name that holds what could be a
// person's code.
func shown(name string) string {
	upper := strings.ToUpper(name)
	for i := range upper {
		for _, n := range []int{11, 16} {
			if i+n > len(upper) {
				continue
			}
			if _, err := ledger.ParseSubject(upper[i : i+n]); err == nil {
				return fmt.Sprintf("another of %d characters", len(name))
			}
		}
	}
	return name
}

func refuse(code, where, expected, found string) *ledger.Problem {
	return &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
}
