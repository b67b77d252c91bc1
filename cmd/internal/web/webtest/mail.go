// SPDX-License-Identifier: EUPL-1.2

package webtest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Mail is a real SMTP server that keeps what it takes.
type Mail struct {
	Address string      // host:port
	Roots   *tls.Config // that know its certificate
	user    string
	secret  string

	mu       sync.Mutex
	messages []Message
	refuse   *smtp.SMTPError
}

// Message is one that it took.
type Message struct {
	From, To string
	Text     string // as it was sent
	TLS      bool
	User     string
}

// NewMail serves with "starttls", "tls" from the beginning, or "none", to who knows user and password; "" is no user.
func NewMail(t testing.TB, security, user, password string) *Mail {
	t.Helper()
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.StartTLS() // whose certificate is good for 127.0.0.1
	t.Cleanup(web.Close)
	m := &Mail{Roots: &tls.Config{RootCAs: x509.NewCertPool()}, user: user, secret: password}
	m.Roots.RootCAs.AddCert(web.Certificate())
	server := smtp.NewServer(m)
	server.Domain = "mail.example"
	certificates := &tls.Config{Certificates: web.TLS.Certificates}
	if security == "starttls" {
		server.TLSConfig = certificates
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.Address = l.Addr().String()
	if security == "tls" {
		l = tls.NewListener(l, certificates)
	}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return m
}

// Refuse has every recipient refused with a reply of this code, 0: none. The reply repeats the address, as servers do.
func (m *Mail) Refuse(code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = nil
	if code != 0 {
		m.refuse = &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}}
	}
}

// Messages are those taken so far.
func (m *Mail) Messages() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Message(nil), m.messages...)
}

// NewSession makes the part of one connection.
func (m *Mail) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	return &mailSession{mail: m, message: Message{TLS: secure}}, nil
}

type mailSession struct {
	mail    *Mail
	message Message
}

// AuthMechanisms are user and password (RFC 4616).
func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth is asked after AuthMechanisms.
func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.mail.user || password != s.mail.secret {
			return errors.New("another user or password")
		}
		s.message.User = user
		return nil
	}), nil
}

// Mail begins a message.
func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	if s.mail.user != s.message.User {
		return smtp.ErrAuthRequired
	}
	s.message.From = from
	return nil
}

// Rcpt says to whom.
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.mu.Lock()
	defer s.mail.mu.Unlock()
	if refuse := s.mail.refuse; refuse != nil {
		return &smtp.SMTPError{Code: refuse.Code, EnhancedCode: refuse.EnhancedCode, Message: "no such mailbox: " + to}
	}
	s.message.To = to
	return nil
}

// Data takes it.
func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mail.mu.Lock()
	defer s.mail.mu.Unlock()
	message := s.message
	message.Text = strings.ReplaceAll(string(text), "\r\n", "\n")
	s.mail.messages = append(s.mail.messages, message)
	return nil
}

// Reset forgets a message that wasn't given.
func (s *mailSession) Reset() { s.message.From, s.message.To = "", "" }

// Logout ends it.
func (s *mailSession) Logout() error { return nil }
