// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/registry"
	"github.com/traccia-ledger/traccia/ledger/statistics"
)

// Announced is what the owners of keys, scopes and policies published of them,
// elsewhere than in the log.
type Announced struct {
	records map[ledger.Hash]bool
	keys    map[announcedKey]bool
}

type announcedKey struct{ body, thumbprint string }

var errAnnounced = errors.New(`expected "record" and 64 lower-case hex digits, or "key", the id of a body and a thumbprint`)

// ParseAnnounced reads a file of announcements. A line is empty, a comment, or
// names a record by the SHA-256 of its JSON's exact bytes, or a key of a body by
// its RFC 7638 thumbprint:
//
//	# INPS, https://www.inps.it/…
//	record 5f0c3e…64 hex digits
//	key c_a944 NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs
func ParseAnnounced(file []byte) (*Announced, error) {
	a := &Announced{records: make(map[ledger.Hash]bool), keys: make(map[announcedKey]bool)}
	for i, line := range strings.Split(string(file), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if !a.parse(words) {
			return nil, fmt.Errorf("couldn't parse line %d: %w", i+1, errAnnounced)
		}
	}
	return a, nil
}

func (a *Announced) parse(words []string) bool {
	switch {
	case len(words) == 2 && words[0] == "record":
		var digest ledger.Hash
		n, err := hex.Decode(digest[:], []byte(words[1][:min(len(words[1]), 64)]))
		if err != nil || n != 32 || hex.EncodeToString(digest[:]) != words[1] {
			return false
		}
		a.records[digest] = true
		return true
	case len(words) == 3 && words[0] == "key":
		a.keys[announcedKey{words[1], words[2]}] = true
		thumbprint, err := base64.RawURLEncoding.DecodeString(words[2])
		return ledger.CheckID(words[1]) == nil && err == nil && len(thumbprint) == sha256.Size
	}
	return false
}

// record judges a record that counts.
func (m *Monitor) record(index uint64, record []byte) {
	if err := m.registry.Apply(index, record); registry.Unread(err) {
		m.tell(LevelNotice, problem(CodeRecordUnread, leafAt(index), "a record with the members of its kind", err.Error()))
		return
	} else if err != nil {
		m.tell(LevelAlarm, problem(CodeRecordRefused, leafAt(index), "a record that the rules of its kind accept", err.Error()))
		return
	}
	m.records[index] = bytes.Clone(record)
	if m.isRepeated(record) {
		return
	}
	// Apply has parsed it.
	parsed, _ := registry.ParseRecord(record)
	switch r := parsed.(type) {
	case registry.Key:
		thumbprint := thumbprintOf(r)
		said := m.announced != nil && m.announced.keys[announcedKey{r.Body, thumbprint}]
		m.fresh(index, record, said, CodeNewKey, CodeUnannouncedKey, fmt.Sprintf("key %.80q of %s, thumbprint %s, on the word of %s", r.Kid, r.Body, thumbprint, basis(r)))
	case registry.KeyRevoked:
		m.tell(LevelNotice, problem(CodeKeyRevoked, leafAt(index), "that its owner knows", fmt.Sprintf("key %.80q of %s revoked", r.Kid, r.Body)))
	case registry.Scope:
		m.fresh(index, record, false, CodeNewScope, CodeUnannouncedScope, fmt.Sprintf("scope %s with %s", r.ID, counted(len(r.Providers), "provider")))
	case registry.LogKey:
		if r.Origin != m.next {
			m.tell(LevelAlarm, problem(CodeRecordRefused, leafAt(index), "the key of "+m.next+", the shard after this", "one of "+r.Origin))
			return
		}
		m.fresh(index, record, false, CodeNewLogKey, CodeUnannouncedLogKey, "the key of the log "+r.Origin)
	case registry.ProviderCheck:
		m.providerCheck(index, r)
	case registry.BreakGlass:
		m.session(index, r)
	case registry.Policy:
		m.policy(index, record, r)
	case registry.Build:
		m.fresh(index, record, false, CodeNewBuild, CodeUnannouncedBuild, fmt.Sprintf("the browser's verifier %s of version %.80q", hex.EncodeToString(r.SHA256[:]), r.Version))
	case nil:
		if statistics.Is(record) {
			for _, p := range m.totals.Record(index, record) {
				level := LevelAlarm
				if p.Code == statistics.CodeMalformed {
					level = LevelNotice // the month's totals are missing, in time
				}
				m.tell(level, p)
			}
		}
	}
}

// providerCheck judges a check that the registry found signed: it is of this log's leaves before it, or of the log of the
// year before.
func (m *Monitor) providerCheck(index uint64, r registry.ProviderCheck) {
	s, _, err := registry.ParseCheckStatement(r.Statement)
	name, epoch, _ := ledger.ParseOrigin(m.origin) // NewMonitor did
	before := ledger.Origin(name, epoch-1)
	switch {
	case err != nil || s.Aud != m.origin && s.Aud != before || s.Aud == m.origin && s.Size > index:
		m.tell(LevelAlarm, problem(CodeRecordRefused, leafAt(index), "a check of the leaves of "+m.origin+" before this one, or of the year before", fmt.Sprintf("one of %d leaves of %s", s.Size, s.Aud)))
	case s.Result != registry.CheckProven:
		m.tell(LevelAlarm, problem(CodeProviderAlarm, leafAt(index), "a log that agrees with the records of "+s.Scope, "one that doesn't, as "+s.Scope+" signed, up to leaf "+fmt.Sprint(s.Head)))
	}
}

// fresh tells of a record that gives somebody a power: said is whether its owner
// announced it by something else than its digest.
func (m *Monitor) fresh(index uint64, record []byte, said bool, notice, alarm, what string) {
	digest := sha256.Sum256(record)
	found := what + ", record " + hex.EncodeToString(digest[:])
	switch {
	case m.announced == nil:
		m.tell(LevelNotice, problem(notice, leafAt(index), "that its owner announces it", found))
	case !said && !m.announced.records[digest]:
		m.tell(LevelAlarm, problem(alarm, leafAt(index), "one that its owner announced", found))
	}
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func basis(k registry.Key) string {
	if k.Basis == registry.BasisSigned {
		return "a key of its own before"
	}
	return "the ledger's operator alone"
}

func thumbprintOf(k registry.Key) string {
	key, err := jws.ParseKey(k.JWK)
	if err != nil {
		return ""
	}
	print, err := jws.Thumbprint(key.Public)
	if err != nil {
		return ""
	}
	return print
}

// kindOf returns the kind of a record, which ledger.ParseLeaf saw to be a string.
// A map and not a struct keeps the name exact.
func kindOf(record []byte) (kind string) {
	var members map[string]json.RawMessage
	if json.Unmarshal(record, &members) != nil || json.Unmarshal(members["kind"], &kind) != nil {
		return ""
	}
	return kind
}
