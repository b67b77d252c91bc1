// SPDX-License-Identifier: EUPL-1.2

package foreign

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// ready is what ledgerd dev writes once it serves.
type ready struct {
	URL        string `json:"url"`
	LogKeyFile string `json:"log_key_file"`
	PolicyFile string `json:"policy_file"`
}

// serve runs a sample ledger.
func serve(t *testing.T) ready {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "ledgerd")
	build := exec.Command("go", "build", "-o", binary, "./cmd/ledgerd")
	build.Dir = filepath.Join("..", "..") // its own module's dependencies
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("couldn't build ledgerd: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "ready.json")
	cmd := exec.Command(binary, "dev", "--receipts", "500", "--listen", "127.0.0.1:0", "--ready-file", file, "--data", filepath.Join(dir, "data"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait()); err != nil {
			t.Errorf("ledgerd: %v", err)
		}
	})
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		data, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var r ready
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	t.Fatal("ledgerd dev doesn't serve")
	return ready{}
}

// bundleHashes returns the leaf hashes of an entry bundle, by Tessera's parser.
func bundleHashes(data []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(data); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, e := range b.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return hashes, nil
}

// damaged changes a byte of one entry bundle.
type damaged struct {
	fsck.Fetcher
	bundle uint64
}

func (d damaged) ReadEntryBundle(ctx context.Context, i uint64, p uint8) ([]byte, error) {
	data, err := d.Fetcher.ReadEntryBundle(ctx, i, p)
	if err == nil && i == d.bundle {
		data[len(data)-1] ^= 1
	}
	return data, err
}

// TestTesseraFsck: Tessera's fsck reads the whole log of a running ledger, its
// entries and all its tiles, and finds nothing wrong; and finds a changed byte.
func TestTesseraFsck(t *testing.T) {
	r := serve(t)
	vkeys, err := os.ReadFile(r.LogKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := checkpoint.ParseKeys(vkeys)
	if err != nil || len(logs) != 1 {
		t.Fatalf("%d keys, %v", len(logs), err)
	}
	key := logs[0]
	year := filepath.Base(key.Name())
	root, err := url.Parse(r.URL + "/log/" + year + "/")
	if err != nil {
		t.Fatal(err)
	}
	f, err := client.NewHTTPFetcher(root, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := fsck.New(key.Name(), key, f, bundleHashes, fsck.Opts{N: 4}).Check(t.Context()); err != nil {
		t.Errorf("Tessera's fsck: %v", err)
	}
	if err := fsck.New(key.Name(), key, damaged{f, 7}, bundleHashes, fsck.Opts{N: 4}).Check(t.Context()); err == nil {
		t.Error("Tessera's fsck takes a changed byte")
	}
	cosigned(t, f, r.PolicyFile, key)
}

// cosigned checks with others' parsers what our policy takes: the witness's and the
// monitor's cosignatures.
func cosigned(t *testing.T, f *client.HTTPFetcher, policyFile string, key note.Verifier) {
	t.Helper()
	file, err := os.ReadFile(policyFile)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := checkpoint.ParsePolicy(file)
	if err != nil {
		t.Fatal(err)
	}
	// The monitor may be asked once more, at the next publication.
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		signed, err := f.ReadCheckpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ours, err := policy.Open(signed)
		if err == nil && len(ours.Monitors) == 1 {
			theirs, _, n, err := log.ParseCheckpoint(signed, key.Name(), key, verifiers(t, policy)...)
			if err != nil {
				t.Fatal(err)
			}
			if len(n.Sigs) != 3 {
				t.Errorf("others verify %d signatures, want the log's, the witness's and the monitor's", len(n.Sigs))
			}
			if theirs.Size != ours.Size || [32]byte(theirs.Hash) != ours.Root {
				t.Errorf("others read %v, we read %v", theirs, ours)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d monitors cosigned, %v", len(ours.Monitors), err)
		}
	}
}

// verifiers are those of a policy's witnesses and monitors, as others parse them.
func verifiers(t *testing.T, p *checkpoint.Policy) (list []note.Verifier) {
	t.Helper()
	for _, w := range slices.Concat(p.Witnesses, p.Monitors) {
		v, err := f_note.NewVerifierForCosignatureV1(w.VKey)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}
