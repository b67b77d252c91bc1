// SPDX-License-Identifier: EUPL-1.2

package accesses

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/verifier"
)

// DataSchema is that of Data.
const DataSchema = "traccia/accesses/1"

// Data is a citizen's list for other software, as docs/citizen-pages.md describes it.
type Data struct {
	Schema        string                  `json:"schema"`
	Language      string                  `json:"language"` // of the words
	Subject       ledger.Subject          `json:"subject"`
	Made          time.Time               `json:"made"`
	Complete      bool                    `json:"complete"`
	CompleteUntil *time.Time              `json:"complete_until"` // null unless every rule holds
	Missing       []string                `json:"missing"`
	Notes         []string                `json:"notes"`
	Lists         []verifier.HistoryScope `json:"lists"`
	Events        []Row                   `json:"events"` // newest first
	Consents      []ledger.ConsentSummary `json:"consents"`
	Logs          []verifier.HistoryShard `json:"logs"`
}

// Row is one event of Data, and one line of a table.
type Row struct {
	Event       string   `json:"event"` // YEAR/INDEX
	PairedWith  string   `json:"paired_with,omitempty"`
	State       string   `json:"state"`
	Kind        string   `json:"kind,omitempty"`
	OccurredAt  string   `json:"occurred_at,omitempty"`
	RecordedAt  string   `json:"recorded_at,omitempty"`
	Body        string   `json:"body,omitempty"`
	BodyName    string   `json:"body_name,omitempty"`
	Holder      string   `json:"holder,omitempty"`
	HolderName  string   `json:"holder_name,omitempty"`
	Purpose     string   `json:"purpose,omitempty"`
	LegalBasis  string   `json:"legal_basis,omitempty"`
	Law         string   `json:"law,omitempty"`
	Categories  []string `json:"categories,omitempty"`
	ConsentID   string   `json:"consent_id,omitempty"`
	Actor       string   `json:"actor,omitempty"`
	Decision    []string `json:"decision,omitempty"`
	SignedBy    string   `json:"signed_by,omitempty"`
	WhoseWord   string   `json:"whose_word,omitempty"`
	LaterStated []string `json:"later_stated,omitempty"`
	Sentence    string   `json:"sentence"`
}

// Rows are all events of a list, newest first.
func (l *List) Rows() (rows []Row) {
	all := slices.Concat(l.Wrong, l.Accesses, l.Own, l.Erased)
	slices.SortStableFunc(all, func(a, b *Access) int { return b.When.Compare(a.When) })
	for _, a := range all {
		rows = append(rows, a.row())
	}
	return rows
}

func (a *Access) row() Row {
	ids := strings.Split(a.ID(), ",")
	r := Row{Event: ids[0], State: a.State, Sentence: a.Sentence}
	if len(ids) > 1 {
		r.PairedWith = ids[1]
	}
	if !a.Open() {
		return r
	}
	r.Kind, r.OccurredAt, r.RecordedAt = a.Kind, a.When.UTC().Format(time.RFC3339), a.Recorded.UTC().Format(time.RFC3339)
	r.Body, r.BodyName, r.Holder, r.HolderName = a.Body, a.BodyName, a.Provider, a.Holder
	r.Purpose, r.LegalBasis, r.Law, r.ConsentID = a.Purpose.Label, a.Basis.Label, a.Law, a.Consent
	for _, c := range a.Data {
		r.Categories = append(r.Categories, c.Label)
	}
	r.Actor, r.Decision, r.SignedBy, r.WhoseWord, r.LaterStated = a.ActorKind, a.Reasons, a.Issuer, a.Word, a.Stated
	return r
}

// JSON is the list for other software.
func (l *List) JSON(h *History, lang string) ([]byte, error) {
	r := l.Report
	d := Data{
		Schema: DataSchema, Language: lang, Subject: r.Subject, Made: h.Made.UTC().Truncate(time.Second), Complete: r.Complete,
		Missing: r.Missing(lang), Notes: r.Notes(lang), Lists: r.Scopes, Events: l.Rows(), Consents: r.Consents, Logs: r.Shards,
	}
	if !r.CompleteUntil.IsZero() {
		until := r.CompleteUntil
		d.CompleteUntil = &until
	}
	if d.Events == nil {
		d.Events = []Row{}
	}
	if d.Consents == nil {
		d.Consents = []ledger.ConsentSummary{}
	}
	return json.MarshalIndent(d, "", "  ")
}

// columns of CSV, in their order.
var columns = []struct {
	name string
	of   func(r *Row) string
}{
	{"event", func(r *Row) string { return r.Event }},
	{"paired_with", func(r *Row) string { return r.PairedWith }},
	{"state", func(r *Row) string { return r.State }},
	{"kind", func(r *Row) string { return r.Kind }},
	{"occurred_at", func(r *Row) string { return r.OccurredAt }},
	{"recorded_at", func(r *Row) string { return r.RecordedAt }},
	{"body", func(r *Row) string { return r.Body }},
	{"body_name", func(r *Row) string { return r.BodyName }},
	{"holder", func(r *Row) string { return r.Holder }},
	{"holder_name", func(r *Row) string { return r.HolderName }},
	{"purpose", func(r *Row) string { return r.Purpose }},
	{"legal_basis", func(r *Row) string { return r.LegalBasis }},
	{"law", func(r *Row) string { return r.Law }},
	{"categories", func(r *Row) string { return strings.Join(r.Categories, " | ") }},
	{"consent_id", func(r *Row) string { return r.ConsentID }},
	{"actor", func(r *Row) string { return r.Actor }},
	{"decision", func(r *Row) string { return strings.Join(r.Decision, " | ") }},
	{"signed_by", func(r *Row) string { return r.SignedBy }},
	{"whose_word", func(r *Row) string { return r.WhoseWord }},
	{"later_stated", func(r *Row) string { return strings.Join(r.LaterStated, " | ") }},
	{"sentence", func(r *Row) string { return r.Sentence }},
}

// CSV is the list as a table (RFC 4180, but separated by semicolons, as spreadsheets set for Italy read and write it), in UTF-8
// with a byte order mark, without which they take it for another encoding.
func (l *List) CSV() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("\ufeff")
	w := csv.NewWriter(&b)
	w.Comma, w.UseCRLF = ';', true
	line := make([]string, len(columns))
	for i, c := range columns {
		line[i] = c.name
	}
	w.Write(line)
	for _, r := range l.Rows() {
		for i, c := range columns {
			line[i] = cell(c.of(&r))
		}
		w.Write(line)
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// cell writes a text so that a spreadsheet takes it for a text: what bodies write could begin as a formula does.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20", []rune(text)[0]) {
		return "'" + text
	}
	return text
}

// Chosen reads the events that a form chose, YEAR/INDEX each; false if it isn't so.
func Chosen(words []string) (chosen map[uint32][]uint64, ok bool) {
	chosen = map[uint32][]uint64{}
	for _, list := range words {
		for word := range strings.SplitSeq(list, ",") {
			year, at, found := strings.Cut(word, "/")
			epoch, err := strconv.ParseUint(year, 10, 32)
			index, wrong := strconv.ParseUint(at, 10, 63)
			if !found || err != nil || wrong != nil {
				return nil, false
			}
			if !slices.Contains(chosen[uint32(epoch)], index) {
				chosen[uint32(epoch)] = append(chosen[uint32(epoch)], index)
			}
		}
	}
	return chosen, len(chosen) > 0
}
