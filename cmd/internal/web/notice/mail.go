// SPDX-License-Identifier: EUPL-1.2

package notice

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger/durable"
)

// Message is a text to one address.
type Message struct {
	To, Subject, Text string
}

// Sender sends messages. An error of one holds nothing personal; errors.Is ErrRefused: the address doesn't take it.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// ErrRefused: the server refused the address for good (RFC 5321, a reply of 5xx to it).
var ErrRefused = errors.New("refused for good")

// Settings of a server that takes messages (RFC 6409). TLS is "starttls" (RFC 3207), "tls" from the beginning (RFC 8314), or "none"
// to a loopback address alone.
//
//	{"server": "mail.example:587", "tls": "starttls", "from": "avvisi@registro.example", "user": "registro", "password_file": "mail.password"}
type Settings struct {
	Server       string `json:"server"`
	TLS          string `json:"tls"`
	From         string `json:"from"`
	User         string `json:"user,omitempty"`
	PasswordFile string `json:"password_file,omitempty"` // relative to the file of the settings
}

// Check says what is wrong with settings.
func (s *Settings) Check() error {
	host, _, err := net.SplitHostPort(s.Server)
	ip := net.ParseIP(host)
	switch {
	case err != nil || host == "":
		return fmt.Errorf("server: expected host:port, found %q", s.Server)
	case s.TLS != "starttls" && s.TLS != "tls" && s.TLS != "none":
		return fmt.Errorf("tls: expected starttls, tls or none, found %q", s.TLS)
	case s.TLS == "none" && (ip == nil || !ip.IsLoopback()):
		return fmt.Errorf("tls: expected starttls or tls, none goes to a loopback address alone, found none to %q", host)
	case !ValidAddress(s.From):
		return fmt.Errorf("from: expected an e-mail address, found %q", s.From)
	case (s.User == "") != (s.PasswordFile == ""):
		return errors.New("user: expected user and password_file, or neither, found one of them")
	}
	return nil
}

// ValidAddress says whether a text is an address and nothing else: ASCII, at most 254 bytes (RFC 5321), in a domain with a dot.
func ValidAddress(text string) bool {
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text || len(text) > 254 {
		return false
	}
	for _, c := range text {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	_, domain, _ := strings.Cut(text, "@")
	return strings.Contains(strings.Trim(domain, "."), ".")
}

// Mail sends by SMTP.
type Mail struct {
	settings Settings
	password string
	tls      *tls.Config // nil: the system's roots
}

// Open reads the password of settings; roots are whom the server's certificate has to be from, nil the system's.
func Open(s Settings, roots *tls.Config) (*Mail, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	m := &Mail{settings: s, tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	if roots != nil {
		m.tls = roots.Clone()
	}
	m.tls.ServerName, _, _ = net.SplitHostPort(s.Server)
	if s.PasswordFile != "" {
		password, err := os.ReadFile(s.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the password of the mail server: %w", err)
		}
		m.password = strings.TrimRight(string(password), "\r\n")
	}
	return m, nil
}

// patience is how long a server may take for one message.
const patience = time.Minute

// Send gives a message to the server.
func (m *Mail) Send(ctx context.Context, message Message) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return said(m.send(ctx, message))
}

func (m *Mail) send(ctx context.Context, message Message) error {
	var conn net.Conn
	var err error
	if m.settings.TLS == "tls" {
		conn, err = (&tls.Dialer{Config: m.tls}).DialContext(ctx, "tcp", m.settings.Server)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", m.settings.Server)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		conn.SetDeadline(end)
	}
	c, err := smtp.NewClient(conn, m.tls.ServerName)
	if err != nil {
		return err
	}
	if m.settings.TLS == "starttls" {
		if err := c.StartTLS(m.tls); err != nil {
			return err
		}
	}
	if m.settings.User != "" {
		if err := c.Auth(smtp.PlainAuth("", m.settings.User, m.password, m.tls.ServerName)); err != nil {
			return errors.New("the mail server doesn't take user and password") // whoever is refused isn't the citizen
		}
	}
	if err := c.Mail(m.settings.From); err != nil {
		return err
	}
	if err := c.Rcpt(message.To); err != nil {
		var reply *textproto.Error
		if errors.As(err, &reply) && reply.Code/100 == 5 {
			return errors.Join(ErrRefused, err)
		}
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(message.format(m.settings.From, time.Now())); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	c.Quit() // it has the message: what comes after changes nothing
	return nil
}

// said is an error without what the server wrote: it may repeat the address.
func said(err error) error {
	var reply *textproto.Error
	var network *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &reply) && errors.Is(err, ErrRefused):
		return fmt.Errorf("the mail server answered %d to the address: %w", reply.Code, ErrRefused)
	case errors.As(err, &reply):
		return fmt.Errorf("the mail server answered %d", reply.Code)
	case errors.As(err, &network):
		return fmt.Errorf("couldn't speak to the mail server: %w", network)
	}
	return fmt.Errorf("couldn't speak to the mail server: %w", err)
}

// format writes a message (RFC 5322) that says that nobody answers (RFC 3834).
func (m *Message) format(from string, at time.Time) []byte {
	var b bytes.Buffer
	_, domain, _ := strings.Cut(from, "@")
	for _, h := range [][2]string{
		{"From", from}, {"To", m.To}, {"Subject", mime.QEncoding.Encode("utf-8", m.Subject)}, {"Date", at.UTC().Format(time.RFC1123Z)},
		{"Message-ID", "<" + strings.ToLower(rand.Text()) + "@" + domain + ">"}, {"Auto-Submitted", "auto-generated"}, {"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	w.Write([]byte(strings.ReplaceAll(m.Text, "\n", "\r\n")))
	w.Close()
	b.WriteString("\r\n")
	return b.Bytes()
}

// Folder keeps messages as files instead of sending them: ledgerd dev's.
type Folder string

// Send writes a file with a random name.
func (f Folder) Send(_ context.Context, m Message) error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return fmt.Errorf("couldn't keep a message: %w", err)
	}
	return durable.Create(filepath.Join(string(f), time.Now().UTC().Format("20060102T150405.000")+"-"+strings.ToLower(rand.Text()[:6])+".eml"), m.format("avvisi@dev.traccia.example", time.Now()), 0o600)
}
