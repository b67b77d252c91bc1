// SPDX-License-Identifier: EUPL-1.2

package dishonest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/witness"
	"github.com/traccia-ledger/traccia/verifier"
	"github.com/traccia-ledger/traccia/verifier/verifiertest"
)

// cosigner signs as a witness does, by the clock of a test.
type cosigner struct {
	name, vkey string
	hash       uint32
	key        ed25519.PrivateKey
	now        time.Time
}

func newCosigner(name string) *cosigner {
	seed := sha256.Sum256([]byte(name))
	c := &cosigner{name: name, key: ed25519.NewKeyFromSeed(seed[:])}
	public := append([]byte{4}, c.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), public...))
	c.hash = binary.BigEndian.Uint32(sum[:])
	c.vkey = fmt.Sprintf("%s+%08x+%s", name, c.hash, base64.StdEncoding.EncodeToString(public))
	return c
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }
func (c *cosigner) Sign(msg []byte) ([]byte, error) {
	text := fmt.Sprintf("cosignature/v1\ntime %d\n%s", c.now.Unix(), msg)
	return append(binary.BigEndian.AppendUint64(nil, uint64(c.now.Unix())), ed25519.Sign(c.key, []byte(text))...), nil
}

// party is a witness, or a monitor that cosigns as one.
type party struct {
	*cosigner
	*witness.Witness
	size    uint64 // that it cosigned last
	corrupt bool   // cosigns whatever it is shown
}

// monitor is the verifier's Monitor, which cosigns what it verified.
type monitor struct {
	*verifier.Monitor
	*party
	shown     *verifiertest.Log // what its fetches reach
	announced strings.Builder
	found     []string
}

func (m *monitor) announceKey(body string, key jws.Key) {
	print, err := jws.Thumbprint(key.Public)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(&m.announced, "key %s %s\n", body, print)
}

func (m *monitor) announceRecord(record []byte) {
	fmt.Fprintf(&m.announced, "record %x\n", sha256.Sum256(record))
}

// Fetch reads tiles of the log that the monitor is shown.
func (m *monitor) Fetch(ctx context.Context, path string) ([]byte, error) {
	return m.shown.Fetch(ctx, path)
}

func keep(uint64, [][]byte) error { return nil }

// begin starts the Monitor once all honest owners have announced what is theirs.
func (m *monitor) begin() error {
	announced, err := verifier.ParseAnnounced([]byte(m.announced.String()))
	if err != nil {
		return err
	}
	m.Monitor, err = verifier.NewMonitor(verifier.MonitorConfig{
		Origin: m.shown.Origin, Fetch: m, Announced: announced, Found: func(f verifier.Finding) {
			m.found = append(m.found, f.Code+": "+string(f.Level)+", "+f.Where+": expected "+f.Expected+", found "+f.Found)
		},
	})
	return err
}

// watch sets up witnesses and a monitor.
func (w *world) watch(witnesses int) {
	w.t.Helper()
	for n := range witnesses {
		c := newCosigner(fmt.Sprintf("w%d.example", n))
		w.parties = append(w.parties, &party{cosigner: c, Witness: witness.New(w.t.TempDir(), c, w.log.Verifier())})
	}
	c := newCosigner("mona.example")
	w.monitor = &monitor{shown: w.log, party: &party{cosigner: c, Witness: witness.New(w.t.TempDir(), c, w.log.Verifier())}}
	// As cmd/internal/monitor does.
	w.monitor.Verify = func(ctx context.Context, cp checkpoint.Checkpoint, _ []byte) error {
		var err error
		if w.monitor.Broken() == nil {
			err = w.monitor.Extend(ctx, cp, c.now, keep)
		}
		if broken := w.monitor.Broken(); broken != nil {
			return fmt.Errorf("%w: %s", witness.ErrRefused, broken.Code)
		}
		if err == nil && w.monitor.Ahead(c.now) {
			err = witness.ErrLater
		}
		return err
	}
}

// policy is what citizens trust: LeastQuorum of the witnesses, and the monitor.
func (w *world) policy() *checkpoint.Policy {
	p := &checkpoint.Policy{
		Logs: []checkpoint.Log{{VKey: w.log.VKey}}, K: checkpoint.LeastQuorum(len(w.parties), checkpoint.Faults(len(w.parties))),
		Monitors: []checkpoint.Witness{{Name: "mona", VKey: w.monitor.vkey}},
	}
	for n, party := range w.parties {
		p.Witnesses = append(p.Witnesses, checkpoint.Witness{Name: fmt.Sprintf("w%d", n), VKey: party.vkey})
	}
	return p
}

// publish signs what the log has and asks those who cosign, all unless told otherwise.
func (w *world) publish(among ...*party) {
	w.t.Helper()
	w.wait(time.Second)
	if w.monitor.Monitor == nil {
		if err := w.monitor.begin(); err != nil {
			w.t.Fatal(err)
		}
	}
	if len(among) == 0 {
		among = append(append(among, w.parties...), w.monitor.party)
	}
	plain := w.log.Checkpoint()
	w.signed = plain
	for _, p := range among {
		p.now = w.now
		looks := p == w.monitor.party && !p.corrupt
		if looks {
			w.monitor.shown = w.log
		}
		if line := w.cosignature(p, plain); line != "" {
			w.signed = append(w.signed[:len(w.signed):len(w.signed)], line...)
		}
		if looks {
			w.look(uint64(len(w.log.Leaves)))
		}
	}
}

// look has the monitor look at the checkpoint that the log shows to all.
func (w *world) look(size uint64) {
	w.t.Helper()
	before := len(w.monitor.found)
	if err := w.monitor.Public(w.t.Context(), w.log.At(size), w.now, keep); err != nil && len(w.monitor.found) == before {
		w.t.Fatal(err)
	}
}

func (w *world) cosignature(p *party, plain []byte) string {
	w.t.Helper()
	size := uint64(len(w.log.Leaves))
	if p.corrupt {
		cosigned, err := checkpoint.Cosign(plain, w.log.Verifier(), p.cosigner)
		if err != nil {
			w.t.Fatal(err)
		}
		return string(bytes.TrimPrefix(cosigned, plain))
	}
	request := witness.Request{Old: p.size, Checkpoint: plain}
	if 0 < p.size && p.size < size {
		tree := testonly.New(rfc6962.DefaultHasher)
		tree.AppendData(w.log.Leaves...)
		proof, err := tree.ConsistencyProof(p.size, size)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, h := range proof {
			request.Proof = append(request.Proof, ledger.Hash(h))
		}
	}
	line, err := p.Add(w.t.Context(), request)
	switch {
	case err == nil:
		p.size = size
	case p != w.monitor.party: // whose reason its findings are
		*w.refused = append(*w.refused, "refused: "+err.Error())
	}
	return line
}
