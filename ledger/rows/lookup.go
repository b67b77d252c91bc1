// SPDX-License-Identifier: EUPL-1.2

package rows

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/traccia-ledger/traccia/ledger"
)

// LookUpKey finds the event that a requester's look-up into a citizen's history left in a month ("2026-11"); the value is
// its log index, a u64.
//
//	u32 epoch ‖ first 16 bytes of HMAC(handle key, NS/look-up ‖ 00 ‖ LP(requester) ‖ LP(subject) ‖ LP(month))
func LookUpKey(handleKey *[32]byte, epoch uint32, requester string, subject ledger.Subject, month string) []byte {
	m := hmac.New(sha256.New, handleKey[:])
	m.Write([]byte(ledger.NameSpace + "/look-up\x00"))
	writeText(m, requester)
	writeText(m, string(subject))
	writeText(m, month)
	sum := m.Sum(nil)
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 20), epoch), sum[:16]...)
}
