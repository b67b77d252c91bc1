// SPDX-License-Identifier: EUPL-1.2

package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// ErrAhead: the witness cosigned a larger log than the one it was shown. Who
// runs the log must not sign: its store went back in time.
var ErrAhead = errors.New("the witness has seen a larger log")

// ErrRefused: the witness holds that this log isn't an extension of what it
// cosigned before, which is a fork, on one side or the other; or, if it is a
// monitor, that a leaf or head is wrong.
var ErrRefused = errors.New("the witness refused the checkpoint as inconsistent")

// ErrLater: the witness can't cosign yet. A monitor says so until it has
// verified the leaves before.
var ErrLater = errors.New("the witness asks to come again later")

// patience is how long a witness may take.
const patience = 5 * time.Second

// Prover gives the consistency proof of a log from one size to another.
type Prover func(ctx context.Context, from, to uint64) ([]ledger.Hash, error)

// Client asks one witness for cosignatures of one log.
type Client struct {
	url      string
	verifier note.Verifier
	http     *http.Client

	mu   sync.Mutex
	last uint64 // the size it cosigned last, as far as known
}

// NewClient returns a client of the witness with this submission prefix and
// cosignature key.
func NewClient(url, vkey string) (*Client, error) {
	v, err := f_note.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the key of the witness at %s: %w", url, err)
	}
	return &Client{
		url: strings.TrimSuffix(url, "/") + "/add-checkpoint", verifier: v,
		// A witness that redirects is misconfigured, or someone else.
		http: &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// Name is the witness's, as in its key.
func (c *Client) Name() string { return c.verifier.Name() }

// Add shows the witness a signed checkpoint and returns the signature line it
// answers with, verified. ErrAhead and ErrRefused say that something is very
// wrong with this log; any other error that this witness can't be had now.
func (c *Client) Add(ctx context.Context, cp checkpoint.Checkpoint, signed []byte, prove Prover) (line string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Twice: a 409 says which size to prove from.
	for range 2 {
		request := Request{Old: c.last, Checkpoint: signed}
		if c.last > cp.Size {
			return "", fmt.Errorf("%w: %d leaves, this one has %d", ErrAhead, c.last, cp.Size)
		}
		if c.last > 0 && c.last < cp.Size {
			if request.Proof, err = prove(ctx, c.last, cp.Size); err != nil {
				return "", err
			}
		}
		status, body, err := c.post(ctx, FormatRequest(request))
		if err != nil {
			return "", err
		}
		switch status {
		case http.StatusOK:
			line, err := c.cosignature(signed, body)
			if err == nil {
				c.last = cp.Size
			}
			return line, err
		case http.StatusConflict:
			size, err := strconv.ParseUint(strings.TrimSuffix(string(body), "\n"), 10, 64)
			if err != nil {
				return "", errors.New("the witness answered 409 without a size")
			}
			if size == c.last {
				return "", fmt.Errorf("the witness answered 409 with the very size %d that was sent", size)
			}
			c.last = size
		case http.StatusUnprocessableEntity:
			return "", fmt.Errorf("%w: from size %d to %d", ErrRefused, c.last, cp.Size)
		case http.StatusServiceUnavailable:
			return "", ErrLater
		default:
			return "", fmt.Errorf("the witness answered %d", status)
		}
	}
	return "", errors.New("the witness's size keeps changing: someone else submits this log")
}

// Cosigned says whether a signed checkpoint has this witness's cosignature.
func (c *Client) Cosigned(signed []byte) bool {
	_, err := c.cosignature(signed, signed)
	return err == nil
}

// LastSize asks how large a log the witness cosigned last, by showing it a
// checkpoint as if for the first time. A witness that never saw the log
// cosigns it, and the answer is 0.
func (c *Client) LastSize(ctx context.Context, signed []byte) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	status, body, err := c.post(ctx, FormatRequest(Request{Checkpoint: signed}))
	switch {
	case err != nil:
		return 0, err
	case status == http.StatusOK:
		return 0, nil
	case status == http.StatusServiceUnavailable:
		return 0, ErrLater
	case status != http.StatusConflict:
		return 0, fmt.Errorf("the witness answered %d", status)
	}
	size, err := strconv.ParseUint(strings.TrimSuffix(string(body), "\n"), 10, 64)
	if err != nil {
		return 0, errors.New("the witness answered 409 without a size")
	}
	c.last = size
	return size, nil
}

func (c *Client) post(ctx context.Context, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("couldn't reach the witness: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return 0, nil, fmt.Errorf("couldn't read the witness's answer: %w", err)
	}
	return response.StatusCode, answer, nil
}

// cosignature finds the witness's own line in its answer, and verifies it over
// the checkpoint that was sent.
func (c *Client) cosignature(signed, answer []byte) (string, error) {
	for line := range strings.Lines(string(answer)) {
		text, _, _ := bytes.Cut(signed, []byte("\n\n"))
		n, err := note.Open(fmt.Appendf(nil, "%s\n\n%s", text, line), note.VerifierList(c.verifier))
		if err == nil && len(n.Sigs) == 1 {
			return line, nil
		}
	}
	return "", errors.New("the witness's answer holds no good cosignature by its key")
}
