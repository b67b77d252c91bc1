// SPDX-License-Identifier: EUPL-1.2

package sequencer

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzKeyFile: what is read of a key file is what would be written.
func FuzzKeyFile(f *testing.F) {
	const origin = "registro.example/2026"
	row := func(i byte, index uint64) []byte {
		return binary.BigEndian.AppendUint64(bytes.Repeat([]byte{i}, 32), index)
	}
	out := keyFileHeader(origin)
	f.Add(bytes.Clone(out))
	k, err := readKeyHeader(bytes.NewReader(out), origin)
	if err != nil {
		f.Fatal(err)
	}
	out, sum := formatBlock(out, k.sum, &keyBlock{size: 3, rows: append(row(1, 2), row(2, 2)...)})
	f.Add(bytes.Clone(out))
	out, _ = formatBlock(out, sum, &keyBlock{size: 9, rows: row(3, 8)})
	f.Add(out)
	f.Add(append(bytes.Clone(out), 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := readKeyHeader(bytes.NewReader(data), origin)
		if err != nil {
			return
		}
		again, sum := keyFileHeader(origin), k.sum
		for {
			b, err := k.next()
			if err != nil {
				break
			}
			again, sum = formatBlock(again, sum, b)
		}
		if int64(len(again)) != k.offset || sum != k.sum || !bytes.HasPrefix(data, again) {
			t.Errorf("read the first %d bytes, and would write\n%x", k.offset, again)
		}
	})
}
