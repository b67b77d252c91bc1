// SPDX-License-Identifier: EUPL-1.2

// Package govwaytest writes lines of traces, as a gateway does. It is for tests alone.
package govwaytest

import "strings"

// JoinFields makes the line that govway.ParseFields cuts into these fields.
func JoinFields(fields []string) string {
	var b strings.Builder
	for n, f := range fields {
		if n > 0 {
			b.WriteByte('|')
		}
		b.WriteString(`"` + strings.ReplaceAll(f, `"`, `\"`) + `"`)
	}
	return b.String()
}
