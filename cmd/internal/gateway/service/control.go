// SPDX-License-Identifier: EUPL-1.2

package service

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/policies"
)

// controlSocket is where a gateway that serves answers the other commands: in a directory that its owner alone can enter.
const controlSocket = "gateway.sock"

// listenControl serves it: /records, /status, /sessions, and by POST /attest, /sessions and /sessions/close.
func (s *service) listenControl(dir string, start func(network, address string, h http.Handler, config *tls.Config) (string, error)) error {
	path := filepath.Join(dir, controlSocket)
	// One that a crash left: the memory is locked, so nobody listens there.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("couldn't listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /records", func(w http.ResponseWriter, _ *http.Request) {
		// Chunked: what breaks off is seen to.
		if err := WriteRecords(w, s.memory); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		state, err := StateOf(s.memory)
		reply(w, state, err)
	})
	mux.HandleFunc("POST /attest", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.gateway.Attest(r.Context())
		reply(w, list, err)
	})
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.memory.Sessions(), nil) })
	mux.HandleFunc("POST /sessions", func(w http.ResponseWriter, r *http.Request) {
		var o Opening
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&o); err != nil {
			reply(w, nil, err)
			return
		}
		session, err := s.gateway.OpenSession(o.Person, o.Reason, o.Renew)
		reply(w, session, err)
	})
	mux.HandleFunc("POST /sessions/close", func(w http.ResponseWriter, _ *http.Request) {
		session, err := s.gateway.CloseSession()
		reply(w, session, err)
	})
	_, err := start("unix", path, mux, nil)
	return err
}

// Opening asks for a session of break-glass.
type Opening struct {
	Person, Reason string
	Renew          bool
}

func reply(w http.ResponseWriter, answer any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(answer)
}

// ErrNobody: no gateway serves over this memory.
var ErrNobody = errors.New("no gateway serves")

// Ask asks the gateway that serves. The caller closes the answer's body.
func Ask(ctx context.Context, c *config.Config, method, path string) (*http.Response, error) {
	return ask(ctx, c, method, path, nil)
}

func ask(ctx context.Context, c *config.Config, method, path string, content io.Reader) (*http.Response, error) {
	socket := filepath.Join(c.Memory, controlSocket)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, content)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNobody
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
		return nil, errors.New(strings.TrimSpace(string(said)))
	}
	return resp, nil
}

// AskFor decodes an answer.
func AskFor(ctx context.Context, c *config.Config, method, path string, answer any) error {
	return Tell(ctx, c, method, path, nil, answer)
}

// Tell is AskFor with something to say; nil for nothing.
func Tell(ctx context.Context, c *config.Config, method, path string, what, answer any) error {
	var content io.Reader
	if what != nil {
		data, err := json.Marshal(what)
		if err != nil {
			return err
		}
		content = bytes.NewReader(data)
	}
	resp, err := ask(ctx, c, method, path, content)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("couldn't read the answer of the gateway that serves: %w", err)
	}
	return nil
}

// State is what a memory says of itself.
type State struct {
	memory.Status
	Checks   []memory.Check
	Policies string // digest of those that break-glass decides by, in hex; "" where none are known
}

// StateOf reads it.
func StateOf(m *memory.Memory) (*State, error) {
	status, err := m.Status()
	if err != nil {
		return nil, err
	}
	s := &State{Status: status}
	if s.Checks, err = m.Checks(); err != nil {
		return nil, err
	}
	lessons, err := m.Lessons()
	if lessons.Bundle != nil {
		digest := policies.Digest(lessons.Bundle)
		s.Policies = hex.EncodeToString(digest[:])
	}
	return s, err
}

// WriteRecords writes all that a memory has at this instant, as provider.RecordsFile reads it.
func WriteRecords(w io.Writer, m *memory.Memory) error {
	out := bufio.NewWriterSize(w, 1<<16)
	for line, err := range m.Lines() {
		if err == nil {
			_, err = out.Write(line)
		}
		if err == nil {
			err = out.WriteByte('\n')
		}
		if err != nil {
			return errors.Join(err, out.Flush())
		}
	}
	return out.Flush()
}
