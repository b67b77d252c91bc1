// SPDX-License-Identifier: EUPL-1.2

package history

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// AgencySchema is the first member of a part's document.
const AgencySchema = "traccia/agency-list/1"

// Limits of a part of an agency's list.
const (
	MaxPart       = 16 << 20 // bytes of its document
	MaxPartEvents = 2048
)

// AgencyPart is a piece of the list of all events of a body in one year: those with the numbers From, From+1 and so on,
// proven to be there under a head, and what that head holds for the number behind them. Each part is a proof by itself, so
// that a list of any length is made, sent and verified in pieces, and goes on where it ended; the last one's next number is
// absent. docs/agency-list.md describes it.
type AgencyPart struct {
	Agency string
	From   uint64 // number of the first event
	Pi     []byte // VRF proof of k_a, 80 bytes
	// Shard has no Lists. Its Index is the proof of the tags From … From+len(Events). Its Events are in the order of their
	// numbers, which is that of their indexes.
	Shard
	// Private are the private parts of the events' receipts, as far as the reader asked for them and they may be given out.
	Private []Private
}

// Private is the private part of a receipt, at the first event in the part that has the receipt. Its worth is that the
// receipt commits to it.
type Private struct {
	Index   uint64 // of the event
	Salt    [32]byte
	Content []byte
}

// agencyDocument is a part as JSON has it, one line, written in exactly one way as a bundle is:
//
//	{"schema":"traccia/agency-list/1","agency":"c_a944","from":2000,"pi":"kq3…","log":
//	{"origin":"registro.example/2026","checkpoint":"…","leaves":[{"index":0,"leaf":"AQMAAAfq…"},…],"proof":"3q2-7w…",
//	"head":69998,"index":"AAAAIP…","events":[{"index":69990,"nonce":"q2XA…","body":"eyJvcmln…"}]}}
//
// With private parts "private":[{"index":69990,"salt":"UVAx…","content":"eyJ2b3Vj…"}] follows the log.
type agencyDocument struct {
	Schema  string            `json:"schema"`
	Agency  string            `json:"agency"`
	From    uint64            `json:"from"`
	Pi      ledger.Base64     `json:"pi"`
	Log     shardDocument     `json:"log"`
	Private []privateDocument `json:"private,omitempty"`
}

type privateDocument struct {
	Index   uint64        `json:"index"`
	Salt    ledger.Base64 `json:"salt"`
	Content ledger.Base64 `json:"content"`
}

func (p *AgencyPart) check() *ledger.Problem {
	_, _, err := ledger.ParseOrigin(p.Origin)
	switch {
	case ledger.CheckID(p.Agency) != nil:
		return problem(ledger.CodeBadID, "/agency", "the id of a body", fmt.Sprintf("a string of %d bytes", len(p.Agency)))
	case p.From > maxIndex:
		return problem(ledger.CodeBadValue, "/from", "a number below 2^53", "a greater one")
	case len(p.Pi) != piSize:
		return problem(ledger.CodeBadValue, "/pi", fmt.Sprintf("%d bytes", piSize), fmt.Sprint(len(p.Pi)))
	case err != nil:
		return problem(ledger.CodeBadName, "/log/origin", "a ledger's name, / and an epoch", fmt.Sprintf("a string of %d bytes", len(p.Origin)))
	case len(p.Lists) > 0:
		return problem(ledger.CodeBadValue, "/log/lists", "nothing", "lists")
	case p.Head > maxIndex:
		return problem(ledger.CodeBadValue, "/log/head", "a number below 2^53", "a greater one")
	case len(p.Index) == 0:
		return problem(ledger.CodeMissing, "/log/index", "a proof", "nothing")
	case len(p.Events) > MaxPartEvents:
		return problem(ledger.CodeBadCount, "/log/events", fmt.Sprintf("at most %d", MaxPartEvents), fmt.Sprint(len(p.Events)))
	}
	wrong := p.checkLeaves()
	if wrong == nil {
		wrong = p.checkEvents(false)
	}
	if wrong != nil {
		wrong.Where = "/log" + wrong.Where
		return wrong
	}
	return p.checkPrivate()
}

func (p *AgencyPart) checkPrivate() *ledger.Problem {
	for i, v := range p.Private {
		at := fmt.Sprintf("/private/%d", i)
		n, ok := slices.BinarySearchFunc(p.Events, v.Index, func(e Event, index uint64) int { return cmp.Compare(e.Index, index) })
		switch {
		case i > 0 && v.Index <= p.Private[i-1].Index:
			return problem(ledger.CodeBadValue, at+"/index", "ascending indexes", "one that isn't")
		case !ok || p.Events[n].Nonce == nil:
			return problem(ledger.CodeBadValue, at+"/index", "that of an opened event", "another")
		case len(v.Content) == 0 || len(v.Content) > ledger.MaxPrivate:
			return problem(ledger.CodeTooLong, at+"/content", fmt.Sprintf("1 to %d bytes", ledger.MaxPrivate), fmt.Sprint(len(v.Content)))
		}
	}
	return nil
}

// FormatAgencyPart returns the part as a file has it: one gzip member, which holds the document and a line end. It refuses,
// with a *ledger.Problem, one that an AgencyReader would refuse.
func FormatAgencyPart(p *AgencyPart) ([]byte, error) {
	text, err := formatAgencyDocument(p)
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	w := gzip.NewWriter(&file)
	_, err = w.Write(append(text, '\n'))
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't pack a part of a list: %w", err)
	}
	return file.Bytes(), nil
}

