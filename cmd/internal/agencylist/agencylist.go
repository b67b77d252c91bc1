// SPDX-License-Identifier: EUPL-1.2

// Package agencylist fetches a body's own list from a ledger (docs/agency-list.md), for the commands that a body's people
// use: part by part into a file, with the look-ups that this takes, resumable wherever it was stopped. What the list is
// worth is for package verifier to say.
package agencylist

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/index"
	"github.com/traccia-ledger/traccia/ledger/vrf"
)

// Purpose is what a look-up says of itself unless told otherwise.
const Purpose = "Verifica dell'elenco dei propri accessi"

const (
	basis     = "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c"
	reference = "Regolamento (UE) 2016/679, artt. 5(2) e 32"
	category  = "https://w3id.org/dpv#ObservedPersonalData"
)

// Refused is a ledger's refusal. Err is what to tell of it.
type Refused struct {
	Code string // of its problem; "" where it had none
	Err  error
}

func (e *Refused) Error() string { return e.Err.Error() }
func (e *Refused) Unwrap() error { return e.Err }

// Fetch is what a list is fetched with.
type Fetch struct {
	// Post sends content, signed by the body, to a path below /v1/agencies/{agency}/, until it is answered. A refusal is a
	// *Refused.
	Post func(ctx context.Context, path string, content []byte) ([]byte, error)
	Key  *agencykey.Key
	// Path and File are of the list, Seen of the entries that look-ups made; "": not noted.
	Path     string
	File     *File
	Seen     string
	Ledger   string // its name
	Epoch    uint32
	Count    int  // events in a part
	Closed   bool // nothing is opened
	Private  bool // with the private parts
	Operator string
	Purpose  string
	Progress *cli.Progress

	// What came of it so far.
	Fetched uint64 // events
	LookUps int
}

// changes is how often a part is asked for again because its citizens changed
// in between: other look-ups of the body are under way.
const changes = 20

// maxPending bounds the file of a look-up under way, in bytes.
const maxPending = 1 << 18

// Run ends at the end of the list.
func (l *Fetch) Run(ctx context.Context) error {
	if l.Seen != "" {
		if err := l.resume(ctx); err != nil {
			return err
		}
	}
	for {
		raw, p, err := l.part(ctx)
		if err != nil {
			return err
		}
		if err := l.File.check(p); err != nil {
			return fmt.Errorf("the ledger sent something else: %w", err)
		}
		end, err := isEnd(p)
		if err != nil {
			return err
		}
		if len(p.Events) == 0 && !end {
			return errors.New("the ledger sent a part without events before the end of the list")
		}
		if err := l.File.add(raw, p); err != nil {
			return err
		}
		l.Fetched += uint64(len(p.Events))
		l.Progress.Add(int64(len(p.Events)))
		if end {
			return nil
		}
	}
}

// isEnd says whether a part proves that the list has no further number. What
// its proofs are worth is for the verifier.
func isEnd(p *history.AgencyPart) (bool, error) {
	var preamble ledger.Preamble
	var head ledger.Head
	for _, l := range p.Leaves {
		switch leaf, _ := ledger.ParseLeaf(l.Leaf); leaf := leaf.(type) {
		case ledger.Preamble:
			preamble = leaf
		case ledger.Head:
			if l.Index == p.Head {
				head = leaf
			}
		}
	}
	beta, err := vrf.Verify(preamble.VRFKey, p.Pi, ledger.AgencyAlpha(p.Agency, preamble.Epoch))
	if err != nil {
		return false, fmt.Errorf("the ledger sent a part with a wrong key: %w", err)
	}
	k := [32]byte(beta[:32])
	tags := make([]ledger.Hash, len(p.Events)+1)
	for n := range tags {
		tags[n] = ledger.AgencyTag(&k, p.From+uint64(n))
	}
	found, err := index.CheckMany(head.Root, tags, p.Index)
	if err != nil {
		return false, fmt.Errorf("the ledger sent a part with a wrong proof: %w", err)
	}
	return found[len(p.Events)].Kind == index.Absent, nil
}

// ask is what all requests about a part have in common.
func (l *Fetch) ask() map[string]any {
	return map[string]any{"epoch": l.Epoch, "from": l.File.next, "count": l.Count}
}

// part fetches the next part, after the look-up that it takes.
func (l *Fetch) part(ctx context.Context) ([]byte, *history.AgencyPart, error) {
	for range changes {
		raw, err := l.lookUpAndFetch(ctx)
		var r *Refused
		switch {
		case errors.As(err, &r) && (r.Code == "look_up_moved" || r.Code == "not_looked_up"):
			continue
		case errors.As(err, &r):
			return nil, nil, r.Err
		case err != nil:
			return nil, nil, err
		}
		p, err := history.NewAgencyReader(bytes.NewReader(raw)).Next()
		if err != nil {
			return nil, nil, &cli.CouldNotCheck{Err: fmt.Errorf("couldn't read the ledger's answer: %w", err)}
		}
		return raw, p, nil
	}
	return nil, nil, errors.New("the citizens to look up keep changing: is the body's list being fetched somewhere else?")
}

