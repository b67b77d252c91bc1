// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
)

// AuditProvided is what others consulted of the body's data, as the body's own records have it, where it runs the recording
// gateway. Who they were the records don't say.
type AuditProvided struct {
	Events   uint64       `json:"events"` // accesses and refusals, each citizen's
	Citizens uint64       `json:"citizens"`
	Months   []AuditCount `json:"months"` // of when the ledger's answer came
}

// Record takes a line of the body's own records (docs/provider-check.md), without its end. They are taken as they are:
// Provider says whether the log agrees with them.
func (a *Audit) Record(line uint64, text []byte) error {
	if a.report.Provided == nil {
		a.report.Provided = &AuditProvided{Months: []AuditCount{}}
	}
	if own.IsCohort(text) {
		if _, err := own.ParseCohort(text); err == nil {
			return nil // about nobody
		}
	}
	e, err := own.ParseEntry(text)
	var epoch uint32
	if err == nil {
		_, epoch, err = ledger.ParseOrigin(e.Origin)
	}
	if err != nil {
		return a.ofList(*problem(CodeBadLine, fmt.Sprintf("records/line/%d", line), "a line of the party's own records", "another"))
	}
	if !a.inPeriod(time.UnixMilli(e.At)) {
		return nil
	}
	// A submission that was sent again gives a second line of the same event.
	return a.groups.Add(&AuditItem{
		Key:  "p" + string(e.Subject) + "\x00" + string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, epoch), e.Index)),
		Time: e.At, Epoch: epoch, Index: e.Index, Receipt: e.Receipt, Subject: string(e.Subject),
	})
}

// provided counts one event of the records.
func (a *Audit) provided(i *AuditItem) {
	p := a.report.Provided
	if p.Events++; i.Subject != a.lastProvided {
		p.Citizens++
		a.lastProvided = i.Subject
	}
	_, _, month, _ := a.units(i.Time)
	a.counts.provided[month]++
	if a.Subject != "" && ledger.Subject(i.Subject) == a.Subject {
		a.report.SubjectProvided = append(a.report.SubjectProvided, a.evidenceOf(i))
	}
}
