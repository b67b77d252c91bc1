// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
)

// controlSocket is where a gateway that serves answers the other commands: in a directory that its owner alone can enter.
const controlSocket = "gateway.sock"

// listenControl serves it: /records, /status and POST /attest.
func (s *service) listenControl(dir string, start func(network, address string, h http.Handler, config *tls.Config) (string, error)) error {
	path := filepath.Join(dir, controlSocket)
	// One that a crash left: the memory is locked, so nobody listens there.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("couldn't listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /records", func(w http.ResponseWriter, _ *http.Request) {
		// Chunked: what breaks off is seen to.
		if err := writeRecords(w, s.memory); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		state, err := stateOf(s.memory)
		reply(w, state, err)
	})
	mux.HandleFunc("POST /attest", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.gateway.Attest(r.Context())
		reply(w, list, err)
	})
	_, err := start("unix", path, mux, nil)
	return err
}

func reply(w http.ResponseWriter, answer any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(answer)
}

// errNobody: no gateway serves over this memory.
var errNobody = errors.New("no gateway serves")

// ask asks the gateway that serves. The caller closes the answer's body.
func ask(ctx context.Context, c *config.Config, method, path string) (*http.Response, error) {
	socket := filepath.Join(c.Memory, controlSocket)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNobody
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't ask the gateway that serves: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if err != nil {
			return nil, fmt.Errorf("couldn't ask the gateway that serves: %w", err)
		}
		return nil, errors.New(string(said))
	}
	return resp, nil
}

// askFor decodes an answer.
func askFor(ctx context.Context, c *config.Config, method, path string, answer any) error {
	resp, err := ask(ctx, c, method, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("couldn't read the answer of the gateway that serves: %w", err)
	}
	return nil
}

// state is what a memory says of itself.
type state struct {
	memory.Status
	Checks []memory.Check
}

func stateOf(m *memory.Memory) (*state, error) {
	status, err := m.Status()
	if err != nil {
		return nil, err
	}
	checks, err := m.Checks()
	return &state{status, checks}, err
}
