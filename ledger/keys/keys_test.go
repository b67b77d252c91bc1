// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/vrf"
	"golang.org/x/mod/sumdb/note"
)

const testName = "registro.example"

// cheap makes a passphrase cost nothing, for tests alone.
var cheap = cost{time: 1, memoryKiB: 8, threads: 1}

// newDir makes a directory with one epoch, one month and one erasure, and returns it closed.
func newDir(t testing.TB, passphrase string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	d, err := create(path, passphrase, cheap)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.NewEpoch(testName, 2026); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Month("2026-11"); err != nil {
		t.Fatal(err)
	}
	if err := d.SetPublished(2026, []byte("registro.example/2026\n")); err != nil {
		t.Fatal(err)
	}
	if err := d.AppendErasure(ledger.Hash{1}, ledger.Hash{2}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path, passphrase string) *Dir {
	t.Helper()
	d, err := Open(path, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// contents is all that a directory holds, by path.
func contents(t testing.TB, path string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		found[strings.TrimPrefix(name, path+"/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// secrets is everything that a directory gives for epoch 2026 and November.
type secrets struct {
	VKey          string
	VRF           [32]byte
	Handle, Month [32]byte
	Version       uint32
	Erasures      []Erasure
	Published     string
}

func readSecrets(t testing.TB, d *Dir) (s secrets) {
	t.Helper()
	var key *vrf.PrivateKey
	var published []byte
	var err [5]error
	_, s.VKey, err[0] = d.Signer(2026)
	key, err[1] = d.VRF(2026)
	s.Handle, err[2] = d.Handle(2026)
	s.Month, s.Version, err[3] = d.Month("2026-11")
	published, err[4] = d.Published(2026)
	if err := errors.Join(err[:]...); err != nil {
		t.Fatal(err)
	}
	s.VRF, s.Published, s.Erasures = key.Public(), string(published), d.Erasures()
	return s
}

func TestReopen(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse"} {
		path := newDir(t, passphrase)
		before := contents(t, path)
		first := readSecrets(t, open(t, path, passphrase))
		second := readSecrets(t, open(t, path, passphrase))
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("opened again: %s", diff)
		}
		if diff := cmp.Diff(before, contents(t, path)); diff != "" {
			t.Errorf("opening changed files: %s", diff)
		}
		want := []string{
			"epochs/2026.handle.key", "epochs/2026.log.key", "epochs/2026.operator.key", "epochs/2026.vrf.key",
			"erasures", "months/2026-11.1.key", "protection", "published/2026.checkpoint",
		}
		var got []string
		for name, data := range before {
			got = append(got, name)
			if secret := strings.Contains(data, "\nplain: "); strings.HasSuffix(name, ".key") && secret != (passphrase == "") {
				t.Errorf("%s holds a plain secret: %v", name, secret)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("files: %s", diff)
		}
		if first.Version != 1 || first.Month == first.Handle || first.Month == [32]byte{} {
			t.Errorf("secrets %+v", first)
		}
	}
}

func TestModes(t *testing.T) {
	path := newDir(t, "")
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", name, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOthersRightsAreRefused(t *testing.T) {
	path := newDir(t, "")
	for _, name := range []string{
		"", "epochs", "months", "published", "protection", "erasures", "published/2026.checkpoint",
		"epochs/2026.log.key", "epochs/2026.vrf.key", "epochs/2026.handle.key", "epochs/2026.operator.key", "months/2026-11.1.key",
	} {
		full := filepath.Join(path, name)
		info, err := os.Stat(full)
		if err != nil {
			t.Fatal(err)
		}
		for _, more := range []fs.FileMode{0o040, 0o020, 0o010, 0o004, 0o002, 0o001} {
			if err := os.Chmod(full, info.Mode()|more); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(path, ""); !errors.Is(err, ErrPermissions) || !strings.Contains(err.Error(), full) {
				t.Errorf("%s with mode %04o: %v, want ErrPermissions that names it", name, info.Mode().Perm()|more, err)
			}
		}
		if err := os.Chmod(full, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	open(t, path, "")
}

func TestPassphrase(t *testing.T) {
	protected, bare := newDir(t, "correct horse"), newDir(t, "")
	for _, c := range []struct{ path, passphrase string }{
		{protected, ""}, {protected, "correct horse "}, {protected, "battery staple"}, {bare, "correct horse"},
	} {
		if _, err := Open(c.path, c.passphrase); !errors.Is(err, ErrPassphrase) {
			t.Errorf("Open(%q) = %v, want ErrPassphrase", c.passphrase, err)
		}
	}
}

// A plain key put into a directory with a passphrase, or the other way round, is nobody's doing but an attacker's.
func TestMixedProtectionIsRefused(t *testing.T) {
	protected, bare := newDir(t, "correct horse"), newDir(t, "")
	const name = "months/2026-11.1.key"
	a, b := contents(t, protected)[name], contents(t, bare)[name]
	write(t, filepath.Join(protected, name), b)
	write(t, filepath.Join(bare, name), a)
	for path, passphrase := range map[string]string{protected: "correct horse", bare: ""} {
		if _, err := Open(path, passphrase); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("Open = %v, want ErrDamaged that names the file", err)
		}
	}
}

func TestDefaultCost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	d, err := Create(path, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if got := contents(t, path)["protection"]; !strings.Contains(got, "time: 3\nmemory-kib: 65536\nthreads: 4\n") {
		t.Errorf("protection is %q", got)
	}
}

func write(t testing.TB, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamageIsNamed(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse"} {
		path := newDir(t, passphrase)
		for name, data := range contents(t, path) {
			if strings.HasPrefix(name, "published/") {
				continue // its signature protects it
			}
			full := filepath.Join(path, name)
			refuse := func(what string, damaged string) {
				t.Helper()
				write(t, full, damaged)
				if _, err := Open(path, passphrase); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), full) {
					t.Errorf("%s, %s: %v, want ErrDamaged that names the file", name, what, err)
				}
			}
			for i := range len(data) { // every bit is the parsers' tests' to flip
				flipped := []byte(data)
				flipped[i] ^= 1 << (i % 8)
				refuse("a bit flipped", string(flipped))
			}
			if name != journalFile { // which may end in the middle of a line, see TestTornJournal
				for size := 0; size < len(data); size += 7 {
					refuse("truncated", data[:size])
				}
			}
			refuse("a byte more", data+"\n")
			write(t, full, data)
		}
		open(t, path, passphrase)
	}
}

func TestSwappedFilesAreRefused(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse"} {
		path := newDir(t, passphrase)
		d := open(t, path, passphrase)
		if err := d.NewEpoch(testName, 2027); err != nil {
			t.Fatal(err)
		}
		files := contents(t, path)
		for _, pair := range [][2]string{
			{"epochs/2026.vrf.key", "epochs/2026.handle.key"},
			{"epochs/2026.vrf.key", "epochs/2027.vrf.key"},
			{"months/2026-11.1.key", "epochs/2026.vrf.key"},
		} {
			write(t, filepath.Join(path, pair[0]), files[pair[1]])
			if _, err := Open(path, passphrase); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), pair[0]) {
				t.Errorf("%s in place of %s: %v, want ErrDamaged that names it", pair[1], pair[0], err)
			}
			write(t, filepath.Join(path, pair[0]), files[pair[0]])
		}
	}
}

func TestMissingFiles(t *testing.T) {
	for _, name := range []string{"protection", "erasures", "epochs", "months", "published"} {
		path := newDir(t, "")
		if err := os.RemoveAll(filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v, want fs.ErrNotExist that names it", name, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "keys"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing = %v, want fs.ErrNotExist", err)
	}
}

func TestMisplacedFiles(t *testing.T) {
	for _, name := range []string{
		"notes", "epochs/2026.log.key~", "epochs/02026.log.key", "epochs/2026.tls.key", "months/2026-11.1.key.bak",
		"months/2026-11.0.key", "months/2026-11.01.key", "months/2026-13.1.key", "months/2026-11.key", "months/2026-11.1",
		"months/2026-11.1.destroyed.key", "published/2026", "published/x.checkpoint", "published/02026.checkpoint",
	} {
		path := newDir(t, "")
		write(t, filepath.Join(path, name), "")
		if _, err := Open(path, ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("with %s: %v, want an error that names it", name, err)
		}
	}
}

func TestCreateRefusesWhatIsThere(t *testing.T) {
	path := newDir(t, "")
	before := contents(t, path)
	if _, err := Create(path, ""); err == nil {
		t.Error("Create over keys succeeded")
	}
	if diff := cmp.Diff(before, contents(t, path)); diff != "" {
		t.Errorf("Create changed files: %s", diff)
	}
	lax := t.TempDir()
	if err := os.Chmod(lax, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(lax, ""); !errors.Is(err, ErrPermissions) {
		t.Errorf("Create in a directory that others read = %v, want ErrPermissions", err)
	}
	file := filepath.Join(lax, "file")
	write(t, file, "")
	if _, err := Create(file, ""); err == nil {
		t.Error("Create over a file succeeded")
	}
	empty := t.TempDir()
	if err := os.Chmod(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := Create(empty, "")
	if err != nil {
		t.Fatalf("Create in an empty directory = %v", err)
	}
	d.Close()
}

func TestFilesAreNeverOverwritten(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	before := contents(t, path)
	for name := range before {
		if err := d.createFile(name, []byte("other")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("createFile(%s) = %v, want fs.ErrExist", name, err)
		}
	}
	// A key that appears behind our back stays as it is, too.
	behind := filepath.Join(path, "months", "2026-12.1.key")
	write(t, behind, "behind our back")
	before["months/2026-12.1.key"] = "behind our back"
	if _, _, err := d.Month("2026-12"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Month over a file = %v, want fs.ErrExist", err)
	}
	if diff := cmp.Diff(before, contents(t, path)); diff != "" {
		t.Errorf("files changed: %s", diff)
	}
}

func TestTemporaryFilesAreRemoved(t *testing.T) {
	path := newDir(t, "")
	before := contents(t, path)
	for _, folder := range []string{"", "epochs", "months", "published"} {
		write(t, filepath.Join(path, folder, temporary+"ABC"), "what a crash left")
	}
	open(t, path, "")
	if diff := cmp.Diff(before, contents(t, path)); diff != "" {
		t.Errorf("files changed: %s", diff)
	}
}

// TestCheck finds what Open would refuse, and leaves alone what Open would mend.
func TestCheck(t *testing.T) {
	path := newDir(t, "correct horse")
	write(t, filepath.Join(path, "months", temporary+"ABC"), "what another process writes")
	write(t, filepath.Join(path, "months/2026-11.1.destroyed"), "")
	journal := contents(t, path)[journalFile]
	write(t, filepath.Join(path, journalFile), journal+"half a line")
	before := contents(t, path)
	if err := Check(path, "correct horse"); err != nil {
		t.Error(err)
	}
	if err := Check(path, "battery staple"); !errors.Is(err, ErrPassphrase) {
		t.Errorf("another passphrase: %v", err)
	}
	if diff := cmp.Diff(before, contents(t, path)); diff != "" {
		t.Errorf("files changed: %s", diff)
	}
	write(t, filepath.Join(path, "months/2026-11.2.key"), "")
	if err := Check(path, "correct horse"); !errors.Is(err, ErrDamaged) {
		t.Errorf("an empty key: %v", err)
	}
}

func TestPublished(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	if got, err := d.Published(2027); err != nil || got != nil {
		t.Errorf("Published(2027) = %q, %v, want nothing", got, err)
	}
	for _, checkpoint := range []string{"first", "second, and longer", "third"} {
		if err := d.SetPublished(2026, []byte(checkpoint)); err != nil {
			t.Fatal(err)
		}
		if got, err := open(t, path, "").Published(2026); err != nil || string(got) != checkpoint {
			t.Errorf("Published = %q, %v, want %q", got, err, checkpoint)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	path := newDir(t, "")
	d := open(t, path, "")
	var keys sync.Map
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			key, version, err := d.Month("2026-12")
			if err != nil || version != 1 {
				t.Errorf("Month = version %d, %v", version, err)
			}
			keys.Store(key, true)
			if err := d.AppendErasure(ledger.Hash{byte(i)}, ledger.Hash{}); err != nil {
				t.Error(err)
			}
			if err := d.SetPublished(2026, []byte{byte(i)}); err != nil {
				t.Error(err)
			}
			if _, _, err := d.Signer(2026); err != nil {
				t.Error(err)
			}
			d.Months()
			d.Epochs()
			d.Erasures()
		})
	}
	wg.Wait()
	count := 0
	keys.Range(func(any, any) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d keys of one month, want 1", count)
	}
	if got := len(open(t, path, "").Erasures()); got != 9 {
		t.Errorf("%d erasures, want 9", got)
	}
}

func TestSigner(t *testing.T) {
	d := open(t, newDir(t, "correct horse"), "correct horse")
	signer, vkey, err := d.Signer(2026)
	if err != nil {
		t.Fatal(err)
	}
	if signer.Name() != "registro.example/2026" {
		t.Errorf("signer's name is %q", signer.Name())
	}
	signed, err := note.Sign(&note.Note{Text: "registro.example/2026\n0\nAAAA\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
		t.Errorf("the verifier key refuses the signature: %v", err)
	}
}
