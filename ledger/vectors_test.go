// SPDX-License-Identifier: EUPL-1.2

package ledger_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
)

// known are the sections of vectors-v1.json that belong to this package, made by
// an independent second implementation.
type known struct {
	NameSpace string `json:"name_space"`
	Leaves    []struct {
		Name, Leaf string
		Bytes      int
		LeafHash   string         `json:"leaf_hash"`
		Fields     map[string]any `json:"fields"`
	}
	LeavesRefused []struct{ Why, Leaf string } `json:"leaves_refused"`
	Names         struct {
		IDs             []string
		IDsRefused      []string `json:"ids_refused"`
		Reserved        []string
		Subjects        []string
		SubjectsRefused []string `json:"subjects_refused"`
	}
	Bodies  []struct{ Body, Commitment, Nonce string }
	Private []struct {
		Private, Salt string
		PrivateDigest string `json:"private_digest"`
	}
	Subjects []struct {
		Leaves   []string
		Paths    [][]string `json:"paths_deepest_first"`
		Root     string
		Subjects []struct{ Subject, Salt string }
	}
	Scopes []struct {
		Hash   string
		Scopes []string
	}
	Tags struct {
		Subject []struct {
			Alpha, K, Scope, Subject string
			Epoch                    uint32
			Tags                     []struct {
				I   uint32
				Tag string
			}
		}
		Agency []struct {
			Agency, Alpha, K string
			Epoch            uint32
			Tags             []struct{ J, Tag string }
		}
	}
}

