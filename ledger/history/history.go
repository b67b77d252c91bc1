// SPDX-License-Identifier: EUPL-1.2

// Package history is the file by which a citizen proves what the ledger holds about them: the bundle of docs/history.md,
// made for docs/formats.md section 5. A whole bundle has, for each year, a cosigned checkpoint, a head, the VRF proofs of
// the citizen's key in every scope, one index proof of all their tags and of the absence of the next ones, and the events
// with what opens them. An excerpt has chosen events alone. A body's list (docs/agency-list.md) has the same of all events in
// the body's name in one year, in parts.
//
// This package is the format: what goes into a file, in which one spelling, and the proof that many leaves are in a log.
// It trusts nothing in a file, and says nothing about whether one is true: that is for package verifier. Who has a whole
// bundle can recognise every event of its citizen in the public log until the year ends; the file says so itself.
//
// What must always hold: what Parse accepts, Format writes to the same document; no input makes either panic or take more
// memory than MaxUnpacked allows for; no error repeats a subject.
package history

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Schema is the first member of a bundle's document.
const Schema = "traccia/history/1"

// Limits of a file.
const (
	MaxFile     = 32 << 20 // bytes of the file
	MaxUnpacked = 64 << 20 // bytes of its document; some ten thousand events
)

// piSize is the length of a VRF proof.
const piSize = 80

// What a document says of itself to people.
const (
	warnWhole = "Whoever has this file can recognise every event of its citizen in the public log until the year of its last part ends. " +
		"Show an excerpt instead."
	warnExcerpt = "These are chosen events. The file says nothing of others."
)

// The two kinds of bundle on the wire.
const (
	kindWhole   = "whole"
	kindExcerpt = "excerpt"
)

// Bundle is what a file holds.
type Bundle struct {
	Excerpt bool // chosen events alone: no Head, Lists and Index
	Subject ledger.Subject
	Shards  []Shard // ascending by epoch
}

// Shard is a citizen's part of one year's log.
type Shard struct {
	Origin     string
	Checkpoint []byte        // signed and cosigned note
	Leaves     []Leaf        // ascending: the preamble, heads, records and events
	Proof      []ledger.Hash // that they are in the log at the checkpoint, see CheckLeaves
	Head       uint64        // the leaf among Leaves under whose root Index is
	Lists      []List        // one for each scope that the head lists, ascending by the bytes of its name
	Index      []byte        // index.CheckMany's proof for the tags 0 … Count of every list with a Pi
	Events     []Event       // ascending, each with its leaf among Leaves
}

// Leaf is a leaf of the log at its index.
type Leaf struct {
	Index uint64
	Leaf  []byte
}

// List is what one scope has about the citizen.
type List struct {
	Scope string
	Pi    []byte // VRF proof of k_s, 80 bytes; nil where it isn't given (+deferred)
	Count uint32 // number of events; 0 without Pi
}

// Event is what opens an event, or nothing where it can't be opened.
type Event struct {
	Index uint64
	Nonce *[32]byte // nil together with Body
	Body  []byte
}

// document is a bundle as JSON has it, written in exactly one way: no white space, this order, no escapes but those that
// JSON needs.
//
//	{"schema":"traccia/history/1","kind":"whole","warning":"Whoever has…","subject":"RSSMRA80A01H501U","shards":[
//	{"origin":"registro.example/2026","checkpoint":"registro.example/2026\n70000\nCsUY…=\n\n— registro…\n",
//	"leaves":[{"index":0,"leaf":"AQMAAAfq…"},{"index":69990,"leaf":"AQEAAAfq…"},{"index":69998,"leaf":"AQIAAAfq…"}],
//	"proof":"3q2-7w…","head":69998,
//	"lists":[{"scope":"+consent","pi":"kq3…","count":0},{"scope":"+deferred","count":0},…,{"scope":"inps","pi":"x1…","count":1}],
//	"index":"AAAAIP…","events":[{"index":69990,"nonce":"q2XA…","body":"eyJvcmln…"}]}]}
type document struct {
	Schema  string          `json:"schema"`
	Kind    string          `json:"kind"`
	Warning string          `json:"warning"`
	Subject string          `json:"subject"`
	Shards  []shardDocument `json:"shards"`
}

type shardDocument struct {
	Origin     string          `json:"origin"`
	Checkpoint string          `json:"checkpoint"`
	Leaves     []leafDocument  `json:"leaves"`
	Proof      ledger.Hashes   `json:"proof"`
	Head       *uint64         `json:"head,omitempty"`
	Lists      []listDocument  `json:"lists,omitempty"`
	Index      ledger.Base64   `json:"index,omitempty"`
	Events     []eventDocument `json:"events"`
}

type leafDocument struct {
	Index uint64        `json:"index"`
	Leaf  ledger.Base64 `json:"leaf"`
}

type listDocument struct {
	Scope string        `json:"scope"`
	Pi    ledger.Base64 `json:"pi,omitempty"`
	Count uint32        `json:"count"`
}

type eventDocument struct {
	Index uint64        `json:"index"`
	Nonce ledger.Base64 `json:"nonce,omitempty"`
	Body  ledger.Base64 `json:"body,omitempty"`
}

// Format returns the file of a bundle. It refuses, with a *ledger.Problem, one that Parse would refuse.
func Format(b *Bundle) ([]byte, error) {
	text, err := FormatDocument(b)
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	w := gzip.NewWriter(&file)
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("couldn't pack the history: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("couldn't pack the history: %w", err)
	}
	if file.Len() > MaxFile {
		return nil, problem(ledger.CodeTooLong, "", fmt.Sprintf("a file of at most %d bytes", MaxFile), fmt.Sprint(file.Len()))
	}
	return file.Bytes(), nil
}

