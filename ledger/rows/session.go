// SPDX-License-Identifier: EUPL-1.2

package rows

import (
	"encoding/binary"
	"time"
)

// SessionKey is the row of a session of the ledger's pages:
//
//	u32 hour since 1970 at whose beginning it is over ‖ id 16
//
// The id and what seals the value come from a secret in the browser's cookie: the row says that somebody was there about
// that time, and nothing else, to whoever has the database and every key of the ledger.
func SessionKey(over time.Time, id [16]byte) []byte {
	return append(hour(over.Add(time.Hour-1)), id[:]...)
}

// SessionsUntil is where the keys of sessions end that are over at an instant.
func SessionsUntil(now time.Time) []byte { return hour(now.Add(time.Hour)) }

func hour(at time.Time) []byte {
	return binary.BigEndian.AppendUint32(make([]byte, 0, 20), uint32(at.Unix()/3600))
}

// IsSessionKey says whether a key has the form of SessionKey.
func IsSessionKey(key []byte) bool { return len(key) == 20 }
