// SPDX-License-Identifier: EUPL-1.2

package rows_test

import (
	"bytes"
	"testing"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/rows"
)

// TestLeft: what a citizen left opens with its year's key in its own place, and nowhere else, and no row says whose it is.
func TestLeft(t *testing.T) {
	const subject = ledger.Subject("RSSMRA80A01H501U")
	handle, other := [32]byte{1}, [32]byte{2}
	key := rows.LeftKey(&handle, 2026, rows.LeftErasure, subject)
	row := rows.SealLeft(&handle, key, []byte("content"))
	if content, err := rows.OpenLeft(&handle, key, row); err != nil || string(content) != "content" {
		t.Fatalf("%q, %v", content, err)
	}
	if bytes.Equal(row, rows.SealLeft(&handle, key, []byte("content"))) || bytes.Contains(append(key, row...), []byte(subject)) {
		t.Error("a row tells what is in it")
	}
	if _, err := rows.OpenLeft(&other, key, row); err == nil {
		t.Error("it opens with another key")
	}
	for _, place := range [][]byte{rows.LeftKey(&handle, 2027, rows.LeftErasure, subject), rows.LeftKey(&handle, 2026, rows.LeftErasure, "VRDLGU75C02F205F"), key[1:], nil} {
		if _, err := rows.OpenLeft(&handle, place, row); err == nil {
			t.Errorf("it opens in another place, %x", place)
		}
	}
	for i := range row {
		damaged := bytes.Clone(row)
		damaged[i] ^= 1
		if _, err := rows.OpenLeft(&handle, key, damaged); err == nil {
			t.Errorf("it opens with a bit of byte %d flipped", i)
		}
	}
	if _, err := rows.OpenLeft(&handle, key, row[:20]); err == nil {
		t.Error("a short row opens")
	}
}
