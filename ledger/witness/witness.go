// SPDX-License-Identifier: EUPL-1.2

package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

// Witness cosigns the checkpoints of known logs. It serves add-checkpoint.
type Witness struct {
	dir    string
	signer note.Signer // of formats/note: cosignature/v1

	// Verify, when set, is asked once the checkpoint is known to extend the
	// last one, before it is cosigned: a monitor verifies the new leaves here.
	// ErrRefused says that the log is wrong, any other error that this can't be
	// told yet; signed is the checkpoint as it came.
	Verify func(ctx context.Context, cp checkpoint.Checkpoint, signed []byte) error

	mu sync.Mutex // held from the check against the last checkpoint to its replacement

	known sync.RWMutex // guards logs
	logs  []note.Verifier
}

// New returns a witness that keeps the last checkpoint of each log in dir,
// which exists.
func New(dir string, signer note.Signer, logs ...note.Verifier) *Witness {
	return &Witness{dir: dir, signer: signer, logs: logs}
}

// Know has the witness cosign a further log from now on: the next year's of a ledger. A key that it knows is no news.
func (w *Witness) Know(log note.Verifier) {
	w.known.Lock()
	defer w.known.Unlock()
	for _, l := range w.logs {
		if l.Name() == log.Name() && l.KeyHash() == log.KeyHash() {
			return
		}
	}
	w.logs = append(w.logs, log)
}

// all returns the logs that are known now.
func (w *Witness) all() []note.Verifier {
	w.known.RLock()
	defer w.known.RUnlock()
	return w.logs[:len(w.logs):len(w.logs)]
}

// Errors of Add, by the answers that the protocol has for them.
var (
	errUnknownLog   = errors.New("no log of this origin is known here")
	errSignature    = errors.New("the checkpoint isn't signed by the log")
	errOldTooLarge  = errors.New("old is larger than the checkpoint")
	errInconsistent = errors.New("the checkpoint doesn't extend what was cosigned before")
	errNotVerified  = errors.New("the checkpoint's leaves aren't verified")
)

// conflict says which size to prove from.
type conflict struct{ size uint64 }

func (c conflict) Error() string { return fmt.Sprintf("the last cosigned size is %d", c.size) }

// Add checks a checkpoint against the last one cosigned for its log, keeps it
// durably, and returns the cosignature line.
func (w *Witness) Add(ctx context.Context, r Request) (string, error) {
	cp, known, err := w.open(r.Checkpoint)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	last, err := w.last(known)
	if err != nil {
		return "", err
	}
	switch {
	case r.Old > cp.Size:
		return "", errOldTooLarge
	case r.Old != last.Size:
		return "", conflict{last.Size}
	}
	if err := checkExtends(last, cp, r.Proof); err != nil {
		return "", err
	}
	if w.Verify != nil {
		if err := w.Verify(ctx, cp, r.Checkpoint); err != nil {
			return "", fmt.Errorf("%w: %w", errNotVerified, err)
		}
	}
	cosigned, err := checkpoint.Cosign(r.Checkpoint, known, w.signer)
	if err != nil {
		return "", err
	}
	if err := durable.Replace(w.file(cp.Origin), cosigned, 0o600); err != nil {
		return "", fmt.Errorf("couldn't keep the checkpoint: %w", err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(cosigned), "\n"), "\n")
	return strings.TrimSuffix(lines[len(lines)-1], "\n") + "\n", nil
}

func checkExtends(last, cp checkpoint.Checkpoint, path []ledger.Hash) error {
	hashes := make([][]byte, len(path))
	for i := range path {
		hashes[i] = path[i][:]
	}
	switch {
	case last.Size == 0:
		if len(path) > 0 {
			return errInconsistent
		}
	case proof.VerifyConsistency(rfc6962.DefaultHasher, last.Size, cp.Size, hashes, last.Root[:], cp.Root[:]) != nil:
		return errInconsistent
	}
	return nil
}

// open finds the log whose checkpoint this is.
func (w *Witness) open(signed []byte) (checkpoint.Checkpoint, note.Verifier, error) {
	origin, _, _ := strings.Cut(string(signed), "\n")
	for _, log := range w.all() {
		if log.Name() != origin {
			continue
		}
		cp, err := checkpoint.Open(signed, log)
		if err != nil {
			return cp, nil, errSignature
		}
		return cp, log, nil
	}
	return checkpoint.Checkpoint{}, nil, errUnknownLog
}

// last reads the last checkpoint cosigned for a log; size 0 for none.
func (w *Witness) last(log note.Verifier) (checkpoint.Checkpoint, error) {
	signed, err := os.ReadFile(w.file(log.Name()))
	if errors.Is(err, fs.ErrNotExist) {
		return checkpoint.Checkpoint{Origin: log.Name()}, nil
	}
	if err != nil {
		return checkpoint.Checkpoint{}, fmt.Errorf("couldn't read the last checkpoint: %w", err)
	}
	cp, err := checkpoint.Open(signed, log)
	if err != nil {
		return cp, fmt.Errorf("couldn't read the last checkpoint of %s: %w", log.Name(), err)
	}
	return cp, nil
}

// file is named by the hash of the origin, as the monitoring prefix names it.
func (w *Witness) file(origin string) string {
	return filepath.Join(w.dir, originHash(origin)+".checkpoint")
}

// ServeHTTP answers POST …/add-checkpoint and GET …/<origin hash>/checkpoint.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/add-checkpoint"):
		w.serveAdd(rw, r)
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/checkpoint"):
		w.serveLast(rw, r)
	default:
		http.NotFound(rw, r)
	}
}

func (w *Witness) serveAdd(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, 64<<10))
	if err != nil {
		http.Error(rw, "the request is too long or incomplete", http.StatusBadRequest)
		return
	}
	request, err := ParseRequest(body)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	line, err := w.Add(r.Context(), request)
	var c conflict
	switch {
	case err == nil:
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(rw, line)
	case errors.As(err, &c):
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		io.WriteString(rw, strconv.FormatUint(c.size, 10)+"\n")
	case errors.Is(err, errUnknownLog):
		http.Error(rw, err.Error(), http.StatusNotFound)
	case errors.Is(err, errSignature):
		http.Error(rw, err.Error(), http.StatusForbidden)
	case errors.Is(err, errOldTooLarge):
		http.Error(rw, err.Error(), http.StatusBadRequest)
	case errors.Is(err, errInconsistent), errors.Is(err, ErrRefused):
		http.Error(rw, err.Error(), http.StatusUnprocessableEntity)
	case errors.Is(err, errNotVerified):
		http.Error(rw, err.Error(), http.StatusServiceUnavailable)
	default:
		http.Error(rw, "the witness can't cosign now", http.StatusInternalServerError)
	}
}

func (w *Witness) serveLast(rw http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	for _, log := range w.all() {
		if parts[len(parts)-2] != originHash(log.Name()) {
			continue
		}
		if signed, err := os.ReadFile(w.file(log.Name())); err == nil {
			rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
			rw.Write(signed)
			return
		}
	}
	http.NotFound(rw, r)
}
