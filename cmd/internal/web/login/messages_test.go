// SPDX-License-Identifier: EUPL-1.2

package login_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/login"
)

// messages reads the file of now.
func (s *site) messages() (file string, raw []byte, list []login.Message, err error) {
	s.t.Helper()
	file = filepath.Join(s.settings.Messages.Folder, "logins-"+s.clock.now().UTC().Format("2006-01")+".ndjson")
	if raw, err = os.ReadFile(file); err != nil {
		s.t.Fatal(err)
	}
	err = login.ReadMessages(bytes.NewReader(raw), s.reader, func(m login.Message) error {
		list = append(list, m)
		return nil
	})
	return file, raw, list, err
}

// TestMessages: what was exchanged is kept for who may read it, whole and in order, for 24 months.
func TestMessages(t *testing.T) {
	s := newSite(t)
	s.browser().login(who{Account: "anna", ACR: levelTwo})
	s.browser().login(who{Error: "access_denied"})
	file, raw, list, err := s.messages()
	if err != nil || len(list) != 4 {
		t.Fatalf("%d messages, %v", len(list), err)
	}
	request, in, cancelled := list[0], list[1], list[3]
	if strings.Count(request.Request, ".") != 2 || request.Outcome != "" || request.Provider != "spid" || in.State != request.State || in.Outcome != "in" ||
		!strings.Contains(in.Response, "code=") || !strings.Contains(in.Tokens, "id_token") || strings.Count(in.UserInfo, ".") != 4 {
		t.Errorf("a login was kept as %+v, %+v", request, in)
	}
	if cancelled.Outcome != "cancelled" || !strings.Contains(cancelled.Response, "access_denied") || cancelled.Tokens != "" || cancelled.State == in.State {
		t.Errorf("one that was cancelled was kept as %+v", cancelled)
	}
	for _, secret := range []string{string(anna), in.State, in.Tokens, "access_denied"} {
		if bytes.Contains(raw, []byte(secret)) {
			t.Errorf("the file says %.20q", secret)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Any change shows, but for lines missing at the end.
	lines := strings.SplitAfter(strings.TrimSuffix(string(raw), "\n"), "\n")
	read := func(text string) error {
		return login.ReadMessages(strings.NewReader(text), s.reader, func(login.Message) error { return nil })
	}
	for what, text := range map[string]string{
		"the first taken out": strings.Join(lines[1:], ""), "one taken out": lines[0] + lines[2] + lines[3], "two changed about": lines[1] + lines[0] + lines[2] + lines[3],
		"another time": strings.Replace(string(raw), `"at":"2`, `"at":"3`, 1), "another provider": strings.Replace(string(raw), `"spid"`, `"cie"`, 1),
		"no line": "{}\n", "another member": strings.Replace(string(raw), `"at"`, `"more":1,"at"`, 1),
	} {
		if err := read(text); err == nil {
			t.Errorf("%s: it reads well", what)
		} else if strings.Contains(err.Error(), string(anna)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := filepath.Join(t.TempDir(), "other.key")
	if err := login.NewMessagesKey(other, other+".pub"); err != nil {
		t.Fatal(err)
	}
	if err := login.ReadMessages(bytes.NewReader(raw), other, func(login.Message) error { return nil }); err == nil {
		t.Error("another key reads them")
	}
	if err := login.NewMessagesKey(other, other+".more"); err == nil {
		t.Error("a key was overwritten")
	}
	// The process died while it wrote a line.
	if err := os.WriteFile(file, append(bytes.Clone(raw), `{"at":"2026-`...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.browser().login(who{Account: "anna", ACR: levelTwo})
	if _, _, list, err := s.messages(); err != nil || len(list) != 6 {
		t.Errorf("after a crash %d messages, %v", len(list), err)
	}
	// Kept for 24 months, in which the present one doesn't count.
	month := time.Date(s.clock.now().UTC().Year(), s.clock.now().UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	name := func(back int) string {
		return filepath.Join(filepath.Dir(file), "logins-"+month.AddDate(0, -back, 0).Format("2006-01")+".ndjson")
	}
	for _, f := range []string{name(24), name(25), filepath.Join(filepath.Dir(file), "other.txt")} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.open()
	s.browser().begin(who{Account: "anna", ACR: levelTwo})
	if files, err := os.ReadDir(filepath.Dir(file)); err != nil || len(files) != 3 || files[0].Name() != filepath.Base(name(24)) {
		t.Errorf("kept are %v, %v", files, err)
	}
	// Where they can't be kept nobody gets in.
	b := s.browser()
	back := b.begin(who{Account: "anna", ACR: levelTwo})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if p := b.do("GET", back.String()); p.status != 500 || b.shows() != "" {
		t.Errorf("a login whose messages can't be kept: %d, shows %q", p.status, b.shows())
	}
}
