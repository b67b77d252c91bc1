// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Longest names, in bytes.
const (
	MaxName = 200 // of a ledger
	MaxID   = 64  // of a body or scope
)

// CheckName reports whether name can be a ledger's: 1 to 200 bytes of ASCII
// without space, control or '+'. The name is public, but not repeated.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("a ledger name has 1 to %d bytes, not %d", MaxName, len(name))
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == '+' {
			return errors.New("a ledger name is ASCII without space, control or +")
		}
	}
	return nil
}

// Origin is the origin line and note key name of one shard: name/epoch.
//
//	registro.example/2026
func Origin(name string, epoch uint32) string {
	return name + "/" + strconv.FormatUint(uint64(epoch), 10)
}

// ParseOrigin is the inverse of [Origin].
func ParseOrigin(origin string) (name string, epoch uint32, err error) {
	i := strings.LastIndexByte(origin, '/')
	if i < 0 {
		return "", 0, errors.New("an origin is a ledger name, / and an epoch")
	}
	name, digits := origin[:i], origin[i+1:]
	if err := CheckName(name); err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != digits {
		return "", 0, fmt.Errorf("an origin's epoch is a decimal number up to %d", uint32(math.MaxUint32))
	}
	return name, uint32(n), nil
}

// EpochOf is the epoch that an event recorded at t belongs to: the UTC year.
func EpochOf(t time.Time) uint32 {
	return uint32(t.UTC().Year())
}

// Subject is the code of a person or organisation that an event is about: a
// codice fiscale of 16 characters [A-Z0-9] or of 11 digits, with a right check
// character, exactly as given. One that omocodia changed is another subject.
//
//	RSSMRA80A01H501U    80078750587
//
// A Subject is personal data. It belongs in no error, log, metric, URL or file
// name.
type Subject string

const subjectForm = "16 characters A-Z 0-9 or 11 digits, with a right check character"

var errSubject = errors.New("a subject is " + subjectForm)

// ParseSubject checks a subject and never repairs it. The error doesn't hold it.
func ParseSubject(s string) (Subject, error) {
	switch {
	case len(s) == 16 && check16(s), len(s) == 11 && check11(s):
		return Subject(s), nil
	}
	return "", errSubject
}

// odd holds what a character at an odd position (counted from 1) adds to the
// check of a code of 16, for 0–9 and A–J, then for K–Z (DM 23 December 1976).
const odd = "\x01\x00\x05\x07\x09\x0d\x0f\x11\x13\x15" +
	"\x02\x04\x12\x14\x0b\x03\x06\x08\x0c\x0e\x10\x0a\x16\x19\x18\x17"

func check16(s string) bool {
	sum := 0
	for i := range 15 {
		n := int(s[i]) - '0'
		if n < 0 || n > 9 {
			n = int(s[i]) - 'A'
			if n < 0 || n > 25 {
				return false
			}
		}
		if i%2 == 0 {
			n = int(odd[n])
		}
		sum += n
	}
	return int(s[15]) == 'A'+sum%26
}

// check11 is Luhn's check: of the digits at even positions, counted from 1, the
// double counts, with its own digits added up.
func check11(s string) bool {
	sum := 0
	for i := range 11 {
		n := int(s[i]) - '0'
		if n < 0 || n > 9 {
			return false
		}
		if i%2 == 1 {
			n *= 2
			if n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}

// Reserved scopes, always listed. Their words start with +, which no id has.
const (
	ScopeConsent  = "+consent"
	ScopeLedger   = "+ledger"
	ScopeReported = "+reported"
	ScopeDeferred = "+deferred"
)

// MaxScopes is how many scope records an epoch should have at most; a further
// one is an alarm.
const MaxScopes = 300

var reservedScopes = []string{ScopeConsent, ScopeLedger, ScopeReported, ScopeDeferred}

// CheckID reports whether id can be the id of a body or of its scope: 1 to 64
// bytes of [a-z0-9_-].
//
//	c_h501    53b40136-65f2-424b-acfb-7fae17e35c60
func CheckID(id string) error {
	if id == "" || len(id) > MaxID {
		return fmt.Errorf("an id has 1 to %d bytes, not %d", MaxID, len(id))
	}
	for i := range len(id) {
		if c := id[i]; (c < 'a' || 'z' < c) && (c < '0' || '9' < c) && c != '_' && c != '-' {
			return errors.New("an id is made of a-z, 0-9, _ and -")
		}
	}
	return nil
}

// CheckScope reports whether scope is the id of a body or a reserved word.
func CheckScope(scope string) error {
	if slices.Contains(reservedScopes, scope) {
		return nil
	}
	return CheckID(scope)
}

// AllScopes are the reserved words and ids, each once, ascending by their bytes.
func AllScopes(ids []string) []string {
	all := slices.Concat(reservedScopes, ids)
	slices.Sort(all)
	return slices.Compact(all)
}

// ScopesHash is what a head says of the scopes before it: H(LP(s_0) ‖ LP(s_1) ‖
// …) over the reserved words and ids, each once, ascending by their bytes.
func ScopesHash(ids []string) Hash {
	var b []byte
	for _, s := range AllScopes(ids) {
		b = appendLP(b, s)
	}
	return sha256.Sum256(b)
}
