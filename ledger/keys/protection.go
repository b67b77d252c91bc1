// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strconv"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/seal"
	"golang.org/x/crypto/argon2"
)

const protectionKind = "traccia-keys/1"

// protection is how the secrets of a directory are protected, in its file:
//
//	traccia-keys/1                               traccia-keys/1
//	protection: argon2id                         protection: none
//	time: 3                                      sum: 51e5…
//	memory-kib: 65536
//	threads: 4
//	salt: AQIDBAUGBwgJCgsMDQ4PEA
//	check: 32 zero bytes, wrapped
//	sum: …
//
// The key that the passphrase makes wraps each secret as seal.Wrap does, bound to SHA-256 of the lines before it; check
// tells a wrong passphrase from a damaged key.
type protection struct {
	cost  cost // zero: no passphrase
	salt  [16]byte
	check []byte // 72 bytes
}

// cost is argon2id's. These bounds keep a damaged file from asking for all the memory there is.
type cost struct {
	time      uint32 // passes, 1 to 64
	memoryKiB uint32 // 8 for each thread, to 4 GiB
	threads   uint8  // 1 to 64
}

// defaultCost is the second recommendation of RFC 9106, section 4.
var defaultCost = cost{time: 3, memoryKiB: 64 << 10, threads: 4}

func newProtection(passphrase string, c cost) *protection {
	if passphrase == "" {
		return &protection{}
	}
	p := &protection{cost: c}
	rand.Read(p.salt[:])
	p.check = seal.Wrap(p.derive(passphrase), p.binding(), &[32]byte{})
	return p
}

// unlock returns the key that secrets are wrapped under, nil when they are not. The error is ErrPassphrase.
func (p *protection) unlock(passphrase string) (*[32]byte, error) {
	switch {
	case p.cost == cost{} && passphrase == "":
		return nil, nil
	case p.cost == cost{}:
		return nil, fmt.Errorf("these keys have no passphrase: %w", ErrPassphrase)
	case passphrase == "":
		return nil, fmt.Errorf("these keys need their passphrase: %w", ErrPassphrase)
	}
	key := p.derive(passphrase)
	if _, err := seal.Unwrap(key, p.binding(), p.check); err != nil {
		return nil, fmt.Errorf("not the passphrase of these keys: %w", ErrPassphrase)
	}
	return key, nil
}

func (p *protection) derive(passphrase string) *[32]byte {
	key := argon2.IDKey([]byte(passphrase), p.salt[:], p.cost.time, p.cost.memoryKiB, p.cost.threads, 32)
	return (*[32]byte)(key)
}

func (p *protection) binding() ledger.Hash {
	return sha256.Sum256(formatLines(protectionKind, p.settings()...))
}

func (p *protection) settings() []field {
	if p.cost == (cost{}) {
		return []field{{"protection", "none"}}
	}
	return []field{
		{"protection", "argon2id"},
		{"time", strconv.FormatUint(uint64(p.cost.time), 10)},
		{"memory-kib", strconv.FormatUint(uint64(p.cost.memoryKiB), 10)},
		{"threads", strconv.FormatUint(uint64(p.cost.threads), 10)},
		{"salt", base64url.EncodeToString(p.salt[:])},
	}
}

func formatProtection(p *protection) []byte {
	fields := p.settings()
	if p.cost != (cost{}) {
		fields = append(fields, field{"check", base64url.EncodeToString(p.check)})
	}
	return formatText(protectionKind, fields...)
}

// parseProtection reads what formatProtection wrote. The error is ErrDamaged.
func parseProtection(data []byte) (*protection, error) {
	fields, err := parseText(protectionKind, data)
	if err != nil {
		return nil, err
	}
	p := &protection{}
	if len(fields) == 6 {
		time, err1 := strconv.ParseUint(fields[1].value, 10, 32)
		memory, err2 := strconv.ParseUint(fields[2].value, 10, 32)
		threads, err3 := strconv.ParseUint(fields[3].value, 10, 8)
		salt, err4 := base64url.DecodeString(fields[4].value)
		check, err5 := base64url.DecodeString(fields[5].value)
		if err1 != nil || err2 != nil || err3 != nil || err4 != nil || err5 != nil ||
			time < 1 || time > 64 || threads < 1 || threads > 64 || memory < 8*threads || memory > 4<<20 ||
			len(salt) != len(p.salt) || len(check) != wrapSize {
			return nil, ErrDamaged
		}
		p = &protection{cost{uint32(time), uint32(memory), uint8(threads)}, [16]byte(salt), check}
	}
	if !bytes.Equal(formatProtection(p), data) {
		return nil, ErrDamaged
	}
	return p, nil
}
