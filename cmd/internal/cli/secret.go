// SPDX-License-Identifier: EUPL-1.2

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

const maxSecret = 4096

// ReadSecret reads a passphrase or a token from a file: one line of at most 4096 bytes, its line end taken off.
// Secrets never come from flags, which other users of a machine can read. A file that others may read, or that its
// group may write, is refused.
func ReadSecret(path string) (string, error) {
	line, mode, err := readLine(path)
	if err != nil {
		return "", fmt.Errorf("couldn't read secret: %w", err)
	}
	if mode.IsRegular() && mode.Perm()&0o027 != 0 {
		return "", Usagef("%s holds a secret and has mode %04o: run chmod 600 %s", path, mode.Perm(), path)
	}
	return line, nil
}

func readLine(path string) (string, os.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+3))
	if err != nil {
		return "", 0, err
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 || len(data) > maxSecret || bytes.ContainsAny(data, "\r\n\x00") {
		return "", 0, errors.New(path + " is not one line of 1 to 4096 bytes")
	}
	return string(data), info.Mode(), nil
}
