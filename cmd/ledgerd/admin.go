// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/registry"
)

// The operator's commands speak to the ledger through one small interface: to
// the process that serves it, over a socket in its directory that only its
// owner can open, or, when nothing serves it, to a ledger opened for the
// moment in this very process. Either way the same handler answers.

// adminSocket is its name in the data directory.
const adminSocket = "admin.sock"

// adminCall is a request; one of the parts is set.
type adminCall struct {
	AddBody   *registry.Body  `json:"add_body,omitempty"`
	AddKeys   *addKeys        `json:"add_keys,omitempty"`
	RevokeKey *revokeKey      `json:"revoke_key,omitempty"`
	SetScope  *registry.Scope `json:"set_scope,omitempty"`
	List      bool            `json:"list,omitempty"`
	Status    bool            `json:"status,omitempty"`
	Backup    string          `json:"backup,omitempty"` // absolute path of a new directory
	History   *historyCall    `json:"history,omitempty"`
	Consents  *consentsCall   `json:"consents,omitempty"`
	Erase     *eraseCall      `json:"erase,omitempty"`
	Asked     *askedCall      `json:"asked,omitempty"`
	Retention *retentionCall  `json:"retention,omitempty"`
	Policy    *policyCall     `json:"policy,omitempty"`
	Build     *buildCall      `json:"build,omitempty"`
}

type addKeys struct {
	Body         string   `json:"body"`
	JWKS         []byte   `json:"jwks"`
	Proofs       []string `json:"proofs"`        // one for each key, "" for none
	OperatorWord bool     `json:"operator_word"` // further keys without a proof
}

type revokeKey struct {
	Body   string `json:"body"`
	Kid    string `json:"kid"`
	All    bool   `json:"all"` // every key in force, and not Kid
	Reason string `json:"reason"`
}

// adminReply is its answer.
type adminReply struct {
	Index     uint64                  `json:"index,omitempty"`
	Kids      []string                `json:"kids,omitempty"`
	Bodies    []listedBody            `json:"bodies,omitempty"`
	Erased    *node.Erased            `json:"erased,omitempty"`
	Asked     []node.ErasureRequest   `json:"asked,omitempty"`
	Retention *node.Retention         `json:"retention,omitempty"`
	Status    *node.State             `json:"status,omitempty"`
	File      []byte                  `json:"file,omitempty"`
	Gone      []uint32                `json:"gone,omitempty"` // years that no history shows
	Consents  []ledger.ConsentSummary `json:"consents,omitempty"`
	Problem   *ledger.Problem         `json:"problem,omitempty"`
	Error     string                  `json:"error,omitempty"`
}

type listedBody struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Tenant     string      `json:"tenant,omitempty"`
	Attributes []string    `json:"attributes,omitempty"`
	Providers  []string    `json:"providers,omitempty"` // that its scope speaks for
	Keys       []listedKey `json:"keys"`
}

type listedKey struct {
	Kid     string `json:"kid"`
	Alg     string `json:"alg"`
	Basis   string `json:"basis"`
	Index   uint64 `json:"record_index"`
	Revoked bool   `json:"revoked,omitempty"`

	RevokedIndex uint64 `json:"revoked_index,omitempty"`
	Reason       string `json:"reason,omitempty"`
}

func listenAdmin(dir string) (net.Listener, error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	// The store's lock is held: a socket that is there belongs to nobody.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("couldn't replace the operator's socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the operator's socket: %w", err)
	}
	// One that is left behind is replaced; at its end a process that stood still
	// would take away that of the next one.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("couldn't protect the operator's socket: %w", err)
	}
	return l, nil
}

// socketPath gives the shorter of the two ways to say it: the kernel takes
// 107 bytes.
func socketPath(dir string) (string, error) {
	path := filepath.Join(dir, adminSocket)
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && len(rel) < len(path) {
			path = rel
		}
	}
	if len(path) > 107 {
		return "", fmt.Errorf("the path of the operator's socket has %d bytes, at most 107 are possible: use a shorter --data", len(path))
	}
	return path, nil
}

func adminHandler(n *node.Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call adminCall
		if err := json.NewDecoder(io.LimitReader(r.Body, 16<<20)).Decode(&call); err != nil {
			http.Error(w, "expected a call as JSON", http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(doAdmin(r.Context(), n, call))
	})
}

func doAdmin(ctx context.Context, n *node.Node, call adminCall) adminReply {
	var reply adminReply
	var err error
	switch {
	case call.AddBody != nil:
		reply.Index, err = n.AddBody(ctx, *call.AddBody)
	case call.AddKeys != nil:
		reply.Index, reply.Kids, err = doAddKeys(ctx, n, call.AddKeys)
	case call.RevokeKey != nil:
		reply.Index, reply.Kids, err = doRevoke(ctx, n, call.RevokeKey)
	case call.SetScope != nil:
		reply.Index, err = n.SetScope(ctx, *call.SetScope)
	case call.Backup != "":
		err = n.Backup(ctx, call.Backup)
	case call.Erase != nil:
		reply.Erased, err = doErase(ctx, n, call.Erase)
	case call.Asked != nil:
		err = doAsked(ctx, n, call.Asked, &reply)
	case call.Retention != nil:
		reply.Retention, err = doRetention(ctx, n, call.Retention)
	case call.History != nil:
		reply.File, err = doHistory(ctx, n, call.History)
		reply.Gone = n.Gone()
	case call.Consents != nil:
		reply.Consents, err = doConsents(ctx, n, call.Consents)
	case call.Policy != nil:
		reply.Index, reply.File, err = doPolicy(ctx, n, call.Policy)
	case call.Build != nil:
		reply.Index, err = n.PublishBuild(ctx, call.Build.Sums, call.Build.Version, call.Build.Toolchain)
	case call.List:
		reply.Bodies = listBodies(n)
	case call.Status:
		s := n.State()
		reply.Status = &s
	}
	if err != nil && !errors.As(err, &reply.Problem) {
		reply.Error = err.Error()
	}
	return reply
}

