// SPDX-License-Identifier: EUPL-1.2

package monitor

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/statistics"
	"github.com/traccia-ledger/traccia/verifier"
)

// beforeFile holds what a run that followed the shard before verified of it to its final head. That shard isn't read again.
const beforeFile = "before.json"

// beforeSchema names the format of that file.
const beforeSchema = "traccia/verifier-monitor-before/1"

// before is what a monitor remembers of the shard before the one that it follows:
//
//	{"schema":"traccia/verifier-monitor-before/1","origin":"registro.example/2026","size":4712,"root":"07de65…","unix_ms":1798761600123,
//	 "next":"registro.example/2027","next_key":"registro.example/2027+530d903a+Aekye…","alarm":"none","broken":false,"in_force":["{\"kind\":\"body\",…}"],
//	 "untold":[{"month":"2026-12","from":4001,"to":4711,"events":700}]}
type before struct {
	verifier.Ended
	Alarm  string // how that log stood: the code of the gravest alarm, or none
	Broken bool   // its final checkpoint isn't to be cosigned
}

type beforeJSON struct {
	Schema  string   `json:"schema"`
	Origin  string   `json:"origin"`
	Size    uint64   `json:"size"`
	Root    string   `json:"root"`
	UnixMS  uint64   `json:"unix_ms"`
	Next    string   `json:"next"`
	NextKey string   `json:"next_key,omitempty"`
	Alarm   string   `json:"alarm"`
	Broken  bool     `json:"broken"`
	InForce []string `json:"in_force"`
	Untold  []untold `json:"untold"`
}

// untold is a month whose totals the next shard has to tell.
type untold struct {
	Month  string `json:"month"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Events uint64 `json:"events"`
}

var errBefore = errors.New("malformed memory of the shard before")

func formatBefore(b *before) ([]byte, error) {
	w := beforeJSON{beforeSchema, b.Origin, b.Size, hex.EncodeToString(b.Root[:]), b.UnixMS, b.Next, b.NextKey, b.Alarm, b.Broken, []string{}, []untold{}}
	for _, r := range b.InForce {
		w.InForce = append(w.InForce, string(r))
	}
	for _, s := range b.Untold {
		w.Untold = append(w.Untold, untold{s.Month, s.From, s.To, s.Events})
	}
	var buffer bytes.Buffer
	e := json.NewEncoder(&buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(w); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// parseBefore is strict: what it accepts formats to the same bytes.
func parseBefore(data []byte) (*before, error) {
	var w beforeJSON
	if err := ijson.Unmarshal(data, &w); err != nil || w.Schema != beforeSchema {
		return nil, errBefore
	}
	root, err := hex.DecodeString(w.Root)
	if err != nil || len(root) != 32 {
		return nil, errBefore
	}
	name, epoch, err := ledger.ParseOrigin(w.Origin)
	if err != nil || w.Next != ledger.Origin(name, epoch+1) {
		return nil, errBefore
	}
	if w.NextKey != "" {
		if v, err := checkpoint.ParseKey(w.NextKey); err != nil || v.Name() != w.Next {
			return nil, errBefore
		}
	}
	b := &before{Alarm: w.Alarm, Broken: w.Broken, Ended: verifier.Ended{
		Checkpoint: checkpoint.Checkpoint{Origin: w.Origin, Size: w.Size, Root: ledger.Hash(root)}, UnixMS: w.UnixMS, Next: w.Next, NextKey: w.NextKey,
	}}
	for _, r := range w.InForce {
		b.InForce = append(b.InForce, []byte(r))
	}
	for _, s := range w.Untold {
		b.Untold = append(b.Untold, statistics.Span{Origin: w.Origin, Month: s.Month, From: s.From, To: s.To, Events: s.Events})
	}
	if same, err := formatBefore(b); err != nil || !bytes.Equal(same, data) {
		return nil, errBefore
	}
	return b, nil
}

// readBefore returns nil where the shard before wasn't followed.
func readBefore(dir string) (*before, error) {
	path := filepath.Join(dir, beforeFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read what the shard before left: %w", err)
	}
	b, err := parseBefore(data)
	if err != nil {
		return nil, fmt.Errorf("%s isn't as a monitor wrote it: %w", path, err)
	}
	return b, nil
}

func writeBefore(dir string, b *before) error {
	data, err := formatBefore(b)
	if err == nil {
		_, err = parseBefore(data)
	}
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = durable.Replace(filepath.Join(dir, beforeFile), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("couldn't keep what the shard before left: %w", err)
	}
	return nil
}
