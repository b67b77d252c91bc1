// SPDX-License-Identifier: EUPL-1.2

// Package witness speaks c2sp.org/tlog-witness, from both ends: Client asks
// for cosignatures, Witness gives them.
//
// A witness promises one thing: that it saw only one history of a log. It
// cosigns a checkpoint after the log proved it consistent with the last one
// it cosigned, and remembers it durably first. So two people who each hold a
// checkpoint cosigned by the same honest witness hold the same log.
package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
)

// Request is the body of an add-checkpoint call:
//
//	old 20852014
//	PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
//	jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
//
//	registro.example/2026
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— registro.example/2026 Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeO…
type Request struct {
	Old        uint64        // size of the last checkpoint that the witness cosigned, 0 for none
	Proof      []ledger.Hash // RFC 6962 consistency proof from there, at most 63
	Checkpoint []byte        // signed note
}

// ErrRequest is the one error of ParseRequest.
var ErrRequest = errors.New("malformed add-checkpoint request")

const maxProof = 63

// FormatRequest returns the body.
func FormatRequest(r Request) []byte {
	b := append([]byte("old "), strconv.FormatUint(r.Old, 10)...)
	b = append(b, '\n')
	for _, h := range r.Proof {
		b = base64.StdEncoding.AppendEncode(b, h[:])
		b = append(b, '\n')
	}
	b = append(b, '\n')
	return append(b, r.Checkpoint...)
}

// ParseRequest is the inverse of FormatRequest. It doesn't open the
// checkpoint.
func ParseRequest(b []byte) (Request, error) {
	head, cp, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok || len(cp) == 0 {
		return Request{}, ErrRequest
	}
	lines := strings.Split(string(head), "\n")
	size, ok := strings.CutPrefix(lines[0], "old ")
	old, err := strconv.ParseUint(size, 10, 64)
	if !ok || err != nil || len(lines) > 1+maxProof {
		return Request{}, ErrRequest
	}
	r := Request{Old: old, Checkpoint: cp}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != 32 {
			return Request{}, ErrRequest
		}
		r.Proof = append(r.Proof, ledger.Hash(h))
	}
	if !bytes.Equal(FormatRequest(r), b) {
		return Request{}, ErrRequest
	}
	return r, nil
}
