// SPDX-License-Identifier: EUPL-1.2

package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// Ledger is asked with requests that the party signs.
type Ledger struct {
	base   *url.URL
	client *http.Client
	key    *agencykey.Key
	now    func() time.Time
}

// NewLedger returns the ledger at a URL that fetch.ParseURL has checked.
func NewLedger(base *url.URL, key *agencykey.Key, now func() time.Time) *Ledger {
	return &Ledger{base, fetch.NewClient(base), key, now}
}

// Proofs returns the VRF proofs of up to own.MaxSubjects subjects, in their
// order.
func (l *Ledger) Proofs(ctx context.Context, scope, origin string, subjects []ledger.Subject) ([][]byte, error) {
	name, epoch, err := ledger.ParseOrigin(origin)
	if err != nil {
		return nil, err
	}
	content, err := own.FormatProofsRequest(&own.ProofsRequest{Epoch: epoch, Subjects: subjects})
	if err != nil {
		return nil, err
	}
	raw, err := l.post(ctx, l.base.JoinPath("v1", "scopes", scope, "proofs"), content, name)
	if err != nil {
		return nil, err
	}
	answer, err := own.ParseProofsAnswer(raw)
	if err != nil || answer.Origin != origin || answer.Scope != scope || len(answer.Proofs) != len(subjects) {
		return nil, fmt.Errorf("couldn't read the ledger's answer: expected %d proofs of %s in %s", len(subjects), scope, origin)
	}
	list := make([][]byte, len(subjects))
	for i, pi := range answer.Proofs {
		list[i] = pi
	}
	return list, nil
}

// Agency asks the ledger of this name about the signing body's own list: content,
// signed, to a path below /v1/agencies/{agency}/. A refusal is a *ledger.Problem.
func (l *Ledger) Agency(ctx context.Context, name, path string, content []byte) ([]byte, error) {
	return l.post(ctx, l.base.JoinPath("v1", "agencies", l.key.Body, path), content, name)
}

// Record has a signed statement recorded, and returns its log index. A refusal
// is a *ledger.Problem.
func (l *Ledger) Record(ctx context.Context, statement string) (uint64, error) {
	content, err := json.Marshal(map[string]string{"statement": statement})
	if err != nil {
		return 0, err
	}
	raw, err := l.post(ctx, l.base.JoinPath("v1", "provider-checks"), content, "")
	if err != nil {
		return 0, err
	}
	answer, err := own.ParseCheckAnswer(raw)
	if err != nil {
		return 0, fmt.Errorf("couldn't read the ledger's answer: %w", err)
	}
	return answer.Index, nil
}

// Registered says whether the log of the ledger of this name has the key in force
// for its body. It asks once, with a request that asks for nothing: who else signs
// is refused before it is read. The error is a *ledger.Problem where the ledger
// doesn't take the request for another reason, such as a clock or a name.
func (l *Ledger) Registered(ctx context.Context, name string) (bool, error) {
	_, _, err := l.try(ctx, l.base.JoinPath("v1", "scopes", l.key.Body, "proofs"), []byte("{}"), name)
	var p *ledger.Problem
	switch {
	case err == nil:
		return true, nil
	case !errors.As(err, &p):
		return false, err
	case p.Code == codeNotSigner:
		return false, nil
	case strings.HasPrefix(p.Where, "/"): // of the content, which was read
		return true, nil
	}
	return false, p
}

// codeNotSigner is the ledger's for a signed request by another (docs/api.md).
const codeNotSigner = "not_signer"

const (
	attempts  = 5
	maxAnswer = 1 << 25 // bytes: a part of a list, packed
)

// post sends content, signed for the ledger of this name unless that is "", and
// again while the ledger is busy.
func (l *Ledger) post(ctx context.Context, to *url.URL, content []byte, name string) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		raw, wait, err := l.try(ctx, to, content, name)
		if err == nil || wait == 0 || attempt == attempts {
			return raw, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// try says how long to wait before another attempt; 0: there is none to make.
func (l *Ledger) try(ctx context.Context, to *url.URL, content []byte, name string) (raw []byte, wait time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(content))
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	if name != "" {
		if err := l.key.SignRequest(r, content, name, l.now()); err != nil {
			return nil, 0, err
		}
	}
	resp, err := l.client.Do(r)
	if err != nil {
		return nil, time.Second, fmt.Errorf("couldn't reach the ledger: %w", err)
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch code := resp.StatusCode; {
	case err != nil:
		return nil, time.Second, fmt.Errorf("couldn't read the ledger's answer: %w", err)
	case code == http.StatusOK || code == http.StatusCreated:
		return raw, 0, nil
	case code == http.StatusTooManyRequests || code >= 500:
		seconds, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 5)
		wait = max(time.Second, time.Duration(seconds)*time.Second)
	}
	var p ledger.Problem
	if json.Unmarshal(raw, &p) != nil || p.Code == "" {
		return nil, wait, errors.New("the ledger answered " + resp.Status)
	}
	return nil, wait, &p
}
