// SPDX-License-Identifier: EUPL-1.2

package webauthn

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	virtual "github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/consent/consenttest"
	"github.com/traccia-ledger/traccia/ledger"
)

// page answers what the citizen's pages will: it hands the challenge to the browser and the browser's answer back.
const page = `<!doctype html><meta charset="utf-8"><title>Prova</title><script>
const b64 = b => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g,'-').replace(/\//g,'_').replace(/=+$/,'');
const raw = s => Uint8Array.from(atob(s.replace(/-/g,'+').replace(/_/g,'/')), c => c.charCodeAt(0));
async function enrol(challenge) {
  const c = await navigator.credentials.create({publicKey: {challenge: raw(challenge), rp: {id: 'localhost', name: 'Registro'},
    user: {id: new Uint8Array(16), name: 'cittadino', displayName: 'Cittadino'}, attestation: 'none',
    pubKeyCredParams: [{type: 'public-key', alg: -7}, {type: 'public-key', alg: -8}, {type: 'public-key', alg: -257}],
    authenticatorSelection: {residentKey: 'required', userVerification: 'required'}}});
  return {authenticator_data: b64(c.response.getAuthenticatorData()), client_data: b64(c.response.clientDataJSON)};
}
async function sign(challenge) {
  const c = await navigator.credentials.get({publicKey: {challenge: raw(challenge), rpId: 'localhost', userVerification: 'required'}});
  return {credential: b64(c.rawId), authenticator_data: b64(c.response.authenticatorData),
    client_data: b64(c.response.clientDataJSON), signature: b64(c.response.signature)};
}
</script>`

// TestBrowser enrols a passkey and signs records in Chromium, with its virtual authenticator.
func TestBrowser(t *testing.T) {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("SKIPPED: no Chromium here, so no real browser signs a consent in this run")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, page)
	}))
	defer server.Close()
	origin := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)

	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	defer cancel()
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo).Printf
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithLogf(quiet), chromedp.WithErrorf(quiet))
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(origin)); err != nil {
		t.Fatalf("couldn't start %s: %v", path, err)
	}
	if _, err := chromedp.Call(ctx, virtual.Enable, virtual.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, virtual.AddVirtualAuthenticator, virtual.AddVirtualAuthenticatorParams{Options: &virtual.VirtualAuthenticatorOptions{
		Protocol: virtual.AuthenticatorProtocolCtap2, Ctap2version: virtual.Ctap2versionCtap21, Transport: virtual.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, AutomaticPresenceSimulation: true, IsUserVerified: true,
	}}); err != nil {
		t.Fatal(err)
	}
	ask := func(call string, r *consent.Record) consent.Evidence {
		t.Helper()
		challenge := consent.Challenge(r.Ledger, r.Epoch, consenttest.Bytes(t, r))
		script := fmt.Sprintf("%s(%q).then(JSON.stringify)", call, base64.RawURLEncoding.EncodeToString(challenge[:]))
		answer, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		var e consent.Evidence
		if err := json.Unmarshal([]byte(answer), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}

	citizen := &consenttest.Citizen{Code: "RSSMRA80A01H501U", At: time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)}
	body := &consenttest.Collector{ID: "registro", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	recorder, reader := NewList("registro.example", false), consent.NewList("registro.example", false)
	record := func(r *consent.Record, e consent.Evidence) {
		t.Helper()
		event := citizen.Event(t, 7, body.Submission(t, citizen, consenttest.Statement(t, r, e)))
		for _, list := range []*consent.List{recorder, reader} {
			if p := list.Add(event); p != nil {
				t.Fatalf("%s: %v", r.Kind, p)
			}
		}
	}
	enrolment := citizen.Record(t, "registro.example", ledger.KindPasskeyEnrolled)
	enrolment.Passkey = &consent.Passkey{RP: "localhost", Origin: origin}
	e := ask("enrol", enrolment)
	e.Type, e.Login = consent.EvidenceRegistration, consenttest.LoginEvidence.Login
	record(enrolment, e)

	given := citizen.Record(t, "registro.example", ledger.KindConsentGiven)
	signed := ask("sign", given)
	signed.Type = consent.EvidencePasskey
	record(given, signed)
	use := ledger.ConsentUse{ID: given.ID, Consumer: "c_a944", Purpose: given.Terms.Purposes[0], Categories: given.Terms.Categories, At: citizen.At}
	if _, p := reader.Covers(use); p != nil {
		t.Errorf("a consent signed in the browser doesn't cover: %v", p)
	}

	withdrawn := citizen.Record(t, "registro.example", ledger.KindConsentWithdrawn)
	withdrawn.Ends = given.ID
	signed = ask("sign", withdrawn)
	signed.Type = consent.EvidencePasskey
	record(withdrawn, signed)
	if _, p := reader.Covers(use); p == nil {
		t.Error("a consent withdrawn in the browser covers")
	}
}
