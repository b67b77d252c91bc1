// SPDX-License-Identifier: EUPL-1.2

// Package notice tells citizens by e-mail that a body that is new to them consulted their data. Nobody is told who didn't ask
// for it and confirm the address. A message says that there is something new and nothing else: no name, no body, no code of a
// person, no link.
//
// An address is kept in a sealed row of the ledger's store (ledger/rows, LeftNotice), with the bodies that its citizen's list had
// last. A citizen gets one notice a day at most, whatever happens: a message is claimed in the row before it is sent, so that of
// several processes one sends it; one that died meanwhile may have sent it, and it is sent once more an hour later.
package notice

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/rows"
	"github.com/traccia-ledger/traccia/ledger/store"
)

// Limits.
const (
	Apart      = 24 * time.Hour // between two notices of a citizen
	codeLasts  = 24 * time.Hour
	codeTries  = 5
	claimLasts = time.Hour
	refusals   = 3 // of the mail server, after which nothing is sent any more
)

// State of an address.
type State string

// The states.
const (
	Asked   State = "asked"   // a code was sent there, and isn't confirmed
	On      State = "on"      // notices go there
	Failing State = "failing" // the mail server refused it again and again
)

// Errors for citizens.
var (
	ErrAddress = errors.New("not an e-mail address")
	ErrCode    = errors.New("another code was sent")
	ErrExpired = errors.New("the code isn't good any more")
	ErrNotSent = errors.New("the message couldn't be sent")
)

// Address is where a citizen's notices go.
type Address struct {
	Subject ledger.Subject `json:"subject"`
	Address string         `json:"address"`
	Lang    string         `json:"lang"`
	State   State          `json:"state"`
	Code    string         `json:"code,omitempty"` // 8 digits, until it is confirmed
	Begun   time.Time      `json:"begun"`          // the code was sent, or confirmed
	Tries   int            `json:"tries,omitempty"`
	Count   uint64         `json:"count,omitempty"` // node.Counted when the list was looked at last
	Bodies  []string       `json:"bodies,omitempty"`
	Claimed time.Time      `json:"claimed,omitzero"` // by a process that sends
	Sent    time.Time      `json:"sent,omitzero"`    // the last notice
	Refused int            `json:"refused,omitempty"`
}

// Ledger is where addresses are kept; *node.Node is one.
type Ledger interface {
	Left(ctx context.Context, kind rows.LeftKind, subject ledger.Subject) (*node.Left, error)
	Leave(ctx context.Context, kind rows.LeftKind, subject ledger.Subject, was *node.Left, content []byte) error
	EachLeft(ctx context.Context, kind rows.LeftKind, f func(*node.Left) error) error
	Counted(ctx context.Context, subject ledger.Subject) (uint64, error)
	Now() time.Time
}

// Desk keeps addresses, and sends. It is safe for concurrent use.
type Desk struct {
	Ledger Ledger
	Sender Sender
	// Bodies are the ids of those that a citizen's verified list has, as of now.
	Bodies func(ctx context.Context, subject ledger.Subject) ([]string, error)
	// Words are the texts of a language: "code" with the code as its argument, or "news"; a subject and a text each.
	Words func(lang, what string, arguments ...any) (subject, text string, err error)
	Log   *slog.Logger
}

// Get returns a citizen's address, nil if there is none.
func (d *Desk) Get(ctx context.Context, subject ledger.Subject) (*Address, error) {
	a, _, err := d.get(ctx, subject)
	return a, err
}

func (d *Desk) get(ctx context.Context, subject ledger.Subject) (*Address, *node.Left, error) {
	left, err := d.Ledger.Left(ctx, rows.LeftNotice, subject)
	if err != nil || left == nil {
		return nil, nil, err
	}
	a, err := parse(left)
	return a, left, err
}

func parse(left *node.Left) (*Address, error) {
	a := new(Address)
	if err := json.Unmarshal(left.Content, a); err != nil {
		return nil, errors.New("couldn't read an address for notices: it is of another version, or malformed")
	}
	return a, nil
}

func (d *Desk) put(ctx context.Context, a *Address, was *node.Left) error {
	content, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return d.Ledger.Leave(ctx, rows.LeftNotice, a.Subject, was, content)
}

// Ask sends a code to an address, which takes the place of what there was: nothing else goes there before the citizen typed it.
func (d *Desk) Ask(ctx context.Context, subject ledger.Subject, lang, address string) error {
	if !ValidAddress(address) {
		return ErrAddress
	}
	_, left, err := d.get(ctx, subject)
	if err != nil {
		return err
	}
	n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
	if err != nil {
		return err
	}
	a := &Address{Subject: subject, Address: address, Lang: lang, State: Asked, Code: fmt.Sprintf("%08d", n), Begun: d.Ledger.Now()}
	if err := d.put(ctx, a, left); err != nil {
		return err
	}
	return d.send(ctx, a, "code", a.Code[:4]+" "+a.Code[4:])
}

