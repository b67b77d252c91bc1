// SPDX-License-Identifier: EUPL-1.2

package checkpoint_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// cosigner signs as an Ed25519 witness of c2sp.org/tlog-cosignature does, at a time of the test's choice.
type cosigner struct {
	note.Verifier
	private ed25519.PrivateKey
	at      uint64
}

func (c cosigner) Sign(msg []byte) ([]byte, error) {
	text := fmt.Sprintf("cosignature/v1\ntime %d\n%s", c.at, msg)
	return append(binary.BigEndian.AppendUint64(nil, c.at), ed25519.Sign(c.private, []byte(text))...), nil
}

func witness(t testing.TB, name string, seed byte, at uint64) (cosigner, checkpoint.Witness) {
	t.Helper()
	_, _, vkey := key(t, name+".example", seed)
	vkey, err := f_note.VKeyToCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := f_note.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return cosigner{v, private, at}, checkpoint.Witness{Name: name, VKey: vkey}
}

// testPolicy has four witnesses, of which three must cosign, and a monitor.
func testPolicy(t testing.TB) (p *checkpoint.Policy, log note.Signer, cosigners []cosigner) {
	t.Helper()
	log, _, vkey := key(t, origin, 1)
	p = &checkpoint.Policy{Logs: []checkpoint.Log{{VKey: vkey, URL: "https://registro.example/log/2026"}}, K: 3, F: 1}
	for i, name := range []string{"alfa", "beta", "gamma", "delta", "mona"} {
		c, w := witness(t, name, byte(10+i), uint64(1_800_000_000+i))
		cosigners = append(cosigners, c)
		if name == "mona" {
			p.Monitors = append(p.Monitors, w)
		} else {
			p.Witnesses = append(p.Witnesses, w)
		}
	}
	p.Witnesses[1].URL = "https://beta.example/witness"
	return p, log, cosigners
}

func cosign(t testing.TB, signed []byte, by ...note.Signer) []byte {
	t.Helper()
	_, v, _ := key(t, origin, 1)
	for _, s := range by {
		var err error
		if signed, err = checkpoint.Cosign(signed, v, s); err != nil {
			t.Fatal(err)
		}
	}
	return signed
}

func TestPolicyOpen(t *testing.T) {
	p, log, by := testPolicy(t)
	c := checkpoint.Checkpoint{Origin: origin, Size: 7, Root: ledger.Hash{7}}
	signed := sign(t, log, c)
	stranger, _ := witness(t, "stranger", 99, 5)
	at := func(w string, i int64) checkpoint.Cosignature {
		return checkpoint.Cosignature{Witness: w, Time: time.Unix(1_800_000_000+i, 0).UTC()}
	}
	future, early, huge := by[2], by[2], by[2]
	future.at, early.at, huge.at = 253402300800, 0, 1<<63-1
	past := by[2]
	past.at = 1<<63 + 5
	for _, test := range []struct {
		name string
		by   []note.Signer
		want checkpoint.Cosigned
		err  error
	}{
		{"nobody", nil, checkpoint.Cosigned{}, checkpoint.ErrQuorum},
		{"two", []note.Signer{by[3], by[0]},
			checkpoint.Cosigned{Witnesses: []checkpoint.Cosignature{at("alfa", 0), at("delta", 3)}, Latest: at("", 3).Time}, checkpoint.ErrQuorum},
		{"two and the monitor and a stranger", []note.Signer{by[3], by[0], by[4], stranger},
			checkpoint.Cosigned{Witnesses: []checkpoint.Cosignature{at("alfa", 0), at("delta", 3)},
				Monitors: []checkpoint.Cosignature{at("mona", 4)}, Latest: at("", 3).Time}, checkpoint.ErrQuorum},
		{"three", []note.Signer{by[0], by[1], by[2]},
			checkpoint.Cosigned{Witnesses: []checkpoint.Cosignature{at("alfa", 0), at("beta", 1), at("gamma", 2)}, Latest: at("", 2).Time}, nil},
		{"all", []note.Signer{by[0], by[4], by[1], by[2], by[3]},
			checkpoint.Cosigned{Witnesses: []checkpoint.Cosignature{at("alfa", 0), at("beta", 1), at("gamma", 2), at("delta", 3)},
				Monitors: []checkpoint.Cosignature{at("mona", 4)}, Latest: at("", 3).Time}, nil},
		{"time 0", []note.Signer{by[0], by[1], early},
			checkpoint.Cosigned{Witnesses: []checkpoint.Cosignature{at("alfa", 0), at("beta", 1)}, Latest: at("", 1).Time}, checkpoint.ErrQuorum},
		{"after 9999", []note.Signer{by[0], by[1], future},
			checkpoint.Cosigned{Witnesses: []checkpoint.Cosignature{at("alfa", 0), at("beta", 1)}, Latest: at("", 1).Time}, checkpoint.ErrQuorum},
		{"the last second", []note.Signer{by[0], by[1], huge},
			checkpoint.Cosigned{Witnesses: []checkpoint.Cosignature{at("alfa", 0), at("beta", 1)}, Latest: at("", 1).Time}, checkpoint.ErrQuorum},
		{"beyond 2^63", []note.Signer{by[0], by[1], past},
			checkpoint.Cosigned{Witnesses: []checkpoint.Cosignature{at("alfa", 0), at("beta", 1)}, Latest: at("", 1).Time}, checkpoint.ErrQuorum},
	} {
		got, err := p.Open(cosign(t, signed, test.by...))
		test.want.Checkpoint = c
		if diff := cmp.Diff(test.want, got); err != test.err || diff != "" {
			t.Errorf("%s: %v, want %v (-want +got):\n%s", test.name, err, test.err, diff)
		}
	}

	full := cosign(t, signed, by[0], by[1], by[2], by[4])
	for b := range 8 * len(full) {
		bad := bytes.Clone(full)
		bad[b/8] ^= 1 << (b % 8)
		// A line whose name or key id changed is a stranger's, and is ignored.
		if got, err := p.Open(bad); err == nil && len(got.Monitors) > 0 {
			t.Fatalf("bit %d of %q: %v", b, bad, got)
		}
	}
	other, _, _ := key(t, "registro.example/2027", 8)
	if _, err := p.Open(cosignOther(t, other, by)); err != checkpoint.ErrCheckpoint {
		t.Errorf("another log: %v", err)
	}
}

