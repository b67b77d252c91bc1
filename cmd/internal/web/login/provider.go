// SPDX-License-Identifier: EUPL-1.2

package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
)

// spidCode is how SPID's providers write the number of an anomaly into an error's description.
var spidCode = regexp.MustCompile(`(?i)\bnr\s?([0-9]{2})\b`)

// anomalies of SPID that a citizen can do something about, by number.
var anomalies = map[string]string{
	"19": "attempts", "20": "level", "21": "expired", "22": "consent", "23": "suspended", "25": "cancelled",
}

// reasons of the errors of OAuth 2.0 and OpenID Connect that a citizen can do something about. Of the others the operator
// has to hear: the provider refused what we sent.
var reasons = map[string]string{
	"access_denied": "cancelled", "consent_required": "consent", "login_required": "expired", "interaction_required": "expired",
	"server_error": "provider", "temporarily_unavailable": "provider",
	"unmet_authentication_requirements": "level",
	"unauthorized_client":               "provider", "invalid_request": "provider", "invalid_scope": "provider", "unsupported_response_type": "provider",
	"invalid_request_object": "provider", "request_uri_not_supported": "provider", "registration_not_supported": "provider",
}

// refusalOf says in our words what a provider said in its own, which are neither shown nor kept.
func refusalOf(code, description string) error {
	reason, known := reasons[code]
	if !known {
		return refuse("provider", errors.New("the provider answered with an error that isn't in the specification"))
	}
	cause := "the provider answered " + code
	if n := spidCode.FindStringSubmatch(description); n != nil {
		cause += " nr" + n[1]
		if own := anomalies[n[1]]; own != "" {
			reason = own
		}
	}
	return refuse(reason, errors.New(cause))
}

// post sends a form with the proof that it is from us.
func (d *Door) post(ctx context.Context, endpoint, audience string, form url.Values) ([]byte, error) {
	now := d.now()
	assertion, err := d.keys.sign(map[string]any{
		"iss": d.settings.ClientID, "sub": d.settings.ClientID, "aud": audience,
		"iat": now.Unix(), "exp": now.Add(requestAge).Unix(), "jti": uuid.NewString(),
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't sign who we are: %w", err)
	}
	form.Set("client_id", d.settings.ClientID)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, _, err := d.ask(r)
	return answer, err
}

// ask sends a request and reads the answer to it.
func (d *Door) ask(r *http.Request) (answer []byte, kind string, err error) {
	response, err := d.client.Do(r)
	if err != nil {
		return nil, "", refuse("unreachable", fmt.Errorf("%s didn't answer", r.URL.Host))
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil || len(answer) > maxAnswer {
		return nil, "", refuse("unreachable", fmt.Errorf("the answer of %s couldn't be read", r.URL.Host))
	}
	if response.StatusCode != http.StatusOK {
		var e struct {
			Error string `json:"error"`
		}
		json.Unmarshal(answer, &e)
		if _, known := tokenErrors[e.Error]; !known {
			e.Error = "another error"
		}
		return nil, "", refuse("provider", fmt.Errorf("%s answered %d, %s", r.URL.Host, response.StatusCode, e.Error))
	}
	kind, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type"))
	return answer, kind, nil
}

// tokenErrors are those of RFC 6749 section 5.2 and RFC 6750, which are told to the operator.
var tokenErrors = map[string]bool{
	"invalid_request": true, "invalid_client": true, "invalid_grant": true, "unauthorized_client": true, "unsupported_grant_type": true,
	"invalid_scope": true, "invalid_token": true, "insufficient_scope": true, "server_error": true, "temporarily_unavailable": true,
}

// Leave takes the access token back, with which SPID's providers end their session too, and sends the browser where others
// do so, if they say where.
func (d *Door) Leave(ctx context.Context, identity session.Identity, back string) string {
	m, err := d.metadata(ctx)
	if err != nil {
		return ""
	}
	if m.Revocation != "" && identity.AccessToken != "" {
		// Where it fails the token ends by itself, a few minutes later.
		if _, err := d.post(ctx, m.Revocation, m.Token, url.Values{"token": {identity.AccessToken}, "token_type_hint": {"access_token"}}); err != nil {
			d.log.Info("couldn't take an access token back", "provider", d.provider.ID, "error", err)
		}
	}
	if m.EndSession == "" {
		return ""
	}
	u, err := url.Parse(m.EndSession)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("client_id", d.settings.ClientID)
	q.Set("id_token_hint", identity.IDToken)
	q.Set("post_logout_redirect_uri", back)
	u.RawQuery = q.Encode()
	return u.String()
}

// Metadata is what the providers have to know about this ledger (OpenID Connect Dynamic Client Registration 1.0, section
// 2): the part openid_relying_party of its entry in a federation.
func (s *Settings) Metadata(keys *Keys) map[string]any {
	m := map[string]any{
		"client_id": s.ClientID, "client_name": s.Operator.Name, "application_type": "web",
		"response_types": []string{"code"}, "grant_types": []string{"authorization_code"},
		"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "RS256", "request_object_signing_alg": "RS256",
		"id_token_signed_response_alg": "RS256", "userinfo_signed_response_alg": "RS256",
		"userinfo_encrypted_response_alg": "RSA-OAEP-256", "userinfo_encrypted_response_enc": "A256CBC-HS512",
		"default_acr_values": []string{level2}, "subject_type": "pairwise",
		"post_logout_redirect_uris": web.LeftURLs(s.Origin), "jwks": keys.Public(),
	}
	var redirects []string
	for _, p := range s.Providers {
		redirects = append(redirects, s.redirectURI(p))
	}
	m["redirect_uris"] = redirects
	return m
}
