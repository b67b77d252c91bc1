// SPDX-License-Identifier: EUPL-1.2

package witness

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

const origin = "registro.example/2026"

// world is a log, kept in memory, and a witness of it over HTTP.
type world struct {
	t       *testing.T
	tree    *testonly.Tree
	signer  note.Signer
	log     note.Verifier
	logKey  string
	witness *Witness
	url     string
	vkey    string
	dir     string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, tree: testonly.New(rfc6962.DefaultHasher), dir: t.TempDir(), logKey: vkey}
	if w.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if w.log, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	key, witnessKey, err := NewKey("witness.example")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.dir, "witness.key")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := ReadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	w.vkey = witnessKey
	w.witness = New(w.dir, signer, w.log)
	server := httptest.NewServer(w.witness)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *world) grow(n int) {
	for range n {
		w.tree.AppendData(fmt.Appendf(nil, "leaf %d", w.tree.Size()))
	}
}

func (w *world) sign() (checkpoint.Checkpoint, []byte) {
	w.t.Helper()
	cp := checkpoint.Checkpoint{Origin: origin, Size: w.tree.Size(), Root: ledger.Hash(w.tree.Hash())}
	signed, err := checkpoint.Sign(w.signer, cp)
	if err != nil {
		w.t.Fatal(err)
	}
	return cp, signed
}

func (w *world) prove(_ context.Context, from, to uint64) ([]ledger.Hash, error) {
	hashes, err := w.tree.ConsistencyProof(from, to)
	out := make([]ledger.Hash, len(hashes))
	for i, h := range hashes {
		out[i] = ledger.Hash(h)
	}
	return out, err
}

