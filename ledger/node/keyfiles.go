// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

// writeKeyFiles adds the verifier keys of new years to log.vkey, and to a witness policy of the data directory. What
// stands in the files otherwise is left as it is.
func (n *Node) writeKeyFiles() error {
	years := n.all()
	if n.keyFiles == len(years) {
		return nil
	}
	path := filepath.Join(n.Dir, vkeyFile)
	file, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("couldn't read the logs' verifier keys: %w", err)
	}
	var keys []string
	for _, y := range years {
		keys = append(keys, y.vkey)
	}
	if with := addLines(file, "", keys); !bytes.Equal(with, file) {
		if err := durable.Replace(path, with, 0o644); err != nil {
			return fmt.Errorf("couldn't write the logs' verifier keys: %w", err)
		}
	}
	if n.policy != nil {
		n.writePolicy(keys)
	}
	n.keyFiles = len(years)
	return nil
}

// writePolicy adds logs to the witness policy, for those who read it from here: the ledger itself knows its keys.
func (n *Node) writePolicy(keys []string) {
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		return slices.ContainsFunc(n.policy.Logs, func(l checkpoint.Log) bool { return l.VKey == key })
	})
	if len(keys) == 0 {
		return
	}
	err := fs.ErrPermission // outside the data directory it is somebody else's
	if name := n.Settings.WitnessPolicy; filepath.IsLocal(name) {
		path := filepath.Join(n.Dir, name)
		var file []byte
		if file, err = os.ReadFile(path); err == nil {
			err = durable.Replace(path, addLines(file, "log ", keys), 0o644)
		}
	}
	if err != nil {
		n.opt.Log.Warn("the witness policy doesn't name the log of every year: add a line for it", "keys", keys, "error", err)
	}
}

// addLines adds what follows the prefix in lines of their own after the last line that begins with it, unless such a line
// is there.
func addLines(file []byte, prefix string, words []string) []byte {
	lines := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
	if len(file) == 0 {
		lines = nil
	}
	at := 0
	for i, line := range lines {
		if strings.HasPrefix(line, prefix) {
			at = i + 1
		}
	}
	for _, word := range words {
		there := slices.ContainsFunc(lines, func(line string) bool {
			return line == prefix+word || strings.HasPrefix(line, prefix+word+" ")
		})
		if !there {
			lines = slices.Insert(lines, at, prefix+word)
			at++
		}
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}