// cosignOther has all cosigners sign a checkpoint of a log that isn't in the policy.
func cosignOther(t *testing.T, log note.Signer, by []cosigner) []byte {
	t.Helper()
	signed := sign(t, log, checkpoint.Checkpoint{Origin: log.Name(), Size: 7})
	_, v, _ := key(t, log.Name(), 8)
	for _, c := range by {
		var err error
		if signed, err = checkpoint.Cosign(signed, v, c); err != nil {
			t.Fatal(err)
		}
	}
	return signed
}

// TestCosigners: the library's own signers, of both kinds, are understood.
func TestCosigners(t *testing.T) {
	log, _, vkey := key(t, origin, 1)
	skey, wkey, err := f_note.GenerateMLDSAKey("post.example")
	if err != nil {
		t.Fatal(err)
	}
	s, err := f_note.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	p := &checkpoint.Policy{
		Logs: []checkpoint.Log{{VKey: vkey}}, Witnesses: []checkpoint.Witness{{Name: "post", VKey: wkey}}, K: 1,
	}
	before := time.Now().Truncate(time.Second)
	got, err := p.Open(cosign(t, sign(t, log, checkpoint.Checkpoint{Origin: origin, Size: 1}), s))
	if err != nil || len(got.Witnesses) != 1 || got.Latest.Before(before) || got.Latest.After(time.Now()) {
		t.Errorf("Open = %v, %v", got, err)
	}
}

