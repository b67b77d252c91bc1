// SPDX-License-Identifier: EUPL-1.2

package notice_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/notice"
	"github.com/traccia-ledger/traccia/cmd/internal/web/webtest"
)

const to = "anna.rossi@posta.example"

// TestMail: messages reach a real server, by each way of TLS, and what goes wrong is said without the address.
func TestMail(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("parola\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	message := notice.Message{To: to, Subject: "C'è qualcosa di nuovo", Text: "Perché è così.\n.\nEnd = here\n"}
	for _, c := range []struct{ security, user string }{{"none", ""}, {"starttls", ""}, {"starttls", "registro"}, {"tls", "registro"}} {
		server := webtest.NewMail(t, c.security, c.user, "parola")
		settings := notice.Settings{Server: server.Address, TLS: c.security, From: "avvisi@registro.example", User: c.user}
		if c.user != "" {
			settings.PasswordFile = secret
		}
		open := func(roots *tls.Config) *notice.Mail {
			t.Helper()
			m, err := notice.Open(settings, roots)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		m := open(server.Roots)
		if err := m.Send(t.Context(), message); err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		got := server.Messages()
		if len(got) != 1 || got[0].From != settings.From || got[0].To != to || got[0].TLS != (c.security != "none") || got[0].User != c.user {
			t.Fatalf("%v: %+v", c, got)
		}
		read, err := mail.ReadMessage(strings.NewReader(got[0].Text))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(read.Body))
		subject, wrong := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
		if err != nil || wrong != nil || !strings.HasPrefix(string(text), message.Text) || subject != message.Subject || read.Header.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("%v: %q, %q, %v", c, subject, text, read.Header)
		}
		for code, want := range map[int]bool{550: true, 451: false} {
			server.Refuse(code)
			if err := m.Send(t.Context(), message); err == nil || errors.Is(err, notice.ErrRefused) != want || strings.Contains(err.Error(), "posta.example") {
				t.Errorf("%v, a reply of %d: %v", c, code, err)
			}
		}
		server.Refuse(0)
		if c.security != "none" {
			if err := open(nil).Send(t.Context(), message); err == nil {
				t.Errorf("%v: a server whom nobody vouches for gets the message", c)
			}
		}
		if c.user != "" {
			if err := os.WriteFile(secret, []byte("altra"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := open(server.Roots).Send(t.Context(), message); err == nil || errors.Is(err, notice.ErrRefused) {
				t.Errorf("%v: another password: %v", c, err)
			}
			os.WriteFile(secret, []byte("parola\n"), 0o600)
		}
		if len(server.Messages()) != 1 {
			t.Errorf("%v: %d messages", c, len(server.Messages()))
		}
	}
	// A server that doesn't offer TLS gets nothing.
	plain := webtest.NewMail(t, "none", "", "")
	m, err := notice.Open(notice.Settings{Server: plain.Address, TLS: "starttls", From: "avvisi@registro.example"}, plain.Roots)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Send(t.Context(), message); err == nil || len(plain.Messages()) != 0 {
		t.Errorf("without TLS: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Send(ended, message); err == nil {
		t.Error("it is sent after its context ended")
	}
}

func TestSettings(t *testing.T) {
	good := notice.Settings{Server: "mail.example:587", TLS: "starttls", From: "avvisi@registro.example"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for where, change := range map[string]func(s *notice.Settings){
		"server":   func(s *notice.Settings) { s.Server = "mail.example" },
		"tls":      func(s *notice.Settings) { s.TLS = "maybe" },
		"tls none": func(s *notice.Settings) { s.TLS = "none" },
		"from":     func(s *notice.Settings) { s.From = "Registro <avvisi@registro.example>" },
		"user":     func(s *notice.Settings) { s.User = "registro" },
	} {
		s := good
		change(&s)
		if err := s.Check(); err == nil || !strings.HasPrefix(err.Error(), strings.Fields(where)[0]+":") {
			t.Errorf("%s: %v", where, err)
		}
	}
	for text, want := range map[string]bool{
		to: true, "a+b@c.d.it": true, "": false, "anna": false, "anna@posta": false, "Anna <anna@posta.it>": false, "anna@posta.it\r\nBcc: x@y.it": false,
		"anna@posta.it,bruno@posta.it": false, "è@posta.it": false, "anna rossi@posta.it": false, strings.Repeat("a", 250) + "@posta.it": false, "anna@.": false,
	} {
		if notice.ValidAddress(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// TestFolder: a message is a file that a program for e-mail opens, and its name says nothing.
func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	if err := notice.Folder(dir).Send(t.Context(), notice.Message{To: to, Subject: "è", Text: "testo\n"}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil || len(files) != 1 || strings.Contains(files[0], "anna") || !strings.Contains(files[0], time.Now().UTC().Format("2006")) {
		t.Fatalf("%q, %v", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if m, err := mail.ReadMessage(f); err != nil || m.Header.Get("To") != to {
		t.Errorf("%v, %v", m, err)
	}
}
