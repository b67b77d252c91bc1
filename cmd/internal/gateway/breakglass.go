// SPDX-License-Identifier: EUPL-1.2

package gateway

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/ledger"
)

// Break-glass (docs/break-glass.md): while a session is open that a named person
// opened, and the ledger doesn't answer, an answer of a vital e-service is released
// when its receipt is signed and on disk in the memory. deliver has the receipts
// recorded when the ledger is back.
//
// What must always hold: nothing is released that is neither recorded nor spooled;
// a receipt has one number, and the number before it is of a receipt that is
// spooled or recorded; the local decision is by policies that the ledger decided by.

// vitalPatience is how long a call waits for the ledger where a session is open.
const vitalPatience = 2 * time.Second

// OpenSession opens a session of break-glass; with renew, in the place of the one
// that is open. The error is a *ledger.Problem where person or reason is no text,
// memory.ErrOpen or memory.ErrSession.
func (g *Gateway) OpenSession(person, reason string, renew bool) (memory.Session, error) {
	for _, text := range []struct{ where, text string }{{"person", person}, {"reason", reason}} {
		if err := ledger.CheckText(text.text, ledger.MaxText); err != nil {
			return memory.Session{}, &ledger.Problem{
				Code: ledger.CodeBadText, Where: text.where, Expected: fmt.Sprintf("a text of 1 to %d characters", ledger.MaxText), Found: fmt.Sprintf("%d bytes", len(text.text)),
			}
		}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	s := memory.Session{ID: uuid.NewString(), Person: person, Reason: reason, Opened: now, Until: now.Add(ledger.MaxSession)}
	rand.Read(s.Salt[:])
	if err := g.memory.OpenSession(s, renew); err != nil {
		return memory.Session{}, err
	}
	g.log.Error("ALARM: break-glass is open: vital answers are released without the ledger", "session", s.ID, "until", s.Until.Format(time.RFC3339))
	return s, nil
}

// CloseSession closes the session that is open.
func (g *Gateway) CloseSession() (memory.Session, error) {
	s, ok := g.memory.Current()
	if !ok {
		return s, memory.ErrSession
	}
	if err := g.memory.CloseSession(s.ID); err != nil {
		return s, err
	}
	s = g.session(s.ID)
	g.log.Info("break-glass is closed", "session", s.ID, "receipts", s.Count)
	return s, nil
}

// Warrant is the digest by which the record of a session's opening commits to who
// opened it and why.
func Warrant(s *memory.Session) ledger.Hash {
	b := append([]byte("traccia/v1/break-glass"), 0)
	b = append(b, s.Salt[:]...)
	for _, text := range []string{s.Person, s.Reason} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
		b = append(b, text...)
	}
	return sha256.Sum256(b)
}

// vital says whether the call may be released by break-glass: a session is open,
// its e-service and legal basis are vital, no consent is its ground, and the
// policies by which the ledger decided last permit it, late as well. why says what
// keeps it from that, for the consumer; "" where break-glass isn't in question.
func (c *call) vital(receipt *ledger.Receipt) (ok bool, why string) {
	if !c.route.Service.Vital || !ledger.IsVital(receipt.LegalBasis) || receipt.ConsentID != "" {
		return false, ""
	}
	if _, open := c.memory.Current(); !open {
		return false, "no session of break-glass"
	}
	permitted, known := c.lessons.permits(receipt, &c.who.Assurance)
	switch {
	case !known:
		return false, "break-glass without policies to decide by"
	case !permitted:
		return false, "break-glass, but policies that don't allow this"
	}
	return true, ""
}

// spool signs the receipt into the open session and keeps it. Nothing was released
// on it before that.
func (c *call) spool(receipt *ledger.Receipt, private *ledger.Private, list []ledger.Subject) (*recorded, error) {
	var submission *ledger.Submission
	p, err := c.memory.Spool(func(place ledger.BreakGlass) (string, ledger.Hash, []byte, error) {
		r := *receipt
		r.JTI, r.IssuedAt, r.BreakGlass = uuid.NewString(), time.Now().Unix(), &place
		var err error
		if submission, err = c.Key.Seal(&r, private, list, ""); err != nil {
			return "", ledger.Hash{}, nil, err
		}
		signed, err := ledger.ParseReceipt(submission.Receipt)
		if err != nil {
			return "", ledger.Hash{}, nil, err
		}
		raw, err := ledger.FormatSubmission(submission)
		return r.JTI, signed.PayloadDigest, raw, err
	})
	if err != nil {
		return nil, err
	}
	signed, err := ledger.ParseReceipt(submission.Receipt)
	if err != nil {
		return nil, err
	}
	return &recorded{spooled: p, place: signed.BreakGlass, receipt: signed, subjects: submission.Subjects}, nil
}

// withhold notes of a spooled receipt that nothing is released on it: its access is
// recorded, and that statement after it.
func (c *call) withhold(done *recorded) {
	there, err := c.memory.Withheld(done.spooled)
	if err != nil {
		c.log.Error("couldn't note that an access wasn't released", "receipt", done.receipt.ReceiptID(), "error", err)
	}
	if err == nil && !there { // the ledger was back meanwhile
		c.undelivered(done)
	}
}

