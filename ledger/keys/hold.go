// SPDX-License-Identifier: EUPL-1.2

package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// ErrHeld says that a month is under a legal hold: while it lasts, no key of the month is renewed or destroyed.
var ErrHeld = errors.New("under a legal hold")

// Hold is a legal hold on a month. The file of holds is beside the keys, and not in the database, so that a database
// restored to an earlier state doesn't end one:
//
//	traccia-holds/1
//	2026-11 proc. 1234/2026 R.G.
type Hold struct {
	Month  string `json:"month"`
	Reason string `json:"reason"` // one line of 1 to 200 bytes, naming no person
}

const (
	holdsFile   = "holds"
	holdsHeader = "traccia-holds/1\n"
	maxReason   = 200
)

// SetHold puts a month under a hold, or changes the reason of its hold.
func (d *Dir) SetHold(h Hold) error {
	if !isMonth(h.Month) {
		return fmt.Errorf("a hold is on a month like 2026-11: %w", fs.ErrInvalid)
	}
	if !isReason(h.Reason) {
		return fmt.Errorf("a hold has a reason, one line of 1 to %d bytes: %w", maxReason, fs.ErrInvalid)
	}
	return d.changeHolds(func(holds map[string]string) { holds[h.Month] = h.Reason })
}

// EndHold ends the hold on a month. It fails with fs.ErrNotExist where there is none.
func (d *Dir) EndHold(month string) error {
	d.mu.Lock()
	_, held := d.holds[month]
	d.mu.Unlock()
	if !held {
		return fmt.Errorf("no hold on that month: %w", fs.ErrNotExist)
	}
	return d.changeHolds(func(holds map[string]string) { delete(holds, month) })
}

// Holds returns the holds in force, by month.
func (d *Dir) Holds() []Hold {
	d.mu.Lock()
	defer d.mu.Unlock()
	return listHolds(d.holds)
}

func listHolds(holds map[string]string) []Hold {
	list := []Hold{}
	for _, month := range slices.Sorted(maps.Keys(holds)) {
		list = append(list, Hold{month, holds[month]})
	}
	return list
}

func (d *Dir) changeHolds(change func(map[string]string)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	holds := maps.Clone(d.holds)
	if holds == nil {
		holds = map[string]string{}
	}
	change(holds)
	if err := d.replaceFile(holdsFile, formatHolds(listHolds(holds))); err != nil {
		return err
	}
	d.holds = holds
	return nil
}

// notHeld fails with ErrHeld. The caller holds mu.
func (d *Dir) notHeld(month string) error {
	if _, held := d.holds[month]; held {
		return fmt.Errorf("%s is %w", month, ErrHeld)
	}
	return nil
}

func isReason(s string) bool {
	return len(s) > 0 && len(s) <= maxReason && strings.TrimSpace(s) == s && !strings.ContainsAny(s, "\r\n\x00")
}

func formatHolds(holds []Hold) []byte {
	text := []byte(holdsHeader)
	for _, h := range holds {
		text = fmt.Appendf(text, "%s %s\n", h.Month, h.Reason)
	}
	return text
}

// parseHolds reads what formatHolds wrote. The error is ErrDamaged.
func parseHolds(data []byte) ([]Hold, error) {
	rest, ok := strings.CutPrefix(string(data), holdsHeader)
	if !ok {
		return nil, ErrDamaged
	}
	holds := []Hold{}
	for line := range strings.Lines(rest) {
		month, reason, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !isMonth(month) || !isReason(reason) || len(holds) > 0 && holds[len(holds)-1].Month >= month {
			return nil, ErrDamaged
		}
		holds = append(holds, Hold{month, reason})
	}
	if !bytes.Equal(formatHolds(holds), data) {
		return nil, ErrDamaged
	}
	return holds, nil
}

func (d *Dir) loadHolds() error {
	data, err := d.readFile(holdsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	holds, err := parseHolds(data)
	if err != nil {
		return d.wrong(holdsFile, err)
	}
	d.holds = map[string]string{}
	for _, h := range holds {
		d.holds[h.Month] = h.Reason
	}
	return nil
}