func (l *Fetch) lookUpAndFetch(ctx context.Context) ([]byte, error) {
	if !l.Closed {
		if err := l.lookUp(ctx); err != nil {
			return nil, err
		}
	}
	ask := l.ask()
	ask["open"] = !l.Closed
	if l.Private {
		ask["private"] = true
	}
	content, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	return l.Post(ctx, "list", content)
}

// lookUp has the look-up recorded that the part takes, if it takes one.
func (l *Fetch) lookUp(ctx context.Context) error {
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("couldn't make a jti: %w", err)
	}
	ask := l.ask()
	ask["jti"] = id.String()
	content, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	answer, err := l.Post(ctx, "list/citizens", content)
	if err != nil {
		return err
	}
	var citizens ledger.SubjectCommitment
	if err := json.Unmarshal(answer, &citizens); err != nil {
		return errors.New("couldn't read the ledger's answer: expected count and root")
	}
	if citizens.Count == 0 {
		return nil
	}
	receipt, salt, private, err := l.sign(id.String(), citizens)
	if err != nil {
		return err
	}
	ask = l.ask()
	ask["receipt"] = receipt
	ask["private"] = map[string]string{
		"salt": base64.RawURLEncoding.EncodeToString(salt[:]), "content": base64.RawURLEncoding.EncodeToString(private),
	}
	pending, err := json.Marshal(ask)
	if err == nil && l.Seen != "" {
		err = durable.Replace(l.pendingPath(), pending, 0o600)
	}
	if err != nil {
		return fmt.Errorf("couldn't keep the look-up: %w", err)
	}
	return l.record(ctx, pending)
}

// pendingPath is where a look-up is kept until its entries are noted, so that
// none is forgotten that the ledger recorded just before a crash.
func (l *Fetch) pendingPath() string { return l.Path + ".look-up" }

// resume sends a look-up again that an earlier run kept.
func (l *Fetch) resume(ctx context.Context) error {
	// Also where no look-up follows, a verifier shall find the file.
	if err := l.note(nil); err != nil {
		return err
	}
	pending, err := cli.ReadFile(l.pendingPath(), maxPending)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("couldn't read the look-up of an earlier run: %w", err)
	}
	err = l.record(ctx, pending)
	if r := (*Refused)(nil); errors.As(err, &r) {
		return os.Remove(l.pendingPath()) // it never came to be recorded, and is out of date
	}
	return err
}

// record has a signed look-up recorded, and notes its entries.
func (l *Fetch) record(ctx context.Context, content []byte) error {
	answer, err := l.Post(ctx, "list/look-up", content)
	if err != nil {
		return err
	}
	recorded, err := ledger.ParseAnswer(answer)
	if err != nil {
		return &cli.CouldNotCheck{Err: fmt.Errorf("couldn't read the ledger's answer: %w", err)}
	}
	l.LookUps += recorded.Count
	if l.Seen == "" {
		return nil
	}
	var lines []byte
	for n := range recorded.Count {
		if recorded.Origin == l.File.origin { // else it is of this year, and the list of another
			lines = fmt.Appendf(lines, "%d\n", recorded.FirstIndex+uint64(n))
		}
	}
	if err := l.note(lines); err != nil {
		return err
	}
	return os.Remove(l.pendingPath())
}

// sign makes the receipt of a look-up, and its private part.
func (l *Fetch) sign(jti string, citizens ledger.SubjectCommitment) (receipt string, salt [32]byte, content []byte, err error) {
	rand.Read(salt[:])
	private, actor := &ledger.Private{Operator: &ledger.Operator{ID: "service:agency-list"}}, ledger.ActorService
	if l.Operator != "" {
		private.Operator.ID, actor = l.Operator, ledger.ActorOperator
	}
	if content, err = ledger.FormatPrivate(private); err != nil {
		return "", salt, nil, cli.Usagef("operator: %w", err)
	}
	now, body := time.Now(), l.Key.Body
	receipt, err = ledger.SignReceipt(&ledger.Receipt{
		Aud: l.Ledger, Iss: body, JTI: jti, IssuedAt: now.Unix(), Role: ledger.RoleRequester, Provider: body, Consumer: body,
		Purpose: l.Purpose, LegalBasis: basis, LegalReference: reference, DataCategories: []string{category}, Actor: actor,
		Operation:  ledger.Operation{Method: http.MethodPost, Path: "/v1/agencies/{agency}/list"},
		OccurredAt: now.UTC().Format(time.RFC3339), PrivateDigest: ledger.Hex(ledger.PrivateDigest(&salt, content)), Subjects: citizens,
	}, l.Key.Kid, l.Key.Signer)
	if err != nil {
		return "", salt, nil, cli.Usagef("couldn't sign the look-up: %w", err)
	}
	return receipt, salt, content, nil
}

// note adds lines to the file of entries that the body made.
func (l *Fetch) note(lines []byte) error {
	f, err := os.OpenFile(l.Seen, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("couldn't note the look-up's entries: %w", err)
	}
	_, err = f.Write(lines)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("couldn't note the look-up's entries: %w", err)
	}
	return nil
}
