// SPDX-License-Identifier: EUPL-1.2

// Package export is a ledger as a folder of plain files, which docs/export.md describes byte by byte: the log as
// c2sp.org/tlog-tiles lays it out, its records and, if asked, its opened events. Package verifier reads it back.
//
//	manifest.json                  Manifest
//	SHA256SUMS                     digest, two spaces, path; of every other file, ascending by path
//	log.vkey                       the logs' verifier keys; trust those that you got elsewhere
//	log/2026/checkpoint            signed note; with tile/… and blob/… beside it
//	records/2026.ndjson            Record lines
//	events/2026.ndjson             Event lines, in an export with bodies: personal data, 0600
//	sealed/2026.ndjson             Sealed lines, in an export for the authority, with sealed/days.ndjson beside them
//
// What must always hold: a folder that has its final name is whole, and its tiles and entries hash to its checkpoints.
// A checkpoint is one that the ledger published: an export signs nothing and shows nothing of the log that is newer.
package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Format is the version of the folder's layout, in its manifest.
const Format = "traccia-export/1"

// The files of an export.
const (
	ManifestFile = "manifest.json"
	SumsFile     = "SHA256SUMS"
	KeyFile      = "log.vkey"
)

// LogPath is the folder of an epoch's log.
func LogPath(epoch uint32) string { return fmt.Sprintf("log/%d", epoch) }

// RecordsPath is the file of an epoch's records.
func RecordsPath(epoch uint32) string { return fmt.Sprintf("records/%d.ndjson", epoch) }

// EventsPath is the file of an epoch's opened events.
func EventsPath(epoch uint32) string { return fmt.Sprintf("events/%d.ndjson", epoch) }

// Manifest says what a folder holds.
//
//	{"format":"traccia-export/1","ledger":"registro.example","made_at":"2026-11-22T09:30:00Z","bodies":false,
//	"logs":[{"epoch":2026,"origin":"registro.example/2026","size":4712,"root":"b7f0…64 hex","records":61,"events":4600,"opened":0,"erased":0}]}
type Manifest struct {
	Format string `json:"format"`
	Ledger string `json:"ledger"`
	MadeAt string `json:"made_at"`          // RFC 3339, UTC
	Bodies bool   `json:"bodies"`           // events were opened: the folder holds personal data
	Sealed bool   `json:"sealed,omitempty"` // events are there as the authority opens them
	Logs   []Log  `json:"logs"`             // by epoch
}

// Log is one log in a Manifest.
type Log struct {
	Epoch   uint32     `json:"epoch"`
	Origin  string     `json:"origin"`
	Size    uint64     `json:"size"` // of its checkpoint
	Root    ledger.Hex `json:"root"`
	Records uint64     `json:"records"`          // leaves of type 4
	Events  uint64     `json:"events"`           // leaves of type 1
	Opened  uint64     `json:"opened"`           // events with their body, 0 without bodies
	Erased  uint64     `json:"erased"`           // events whose body is gone, 0 without bodies, sealed or not
	Sealed  uint64     `json:"sealed,omitempty"` // events that are there for the authority
}

// ParseManifest reads a manifest.
func ParseManifest(data []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := ijson.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", ManifestFile, err)
	}
	if m.Format != Format {
		return nil, fmt.Errorf("couldn't read %s: expected format %s, found another", ManifestFile, Format)
	}
	if err := ledger.CheckName(m.Ledger); err != nil {
		return nil, fmt.Errorf("couldn't read %s: ledger: %w", ManifestFile, err)
	}
	for i, l := range m.Logs {
		if l.Origin != ledger.Origin(m.Ledger, l.Epoch) || i > 0 && l.Epoch <= m.Logs[i-1].Epoch {
			return nil, fmt.Errorf("couldn't read %s: expected logs of the ledger, ascending by epoch", ManifestFile)
		}
	}
	return m, nil
}

// FormatManifest writes a manifest.
func FormatManifest(m *Manifest) ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}

// FormatRecord returns the line of a record leaf, without its newline. White space in the record is dropped; its exact
// bytes are in the leaf.
//
//	{"index":1,"record":{"kind":"body","id":"c_a944","name":"Comune di Bologna"}}
func FormatRecord(index uint64, record []byte) ([]byte, error) {
	b := bytes.NewBuffer(fmt.Appendf(nil, `{"index":%d,"record":`, index))
	if err := json.Compact(b, record); err != nil {
		return nil, fmt.Errorf("couldn't format the record of leaf %d: %w", index, err)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Event is an event of an export with bodies: opened, or erased.
//
//	{"index":62,"nonce":"8sv7…43","body":"eyJvcmlnaW4…"}
//	{"index":63,"erased":true}
type Event struct {
	Index  uint64        `json:"index"`
	Nonce  ledger.Base64 `json:"nonce,omitempty"` // 32 bytes
	Body   ledger.Base64 `json:"body,omitempty"`
	Erased bool          `json:"erased,omitempty"`
}

var errEvent = errors.New("malformed line of an event")

// ParseEvent reads a line; what it accepts FormatEvent writes in the same way.
func ParseEvent(line []byte) (*Event, error) {
	e := new(Event)
	if err := ijson.Unmarshal(line, e); err != nil {
		return nil, errEvent
	}
	if e.Erased != (len(e.Body) == 0) || e.Erased != (len(e.Nonce) == 0) || !e.Erased && len(e.Nonce) != 32 {
		return nil, errEvent
	}
	if same, err := FormatEvent(e); err != nil || !bytes.Equal(same, line) {
		return nil, errEvent
	}
	return e, nil
}

// FormatEvent writes a line, without its newline.
func FormatEvent(e *Event) ([]byte, error) { return json.Marshal(e) }

// Sum is a line of SHA256SUMS.
type Sum struct {
	Path   string
	Digest ledger.Hash
}

var errSums = errors.New("malformed SHA256SUMS")

// ParseSums reads SHA256SUMS: lines as sha256sum writes them, ascending by path, each path once.
//
//	5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456  log/2026/checkpoint
func ParseSums(data []byte) ([]Sum, error) {
	var sums []Sum
	for line := range strings.Lines(string(data)) {
		digest, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		var hash ledger.Hex
		if !ok || path == "" || hash.UnmarshalText([]byte(digest)) != nil {
			return nil, errSums
		}
		if n := len(sums); n > 0 && sums[n-1].Path >= path {
			return nil, errSums
		}
		sums = append(sums, Sum{path, ledger.Hash(hash)})
	}
	if !bytes.Equal(FormatSums(sums), data) {
		return nil, errSums
	}
	return sums, nil
}

// FormatSums writes SHA256SUMS.
func FormatSums(sums []Sum) []byte {
	var b []byte
	for _, s := range sums {
		b = fmt.Appendf(b, "%x  %s\n", s.Digest, s.Path)
	}
	return b
}