func knownAnswers(t testing.TB) *known {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	v := new(known)
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhash(t testing.TB, s string) ledger.Hash {
	t.Helper()
	return ledger.Hash(unhex(t, s))
}

func unsigned(t testing.TB, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// fields is the vectors' way to write a parsed leaf.
func fields(l ledger.Leaf) map[string]any {
	text := func(n uint64) string { return strconv.FormatUint(n, 10) }
	hash := func(h ledger.Hash) string { return hex.EncodeToString(h[:]) }
	switch l := l.(type) {
	case ledger.Event:
		return map[string]any{"type": 1.0, "epoch": float64(l.Epoch), "subject_tag": hash(l.SubjectTag),
			"agency_tag": hash(l.AgencyTag), "body_commitment": hash(l.Commitment)}
	case ledger.Head:
		return map[string]any{"type": 2.0, "epoch": float64(l.Epoch), "final": l.Final, "keys": text(l.Keys),
			"root": hash(l.Root), "scopes": hash(l.Scopes), "unix_ms": text(l.UnixMS)}
	case ledger.Preamble:
		return map[string]any{"type": 3.0, "epoch": float64(l.Epoch), "vrf_suite": 3.0, "vrf_public_key": hash(l.VRFKey),
			"previous_size": text(l.PreviousSize), "previous_root": hash(l.PreviousRoot), "ledger_name": l.Name}
	case ledger.Record:
		return map[string]any{"type": 4.0, "epoch": float64(l.Epoch), "json": string(l.JSON)}
	}
	return nil
}

func TestKnownLeaves(t *testing.T) {
	v := knownAnswers(t)
	if v.NameSpace != ledger.NameSpace {
		t.Errorf("name space %q, want %q", ledger.NameSpace, v.NameSpace)
	}
	for _, x := range v.Leaves {
		raw := unhex(t, x.Leaf)
		leaf, err := ledger.ParseLeaf(raw)
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		if diff := cmp.Diff(x.Fields, fields(leaf)); diff != "" {
			t.Errorf("%s: fields (-want +got):\n%s", x.Name, diff)
		}
		again, err := ledger.FormatLeaf(leaf)
		if err != nil || string(again) != string(raw) || len(again) != x.Bytes {
			t.Errorf("%s: formats to %x, %v", x.Name, again, err)
		}
		if got, want := ledger.HashLeaf(raw), unhash(t, x.LeafHash); got != want {
			t.Errorf("%s: leaf hash %x, want %x", x.Name, got, want)
		}
	}
	for _, x := range v.LeavesRefused {
		if _, err := ledger.ParseLeaf(unhex(t, x.Leaf)); err != ledger.ErrMalformedLeaf {
			t.Errorf("%s: error %v, want ErrMalformedLeaf", x.Why, err)
		}
	}
}

func TestKnownNames(t *testing.T) {
	v := knownAnswers(t).Names
	for _, id := range v.IDs {
		if err := ledger.CheckID(id); err != nil {
			t.Errorf("id %q: %v", id, err)
		}
		if err := ledger.CheckScope(id); err != nil {
			t.Errorf("scope %q: %v", id, err)
		}
	}
	for _, id := range v.IDsRefused {
		if ledger.CheckID(id) == nil {
			t.Errorf("id %q was not refused", id)
		}
	}
	for _, scope := range v.Reserved {
		if err := ledger.CheckScope(scope); err != nil {
			t.Errorf("reserved scope %q: %v", scope, err)
		}
	}
	for _, s := range v.Subjects {
		if got, err := ledger.ParseSubject(s); err != nil || string(got) != s {
			t.Errorf("subject %q: %q, %v", s, got, err)
		}
	}
	for _, s := range v.SubjectsRefused {
		if _, err := ledger.ParseSubject(s); err == nil {
			t.Errorf("subject %q was not refused", s)
		}
	}
}

func TestKnownCommitments(t *testing.T) {
	v := knownAnswers(t)
	for _, x := range v.Bodies {
		nonce := unhash(t, x.Nonce)
		if got, want := ledger.BodyCommitment(&nonce, []byte(x.Body)), unhash(t, x.Commitment); got != want {
			t.Errorf("commitment to %q: %x, want %x", x.Body, got, want)
		}
	}
	for _, x := range v.Private {
		salt := unhash(t, x.Salt)
		if got, want := ledger.PrivateDigest(&salt, []byte(x.Private)), unhash(t, x.PrivateDigest); got != want {
			t.Errorf("digest of %q: %x, want %x", x.Private, got, want)
		}
	}
}

func TestKnownSubjectTrees(t *testing.T) {
	for _, x := range knownAnswers(t).Subjects {
		var list []ledger.SaltedSubject
		for i, s := range x.Subjects {
			subject, err := ledger.ParseSubject(s.Subject)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, ledger.SaltedSubject{Subject: subject, Salt: unhash(t, s.Salt)})
			proof := make([]ledger.Hash, len(x.Paths[i]))
			for k, h := range x.Paths[i] {
				proof[k] = unhash(t, h)
			}
			if err := ledger.CheckSubject(unhash(t, x.Root), len(x.Subjects), i, list[i], proof); err != nil {
				t.Errorf("%d subjects, position %d: %v", len(x.Subjects), i, err)
			}
		}
		tree, err := ledger.NewSubjectTree(list)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := tree.Root(), unhash(t, x.Root); got != want {
			t.Errorf("%d subjects: root %x, want %x", len(list), got, want)
		}
		for i := range list {
			got := []string{}
			for _, h := range tree.Proof(i) {
				got = append(got, hex.EncodeToString(h[:]))
			}
			if diff := cmp.Diff(x.Paths[i], got); diff != "" {
				t.Errorf("%d subjects, proof of %d (-want +got):\n%s", len(list), i, diff)
			}
		}
	}
}

func TestKnownScopes(t *testing.T) {
	for _, x := range knownAnswers(t).Scopes {
		if got, want := ledger.ScopesHash(x.Scopes), unhash(t, x.Hash); got != want {
			t.Errorf("scopes %q: %x, want %x", x.Scopes, got, want)
		}
	}
}

func TestKnownTags(t *testing.T) {
	v := knownAnswers(t).Tags
	for _, x := range v.Subject {
		if got := ledger.SubjectAlpha(ledger.Subject(x.Subject), x.Scope, x.Epoch); hex.EncodeToString(got) != x.Alpha {
			t.Errorf("alpha of %s in %s: %x, want %s", x.Subject, x.Scope, got, x.Alpha)
		}
		k := unhash(t, x.K)
		for _, tag := range x.Tags {
			if got, want := ledger.SubjectTag(&k, tag.I), unhash(t, tag.Tag); got != want {
				t.Errorf("tag %d of %s in %s: %x, want %x", tag.I, x.Subject, x.Scope, got, want)
			}
		}
	}
	for _, x := range v.Agency {
		if got := ledger.AgencyAlpha(x.Agency, x.Epoch); hex.EncodeToString(got) != x.Alpha {
			t.Errorf("alpha of %s: %x, want %s", x.Agency, got, x.Alpha)
		}
		k := unhash(t, x.K)
		for _, tag := range x.Tags {
			if got, want := ledger.AgencyTag(&k, unsigned(t, tag.J)), unhash(t, tag.Tag); got != want {
				t.Errorf("tag %s of %s: %x, want %x", tag.J, x.Agency, got, want)
			}
		}
	}
}