func formatAgencyDocument(p *AgencyPart) ([]byte, error) {
	if p := p.check(); p != nil {
		return nil, p
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	d := agencyDocument{Schema: AgencySchema, Agency: p.Agency, From: p.From, Pi: p.Pi, Log: p.document(false)}
	for _, v := range p.Private {
		d.Private = append(d.Private, privateDocument{v.Index, v.Salt[:], v.Content})
	}
	err := e.Encode(d)
	if err != nil {
		return nil, fmt.Errorf("couldn't format a part of a list: %w", err)
	}
	if out.Len() > MaxPart {
		return nil, problem(ledger.CodeTooLong, "", fmt.Sprintf("a document of at most %d bytes", MaxPart), fmt.Sprint(out.Len()))
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// ParseAgencyDocument reads a document as NextDocument gives it. What it accepts, FormatAgencyPart writes to the same
// bytes. Errors are *ledger.Problem.
func ParseAgencyDocument(text []byte) (*AgencyPart, error) {
	var d agencyDocument
	if err := ijson.Unmarshal(text, &d); err != nil {
		var e *ijson.Error
		if errors.As(err, &e) {
			return nil, problem(ledger.CodeSyntax, e.Pointer, e.Expected, e.Found)
		}
		return nil, problem(ledger.CodeSyntax, "", "a part of an agency's list", "something else")
	}
	if d.Schema != AgencySchema {
		return nil, problem(ledger.CodeBadValue, "/schema", AgencySchema, "another")
	}
	shard, wrong := d.Log.shard(false)
	if wrong != nil {
		wrong.Where = "/log" + wrong.Where
		return nil, wrong
	}
	p := &AgencyPart{Agency: d.Agency, From: d.From, Pi: d.Pi, Shard: shard}
	for i, v := range d.Private {
		if len(v.Salt) != 32 {
			return nil, problem(ledger.CodeBadSalt, fmt.Sprintf("/private/%d/salt", i), "32 bytes", fmt.Sprint(len(v.Salt)))
		}
		p.Private = append(p.Private, Private{v.Index, [32]byte(v.Salt), v.Content})
	}
	again, err := formatAgencyDocument(p)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, text) {
		return nil, problem(ledger.CodeSyntax, "", "the one way to write this part", "another")
	}
	return p, nil
}

// ErrCut: a file ends in the middle of a part, as one does whose download was interrupted.
var ErrCut = errors.New("the list ends in the middle of a part")

// AgencyReader reads the parts of a file, one after the other, with no more than one in memory.
type AgencyReader struct {
	in    counter
	unzip *gzip.Reader
	whole int64
}

// NewAgencyReader returns a reader of a file, which it reads without looking ahead for more than a buffer.
func NewAgencyReader(file io.Reader) *AgencyReader {
	return &AgencyReader{in: counter{Reader: bufio.NewReaderSize(file, 1<<16)}}
}

// Whole returns how many bytes of the file the parts read so far take: a file that was cut goes on from there.
func (r *AgencyReader) Whole() int64 { return r.whole }

// Next returns the next part, or io.EOF after the last. The error is a *ledger.Problem where what comes is no part, wraps
// ErrCut where the file ends in the middle of one, and is the file's own otherwise.
func (r *AgencyReader) Next() (*AgencyPart, error) {
	text, err := r.NextDocument()
	if err != nil {
		return nil, err
	}
	p, err := ParseAgencyDocument(text)
	if err != nil {
		return nil, err
	}
	r.whole = r.in.taken
	return p, nil
}

// NextDocument is Next for readers that parse several parts at a time: it unpacks the next part's document, and leaves it
// to ParseAgencyDocument whether it is one. Whole isn't told then.
func (r *AgencyReader) NextDocument() ([]byte, error) {
	if _, err := r.in.Peek(1); errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	text, err := r.member()
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: %d bytes are whole", ErrCut, r.whole)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, new(flate.CorruptInputError)):
		return nil, problem(ledger.CodeSyntax, "", "a part of an agency's list, packed with gzip", "something else")
	case err != nil:
		return nil, err
	}
	return text, nil
}

// member unpacks one gzip member without its line end.
func (r *AgencyReader) member() ([]byte, error) {
	var err error
	if r.unzip == nil {
		r.unzip, err = gzip.NewReader(&r.in)
	} else {
		err = r.unzip.Reset(&r.in)
	}
	if err != nil {
		r.unzip = nil
		return nil, err
	}
	z := r.unzip
	z.Multistream(false)
	if z.Name != "" || z.Comment != "" || z.Extra != nil || !z.ModTime.IsZero() {
		return nil, problem(ledger.CodeSyntax, "", "a gzip header that says nothing", "one with a name, a time or more")
	}
	text, err := io.ReadAll(io.LimitReader(z, MaxPart+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > MaxPart:
		return nil, problem(ledger.CodeTooLong, "", fmt.Sprintf("a document of at most %d bytes", MaxPart), "a longer one")
	}
	text, ended := bytes.CutSuffix(text, []byte("\n"))
	if !ended {
		return nil, problem(ledger.CodeSyntax, "", "a line end behind the document", "none")
	}
	return text, nil
}

// counter counts the bytes taken from a buffer. gzip reads no further than a member's end from an io.ByteReader.
type counter struct {
	*bufio.Reader
	taken int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.taken += int64(n)
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.taken++
	}
	return b, err
}
