// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// The ledger as an e-service of PDND.
var eservice = node.EServiceSettings{
	ID: "3d0a8a4e-61d0-4f0c-8a58-0f1f1a0d9c11", Producer: "8f1b7c55-2f5f-4b53-9b0a-5f8e6f4b7d22", Audience: []string{"https://registro.example/v1"},
}

// govWay does for one consumer what GovWay does for a body that consumes the ledger's e-service: it fetches a voucher, here
// makes one, and signs the request by INTEGRITY_REST_02, headers that are configured among it (ModIImbustamentoRest in
// link-it/govway: iss, sub and client_id, signed_headers in lower case, typ JWT and a kid).
type govWay struct {
	to      string
	tenant  string // of the consumer
	signed  []string
	secrets map[string]crypto.Signer // "pdnd", "client-0"
}

func (g *govWay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ours := strings.CutPrefix(r.URL.Path, "/rest/out/Ente/Registro/traccia")
	content, err := io.ReadAll(r.Body)
	if !ours || err != nil {
		http.Error(w, "govway", http.StatusBadRequest)
		return
	}
	out, _ := http.NewRequest(r.Method, g.to+path, bytes.NewReader(content))
	out.Header = r.Header.Clone()
	sum := sha256.Sum256(content)
	out.Header.Set("Digest", "SHA-256="+base64.StdEncoding.EncodeToString(sum[:]))
	var headers []map[string]string
	for _, name := range g.signed {
		for _, value := range out.Header.Values(name) {
			headers = append(headers, map[string]string{strings.ToLower(name): value})
		}
	}
	now := time.Now().Unix()
	client := "be54418b-0c3e-4b1a-9d3b-7a7c0a9a1f10"
	out.Header.Set("Agid-JWT-Signature", g.token("client-0", "JWT", map[string]any{
		"iat": now, "nbf": now, "exp": now + 300, "jti": uuid.NewString(), "aud": eservice.Audience[0],
		"client_id": client, "iss": "Ente", "sub": "cartella-sociale", "signed_headers": headers,
	}))
	out.Header.Set("Authorization", "Bearer "+g.token("pdnd", "at+jwt", map[string]any{
		"iss": dev.Issuer, "aud": eservice.Audience[0], "client_id": client, "sub": client, "jti": uuid.NewString(), "purposeId": uuid.NewString(),
		"iat": now, "nbf": now, "exp": now + 600,
		"producerId": eservice.Producer, "consumerId": g.tenant, "eserviceId": eservice.ID, "descriptorId": uuid.NewString(),
	}))
	resp, err := http.DefaultClient.Do(out)
	if err != nil {
		http.Error(w, "govway", http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}

func (g *govWay) token(key, typ string, claims any) string {
	public, err := jws.NewKey("", g.secrets[key].Public())
	if err != nil {
		panic(err)
	}
	header, _ := json.Marshal(map[string]string{"alg": "RS256", "typ": typ, "kid": public.Kid})
	payload, _ := json.Marshal(claims)
	encode := base64.RawURLEncoding.EncodeToString
	input := encode(header) + "." + encode(payload)
	sum := sha256.Sum256([]byte(input))
	signature, err := g.secrets[key].Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return input + "." + encode(signature)
}

// startGovWay is the command "govway BODY HEADER,…": GOVWAY is the address of the ledger's e-service at the gateway of a
// body, which signs these headers; client.jwks has its public key.
func startGovWay(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(filepath.Join(keysDir, "dev-keys.pem"))
	ts.Check(err)
	g := &govWay{to: ts.Getenv("URL"), signed: strings.Split(args[1], ","), secrets: make(map[string]crypto.Signer)}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		ts.Check(err)
		g.secrets[block.Headers["Name"]] = key.(crypto.Signer)
	}
	for _, b := range world().Bodies() {
		if b.ID == args[0] {
			g.tenant = b.Tenant
		}
	}
	public, err := jws.NewKey("", g.secrets["client-0"].Public())
	ts.Check(err)
	set, err := jws.FormatKeys([]jws.Key{public})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("client.jwks"), set, 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	server := &http.Server{Handler: g}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	ts.Defer(func() { server.Close() })
	ts.Setenv("GOVWAY", "http://"+l.Addr().String()+"/rest/out/Ente/Registro/traccia")
}