// doAddKeys registers the keys of a set. A body's first keys, and those after
// all were revoked, rest on the operator's word; a further key needs a proof
// by one in force, or that the operator insists.
func doAddKeys(ctx context.Context, n *node.Node, call *addKeys) (first uint64, kids []string, err error) {
	keys, err := jws.ParseKeys(call.JWKS)
	if err != nil {
		return 0, nil, &ledger.Problem{Code: "bad_key", Where: "jwks", Expected: "a JWK set of public P-256, RSA or Ed25519 keys", Found: err.Error()}
	}
	vouched := call.OperatorWord
	if !vouched {
		vouched = true
		for _, k := range n.Registry().Keys(call.Body) {
			vouched = vouched && k.Revoked
		}
	}
	if len(call.Proofs) != len(keys) {
		return 0, nil, errors.New("as many proofs as keys were expected")
	}
	for i := range keys {
		if call.Proofs[i] == "" && !vouched {
			return 0, nil, &ledger.Problem{
				Code: "proof_missing", Where: fmt.Sprintf("jwks/keys/%d/proof", i),
				Expected: "a proof by a key in force of " + call.Body + " (agency key new --signed-by), or --operator-word",
				Found:    "a further key without one",
			}
		}
	}
	for i, key := range keys {
		index, err := n.AddKey(ctx, call.Body, key, call.Proofs[i])
		if err != nil {
			return 0, nil, err
		}
		if i == 0 {
			first = index
		}
		kids = append(kids, key.Kid)
	}
	return first, kids, nil
}

// doRevoke ends one key of a body, or all.
func doRevoke(ctx context.Context, n *node.Node, call *revokeKey) (first uint64, kids []string, err error) {
	if !call.All {
		kids = []string{call.Kid}
	} else {
		for _, k := range n.Registry().Keys(call.Body) {
			if !k.Revoked {
				kids = append(kids, k.Kid)
			}
		}
		if len(kids) == 0 {
			return 0, nil, &ledger.Problem{Code: "no_key", Where: "id", Expected: "a body with a key in force", Found: call.Body + ", which has none"}
		}
	}
	for i, kid := range kids {
		index, err := n.RevokeKey(ctx, call.Body, kid, call.Reason)
		if err != nil {
			return 0, nil, err
		}
		if i == 0 {
			first = index
		}
	}
	return first, kids, nil
}

func listBodies(n *node.Node) []listedBody {
	list := []listedBody{}
	for _, b := range n.Registry().Bodies() {
		providers, _ := n.Registry().Providers(b.ID)
		l := listedBody{ID: b.ID, Name: b.Name, Tenant: b.Tenant, Attributes: b.Attributes, Providers: providers, Keys: []listedKey{}}
		for _, k := range n.Registry().Keys(b.ID) {
			l.Keys = append(l.Keys, listedKey(k))
		}
		list = append(list, l)
	}
	return list
}

// adminDo performs a call on the ledger of flags, wherever it runs.
func adminDo(cmd *cobra.Command, flags *ledgerFlags, call adminCall) (adminReply, error) {
	reply, err := adminSend(cmd, flags, call)
	switch {
	case err != nil:
		return reply, err
	case reply.Problem != nil:
		return reply, reply.Problem
	case reply.Error != "":
		return reply, errors.New(reply.Error)
	}
	return reply, nil
}

func adminSend(cmd *cobra.Command, flags *ledgerFlags, call adminCall) (adminReply, error) {
	ctx := cmd.Context()
	path, err := socketPath(flags.data)
	if err != nil {
		return adminReply{}, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
		return adminPost(ctx, path, call)
	}
	opt, err := flags.options(cmd)
	if err != nil {
		return adminReply{}, err
	}
	n, err := node.Open(ctx, flags.data, opt)
	if err != nil {
		return adminReply{}, err
	}
	reply := doAdmin(ctx, n, call)
	return reply, n.Close()
}

func adminPost(ctx context.Context, path string, call adminCall) (adminReply, error) {
	var reply adminReply
	body, err := json.Marshal(call)
	if err != nil {
		return reply, err
	}
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://ledgerd/", bytes.NewReader(body))
	if err != nil {
		return reply, err
	}
	response, err := client.Do(request)
	if err != nil {
		return reply, fmt.Errorf("couldn't reach the ledger that serves this directory: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return reply, fmt.Errorf("the ledger that serves this directory answered %s: it may be of another version", response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		return reply, fmt.Errorf("couldn't read the ledger's answer: %w", err)
	}
	return reply, nil
}