// Parse reads a file: one gzip member without name, comment, extra field and time, and nothing behind it, that holds the
// document. Errors are *ledger.Problem.
func Parse(file []byte) (*Bundle, error) {
	if len(file) > MaxFile {
		return nil, problem(ledger.CodeTooLong, "", fmt.Sprintf("a file of at most %d bytes", MaxFile), fmt.Sprint(len(file)))
	}
	packed := bytes.NewReader(file)
	z, err := gzip.NewReader(packed)
	if err != nil {
		return nil, problem(ledger.CodeSyntax, "", "a history bundle, packed with gzip", "another file")
	}
	z.Multistream(false)
	if z.Name != "" || z.Comment != "" || z.Extra != nil || !z.ModTime.IsZero() {
		return nil, problem(ledger.CodeSyntax, "", "a gzip header that says nothing", "one with a name, a time or more")
	}
	text, err := io.ReadAll(io.LimitReader(z, MaxUnpacked+1))
	switch {
	case err != nil:
		return nil, problem(ledger.CodeSyntax, "", "a whole gzip file", "a damaged one")
	case len(text) > MaxUnpacked:
		return nil, problem(ledger.CodeTooLong, "", fmt.Sprintf("a document of at most %d bytes", MaxUnpacked), "a longer one")
	case packed.Len() > 0:
		return nil, problem(ledger.CodeSyntax, "", "nothing behind the gzip file", fmt.Sprintf("%d bytes", packed.Len()))
	}
	return ParseDocument(text)
}

// FormatDocument returns the unpacked document of a bundle; errors as Format's.
func FormatDocument(b *Bundle) ([]byte, error) {
	if p := b.check(); p != nil {
		return nil, p
	}
	d := document{Schema: Schema, Kind: kindWhole, Warning: warnWhole, Subject: string(b.Subject), Shards: []shardDocument{}}
	if b.Excerpt {
		d.Kind, d.Warning = kindExcerpt, warnExcerpt
	}
	for i := range b.Shards {
		d.Shards = append(d.Shards, b.Shards[i].document(b.Excerpt))
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("couldn't format the history: %w", err)
	}
	text := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	if len(text) > MaxUnpacked {
		return nil, problem(ledger.CodeTooLong, "", fmt.Sprintf("a document of at most %d bytes", MaxUnpacked), fmt.Sprint(len(text)))
	}
	return text, nil
}

func (s *Shard) document(excerpt bool) shardDocument {
	d := shardDocument{
		Origin: s.Origin, Checkpoint: string(s.Checkpoint), Leaves: []leafDocument{}, Proof: s.Proof, Events: []eventDocument{},
	}
	if !excerpt {
		head := s.Head
		d.Head, d.Index = &head, s.Index
	}
	for _, l := range s.Leaves {
		d.Leaves = append(d.Leaves, leafDocument{l.Index, l.Leaf})
	}
	for _, l := range s.Lists {
		d.Lists = append(d.Lists, listDocument{l.Scope, l.Pi, l.Count})
	}
	for _, e := range s.Events {
		event := eventDocument{Index: e.Index, Body: e.Body}
		if e.Nonce != nil {
			event.Nonce = e.Nonce[:]
		}
		d.Events = append(d.Events, event)
	}
	return d
}

// ParseDocument reads an unpacked document. What it accepts, FormatDocument writes to the same bytes.
func ParseDocument(text []byte) (*Bundle, error) {
	var d document
	if err := ijson.Unmarshal(text, &d); err != nil {
		var e *ijson.Error
		if errors.As(err, &e) {
			return nil, problem(ledger.CodeSyntax, e.Pointer, e.Expected, e.Found)
		}
		return nil, problem(ledger.CodeSyntax, "", "a history bundle", "something else")
	}
	if d.Schema != Schema {
		return nil, problem(ledger.CodeBadValue, "/schema", Schema, "another")
	}
	if d.Kind != kindWhole && d.Kind != kindExcerpt {
		return nil, problem(ledger.CodeBadValue, "/kind", kindWhole+" or "+kindExcerpt, "another word")
	}
	b := &Bundle{Excerpt: d.Kind == kindExcerpt, Subject: ledger.Subject(d.Subject)}
	for i := range d.Shards {
		s, p := d.Shards[i].shard(b.Excerpt)
		if p != nil {
			return nil, under(i, p)
		}
		b.Shards = append(b.Shards, s)
	}
	again, err := FormatDocument(b)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, text) {
		return nil, problem(ledger.CodeSyntax, "", "the one way to write this bundle", "another")
	}
	return b, nil
}

func (d *shardDocument) shard(excerpt bool) (Shard, *ledger.Problem) {
	s := Shard{Origin: d.Origin, Checkpoint: []byte(d.Checkpoint), Proof: d.Proof, Index: d.Index}
	if excerpt != (d.Head == nil) {
		return s, problem(ledger.CodeBadValue, "/head", "one exactly in a whole bundle", "the contrary")
	}
	if d.Head != nil {
		s.Head = *d.Head
	}
	for _, l := range d.Leaves {
		s.Leaves = append(s.Leaves, Leaf{l.Index, l.Leaf})
	}
	for _, l := range d.Lists {
		s.Lists = append(s.Lists, List{l.Scope, l.Pi, l.Count})
	}
	for i, e := range d.Events {
		event := Event{Index: e.Index, Body: e.Body}
		if len(e.Nonce) > 0 {
			if len(e.Nonce) != 32 {
				return s, problem(ledger.CodeBadValue, fmt.Sprintf("/events/%d/nonce", i), "32 bytes", fmt.Sprint(len(e.Nonce)))
			}
			nonce := [32]byte(e.Nonce)
			event.Nonce = &nonce
		}
		s.Events = append(s.Events, event)
	}
	return s, nil
}
