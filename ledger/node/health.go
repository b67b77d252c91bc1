// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"fmt"
	"time"
)

// awayAfter is how long a database may say nothing before the node counts as one
// that can't record: a restart of PostgreSQL takes less.
const awayAfter = 5 * time.Second

// Trouble returns why nothing is recorded at this moment, or nil. Err is what
// doesn't pass by itself; beside it a database that doesn't answer is one, for
// which submissions wait up to a minute.
func (n *Node) Trouble() error {
	if err := n.Err(); err != nil {
		return err
	}
	if away := n.databaseAway(); away > awayAfter {
		return fmt.Errorf("the database hasn't answered for %.0f seconds; submissions wait for it", away.Seconds())
	}
	return nil
}

// databaseAway is for how long the database hasn't answered; 0 while it does, and
// of a store in a directory.
func (n *Node) databaseAway() time.Duration {
	s, ok := n.db.(interface{ Away() time.Time })
	if !ok {
		return 0
	}
	since := s.Away()
	if since.IsZero() {
		return 0
	}
	return time.Since(since)
}

// State is how a node stands, for its operator: sizes are of the log that is
// recorded in, Size that of what is durable.
type State struct {
	Origin     string    `json:"origin"`
	Size       uint64    `json:"size"`
	Published  uint64    `json:"published_size"`
	Cosigned   uint64    `json:"cosigned_size"` // with as many cosignatures as the policy asks for
	Witnesses  int       `json:"witnesses"`     // that are asked, monitors among them
	LastHead   time.Time `json:"last_head_at"`
	Queued     int       `json:"queued_leaves"`
	FinalLacks int       `json:"final_cosignatures_missing"` // of past years' last checkpoints
	Trouble    string    `json:"trouble,omitempty"`          // why nothing is recorded at this moment
}

// State is what metrics say too, at one look.
func (n *Node) State() State {
	y := n.year()
	s := State{
		Origin: y.origin, Size: y.seq.Latest().Root.Size, Published: n.publishedSize(), Cosigned: y.quorate.Load(),
		Witnesses: len(y.witnesses), LastHead: y.seq.LastHead().UTC().Truncate(time.Second), Queued: y.seq.Queued(), FinalLacks: n.missingFinal(),
	}
	if err := n.Trouble(); err != nil {
		s.Trouble = err.Error()
	}
	return s
}
