// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
)

// longestToken is how long a token that doesn't say when it ends is taken for a live one: bodies issue evidence for up to
// 30 days.
const longestToken = 31 * 24 * time.Hour

// private opens the private parts of the receipts that the part's events have, each once. One with a token that still is
// good goes to nobody but its submitter (docs/formats.md section 4), and isn't among them.
func (m *agencyList) private(ctx context.Context) (parts []history.Private, err error) {
	snap, err := m.y.n.rows.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	opener := Opener{Rows: snap, Epoch: m.y.epoch, Handle: m.y.handle, Months: m.y.n.months, Erased: m.y.n.keys.Erased}
	now, last := m.y.n.Now(), ""
	for _, e := range m.shard.Events {
		if e.Body == nil {
			continue
		}
		body, err := ledger.ParseBody(e.Body)
		if err != nil {
			return nil, err
		}
		if body.Receipt == last {
			continue // an event for each citizen, one behind the other
		}
		last = body.Receipt
		receipt, err := ledger.ParseReceipt(body.Receipt)
		if err != nil {
			return nil, err
		}
		first := e.Index - uint64(body.Subject.Position)
		salt, content, err := opener.OpenPrivate(ctx, first, ledger.Hash(receipt.PrivateDigest))
		if errors.Is(err, ErrErased) {
			continue
		} else if err != nil {
			return nil, err
		}
		v, err := ledger.ParsePrivate(content)
		if err != nil {
			return nil, err
		}
		if !live(v, time.UnixMilli(body.RecordedAt), now) {
			parts = append(parts, history.Private{Index: e.Index, Salt: salt, Content: content})
		}
	}
	return parts, nil
}

// live says whether a token of a private part that was recorded at an instant may still be good.
func live(v *ledger.Private, recorded, now time.Time) bool {
	for _, token := range []string{v.Voucher, v.Evidence, v.Integrity, v.Login} {
		if token == "" {
			continue
		}
		ends := recorded.Add(longestToken)
		var claims struct {
			Exp *int64 `json:"exp"`
		}
		if parts := strings.Split(token, "."); len(parts) >= 2 {
			payload, err := base64.RawURLEncoding.DecodeString(parts[1])
			if err == nil && json.Unmarshal(payload, &claims) == nil && claims.Exp != nil {
				ends = time.Unix(*claims.Exp, 0)
			}
		}
		if now.Before(ends) {
			return true
		}
	}
	return false
}
