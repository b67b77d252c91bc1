// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"errors"
	"strings"

	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// Problem says to an administration what is wrong with what it sent, and what
// would be right. It is an error, used as *Problem.
//
//	{"code":"bad_salt","where":"/subjects/0/salt","expected":"32 bytes in base64url","found":"a string of 12 bytes"}
type Problem struct {
	// Code is one of the Code constants of this package, or a code of the
	// package that checked.
	Code string `json:"code"`
	// Where is a JSON Pointer into the document sent (/subjects/0/salt), or the
	// name of a part, with # and a path inside it (receipt#operation/path).
	Where    string `json:"where"`
	Expected string `json:"expected"`
	// Found is a kind, length, count or public hash: never a subject, a token or
	// another personal value.
	Found string `json:"found"`
}

func (p *Problem) Error() string {
	code := p.Code
	if p.Where != "" {
		code += " at " + p.Where
	}
	return code + ": expected " + p.Expected + ", found " + p.Found
}

// Codes of problems that this package finds.
const (
	CodeSyntax          = "syntax"           // no strict I-JSON, no compact JWS, or a value of another kind
	CodeMissing         = "missing"          // a required member
	CodeUnknownName     = "unknown_name"     // a member that the format doesn't have
	CodeBadValue        = "bad_value"        // not one of the words or forms allowed here
	CodeBadText         = "bad_text"         // empty, or with control characters
	CodeTooLong         = "too_long"         // more characters, bytes or items than allowed
	CodeBadName         = "bad_name"         // of a ledger
	CodeBadID           = "bad_id"           // of a body or scope
	CodeBadUUID         = "bad_uuid"         // not 8-4-4-4-12 lower-case hex digits
	CodeBadTime         = "bad_time"         // not RFC 3339 in UTC with a final Z
	CodeBadHash         = "bad_hash"         // not 64 lower-case hex digits
	CodeBadBase64       = "bad_base64"       // not base64url without padding
	CodeBadSalt         = "bad_salt"         // not 32 bytes
	CodeBadSubject      = "bad_subject"      // another form, or a wrong check character
	CodeBadCount        = "bad_count"        // no item, or too many
	CodeRepeated        = "repeated"         // an item that occurs before
	CodeSubjectRepeated = "subject_repeated" // a subject that occurs before
	CodeSaltRepeated    = "salt_repeated"    // a salt that occurs before
	CodeTokenMismatch   = "token_mismatch"   // the private part holds another token than the submission
	CodeDigestMismatch  = "digest_mismatch"  // private_digest isn't the private part's
	CodeCountMismatch   = "count_mismatch"   // as many subjects as the receipt says
	CodeRootMismatch    = "root_mismatch"    // the receipt's root isn't the subjects'
	CodeNamesSubject    = "names_subject"    // a receipt that contains a subject's code
	CodeNotParty        = "not_party"        // a statement by who isn't party to what it is about
	CodeDecision        = "decision"         // a decision that doesn't follow from its facts, its bundle or the log
	CodeConsentErased   = "consent_erased"   // an event of the citizen's list that would say doesn't open
	CodeAlgorithm       = "wrong_algorithm"  // a token's alg is none of those allowed, or not its key's
)

// under puts a problem's place behind a part's name: under("receipt") of
// operation/path is receipt#operation/path, of "" is receipt.
func (p *Problem) under(part string) *Problem {
	if p == nil {
		return nil
	}
	where := part
	if p.Where != "" {
		where += "#" + strings.TrimPrefix(p.Where, "/")
	}
	return &Problem{p.Code, where, p.Expected, p.Found}
}

// jsonProblem turns an error of package ijson into a problem. The place is the
// error's JSON Pointer.
func jsonProblem(err error) *Problem {
	var e *ijson.Error
	if !errors.As(err, &e) {
		return &Problem{Code: CodeSyntax, Expected: "an I-JSON object", Found: "something else"}
	}
	return &Problem{jsonCode(e.Found), e.Pointer, e.Expected, e.Found}
}

func jsonCode(found string) string {
	switch found {
	case "nothing":
		return CodeMissing
	case "an unknown name":
		return CodeUnknownName
	}
	return CodeSyntax
}

// tokenProblem turns an error of package jws into a problem. The place is the
// header parameter's name, or header, payload or signature.
func tokenProblem(err error) *Problem {
	var e *jws.Error
	if !errors.As(err, &e) {
		return &Problem{Code: CodeSyntax, Expected: "a compact JWS", Found: "something else"}
	}
	p := &Problem{jsonCode(e.Found), strings.TrimPrefix(e.Where, "header/"), e.Expected, e.Found}
	if p.Where == "alg" && e.Expected == jws.Algorithms {
		// Package jws repeats what came, and that could be anything.
		p.Code = CodeAlgorithm
		if e.Found != "none" {
			p.Found = "another algorithm"
		}
	}
	return p
}