// send gives a message to the server. Its error is ErrNotSent; the log has the reason, and no address.
func (d *Desk) send(ctx context.Context, a *Address, what string, arguments ...any) error {
	title, text, err := d.Words(a.Lang, what, arguments...)
	if err != nil {
		return err
	}
	if err := d.Sender.Send(ctx, Message{To: a.Address, Subject: title, Text: text}); err != nil {
		d.Log.Error("notices", "error", err)
		return errors.Join(ErrNotSent, err)
	}
	return nil
}

// Confirm turns notices on with the code that was sent.
func (d *Desk) Confirm(ctx context.Context, subject ledger.Subject, code string) error {
	a, left, err := d.get(ctx, subject)
	switch {
	case err != nil:
		return err
	case a == nil || a.State != Asked || a.Tries >= codeTries || d.Ledger.Now().Sub(a.Begun) >= codeLasts:
		return ErrExpired
	case subtle.ConstantTimeCompare([]byte(a.Code), []byte(code)) != 1:
		a.Tries++
		return errors.Join(ErrCode, d.put(ctx, a, left))
	}
	if a.Count, err = d.Ledger.Counted(ctx, subject); err != nil {
		return err
	}
	if a.Bodies, err = d.Bodies(ctx, subject); err != nil {
		return err
	}
	a.State, a.Code, a.Tries, a.Begun = On, "", 0, d.Ledger.Now()
	return d.put(ctx, a, left)
}

// Stop forgets a citizen's address.
func (d *Desk) Stop(ctx context.Context, subject ledger.Subject) error {
	for {
		_, left, err := d.get(ctx, subject)
		if err != nil || left == nil {
			return err
		}
		if err := d.Ledger.Leave(ctx, rows.LeftNotice, subject, left, nil); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// Run looks once at the lists of all who have notices on, and sends what is due. What goes wrong with one citizen is logged, and
// the others are looked at.
func (d *Desk) Run(ctx context.Context) error {
	type due struct {
		subject ledger.Subject
		count   uint64
	}
	var all []due
	err := d.Ledger.EachLeft(ctx, rows.LeftNotice, func(l *node.Left) error {
		a, err := parse(l)
		if err == nil && d.ready(a) {
			all = append(all, due{a.Subject, a.Count})
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, one := range all {
		count, err := d.Ledger.Counted(ctx, one.subject)
		if err == nil && count != one.count {
			err = d.look(ctx, one.subject, count)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, ErrNotSent): // that is logged
			d.Log.Error("notices", "error", err)
		}
	}
	return nil
}

// ready says whether a citizen may get a notice now.
func (d *Desk) ready(a *Address) bool {
	now := d.Ledger.Now()
	return a.State == On && now.Sub(a.Sent) >= Apart && now.Sub(a.Claimed) >= claimLasts
}

// look sends a notice if a list has a body that it hadn't.
func (d *Desk) look(ctx context.Context, subject ledger.Subject, count uint64) error {
	bodies, err := d.Bodies(ctx, subject)
	if err != nil {
		return err
	}
	a, left, err := d.get(ctx, subject)
	if err != nil || a == nil || !d.ready(a) {
		return err // stopped meanwhile, or another process is at it
	}
	fresh := slices.ContainsFunc(bodies, func(id string) bool { return !slices.Contains(a.Bodies, id) })
	if !fresh {
		a.Count, a.Bodies = count, bodies
		return unless(store.ErrConflict, d.put(ctx, a, left))
	}
	a.Claimed = d.Ledger.Now()
	if err := d.put(ctx, a, left); err != nil {
		return unless(store.ErrConflict, err)
	}
	sent := d.send(ctx, a, "news")
	a, left, err = d.get(context.WithoutCancel(ctx), subject)
	if err != nil || a == nil || a.State != On {
		return errors.Join(err, sent)
	}
	switch {
	case sent == nil:
		a.Count, a.Bodies, a.Sent, a.Claimed, a.Refused = count, bodies, d.Ledger.Now(), time.Time{}, 0
	case errors.Is(sent, ErrRefused):
		if a.Refused++; a.Refused >= refusals {
			a.State = Failing
		}
	default:
		return sent // once more, when the claim is over
	}
	return errors.Join(sent, unless(store.ErrConflict, d.put(context.WithoutCancel(ctx), a, left)))
}

func unless(which, err error) error {
	if errors.Is(err, which) {
		return nil
	}
	return err
}
