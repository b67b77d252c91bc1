// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// SetPublished keeps the last checkpoint of an epoch that was published, a signed note, in place of the one before, and
// returns once it is on disk. It is kept beside the keys, and not in the database, so that a database restored to an
// earlier state is noticed before it signs a fork.
func (d *Dir) SetPublished(epoch uint32, checkpoint []byte) error {
	return d.replaceFile(publishedFile(epoch), checkpoint)
}

// Published returns what SetPublished kept, nil when nothing of the epoch was published. Its signature is the caller's to
// check.
func (d *Dir) Published(epoch uint32) ([]byte, error) {
	checkpoint, err := d.readFile(publishedFile(epoch))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return checkpoint, err
}

func publishedFile(epoch uint32) string {
	return fmt.Sprintf("%s/%d.checkpoint", publishedDir, epoch)
}

func (d *Dir) loadPublished() error {
	files, err := d.list(publishedDir)
	if err != nil {
		return err
	}
	for _, name := range files {
		number, _ := strings.CutSuffix(name, ".checkpoint")
		epoch, err := strconv.ParseUint(number, 10, 32)
		if path := publishedDir + "/" + name; err != nil || publishedFile(uint32(epoch)) != path {
			return d.misplaced(path)
		}
		if _, err := d.Published(uint32(epoch)); err != nil {
			return err
		}
	}
	return nil
}
