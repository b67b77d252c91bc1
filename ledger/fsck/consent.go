// SPDX-License-Identifier: EUPL-1.2

package fsck

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/traccia-ledger/traccia/ledger/keys"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

type consentKey [24]byte // of the row of an event in +consent

func (s *shard) readConsents(ctx context.Context) error {
	prefix := binary.BigEndian.AppendUint32(nil, s.epoch)
	return s.Rows.Scan(ctx, store.TableConsent, prefix, store.After(prefix), 0, func(key, value []byte) error {
		epoch, index, err := rows.ParseConsent(&s.events.handle, key, value)
		if err != nil || len(key) != len(consentKey{}) || epoch != s.epoch {
			s.report.problem(CodeMalformed, store.TableConsent.String(), "keys of 24 and rows of 12 bytes that lead to this log", fmt.Sprintf("%d and %d", len(key), len(value)))
			return nil
		}
		s.events.consents.add(consentKey(key), index)
		return nil
	})
}

// consentEnds checks the rows that say when consents end: each has the key that its event gives. Which must be there follows
// from none: they go once the end is an event.
func (c *check) consentEnds(ctx context.Context) error {
	return c.Rows.Scan(ctx, store.TableConsentEnd, nil, nil, 0, func(key, value []byte) error {
		bad := func() {
			c.report.problem(CodeMismatch, store.TableConsentEnd.String(), "rows that lead to the event that their key names", "another")
		}
		until, epoch, err := rows.ParseConsentEndKey(key)
		if err != nil || !slices.Contains(c.found, epoch) {
			bad()
			return nil
		}
		handle, err := c.Keys.Handle(epoch)
		if errors.Is(err, keys.ErrDestroyed) {
			return nil
		} else if err != nil {
			return err
		}
		of, index, err := rows.ParseConsent(&handle, key, value)
		if err != nil || of != epoch || !bytes.Equal(key, rows.ConsentEndKey(&handle, until, epoch, index)) {
			bad()
		}
		return nil
	})
}
