// SPDX-License-Identifier: EUPL-1.2

package own

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Cohort is the record of an aggregate (docs/formats.md §10) that the party had recorded, or asked for. It is about nobody.
//
//	{"cohort":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","origin":"registro.example/2026","index":4711,"leaf":"5f0c…64 hex",
//	"at":1795339800123}
//
// Of one that was asked for and never answered only the party's question is known: the log may have it, or not.
//
//	{"cohort":"inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11","at":1795339800123}
type Cohort struct {
	ID     string      // <iss>/<jti>; iss is the scope
	Origin string      // of the log; "": never answered
	Index  uint64      // of the leaf
	Leaf   ledger.Hash // Merkle leaf hash
	At     int64       // when the answer came, else when it was asked for; unix_ms by the party's clock
}

const (
	cohortName       = `{"cohort":"`
	cohortOriginName = originName
	cohortIndexName  = `","index":`
	cohortLeafName   = leafName
)

// IsCohort reports whether a line is of a Cohort, if it is one of this package's.
func IsCohort(line []byte) bool { return bytes.HasPrefix(line, []byte(cohortName)) }

// AppendCohort appends a cohort's line, with its end.
func AppendCohort(b []byte, c *Cohort) []byte {
	b = append(append(b, cohortName...), c.ID...)
	if c.Origin != "" {
		b = append(append(b, cohortOriginName...), c.Origin...)
		b = strconv.AppendUint(append(b, cohortIndexName...), c.Index, 10)
		b = hex.AppendEncode(append(b, cohortLeafName...), c.Leaf[:])
	}
	b = strconv.AppendInt(append(b, atName...), c.At, 10)
	return append(b, '}', '\n')
}

// ParseCohort reads a line, without its end. The error is ErrLine.
func ParseCohort(line []byte) (*Cohort, error) {
	r := reader{rest: line}
	c := new(Cohort)
	if len(r.upTo(cohortName, 0)) > 0 {
		return nil, ErrLine
	}
	if at := bytes.IndexByte(r.rest, '"'); at >= 0 && bytes.HasPrefix(r.rest[at:], []byte(atName)) {
		c.ID = string(r.upTo(atName, 128))
	} else {
		c.ID = string(r.upTo(cohortOriginName, 128))
		c.Origin = r.origin(cohortIndexName)
		c.Index = r.number(cohortLeafName, ijson.MaxNumber)
		if n, err := hex.Decode(c.Leaf[:], r.upTo(atName, 64)); n != 32 || err != nil {
			return nil, ErrLine
		}
	}
	c.At = int64(r.number("}", ijson.MaxNumber))
	if r.failed || len(r.rest) > 0 || !isReceipt(c.ID) {
		return nil, ErrLine
	}
	if again := AppendCohort(make([]byte, 0, len(line)+1), c); !bytes.Equal(again[:len(again)-1], line) {
		return nil, ErrLine
	}
	return c, nil
}

// Scope returns the scope of the party that had it recorded: its id.
func (c *Cohort) Scope() string {
	scope, _, _ := strings.Cut(c.ID, "/")
	return scope
}