// deliver has what break-glass left recorded, in its order: the opening of a
// session, its receipts, its end. Each step may be done twice, and is recorded once.
func (g *Gateway) deliver() {
	for _, s := range g.memory.Sessions() {
		if s.TellOpened && s.TellRecorded == s.Count {
			continue
		}
		if err := g.deliverSession(&s); err != nil {
			if !errors.Is(err, errUnknown) && g.ctx.Err() == nil {
				g.log.Error("couldn't deliver a session of break-glass", "session", s.ID, "error", err)
			}
			return // those after it wait
		}
	}
}

func (g *Gateway) deliverSession(s *memory.Session) error {
	if !s.TellOpened {
		if err := g.tellOpened(s); err != nil {
			return err
		}
	}
	answered := true
	for _, p := range g.memory.Spooled(s.ID) {
		if g.memory.IsRefused(p) {
			continue
		}
		err := g.deliverOne(p)
		var no *refused
		switch {
		case errors.As(err, &no):
			g.memory.Refused(p)
			g.metrics.outcome("spooled_refused")
			g.log.Error("ALARM: the ledger refuses a receipt of break-glass, which stays spooled; it is sent again when the configuration is read again",
				"session", s.ID, "number", p.Number(), "code", no.problem.Code, "where", no.problem.Where, "expected", no.problem.Expected)
		case errors.Is(err, errDishonest):
			answered = false // as recorder said
		case err != nil:
			return err
		}
	}
	if !answered {
		return nil
	}
	return g.end(s.ID)
}

// deliverOne has a spooled receipt recorded. A receipt whose key the ledger doesn't
// take any more is signed again: it stays the same entry.
func (g *Gateway) deliverOne(p *memory.Pending) error {
	raw, err := g.memory.Submission(p)
	if err != nil || raw == nil {
		return err
	}
	withheld, err := g.memory.IsWithheld(p)
	if err != nil {
		return err
	}
	s, err := ledger.ParseSubmission(raw)
	if err != nil {
		return err
	}
	if err := g.memory.Deliver(p, raw); err != nil {
		return err
	}
	sent := &sending{p, raw, s, withheld}
	done, _, err := g.recorder.try(g.ctx, sent)
	if no := new(refused); errors.As(err, &no) && no.problem.Code == "no_session" {
		// A ledger that was restored to an earlier state has lost the record.
		session := g.session(p.Session())
		if err := g.tellOpened(&session); err != nil {
			return err
		}
		if err := g.memory.Deliver(p, raw); err != nil {
			return err
		}
		done, _, err = g.recorder.try(g.ctx, sent)
	}
	if again, ok := g.signAgain(s, err); ok {
		if raw, err = ledger.FormatSubmission(again); err != nil {
			return err
		}
		if err := errors.Join(g.memory.Respool(p, raw), g.memory.Deliver(p, raw)); err != nil {
			return err
		}
		done, _, err = g.recorder.try(g.ctx, &sending{p, raw, again, withheld})
	}
	if err != nil {
		return err
	}
	g.lessons.learn(g.ctx, done.body)
	if done.denied {
		g.metrics.outcome("spooled_denied")
		g.log.Error("ALARM: the policies deny an access that break-glass had released; it is recorded as denied", "receipt", done.answer.ReceiptID)
		return nil
	}
	g.metrics.outcome("spooled_recorded")
	if withheld {
		g.undelivered(done)
	}
	return nil
}

// signAgain signs the same payload with the key of now, where the ledger refused
// the one of then.
func (g *Gateway) signAgain(s *ledger.Submission, why error) (*ledger.Submission, bool) {
	var no *refused
	key := g.parts.Load().Key
	if !errors.As(why, &no) || no.problem.Code != "key_unknown" && no.problem.Code != "key_revoked" {
		return nil, false
	}
	old, err := ledger.ParseReceipt(s.Receipt)
	if err != nil || old.JWS.Header.Kid == key.Kid {
		return nil, false
	}
	again := *s
	if again.Receipt, err = ledger.SignReceipt(&old.Receipt, key.Kid, key.Signer); err != nil {
		return nil, false
	}
	signed, err := ledger.ParseReceipt(again.Receipt)
	return &again, err == nil && bytes.Equal(signed.JWS.Payload, old.JWS.Payload)
}

// end closes a session that is over, and tells the ledger when each of its receipts
// was answered.
func (g *Gateway) end(id string) error {
	s := g.session(id)
	if s.Closed.IsZero() {
		if current, open := g.memory.Current(); open && current.ID == id {
			return nil
		}
		if err := g.memory.CloseSession(id); err != nil {
			return err
		}
		s = g.session(id)
		g.log.Info("break-glass is over", "session", id, "receipts", s.Count)
	}
	for _, p := range g.memory.Spooled(id) {
		if !g.memory.IsRefused(p) {
			return nil // it came meanwhile
		}
	}
	if s.TellRecorded == s.Recorded {
		return nil
	}
	return g.tellClosed(&s)
}

// session is a session as it is now.
func (g *Gateway) session(id string) (found memory.Session) {
	for _, s := range g.memory.Sessions() {
		if s.ID == id {
			found = s
		}
	}
	return found
}

// receiptHeader is what an answer's Traccia-Receipt says.
func (r *recorded) receiptHeader() string {
	if r.spooled != nil {
		return fmt.Sprintf("%s; spooled=%s; number=%d", r.receipt.ReceiptID(), r.place.Session, r.place.Number)
	}
	return fmt.Sprintf("%s; index=%d", r.answer.ReceiptID, r.answer.FirstIndex)
}
