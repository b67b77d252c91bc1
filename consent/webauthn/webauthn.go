// SPDX-License-Identifier: EUPL-1.2

// Package webauthn checks what browsers answer with the library that web servers use for it, go-webauthn, when a consent
// is recorded. Package consent has a check of its own, small enough for a reader's browser; a ledger asks both, and
// records what both accept. A test holds them against each other.
package webauthn

import (
	"encoding/base64"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
)

var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// NewList is consent.NewList with both checks of every passkey.
func NewList(name string, partial bool) *consent.List {
	l := consent.NewList(name, partial)
	l.Also = Check
	return l
}

// Check checks a browser's answer to this challenge: an assertion of the credential, or the registration of a new one if
// that is nil.
func Check(p *consent.Passkey, c *consent.Credential, challenge ledger.Hash, e *consent.Evidence) error {
	if c == nil {
		return checkRegistration(p, challenge, e)
	}
	id := base64.RawURLEncoding.EncodeToString(e.Credential)
	response := protocol.CredentialAssertionResponse{
		PublicKeyCredential: credential(id, e.Credential),
		AssertionResponse: protocol.AuthenticatorAssertionResponse{
			AuthenticatorResponse: protocol.AuthenticatorResponse{ClientDataJSON: protocol.URLEncodedBase64(e.ClientData)},
			AuthenticatorData:     protocol.URLEncodedBase64(e.AuthenticatorData),
			Signature:             protocol.URLEncodedBase64(e.Signature),
		},
	}
	parsed, err := response.Parse()
	if err != nil {
		return err
	}
	return parsed.Verify(base64.RawURLEncoding.EncodeToString(challenge[:]), p.RP, "", []string{p.Origin}, nil, nil,
		protocol.TopOriginExplicitVerificationMode, false, true, true, c.COSE, protocol.SignaturePolicy{})
}

func checkRegistration(p *consent.Passkey, challenge ledger.Hash, e *consent.Evidence) error {
	// The credential's id as the authenticator data has it; package consent has checked the lengths.
	data := e.AuthenticatorData
	if len(data) < 55 {
		return protocol.ErrParsingData
	}
	n := int(data[53])<<8 | int(data[54])
	if len(data) < 55+n {
		return protocol.ErrParsingData
	}
	raw := data[55 : 55+n]
	response := protocol.CredentialCreationResponse{
		PublicKeyCredential: credential(base64.RawURLEncoding.EncodeToString(raw), raw),
		AttestationResponse: protocol.AuthenticatorAttestationResponse{
			AuthenticatorResponse: protocol.AuthenticatorResponse{ClientDataJSON: protocol.URLEncodedBase64(e.ClientData)},
			AttestationObject:     protocol.URLEncodedBase64(attestationObject(data)),
		},
	}
	parsed, err := response.Parse()
	if err != nil {
		return err
	}
	_, err = parsed.Verify(base64.RawURLEncoding.EncodeToString(challenge[:]), p.RP, []string{p.Origin}, nil, nil,
		protocol.TopOriginExplicitVerificationMode, false, true, true, nil, algorithms, protocol.AttestationPolicy{}, protocol.SignaturePolicy{})
	return err
}

func credential(id string, raw []byte) protocol.PublicKeyCredential {
	return protocol.PublicKeyCredential{
		Credential: protocol.Credential{ID: id, Type: string(protocol.PublicKeyCredentialType)}, RawID: raw,
	}
}

// attestationObject puts authenticator data where a browser has it that attests nothing: {"fmt":"none","attStmt":{},
// "authData":data} in CBOR.
func attestationObject(data []byte) []byte {
	return slices.Concat([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59"), []byte{byte(len(data) >> 8), byte(len(data))}, data)
}
