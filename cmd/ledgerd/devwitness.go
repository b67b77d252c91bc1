// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/witness"
)

// devWitness is a witness that runs beside the sample ledger, in the same
// process and by the same operator: it shows what a witness does, and proves
// nothing.
type devWitness struct {
	vkey string
	url  string

	listener net.Listener
	server   *http.Server
}

// startWitness opens the witness of a sample ledger, making it the first time.
// It knows the log once watch is called.
func startWitness(dir string) (*devWitness, error) {
	keyFile, vkeyFile := filepath.Join(dir, "witness.key"), filepath.Join(dir, "witness.vkey")
	if _, err := os.Stat(vkeyFile); errors.Is(err, fs.ErrNotExist) {
		skey, vkey, err := witness.NewKey("witness." + devName)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(keyFile, []byte(skey+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("couldn't keep the sample witness's key: %w", err)
		}
		if err := os.WriteFile(vkeyFile, []byte(vkey+"\n"), 0o644); err != nil {
			return nil, fmt.Errorf("couldn't keep the sample witness's key: %w", err)
		}
	}
	vkey, err := os.ReadFile(vkeyFile)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the sample witness's key: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("couldn't listen for the sample witness: %w", err)
	}
	return &devWitness{vkey: strings.TrimSpace(string(vkey)), url: "http://" + listener.Addr().String(), listener: listener}, nil
}

// watch starts to cosign the log with this verifier key, and writes the policy
// that trusts both.
func (w *devWitness) watch(dir, logKeyFile, policyFile string) error {
	file, err := os.ReadFile(logKeyFile)
	if err != nil {
		return fmt.Errorf("couldn't read the log's key: %w", err)
	}
	logs, err := checkpoint.ParseKeys(file)
	if err != nil {
		return fmt.Errorf("couldn't read the log's key: %w", err)
	}
	signer, err := witness.ReadKey(filepath.Join(dir, "witness.key"))
	if err != nil {
		return err
	}
	policy, err := checkpoint.FormatPolicy(&checkpoint.Policy{
		Logs:      []checkpoint.Log{{VKey: strings.TrimSpace(string(file))}},
		Witnesses: []checkpoint.Witness{{Name: "sample", VKey: w.vkey, URL: w.url}},
		K:         1,
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(policyFile, policy, 0o644); err != nil {
		return fmt.Errorf("couldn't write the sample policy: %w", err)
	}
	w.server = &http.Server{Handler: witness.New(dir, signer, logs...), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	go w.server.Serve(w.listener)
	return nil
}

func (w *devWitness) close() {
	if w.server != nil {
		w.server.Close()
	}
	w.listener.Close()
}
