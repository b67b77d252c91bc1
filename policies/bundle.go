// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// BundleSchema is the schema of a bundle's document.
const BundleSchema = "traccia/policy-bundle/1"

// VocabularySchema is the schema of a vocabulary's files.
const VocabularySchema = "traccia/vocabulary/1"

// maxFiles is how many files a bundle has at most.
const maxFiles = 100

// Bundle is a version of the policies, with the vocabulary they speak. As one
// JSON document, written in exactly one way, it is what the log commits to and
// serves by digest:
//
//	{"schema":"traccia/policy-bundle/1","version":"1.0.0","description_it":"…","description_en":"…",
//	"vocabulary":{"categories":[{"id":"isee",…}],"purposes":[…],"legal_bases":[…],"body_kinds":[…]},
//	"files":[{"name":"10-isee.cedar","text":"// ISEE …\n@id(\"isee-check\")\npermit (…) when {…};\n"}]}
type Bundle struct {
	Schema        string     `json:"schema"` // BundleSchema
	Version       string     `json:"version"`
	DescriptionIt string     `json:"description_it"`
	DescriptionEn string     `json:"description_en"`
	Vocabulary    Vocabulary `json:"vocabulary"`
	Files         []File     `json:"files"`
}

// File is a text of policies in Cedar, with its comments.
type File struct {
	Name string `json:"name"` // unique, ends in .cedar
	Text string `json:"text"`
}

var (
	versionForm = regexp.MustCompile(`^[0-9a-z][0-9a-z.-]{0,39}$`)
	fileForm    = regexp.MustCompile(`^[0-9a-z][0-9a-z_-]{0,59}\.cedar$`)
)

func refuse(code, where, expected, found string) *ledger.Problem {
	return &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
}

// check is about the document; what the policies say is Compile's business.
func (b *Bundle) check() *ledger.Problem {
	if b.Schema != BundleSchema {
		return refuse(ledger.CodeBadValue, "schema", BundleSchema, fmt.Sprintf("%q", b.Schema))
	}
	if !versionForm.MatchString(b.Version) {
		return refuse(ledger.CodeBadValue, "version", "1 to 40 characters of 0-9, a-z, . and -", fmt.Sprintf("%q", b.Version))
	}
	for _, d := range []struct{ where, text string }{{"description_it", b.DescriptionIt}, {"description_en", b.DescriptionEn}} {
		if !plainText(d.text, 2000) {
			return refuse(ledger.CodeBadText, d.where, "1 to 2000 characters without control characters", "another text")
		}
	}
	if p := b.Vocabulary.check(); p != nil {
		p.Where = "vocabulary/" + p.Where
		return p
	}
	if n := len(b.Files); n < 1 || n > maxFiles {
		return refuse(ledger.CodeBadCount, "files", fmt.Sprintf("1 to %d files", maxFiles), fmt.Sprint(n))
	}
	names := map[string]bool{}
	for i, f := range b.Files {
		where := fmt.Sprintf("files/%d", i)
		if !fileForm.MatchString(f.Name) || names[f.Name] {
			return refuse(ledger.CodeBadValue, where+"/name", "a name of its own, of 0-9, a-z, _ and -, that ends in .cedar", fmt.Sprintf("%q", f.Name))
		}
		names[f.Name] = true
		if f.Text == "" || !utf8.ValidString(f.Text) || strings.ContainsFunc(f.Text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == 0xfeff }) {
			return refuse(ledger.CodeBadText, where+"/text", "UTF-8 text, lines ended by a line feed", "something else")
		}
	}
	return nil
}

