// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// ledgerClient asks the ledger for what isn't a submission of receipts.
type ledgerClient struct {
	url    *url.URL
	name   string // the ledger's
	client *http.Client
}

// ask posts content until the ledger answers or ctx ends; sign may add headers to each attempt. The error is errUnknown, or
// a *refused.
func (l *ledgerClient) ask(ctx context.Context, path string, content []byte, sign func(*http.Request) error) ([]byte, error) {
	pause := firstPause
	for {
		data, err := l.try(ctx, path, content, sign)
		if !errors.Is(err, errUnknown) {
			return data, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
			pause = min(2*pause, longestPause)
		}
	}
}

func (l *ledgerClient) try(ctx context.Context, path string, content []byte, sign func(*http.Request) error) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url.JoinPath(path).String(), bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := sign(req); err != nil {
		return nil, err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, errUnknown
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxLedgerAnswer))
	if err != nil {
		return nil, errUnknown
	}
	switch status := resp.StatusCode; {
	case status == http.StatusOK || status == http.StatusCreated:
		return data, nil
	case status/100 == 4 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout:
		// Another server in between may answer so too; only the ledger names a code.
		var p ledger.Problem
		if json.Unmarshal(data, &p) == nil && p.Code != "" {
			return nil, &refused{p}
		}
	}
	return nil, errUnknown
}
