// SPDX-License-Identifier: EUPL-1.2

package provider

import (
	"fmt"
	"iter"
	"os"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// RecordsFile is the path of a file of own.Entry and own.Cohort lines: Records of a Check.
type RecordsFile string

// lineBytes is how short an event's line can be.
const lineBytes = 200

// Lines reads the file.
func (f RecordsFile) Lines() iter.Seq2[[]byte, error] { return Lines(string(f)) }

// Count bounds the lines by the file's size.
func (f RecordsFile) Count() (int, error) {
	info, err := os.Stat(string(f))
	if err != nil {
		return 0, err
	}
	return int(info.Size() / lineBytes), nil
}

// ProofsFile is the path of a file of own.Proof lines: Proofs of a Check. It is made
// when something is kept.
type ProofsFile string

// Proofs gives what the file has. The error wraps fs.ErrNotExist where there is no
// file; none is at hand then.
func (f ProofsFile) Proofs(origin string, subjects []ledger.Subject) ([][]byte, error) {
	list := make([][]byte, len(subjects))
	at := make(map[ledger.Subject]int, len(subjects))
	for i, s := range subjects {
		at[s] = i
	}
	n := 0
	for line, err := range Lines(string(f)) {
		if err != nil {
			return list, fmt.Errorf("couldn't read %s: %w", f, err)
		}
		n++
		subject, err := own.SubjectOf(line)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", f, n, err)
		}
		i, wanted := at[ledger.Subject(subject)]
		if !wanted {
			continue
		}
		p, err := own.ParseProof(line)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", f, n, err)
		}
		if p.Origin == origin {
			list[i] = p.Pi[:]
		}
	}
	return list, nil
}

// KeepProofs adds lines to the file.
func (f ProofsFile) KeepProofs(origin string, subjects []ledger.Subject, proofs [][]byte) error {
	file, err := OpenRecords(string(f))
	if err != nil {
		return err
	}
	defer file.Close()
	var lines []byte
	for i, s := range subjects {
		lines = own.AppendProof(lines, &own.Proof{Subject: s, Origin: origin, Pi: [80]byte(proofs[i])})
	}
	return file.append(lines)
}