// Format encodes a bundle. It refuses, with a *ledger.Problem, what
// [ParseBundle] would refuse.
func (b *Bundle) Format() ([]byte, error) {
	if p := b.check(); p != nil {
		return nil, under(p)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(b); err != nil {
		return nil, err
	}
	data := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	if n := len(data); n > ledger.MaxBundle {
		return nil, refuse(ledger.CodeTooLong, "bundle", fmt.Sprintf("at most %d bytes", ledger.MaxBundle), fmt.Sprint(n))
	}
	return data, nil
}

// ParseBundle decodes a bundle's document. What it accepts, Format encodes to
// the same bytes. Errors are *ledger.Problem, at "bundle" or "bundle#<path>".
// Whether the policies in it are good is for [Compile] to say.
func ParseBundle(data []byte) (*Bundle, error) {
	if n := len(data); n > ledger.MaxBundle {
		return nil, refuse(ledger.CodeTooLong, "bundle", fmt.Sprintf("at most %d bytes", ledger.MaxBundle), fmt.Sprint(n))
	}
	b := new(Bundle)
	if err := ijson.Unmarshal(data, b); err != nil {
		return nil, jsonProblem(err, "bundle")
	}
	same, err := b.Format()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(same, data) {
		return nil, refuse(ledger.CodeSyntax, "bundle", "the one way to write this bundle", "another")
	}
	return b, nil
}

// Digest is the SHA-256 of a bundle's document, by which decisions and the log
// name it.
func Digest(document []byte) ledger.Hash { return sha256.Sum256(document) }

func under(p *ledger.Problem) *ledger.Problem {
	return refuse(p.Code, "bundle#"+p.Where, p.Expected, p.Found)
}

func jsonProblem(err error, where string) error {
	var e *ijson.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("couldn't read %s: %w", where, err)
	}
	if at := strings.TrimPrefix(e.Pointer, "/"); at != "" {
		where += "#" + at
	}
	return refuse(ledger.CodeSyntax, where, e.Expected, e.Found)
}

// source is bundle.json in a bundle's directory.
//
//	{"version":"1.0.0","description_it":"…","description_en":"…","vocabulary":"../vocabulary","policies":["10-isee.cedar"]}
type source struct {
	Version       string   `json:"version"`
	DescriptionIt string   `json:"description_it"`
	DescriptionEn string   `json:"description_en"`
	Vocabulary    string   `json:"vocabulary"` // directory, relative to bundle.json
	Policies      []string `json:"policies"`   // files beside it, in the order of the bundle
}

// ReadSource makes a bundle from a directory within fsys: bundle.json, the
// Cedar files it lists, and the directory of its vocabulary with categories.json,
// purposes.json, legal-bases.json and body-kinds.json, each
//
//	{"schema":"traccia/vocabulary/1","list":"purposes","terms":[…]}
func ReadSource(fsys fs.FS, dir string) (*Bundle, error) {
	var s source
	if err := readJSON(fsys, path.Join(dir, "bundle.json"), &s); err != nil {
		return nil, err
	}
	b := &Bundle{Schema: BundleSchema, Version: s.Version, DescriptionIt: s.DescriptionIt, DescriptionEn: s.DescriptionEn}
	for _, list := range []struct {
		name string
		into *[]Term
	}{{"categories", &b.Vocabulary.Categories}, {"purposes", &b.Vocabulary.Purposes}, {"legal-bases", &b.Vocabulary.LegalBases}, {"body-kinds", &b.Vocabulary.BodyKinds}} {
		var read struct {
			Schema string `json:"schema"`
			List   string `json:"list"`
			Terms  []Term `json:"terms"`
		}
		if err := readJSON(fsys, path.Join(dir, s.Vocabulary, list.name+".json"), &read); err != nil {
			return nil, err
		}
		if read.Schema != VocabularySchema || read.List != list.name {
			return nil, refuse(ledger.CodeBadValue, list.name+".json#list", VocabularySchema+", "+list.name, read.Schema+", "+read.List)
		}
		*list.into = read.Terms
	}
	for _, name := range s.Policies {
		text, err := fs.ReadFile(fsys, path.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("couldn't read the bundle's policies: %w", err)
		}
		b.Files = append(b.Files, File{Name: name, Text: string(text)})
	}
	return b, nil
}

func readJSON(fsys fs.FS, name string, v any) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return fmt.Errorf("couldn't read the bundle: %w", err)
	}
	if err := ijson.Unmarshal(data, v); err != nil {
		return jsonProblem(err, path.Base(name))
	}
	return nil
}