func (w *world) client() *Client {
	w.t.Helper()
	c, err := NewClient(w.url, w.vkey)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestCosignAsTheLogGrows(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	for _, n := range []int{1, 0, 6, 250, 300} {
		w.grow(n)
		cp, signed := w.sign()
		line, err := c.Add(t.Context(), cp, signed, w.prove)
		if err != nil {
			t.Fatalf("size %d: %v", cp.Size, err)
		}
		v, err := f_note.NewVerifierForCosignatureV1(w.vkey)
		if err != nil {
			t.Fatal(err)
		}
		n, err := note.Open(append(bytes.Clone(signed), line...), note.VerifierList(w.log, v))
		if err != nil || len(n.Sigs) != 2 {
			t.Fatalf("size %d: log and witness don't both verify: %v", cp.Size, err)
		}
	}
	// A client that knows nothing learns the size from the 409.
	w.grow(3)
	cp, signed := w.sign()
	if _, err := w.client().Add(t.Context(), cp, signed, w.prove); err != nil {
		t.Errorf("a new client: %v", err)
	}
	// The witness remembers over a restart.
	again := New(w.dir, w.witness.signer, w.log)
	if _, err := again.Add(t.Context(), Request{Old: 0, Checkpoint: signed}); !errors.As(err, new(conflict)) {
		t.Errorf("a restarted witness: got %v, want a conflict", err)
	}
}

func TestLogThatWentBack(t *testing.T) {
	w := newWorld(t)
	w.grow(5)
	early, earlySigned := w.sign()
	w.grow(5)
	cp, signed := w.sign()
	if _, err := w.client().Add(t.Context(), cp, signed, w.prove); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client().Add(t.Context(), early, earlySigned, w.prove); !errors.Is(err, ErrAhead) {
		t.Errorf("got %v, want ErrAhead", err)
	}
}

func TestForkIsRefused(t *testing.T) {
	w := newWorld(t)
	w.grow(5)
	cp, signed := w.sign()
	c := w.client()
	if _, err := c.Add(t.Context(), cp, signed, w.prove); err != nil {
		t.Fatal(err)
	}
	w.tree = testonly.New(rfc6962.DefaultHasher)
	w.tree.AppendData([]byte("another history"))
	w.grow(8)
	cp, signed = w.sign()
	if _, err := c.Add(t.Context(), cp, signed, w.prove); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
}

// TestAnswers goes through the statuses that the protocol prescribes.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	w.grow(5)
	cp, signed := w.sign()
	if _, err := w.client().Add(t.Context(), cp, signed, w.prove); err != nil {
		t.Fatal(err)
	}
	w.grow(2)
	_, larger := w.sign()
	good, _ := w.prove(t.Context(), 5, 7)
	otherKey, _, _ := note.GenerateKey(rand.Reader, origin)
	other, _ := note.NewSigner(otherKey)
	unsigned, _ := checkpoint.Sign(other, checkpoint.Checkpoint{Origin: origin, Size: 7, Root: ledger.Hash(w.tree.Hash())})
	foreignKey, _, _ := note.GenerateKey(rand.Reader, "altro.example/2026")
	foreignSigner, _ := note.NewSigner(foreignKey)
	foreign, _ := checkpoint.Sign(foreignSigner, checkpoint.Checkpoint{Origin: "altro.example/2026", Size: 7, Root: ledger.Hash(w.tree.Hash())})
	for _, c := range []struct {
		name   string
		body   []byte
		status int
	}{
		{"no body", nil, 400},
		{"leading zero", []byte("old 05\n\n" + string(larger)), 400},
		{"old larger than the checkpoint", FormatRequest(Request{Old: 9, Checkpoint: larger}), 400},
		{"another size", FormatRequest(Request{Old: 4, Checkpoint: larger}), 409},
		{"no proof", FormatRequest(Request{Old: 5, Checkpoint: larger}), 422},
		{"half a proof", FormatRequest(Request{Old: 5, Proof: good[:1], Checkpoint: larger}), 422},
		{"another log", FormatRequest(Request{Old: 5, Checkpoint: foreign}), 404},
		{"another key", FormatRequest(Request{Old: 5, Proof: good, Checkpoint: unsigned}), 403},
		{"good", FormatRequest(Request{Old: 5, Proof: good, Checkpoint: larger}), 200},
		{"the same again", FormatRequest(Request{Old: 7, Checkpoint: larger}), 200},
	} {
		response, err := http.Post(w.url+"/add-checkpoint", "text/plain", bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("%s: got %d, want %d", c.name, response.StatusCode, c.status)
		}
	}
	response, err := http.Get(w.url + "/" + originHash(origin) + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var kept bytes.Buffer
	kept.ReadFrom(response.Body)
	if !strings.HasPrefix(kept.String(), strings.TrimSuffix(string(larger), "\n")) {
		t.Errorf("the monitoring prefix shows %q", kept.String())
	}
}

// TestMonitorRefuses: what Verify refuses isn't cosigned, nor remembered; the
// answer tells what is wrong from what isn't verified yet.
func TestMonitorRefuses(t *testing.T) {
	w := newWorld(t)
	w.grow(5)
	cp, signed := w.sign()
	for _, c := range []struct{ says, want error }{
		{fmt.Errorf("%w: a wrong head", ErrRefused), ErrRefused},
		{errors.New("the log doesn't answer"), ErrLater},
	} {
		w.witness.Verify = func(_ context.Context, got checkpoint.Checkpoint, as []byte) error {
			if got != cp || !bytes.Equal(as, signed) {
				t.Errorf("asked to verify %v, want %v", got, cp)
			}
			return c.says
		}
		if _, err := w.client().Add(t.Context(), cp, signed, w.prove); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
	w.witness.Verify = nil
	if _, err := w.client().Add(t.Context(), cp, signed, w.prove); err != nil {
		t.Error(err)
	}
}

// TestClientTrustsNobody: an answer by another key, or over another
// checkpoint, is no cosignature.
func TestClientTrustsNobody(t *testing.T) {
	w := newWorld(t)
	w.grow(5)
	cp, signed := w.sign()
	_, otherKey, err := NewKey("witness.example")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(w.url, otherKey)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := c.Add(t.Context(), cp, signed, w.prove); err == nil {
		t.Errorf("the cosignature %q of another key was taken", line)
	}
	dead := httptest.NewServer(nil)
	dead.Close()
	if c, err = NewClient(dead.URL, w.vkey); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Add(t.Context(), cp, signed, w.prove); err == nil {
		t.Error("a dead witness cosigned")
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("old 0\n\nregistro.example/2026\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— x y\n"))
	f.Add([]byte("old 7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRequest(b); err == nil && !bytes.Equal(FormatRequest(r), b) {
			t.Errorf("%q re-encodes otherwise", b)
		}
	})
}