func TestPolicyFile(t *testing.T) {
	p, _, _ := testPolicy(t)
	text, err := checkpoint.FormatPolicy(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{
		string(text),
		"# a comment\n\n" + strings.ReplaceAll(string(text), " ", " \t ") + "  # no faults\n",
		strings.ReplaceAll(string(text), "witnesses", "group-1"),
		strings.Replace(string(text), "any mona", "all mona", 1),
		strings.Replace(string(text), "any mona", "1 mona", 1),
		"faults 1\n" + strings.TrimSuffix(string(text), "\n"),
	} {
		got, err := checkpoint.ParsePolicy([]byte(file))
		if err != nil {
			t.Errorf("%v of\n%s", err, file)
			continue
		}
		if diff := cmp.Diff(p, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}

	p.F, p.K = 3, 4
	text, err = checkpoint.FormatPolicy(p)
	if err != nil || !bytes.Contains(text, []byte("\nfaults 3\n")) {
		t.Fatalf("FormatPolicy = %s, %v", text, err)
	}
	got, err := checkpoint.ParsePolicy(text)
	if diff := cmp.Diff(p, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestPolicyRefused(t *testing.T) {
	p, _, _ := testPolicy(t)
	text, err := checkpoint.FormatPolicy(p)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger := witness(t, "stranger", 99, 0)
	replace := func(old, new string) string {
		t.Helper()
		if !bytes.Contains(text, []byte(old)) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(string(text), old, new, 1)
	}
	log := strings.SplitAfter(string(text), "\n")[0]
	for name, file := range map[string]string{
		"nothing":                 "",
		"no log":                  replace(log, ""),
		"a log twice":             replace(log, log+log),
		"a log without key":       replace(log, "log\n"),
		"a log with a URL more":   replace(log, strings.TrimSpace(log)+" https://x.example\n"),
		"a URL without a scheme":  replace("https://beta", "beta"),
		"a witness's key for log": replace(log, "log "+p.Witnesses[0].VKey+"\n"),
		"a log's key for witness": replace(p.Witnesses[0].VKey, p.Logs[0].VKey),
		"a key twice":             replace(p.Witnesses[0].VKey, p.Witnesses[1].VKey),
		"a monitor's key twice":   replace(p.Monitors[0].VKey, p.Witnesses[1].VKey),
		"a name twice":            replace("witness alfa", "witness beta"),
		"named none":              replace("witness alfa", "witness none"),
		"named as a group":        replace("witness alfa", "witness witnesses"),
		"too few for four":        replace("witnesses 3", "witnesses 2"),
		"any":                     replace("witnesses 3", "witnesses any"),
		"none":                    replace("witnesses 3", "witnesses 0"),
		"more than there are":     replace("witnesses 3", "witnesses 5"),
		"a leading zero":          replace("witnesses 3", "witnesses 03"),
		"a sign":                  replace("witnesses 3", "witnesses +3"),
		"a member twice":          replace("alfa beta", "alfa alfa"),
		"an unknown member":       replace("alfa beta", "alfa omega"),
		"a group in a group":      replace("group monitors any mona", "group monitors any witnesses"),
		"a witness that monitors": replace("group monitors any mona", "group monitors any mona alfa"),
		"an unused witness":       replace("group witnesses", "witness stranger "+stranger.VKey+"\ngroup witnesses"),
		"an unused group":         replace("quorum", "witness stranger "+stranger.VKey+"\ngroup more any stranger\nquorum"),
		"a group below":           replace("group witnesses", "quorum witnesses\ngroup witnesses"),
		"no quorum":               replace("quorum witnesses\n", ""),
		"two quorums":             string(text) + "quorum witnesses\n",
		"quorum none":             replace("quorum witnesses", "quorum none"),
		"quorum of monitors":      replace("quorum witnesses", "quorum monitors"),
		"quorum of a witness":     replace("quorum witnesses", "quorum alfa"),
		"faults as many":          string(text) + "faults 4\n",
		"faults too many for k":   string(text) + "faults 2\n",
		"faults below 0":          string(text) + "faults -1\n",
		"faults twice":            string(text) + "faults 1\nfaults 1\n",
		"an unknown line":         string(text) + "timeout 5\n",
		"a carriage return":       replace("\n", "\r\n"),
		"a no-break space":        replace("log ", "log\u00a0"),
	} {
		if got, err := checkpoint.ParsePolicy([]byte(file)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for name, bad := range map[string]checkpoint.Policy{
		"empty":           {},
		"k of 0":          {Logs: p.Logs, Witnesses: p.Witnesses, F: 1},
		"a name of two":   {Logs: p.Logs, Witnesses: []checkpoint.Witness{{Name: "a b", VKey: stranger.VKey}}, K: 1},
		"a URL of two":    {Logs: p.Logs, Witnesses: []checkpoint.Witness{{Name: "a", VKey: stranger.VKey, URL: "https://a.example/ b"}}, K: 1},
		"named a comment": {Logs: p.Logs, Witnesses: []checkpoint.Witness{{Name: "#a", VKey: stranger.VKey}}, K: 1},
	} {
		if text, err := checkpoint.FormatPolicy(&bad); err == nil {
			t.Errorf("%s: %s", name, text)
		}
		if _, err := bad.Open(nil); err == nil {
			t.Errorf("%s: Open", name)
		}
	}
}

func TestQuorums(t *testing.T) {
	data, err := os.ReadFile("../testdata/vectors-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Quorums []struct {
			N, F   int
			LeastK int `json:"least_k"`
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Quorums) == 0 {
		t.Fatal("no vectors")
	}
	for _, q := range vectors.Quorums {
		if got := checkpoint.Faults(q.N); got != q.F {
			t.Errorf("Faults(%d) = %d, want %d", q.N, got, q.F)
		}
		if got := checkpoint.LeastQuorum(q.N, q.F); got != q.LeastK {
			t.Errorf("LeastQuorum(%d, %d) = %d, want %d", q.N, q.F, got, q.LeastK)
		}
	}
	for n := range 30 {
		for f := range n {
			if k := checkpoint.LeastQuorum(n, f); 2*k <= n+f || 2*(k-1) > n+f {
				t.Errorf("LeastQuorum(%d, %d) = %d", n, f, k)
			}
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	p, _, _ := testPolicy(f)
	text, err := checkpoint.FormatPolicy(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := checkpoint.ParsePolicy(file)
		if err != nil {
			return
		}
		text, err := checkpoint.FormatPolicy(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := checkpoint.ParsePolicy(text)
		if diff := cmp.Diff(p, again); err != nil || diff != "" {
			t.Errorf("%v (-first +again):\n%s", err, diff)
		}
	})
}
