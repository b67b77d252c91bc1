// SPDX-License-Identifier: EUPL-1.2

package rows

import (
	"encoding/binary"

	"github.com/traccia-ledger/traccia/ledger"
)

// MonthBegun is what the agencies' counters said at the head with which a month begins (package statistics). The difference
// of two is what each body had in between.
//
//	u64 head ‖ for each agency with events, ascending: u8 length ‖ id ‖ u64 its next j
type MonthBegun struct {
	Head uint64
	Next []AgencyNext
}

// AgencyNext is one agency's counter.
type AgencyNext struct {
	Agency string
	Next   uint64
}

// MonthBegunKey finds it by the month in the log's year, 1 to 12, or 13 at the final head.
//
//	u32 epoch ‖ "m" ‖ u8 month
func MonthBegunKey(epoch uint32, month int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, epoch), 'm', byte(month))
}

// ParseMonthBegunKey is the inverse of MonthBegunKey.
func ParseMonthBegunKey(key []byte) (epoch uint32, month int, err error) {
	if len(key) != 6 || key[4] != 'm' || key[5] < 1 || key[5] > 13 {
		return 0, 0, ErrMalformed
	}
	return binary.BigEndian.Uint32(key), int(key[5]), nil
}

// FormatMonthBegun returns the row.
func FormatMonthBegun(m MonthBegun) []byte {
	b := binary.BigEndian.AppendUint64(nil, m.Head)
	for _, a := range m.Next {
		b = append(append(b, byte(len(a.Agency))), a.Agency...)
		b = binary.BigEndian.AppendUint64(b, a.Next)
	}
	return b
}

// ParseMonthBegun is the inverse of FormatMonthBegun.
func ParseMonthBegun(b []byte) (m MonthBegun, err error) {
	if len(b) < 8 {
		return m, ErrMalformed
	}
	m.Head, b = binary.BigEndian.Uint64(b), b[8:]
	for len(b) > 0 {
		n := 1 + int(b[0])
		if len(b) < n+8 || ledger.CheckID(string(b[1:n])) != nil {
			return m, ErrMalformed
		}
		a := AgencyNext{string(b[1:n]), binary.BigEndian.Uint64(b[n:])}
		if a.Next == 0 || len(m.Next) > 0 && a.Agency <= m.Next[len(m.Next)-1].Agency {
			return m, ErrMalformed
		}
		m.Next, b = append(m.Next, a), b[n+8:]
	}
	return m, nil
}

// Events is how many the log has before the head.
func (m MonthBegun) Events() (n uint64) {
	for _, a := range m.Next {
		n += a.Next
	}
	return n
}

// Since returns what each agency had from an earlier row to this one; false where its counters aren't all at least as high.
func (m MonthBegun) Since(before MonthBegun) (events map[string]uint64, ok bool) {
	events = map[string]uint64{}
	for _, a := range m.Next {
		events[a.Agency] = a.Next
	}
	for _, a := range before.Next {
		if events[a.Agency] < a.Next {
			return nil, false
		}
		events[a.Agency] -= a.Next
	}
	return events, m.Head >= before.Head
}
