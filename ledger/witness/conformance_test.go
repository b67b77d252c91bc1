// SPDX-License-Identifier: EUPL-1.2

package witness

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// The request of c2sp.org/tlog-witness, "add-checkpoint", as printed there.
const publishedRequest = `old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
`

// The cosignature of c2sp.org/tlog-cosignature on that checkpoint, timed 1679315147.
const publishedCosignature = "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"

// TestPublishedExamples: the texts in the specifications are read as they are meant.
func TestPublishedExamples(t *testing.T) {
	r, err := ParseRequest([]byte(publishedRequest))
	if err != nil {
		t.Fatal(err)
	}
	if r.Old != 20852014 || len(r.Proof) != 4 || r.Proof[0][0] != 0x3e || !bytes.Equal(FormatRequest(r), []byte(publishedRequest)) {
		t.Errorf("read as %+v", r)
	}
	var cp log.Checkpoint
	text, _, _ := strings.Cut(string(r.Checkpoint), "\n\n")
	if rest, err := cp.Unmarshal([]byte(text + "\n")); err != nil || len(rest) != 0 || cp.Origin != "example.com/behind-the-sofa" || cp.Size != 20852163 {
		t.Errorf("%+v, %v", cp, err)
	}
	_, line, _ := strings.Cut(publishedCosignature, " ")
	name, sig, _ := strings.Cut(strings.TrimSpace(line), " ")
	at, err := f_note.CoSigV1Timestamp(note.Signature{Name: name, Base64: sig})
	if err != nil || at.Unix() != 1679315147 {
		t.Errorf("timed %v, %v", at, err)
	}
}

// TestFormats: transparency-dev/formats reads what our log and witness signed, and
// the cosigned message is the one of the specification.
func TestFormats(t *testing.T) {
	w := newWorld(t)
	w.grow(300)
	cp, signed := w.sign()
	before := time.Now().Truncate(time.Second)
	line, err := w.client().Add(t.Context(), cp, signed, w.prove)
	if err != nil {
		t.Fatal(err)
	}
	v, err := f_note.NewVerifierForCosignatureV1(w.vkey)
	if err != nil {
		t.Fatal(err)
	}
	got, _, n, err := log.ParseCheckpoint([]byte(string(signed)+line), origin, w.log, v)
	if err != nil || got.Size != cp.Size || !bytes.Equal(got.Hash, cp.Root[:]) || len(n.Sigs) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	at, err := f_note.CoSigV1Timestamp(n.Sigs[1])
	if err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("timed %v, %v", at, err)
	}
	if !strings.HasPrefix(line, "— witness.example ") || !strings.HasSuffix(line, "\n") || strings.Count(line, "\n") != 1 {
		t.Errorf("the answer is %q", line)
	}
}

// TestAnswersInWords: status, type and body of the answers that the specification
// gives a form.
func TestAnswersInWords(t *testing.T) {
	w := newWorld(t)
	w.grow(5)
	cp, signed := w.sign()
	if _, err := w.client().Add(t.Context(), cp, signed, w.prove); err != nil {
		t.Fatal(err)
	}
	ask := func(body []byte) (status int, kind, answer string) {
		response, err := http.Post(w.url+"/add-checkpoint", "", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Header.Get("Content-Type"), string(data)
	}
	if status, kind, body := ask(FormatRequest(Request{Checkpoint: signed})); status != 409 || kind != "text/x.tlog.size" || body != strconv.Itoa(5)+"\n" {
		t.Errorf("another old size: %d %s %q", status, kind, body)
	}
	if status, _, body := ask(FormatRequest(Request{Old: 5, Checkpoint: signed})); status != 200 || !strings.HasPrefix(body, "— witness.example ") {
		t.Errorf("the same size again: %d %q", status, body)
	}
	// More signatures than the log's, of keys that nobody knows, change nothing.
	more := fmt.Appendf(bytes.Clone(signed), "— someone.example %s\n", "AAAAAAAA")
	if status, _, body := ask(FormatRequest(Request{Old: 5, Checkpoint: more})); status != 200 {
		t.Errorf("with another's signature: %d %q", status, body)
	}
	damaged := bytes.Clone(signed)
	damaged[len(damaged)-10] ^= 1
	if status, _, _ := ask(FormatRequest(Request{Old: 5, Checkpoint: damaged})); status != 403 {
		t.Errorf("a bad signature of the log's key: %d", status)
	}
	if response, err := http.Get(w.url + "/add-checkpoint"); err != nil || response.StatusCode/100 != 4 {
		t.Errorf("GET: %v, %v", response, err)
	}
}
