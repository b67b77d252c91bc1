// SPDX-License-Identifier: EUPL-1.2

package login

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/traccia-ledger/traccia/cmd/internal/web"
	"github.com/traccia-ledger/traccia/cmd/internal/web/notice"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// Settings is the file that says how citizens log in, and who answers for the pages. An unknown name is an error.
//
//	{
//	  "origin": "https://registro.example",
//	  "client_id": "https://registro.example",
//	  "keys": "login-keys.json",
//	  "messages": {"folder": "logins", "key": "messages.pub"},
//	  "notices": {"server": "mail.example:587", "tls": "starttls", "from": "avvisi@registro.example", "user": "registro", "password_file": "mail.password"},
//	  "operator": {
//	    "name": "Ente gestore",
//	    "accessibility": "https://form.agid.gov.it/view/…",
//	    "privacy": "https://registro.example/privacy.html"
//	  },
//	  "providers": [
//	    {"id": "cie", "kind": "cie", "name": "CIE", "issuer": "https://idserver.servizicie.interno.gov.it"},
//	    {"id": "spid-uno", "kind": "spid", "name": "SPID – Gestore Uno", "issuer": "https://op.example"}
//	  ]
//	}
type Settings struct {
	Origin    string       `json:"origin"`              // of the pages, as browsers write it
	ClientID  string       `json:"client_id,omitempty"` // as the providers know this ledger; "": the origin
	Keys      string       `json:"keys"`                // file of the private keys, relative to this one; ledgerd login key makes it
	Operator  web.Operator `json:"operator"`
	Messages  *Kept        `json:"messages,omitempty"` // where the messages of logins are kept; absent: they are kept elsewhere
	Providers []Provider   `json:"providers"`          // in the order they are shown

	Notices *notice.Settings `json:"notices,omitempty"` // the mail server that takes citizens' notices; absent: there are none
}

// Kept says where the messages of logins are kept for 24 months, and for whom they are sealed; paths are relative to the file.
type Kept struct {
	Folder string `json:"folder"`
	Key    string `json:"key"` // public, made by ledgerd login messages-key
}

// Provider of identity.
type Provider struct {
	ID     string `json:"id"`     // [a-z0-9-], in paths
	Kind   string `json:"kind"`   // "spid" or "cie"
	Name   string `json:"name"`   // after "enter with"
	Issuer string `json:"issuer"` // its OpenID Connect identifier, a URL
}

var providerID = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// ReadSettings reads the file.
func ReadSettings(path string) (*Settings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read how citizens log in: %w", err)
	}
	s := new(Settings)
	if err := ijson.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", path, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", path, err)
	}
	if s.ClientID == "" {
		s.ClientID = s.Origin
	}
	paths := []*string{&s.Keys}
	if s.Messages != nil {
		paths = append(paths, &s.Messages.Folder, &s.Messages.Key)
	}
	if s.Notices != nil && s.Notices.PasswordFile != "" {
		paths = append(paths, &s.Notices.PasswordFile)
	}
	for _, p := range paths {
		if !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(path), *p)
		}
	}
	return s, nil
}

func (s *Settings) check() error {
	if err := checkURL("origin", s.Origin); err != nil {
		return err
	}
	if u, _ := url.Parse(s.Origin); s.Origin != u.Scheme+"://"+u.Host {
		return fmt.Errorf("origin: expected scheme and host alone, found %q", s.Origin)
	}
	if s.Keys == "" {
		return fmt.Errorf("keys: expected the file of the login's keys (ledgerd login key makes it), found nothing")
	}
	if s.Messages != nil && (s.Messages.Folder == "" || s.Messages.Key == "") {
		return fmt.Errorf("messages: expected folder and key, found one of them or none")
	}
	if strings.TrimSpace(s.Operator.Name) == "" {
		return fmt.Errorf("operator: name: expected who answers for the pages, found nothing")
	}
	for _, u := range []struct{ where, value string }{{"client_id", s.ClientID}, {"operator: accessibility", s.Operator.Accessibility}, {"operator: privacy", s.Operator.Privacy}} {
		if u.value != "" {
			if err := checkURL(u.where, u.value); err != nil {
				return err
			}
		}
	}
	if s.Notices != nil {
		if err := s.Notices.Check(); err != nil {
			return fmt.Errorf("notices: %w", err)
		}
	}
	if len(s.Providers) == 0 {
		return fmt.Errorf("providers: expected one at least, found none")
	}
	ids, issuers := map[string]bool{}, map[string]bool{}
	for i, p := range s.Providers {
		where := fmt.Sprintf("providers/%d/", i)
		switch {
		case !providerID.MatchString(p.ID) || ids[p.ID]:
			return fmt.Errorf("%sid: expected up to 32 of a-z, 0-9 and -, of no other provider, found %q", where, p.ID)
		case p.Kind != "spid" && p.Kind != "cie":
			return fmt.Errorf("%skind: expected spid or cie, found %q", where, p.Kind)
		case strings.TrimSpace(p.Name) == "":
			return fmt.Errorf("%sname: expected what citizens know it by, found nothing", where)
		// Two of one issuer would share what tells their answers apart.
		case issuers[p.Issuer]:
			return fmt.Errorf("%sissuer: expected one of no other provider, found %q", where, p.Issuer)
		}
		if err := checkURL(where+"issuer", p.Issuer); err != nil {
			return err
		}
		ids[p.ID], issuers[p.Issuer] = true, true
	}
	return nil
}

// checkURL lets https through, and http to this machine.
func checkURL(where, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s: expected an https URL, found %q", where, value)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "https" || u.Scheme == "http" && ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s: expected an https URL, found %q", where, value)
}
