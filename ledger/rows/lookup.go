// SPDX-License-Identifier: EUPL-1.2

package rows

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/traccia-ledger/traccia/ledger"
)

// LookUpKey finds the event that a requester's look-up into a citizen's history left in a month ("2026-11"); the value is
// its log index, a u64. What a delegate sees under a mandate has events of its own: requester is then LookUpBy.
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

// LookUpBy is the requester of a look-up's receipt and, after a /, the mandate under which a delegate asked.
func LookUpBy(r *ledger.Receipt) string {
	if r.Mandate == "" {
		return r.Iss
	}
	return r.Iss + "/" + r.Mandate
}

// LookUpSalt is the salt under which a look-up's receipt, which its requester names before it signs it, commits to a
// citizen: the same when it is made as when it comes back signed, and known to nobody without the handle key.
//
//	HMAC(handle key, NS/look-up-salt ‖ 00 ‖ LP(requester) ‖ LP(jti) ‖ LP(subject))
func LookUpSalt(handleKey *[32]byte, requester, jti string, subject ledger.Subject) [32]byte {
	m := hmac.New(sha256.New, handleKey[:])
	m.Write([]byte(ledger.NameSpace + "/look-up-salt\x00"))
	writeText(m, requester)
	writeText(m, jti)
	writeText(m, string(subject))
	return [32]byte(m.Sum(nil))
}
