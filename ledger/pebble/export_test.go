// SPDX-License-Identifier: EUPL-1.2

package pebble

import (
	"fmt"
	"hash/crc32"
)

var (
	ParseFormat = parseFormat
	FormatBytes = formatBytes
	ParseSums   = parseSums
	FormatSums  = formatSums
)

// FormatSum returns the sum of a FORMAT file's first line.
func FormatSum(line string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(line), castagnoli))
}

// SmallTables makes stores flush and compact after little data, as those of
// these tests have.
func SmallTables() { memTableBytes = 256 << 10 }
