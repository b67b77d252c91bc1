// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/seal"
)

// Request is what people asked who are about to be erased: submissions to be recorded once the wraps are destroyed. It is
// kept from before the first wrap is journalled until they are in the public log, so that no crash and no restored database
// leaves an erasure without its ground. It names the people; nothing else in the directory does. So it is sealed under a
// key of its own, which the directory's passphrase protects as any other, and overwritten when it is dropped:
//
//	traccia-request/1
//	plain: 32 bytes, or wrapped: 72 bytes, see keyFile
//	sealed: nonce 24 ‖ XChaCha20-Poly1305(key, nonce, JSON)
//	sum: …
type Request struct {
	Name        string // of its file
	Wraps       []Erasure
	Submissions [][]byte
}

const (
	requestsDir = "requests"
	requestKind = "traccia-request/1"
)

// requestJSON is what a request's file seals.
type requestJSON struct {
	Wraps       []ledger.Hash `json:"wraps"` // handle, wrap, handle, wrap …
	Submissions [][]byte      `json:"submissions"`
}

var requestBinding = sha256.Sum256([]byte(requestKind))

// KeepRequest returns once the request is on disk; it gives it a name.
func (d *Dir) KeepRequest(r Request) error {
	content := requestJSON{Wraps: []ledger.Hash{}, Submissions: r.Submissions}
	for _, w := range r.Wraps {
		content.Wraps = append(content.Wraps, w.Handle, w.Wrap)
	}
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("couldn't keep a request: %w", err)
	}
	var secret [32]byte
	rand.Read(secret[:])
	key := field{plain, base64url.EncodeToString(secret[:])}
	if d.key != nil {
		key = field{wrapped, base64url.EncodeToString(seal.Wrap(d.key, requestBinding, &secret))}
	}
	aead, err := chacha20poly1305.NewX(secret[:])
	if err != nil {
		return fmt.Errorf("couldn't keep a request: %w", err)
	}
	sealed := make([]byte, aead.NonceSize(), aead.NonceSize()+len(text)+aead.Overhead())
	rand.Read(sealed)
	sealed = aead.Seal(sealed, sealed, text, nil)
	if err := d.root.Mkdir(requestsDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("couldn't keep a request: %w", err)
	}
	if err := d.syncFolder(requestsDir); err != nil {
		return err
	}
	name := rand.Text()
	if err := d.createFile(requestsDir+"/"+name, formatText(requestKind, key, field{"sealed", base64url.EncodeToString(sealed)})); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests = append(d.requests, name)
	return nil
}

// HasRequests says whether any request is kept.
func (d *Dir) HasRequests() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.requests) > 0
}

// Requests reads all that are kept.
func (d *Dir) Requests() ([]Request, error) {
	d.mu.Lock()
	names := slices.Clone(d.requests)
	d.mu.Unlock()
	var list []Request
	for _, name := range names {
		data, err := d.readFile(requestsDir + "/" + name)
		if err != nil {
			return nil, err
		}
		r, err := d.openRequest(data)
		if err != nil {
			return nil, d.wrong(requestsDir+"/"+name, err)
		}
		r.Name = name
		list = append(list, *r)
	}
	return list, nil
}

// openRequest reads what KeepRequest wrote. The error is ErrDamaged.
func (d *Dir) openRequest(data []byte) (*Request, error) {
	fields, err := parseText(requestKind, data)
	if err != nil || len(fields) != 2 || fields[1].name != "sealed" {
		return nil, ErrDamaged
	}
	key, err := base64url.DecodeString(fields[0].value)
	if err != nil || len(key) != map[string]int{plain: 32, wrapped: wrapSize}[fields[0].name] || (fields[0].name == wrapped) != (d.key != nil) {
		return nil, ErrDamaged
	}
	if d.key != nil {
		secret, err := seal.Unwrap(d.key, requestBinding, key)
		if err != nil {
			return nil, ErrDamaged
		}
		key = secret[:]
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, ErrDamaged
	}
	sealed, err := base64url.DecodeString(fields[1].value)
	if err != nil || len(sealed) < aead.NonceSize() {
		return nil, ErrDamaged
	}
	text, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	if err != nil {
		return nil, ErrDamaged
	}
	var content requestJSON
	if json.Unmarshal(text, &content) != nil || len(content.Wraps)%2 != 0 {
		return nil, ErrDamaged
	}
	if again, err := json.Marshal(content); err != nil || !bytes.Equal(again, text) {
		return nil, ErrDamaged
	}
	r := &Request{Submissions: content.Submissions}
	for i := 0; i < len(content.Wraps); i += 2 {
		r.Wraps = append(r.Wraps, Erasure{content.Wraps[i], content.Wraps[i+1]})
	}
	return r, nil
}

// DropRequest destroys a request's file.
func (d *Dir) DropRequest(name string) error {
	if err := d.wipeFile(requestsDir + "/" + name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests = slices.DeleteFunc(d.requests, func(kept string) bool { return kept == name })
	return nil
}

func (d *Dir) loadRequests() error {
	if _, err := d.root.Stat(requestsDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	files, err := d.list(requestsDir)
	if err != nil {
		return err
	}
	for _, name := range files {
		data, err := d.readFile(requestsDir + "/" + name)
		if err != nil {
			return err
		}
		if _, err := d.openRequest(data); err != nil {
			return d.wrong(requestsDir+"/"+name, err)
		}
	}
	d.requests = files
	return nil
}
