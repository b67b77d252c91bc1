// SPDX-License-Identifier: EUPL-1.2

package history

import (
	"fmt"

	"github.com/traccia-ledger/traccia/ledger"
)

// Check says why no file can hold a bundle; nil if one can. Errors are *ledger.Problem.
func (b *Bundle) Check() error {
	if p := b.check(); p != nil {
		return p
	}
	return nil
}

// check finds the first thing that no bundle has.
func (b *Bundle) check() *ledger.Problem {
	if _, err := ledger.ParseSubject(string(b.Subject)); err != nil {
		return problem(ledger.CodeBadSubject, "/subject", "16 characters or 11 digits with a right check character", fmt.Sprintf("a string of %d bytes", len(b.Subject)))
	}
	if len(b.Shards) == 0 {
		return problem(ledger.CodeBadCount, "/shards", "at least one", "none")
	}
	var last uint32
	for i := range b.Shards {
		s := &b.Shards[i]
		_, epoch, err := ledger.ParseOrigin(s.Origin)
		if err != nil {
			return under(i, problem(ledger.CodeBadName, "/origin", "a ledger's name, / and an epoch", fmt.Sprintf("a string of %d bytes", len(s.Origin))))
		}
		if i > 0 && epoch <= last {
			return under(i, problem(ledger.CodeBadValue, "/origin", "epochs in ascending order", "one that isn't"))
		}
		last = epoch
		if p := s.check(b.Excerpt); p != nil {
			return under(i, p)
		}
	}
	return nil
}

func (s *Shard) check(excerpt bool) *ledger.Problem {
	if p := s.checkLeaves(); p != nil {
		return p
	}
	if p := s.checkLists(excerpt); p != nil {
		return p
	}
	if excerpt && len(s.Events) == 0 {
		return problem(ledger.CodeBadCount, "/events", "at least one in an excerpt", "none")
	}
	return s.checkEvents(excerpt)
}

func (s *Shard) checkLeaves() *ledger.Problem {
	// JSON text: a note is UTF-8, and Format would replace what isn't.
	if len(s.Checkpoint) == 0 {
		return problem(ledger.CodeMissing, "/checkpoint", "a signed note", "nothing")
	}
	if len(s.Leaves) == 0 {
		return problem(ledger.CodeBadCount, "/leaves", "at least the preamble", "none")
	}
	for i, l := range s.Leaves {
		switch {
		case i > 0 && l.Index <= s.Leaves[i-1].Index:
			return problem(ledger.CodeBadValue, fmt.Sprintf("/leaves/%d/index", i), "ascending indexes", "one that isn't")
		case l.Index > maxIndex:
			return problem(ledger.CodeBadValue, fmt.Sprintf("/leaves/%d/index", i), "a number below 2^53", "a greater one")
		case len(l.Leaf) == 0 || len(l.Leaf) > ledger.MaxLeaf:
			return problem(ledger.CodeTooLong, fmt.Sprintf("/leaves/%d/leaf", i), fmt.Sprintf("1 to %d bytes", ledger.MaxLeaf), fmt.Sprint(len(l.Leaf)))
		}
	}
	return nil
}

func (s *Shard) checkEvents(excerpt bool) *ledger.Problem {
	for i, e := range s.Events {
		switch {
		case i > 0 && e.Index <= s.Events[i-1].Index:
			return problem(ledger.CodeBadValue, fmt.Sprintf("/events/%d/index", i), "ascending indexes", "one that isn't")
		case e.Index > maxIndex:
			return problem(ledger.CodeBadValue, fmt.Sprintf("/events/%d/index", i), "a number below 2^53", "a greater one")
		case (e.Nonce == nil) != (len(e.Body) == 0):
			return problem(ledger.CodeBadValue, fmt.Sprintf("/events/%d", i), "nonce and body, or neither", "one of them")
		case excerpt && e.Nonce == nil:
			return problem(ledger.CodeMissing, fmt.Sprintf("/events/%d/body", i), "a body: an excerpt has opened events alone", "nothing")
		}
	}
	return nil
}

// maxIndex is the greatest index, which JSON numbers bound.
const maxIndex = 1<<53 - 1

func (s *Shard) checkLists(excerpt bool) *ledger.Problem {
	if excerpt {
		if s.Head != 0 || len(s.Lists) > 0 || len(s.Index) > 0 {
			return problem(ledger.CodeBadValue, "/lists", "no head, lists and index in an excerpt", "one of them")
		}
		return nil
	}
	switch {
	case s.Head > maxIndex:
		return problem(ledger.CodeBadValue, "/head", "a number below 2^53", "a greater one")
	case len(s.Lists) == 0:
		return problem(ledger.CodeBadCount, "/lists", "one for each scope", "none")
	case len(s.Index) == 0:
		return problem(ledger.CodeMissing, "/index", "a proof", "nothing")
	}
	for i, l := range s.Lists {
		at := fmt.Sprintf("/lists/%d", i)
		switch {
		case ledger.CheckScope(l.Scope) != nil:
			return problem(ledger.CodeBadID, at+"/scope", "an id or a reserved word", fmt.Sprintf("a string of %d bytes", len(l.Scope)))
		case i > 0 && l.Scope <= s.Lists[i-1].Scope:
			return problem(ledger.CodeBadValue, at+"/scope", "ascending names", "one that isn't")
		case len(l.Pi) != 0 && len(l.Pi) != piSize:
			return problem(ledger.CodeBadValue, at+"/pi", fmt.Sprintf("%d bytes", piSize), fmt.Sprint(len(l.Pi)))
		case len(l.Pi) == 0 && l.Count != 0:
			return problem(ledger.CodeBadValue, at+"/count", "0 without a VRF proof", "more")
		}
	}
	return nil
}

func problem(code, where, expected, found string) *ledger.Problem {
	return &ledger.Problem{Code: code, Where: where, Expected: expected, Found: found}
}

// under puts a problem's place below that of its shard.
func under(shard int, p *ledger.Problem) *ledger.Problem {
	p.Where = fmt.Sprintf("/shards/%d", shard) + p.Where
	return p
}
