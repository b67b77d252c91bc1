// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// base64url is how secrets are written.
var base64url = base64.RawURLEncoding.Strict()

// field is one line of a file, "name: value". Both are ASCII without control characters; a name has no colon.
type field struct{ name, value string }

// formatText writes a file of fields. The last line is SHA-256 over all lines before it:
//
//	traccia-key/1
//	purpose: month
//	id: 2026-11.1
//	plain: AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA
//	sum: 1980426b3cf557e9ee0288d5c3cb0b21954940354efd13757ed167464c6e8d76
func formatText(kind string, fields ...field) []byte {
	text := formatLines(kind, fields...)
	sum := sha256.Sum256(text)
	return append(text, "sum: "+hex.EncodeToString(sum[:])+"\n"...)
}

// formatLines is formatText without the last line.
func formatLines(kind string, fields ...field) []byte {
	text := []byte(kind + "\n")
	for _, f := range fields {
		text = append(text, f.name+": "+f.value+"\n"...)
	}
	return text
}

// parseText reads what formatText wrote for this kind. The error is ErrDamaged.
func parseText(kind string, data []byte) ([]field, error) {
	lines := strings.Split(string(data), "\n")
	if len(lines) < 3 || lines[0] != kind {
		return nil, ErrDamaged
	}
	var fields []field
	for _, line := range lines[1 : len(lines)-2] {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, ErrDamaged
		}
		fields = append(fields, field{name, value})
	}
	if !bytes.Equal(formatText(kind, fields...), data) {
		return nil, ErrDamaged
	}
	return fields, nil
}
