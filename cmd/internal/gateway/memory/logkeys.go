// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"encoding/binary"
	"errors"
	"fmt"

	db "github.com/cockroachdb/pebble/v2"
)

// LogKeys returns the verifier keys of the years' logs that Announced noted, by
// year.
func (m *Memory) LogKeys() (map[uint32]string, error) {
	list := map[uint32]string{}
	err := scan(m.db, 'l', func(key, value []byte) error {
		if len(key) != 1+4 {
			return errDamaged
		}
		list[binary.BigEndian.Uint32(key[1:])] = string(value)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't read the logs' keys: %w", err)
	}
	return list, nil
}

// Announced notes the key that a log announced for that of the next year. The
// first one that is noted stays.
func (m *Memory) Announced(epoch uint32, vkey string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := binary.BigEndian.AppendUint32([]byte{'l'}, epoch)
	old, err := m.get(key)
	switch {
	case err == nil && old == nil:
		err = m.db.Set(key, []byte(vkey), db.Sync)
	case err == nil && string(old) != vkey:
		err = errors.New("another was noted before")
	}
	if err != nil {
		return fmt.Errorf("couldn't note the key of the log of %d: %w", epoch, err)
	}
	return nil
}
