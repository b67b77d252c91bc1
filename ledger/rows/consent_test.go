// SPDX-License-Identifier: EUPL-1.2

package rows

import (
	"bytes"
	"testing"
	"time"
)

func TestConsentRows(t *testing.T) {
	until := time.UnixMilli(1_795_339_800_000)
	keys := map[string]bool{}
	for _, key := range [][]byte{
		ConsentKey(&handleKey, 2026, "RSSMRA80A01H501U", 0), ConsentKey(&handleKey, 2026, "RSSMRA80A01H501U", 1),
		ConsentKey(&handleKey, 2026, "RSSMRA80A01H50MM", 0), ConsentKey(&handleKey, 2027, "RSSMRA80A01H501U", 0),
		ConsentEndKey(&handleKey, until, 2026, 7), ConsentEndKey(&handleKey, until, 2026, 8), ConsentEndKey(&handleKey, until.Add(1e6), 2026, 7),
	} {
		if keys[string(key)] || bytes.Contains(key, []byte("RSSMRA80A01H501U")) {
			t.Errorf("the key %x is taken, or holds the subject", key)
		}
		keys[string(key)] = true
		row := FormatConsent(&handleKey, key, 2026, 7)
		if bytes.Equal(row, LeafKey(2026, 7)) {
			t.Error("a row isn't masked")
		}
		if epoch, index, err := ParseConsent(&handleKey, key, row); epoch != 2026 || index != 7 || err != nil {
			t.Errorf("found %d/%d, %v", epoch, index, err)
		}
		if _, _, err := ParseConsent(&handleKey, key, row[:11]); err != ErrMalformed {
			t.Errorf("a short row: %v", err)
		}
	}
	key := ConsentEndKey(&handleKey, until, 2026, 7)
	if at, epoch, err := ParseConsentEndKey(key); !at.Equal(until) || epoch != 2026 || err != nil {
		t.Errorf("found %s, %d, %v", at, epoch, err)
	}
	if _, _, err := ParseConsentEndKey(key[:27]); err != ErrMalformed {
		t.Errorf("a short key: %v", err)
	}
	earlier := ConsentEndKey(&handleKey, until.Add(-time.Second), 2026, 9)
	if bytes.Compare(earlier, key) >= 0 {
		t.Error("rows don't stand in the order in which consents end")
	}
	for month, want := range map[string]bool{"2027-11": true, "2027-1": false} {
		if IsRenewedKey(RenewedKey(month)) != want {
			t.Errorf("%s is the key of a month: %v", month, !want)
		}
	}
	if IsRenewedKey(ErasedKey("2027-11")) {
		t.Error("another row's key is one of a month's version")
	}
}
