// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadPublished returns what SetPublished kept last in a directory that another process may have open, nil when nothing
// of the epoch was published. It needs no passphrase and reads no key.
func ReadPublished(dir string, epoch uint32) ([]byte, error) {
	checkpoint, err := os.ReadFile(filepath.Join(dir, publishedFile(epoch)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read the last published checkpoint: %w", err)
	}
	return checkpoint, nil
}
