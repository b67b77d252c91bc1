// SPDX-License-Identifier: EUPL-1.2

package node_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// forAuthority starts a ledger again that wraps its keys for a new authority.
func (r *running) forAuthority() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	public := [32]byte(key.PublicKey().Bytes())
	if err := node.SetAuthority(r.dir, &public); err != nil {
		r.t.Fatal(err)
	}
	r.start(node.Options{})
}

// TestAuthorityKeys: every key is wrapped for the authority, through restarts, another authority and none; fsck opens each.
func TestAuthorityKeys(t *testing.T) {
	r := newLedger(t, node.Options{})
	r.access(0, 1)
	bare := len(wrapsOf(t, copyDirOf(t, r))[0].Value)
	sizes := func(want int) {
		t.Helper()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		healthy(t, r.dir)
		for _, row := range wrapsOf(t, r.dir) {
			if len(row.Value) != want {
				t.Errorf("a wrap of %d bytes, want %d", len(row.Value), want)
			}
		}
		r.start(node.Options{})
	}
	r.forAuthority()
	r.access(1, 2)
	sizes(bare + 144)
	r.access(2, 3)
	sizes(bare + 144)
	r.forAuthority()
	sizes(bare + 144)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := node.SetAuthority(r.dir, nil); err != nil {
		t.Fatal(err)
	}
	r.start(node.Options{})
	sizes(bare)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if rows := rowsOf(t, r.dir, store.TableDayKey); len(rows) > 0 {
		t.Errorf("%d day keys of an authority that is no more", len(rows))
	}
	if err := node.SetAuthority(r.dir, new([32]byte)); err == nil {
		t.Error("a key that no secret has was set")
	}
	if _, err := node.ReadSettings(r.dir); err != nil {
		t.Error(err)
	}
}

// copyDirOf is the directory of a ledger, as it stands while it runs.
func copyDirOf(t *testing.T, r *running) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.Backup(t.Context(), filepath.Join(to, "store")); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestAuthorityRestored: a backup from before erasures comes back with the keys of today wrapped for the authority, also that
// of a person who was erased and recorded again.
func TestAuthorityRestored(t *testing.T) {
	r := newLedger(t, node.Options{})
	r.forAuthority()
	for n := range 4 {
		r.access(n, n)
	}
	if err := r.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(t.TempDir(), "backup")
	if _, err := node.Backup(t.Context(), r.dir, from, quiet, func(to string) error { return r.Backup(t.Context(), to) }); err != nil {
		t.Fatal(err)
	}
	r.erase(3, true)
	r.erase(1, true)
	r.access(10, 1) // under a new key
	r.erase(2, true)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	healthy(t, r.dir)
	r.forgetPublished()
	latest := copyDir(t, r.dir)
	for _, part := range []string{"store", "keys"} {
		if err := os.RemoveAll(filepath.Join(r.dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := node.Restore(t.Context(), from, r.dir, filepath.Join(latest, "keys"), node.Options{}); err != nil {
		t.Fatal(err)
	}
	healthy(t, r.dir)
	r.start(node.Options{})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if checked, erased := healthy(t, r.dir); erased != 3 || checked == 0 {
		t.Errorf("fsck: %d bodies, %d erased", checked, erased)
	}
}
