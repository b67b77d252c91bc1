// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"encoding/json"
	"fmt"

	db "github.com/cockroachdb/pebble/v2"
)

// Lessons are what the ledger's proven answers taught: a gateway that starts while
// the ledger is down has nothing else to decide by. They are public.
type Lessons struct {
	Bundle []byte              // of policies, the last that the ledger decided by; nil if none is known
	Kinds  map[string][]string // of bodies, by id, as those policies know them
}

// A name in a row n is "bundle", or a colon and a body's id.
const bundleName = "bundle"

func noteKey(name string) []byte { return append([]byte{'n'}, name...) }

// Lessons returns what was noted.
func (m *Memory) Lessons() (Lessons, error) {
	l := Lessons{Kinds: map[string][]string{}}
	err := scan(m.db, 'n', func(key, value []byte) error {
		if name := string(key[1:]); name == bundleName {
			l.Bundle = append([]byte{}, value...)
		} else {
			var kinds []string
			if json.Unmarshal(value, &kinds) != nil {
				return errDamaged
			}
			l.Kinds[name[1:]] = kinds
		}
		return nil
	})
	if err != nil {
		return Lessons{}, fmt.Errorf("couldn't read the last decisions: %w", err)
	}
	return l, nil
}

// Learn notes other lessons instead of those before. What a crash loses of them is
// learnt again.
func (m *Memory) Learn(l Lessons) error {
	b := m.db.NewBatch()
	defer b.Close()
	err := b.DeleteRange([]byte{'n'}, []byte{'n' + 1}, nil)
	if err == nil && l.Bundle != nil {
		err = b.Set(noteKey(bundleName), l.Bundle, nil)
	}
	for body, kinds := range l.Kinds {
		if err == nil {
			err = setKinds(b, body, kinds)
		}
	}
	if err == nil {
		err = b.Commit(db.NoSync)
	}
	if err != nil {
		return fmt.Errorf("couldn't note the last decisions: %w", err)
	}
	return nil
}

// LearnKinds notes of which kinds a body is.
func (m *Memory) LearnKinds(body string, kinds []string) error {
	b := m.db.NewBatch()
	defer b.Close()
	err := setKinds(b, body, kinds)
	if err == nil {
		err = b.Commit(db.NoSync)
	}
	if err != nil {
		return fmt.Errorf("couldn't note a body's kinds: %w", err)
	}
	return nil
}

func setKinds(b *db.Batch, body string, kinds []string) error {
	value, err := json.Marshal(kinds)
	if err != nil {
		return err
	}
	return b.Set(noteKey(":"+body), value, nil)
}
