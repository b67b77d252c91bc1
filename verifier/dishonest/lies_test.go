// SPDX-License-Identifier: EUPL-1.2

package dishonest

import (
	"crypto/rand"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/verifier"
)

// told is what somebody tells: a code, and a fragment of the words behind it.
type told map[string]string

// lie is one thing that a dishonest operator does. Without it the same construction is right, and everybody finds so.
type lie struct {
	name string
	tell func(s *stage, lie bool)            // what happens; nil for one access
	show func(s *stage, part *history.Shard) // what the liar changes in the file
	key  func(p *ledger.Preamble)            // what the liar writes into the preamble
	of   int                                 // witnesses; 0 for one
	note string                              // what the citizen's file says isn't proven
	hide int                                 // accesses of the citizen that the liar's file lacks, if not 0
	// Who notices, by which words. Whoever isn't here notices nothing.
	citizen, monitor, witness, provider, agency told
}

// lies are all of them, in the order of the package's table.
var lies = slices.Concat(hiding, telling)

// stage is a world, and what its operator shows to whom.
type stage struct {
	*world
	shown     *world    // whose history the citizen gets
	file      []byte    // that the citizen gets; nil for one made at the end
	reads     time.Time // when the citizen reads it; zero for a minute after the end
	ofAnother bool      // the provider is shown k_s of another citizen
}

// minutes lets the ledger run on with a head over what there is, and then every four minutes.
func (s *stage) minutes(n int) {
	if s.lastHead() != uint64(len(s.log.Leaves))-1 {
		s.head(nil)
		s.publish()
	}
	for ; n > 0; n -= 4 {
		s.wait(4 * time.Minute).head(nil)
		s.publish()
	}
}

// bodyOf is what opens an event.
func (s *stage) bodyOf(at uint64) *ledger.Body {
	b, err := ledger.ParseBody(s.opened[at].Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func random(e *ledger.Event) { rand.Read(e.SubjectTag[:]) }

func randomAgency(e *ledger.Event) { rand.Read(e.AgencyTag[:]) }

// when is a if the operator lies, and an honest access if it doesn't.
func when(lie bool, a access) access {
	if !lie {
		return access{}
	}
	return a
}

var noMonitor = told{verifier.CodeNoMonitor: "No monitor that you trust has checked this state"}

// unseen is what provider and agency tell of a log that their monitor didn't cosign.
var unseen = told{verifier.CodeNoMonitor: "expected the cosignature of a monitor of the policy, found none"}

// and joins what somebody tells.
func (t told) and(code, words string) told {
	joined := told{code: words}
	for code, words := range t {
		joined[code] = words
	}
	return joined
}

// erasing makes a receipt a request for an erasure.
// stating makes a receipt a statement on an event's.
func stating(kind string, about *ledger.Body) func(r *ledger.Receipt) {
	return func(r *ledger.Receipt) {
		first, err := ledger.ParseReceipt(about.Receipt)
		if err != nil {
			panic(err) // its maker read it
		}
		r.EService, r.PurposeID, r.Pair = "", "", ledger.Hex{}
		r.Statement = &ledger.Statement{Kind: kind, Receipt: first.ReceiptID()}
		if r.Iss != first.Iss {
			r.Role, r.Consumer = ledger.RoleConsumer, r.Iss
		}
	}
}

func erasing(e history.Erasure) func(r *ledger.Receipt) {
	return func(r *ledger.Receipt) { r.Operation = e.Operation() }
}
