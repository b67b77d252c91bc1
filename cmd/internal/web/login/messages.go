// SPDX-License-Identifier: EUPL-1.2

package login

import (
	"bufio"
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/ijson"
)

// keepMonths is how long providers of services have to keep the messages of logins, and how long these are kept.
const keepMonths = 24

// Exchange is what went between the ledger and a provider about one login, as it was sent: kept for whoever has to account
// for a login.
type Exchange struct {
	State    string `json:"state"`              // ties a request to its answer
	Request  string `json:"request,omitempty"`  // the signed authentication request
	Response string `json:"response,omitempty"` // the query with which the browser came back
	Tokens   string `json:"tokens,omitempty"`   // the token endpoint's answer
	UserInfo string `json:"userinfo,omitempty"` // the userinfo endpoint's
	Outcome  string `json:"outcome,omitempty"`  // "in", the reason of the refusal, or "failed"
}

// messageLine is one line of a month's file, logins-2026-11.ndjson. previous is SHA-256 of the line before, without its end,
// so that none can be taken out of the middle.
//
//	{"at":"2026-11-22T09:30:00Z","provider":"spid-uno","previous":"9f…64 hex","sealed":"…base64url"}
type messageLine struct {
	At       string        `json:"at"`
	Provider string        `json:"provider"`
	Previous string        `json:"previous"` // of the first line, zeros
	Sealed   ledger.Base64 `json:"sealed"`   // RFC 9180 base mode: X25519, HKDF-SHA256, ChaCha20-Poly1305; enc ‖ ciphertext
}

// info binds what is sealed to its line.
func (l *messageLine) info() []byte {
	return fmt.Appendf([]byte(ledger.NameSpace+"/login-messages\x00"), "%s\x00%s\x00%s", l.At, l.Provider, l.Previous)
}

// messages appends to the files. Whoever may read them has the private key elsewhere.
type messages struct {
	dir string
	key hpke.PublicKey

	mu   sync.Mutex
	name string      // guarded by mu: of the file that last is of
	last ledger.Hash // guarded by mu: of the last line
}

// openMessages makes the folder if need be.
func openMessages(dir, keyFile string) (*messages, error) {
	raw, err := readKeyFile(keyFile)
	if err != nil {
		return nil, err
	}
	key, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(raw)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't keep the messages of logins: %w", err)
	}
	return &messages{dir: dir, key: key}, nil
}

var messageFile = regexp.MustCompile(`^logins-([0-9]{4}-[0-9]{2})\.ndjson$`)

// keep appends one exchange, and waits until it is on the disk. Files whose time is over go.
func (m *messages) keep(at time.Time, provider string, x Exchange) error {
	plain, err := json.Marshal(x)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	name := filepath.Join(m.dir, "logins-"+at.UTC().Format("2006-01")+".ndjson")
	if name != m.name {
		if err := m.begin(name, at); err != nil {
			return fmt.Errorf("couldn't keep the messages of a login: %w", err)
		}
	}
	l := messageLine{At: at.UTC().Format(time.RFC3339), Provider: provider, Previous: hex.EncodeToString(m.last[:])}
	if l.Sealed, err = hpke.Seal(m.key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), l.info(), plain); err != nil {
		return fmt.Errorf("couldn't seal the messages of a login: %w", err)
	}
	line, err := json.Marshal(l)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("couldn't keep the messages of a login: %w", err)
	}
	_, err = file.Write(append(line, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		m.name = "" // what the file ends with is looked at again
		return fmt.Errorf("couldn't keep the messages of a login: %w", err)
	}
	m.last = sha256.Sum256(line)
	return nil
}

// begin takes over a month's file, ends a line that a crash cut short, and takes away the files of months that are over.
func (m *messages) begin(name string, now time.Time) error {
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	m.last = ledger.Hash{}
	if whole := bytes.LastIndexByte(data, '\n') + 1; whole > 0 {
		m.last = sha256.Sum256(data[bytes.LastIndexByte(data[:whole-1], '\n')+1 : whole-1])
		data = data[whole:]
	}
	if len(data) > 0 {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if err := os.Truncate(name, info.Size()-int64(len(data))); err != nil {
			return err
		}
	}
	files, err := os.ReadDir(m.dir)
	if err != nil {
		return err
	}
	oldest := now.UTC().AddDate(0, -keepMonths, 1-now.UTC().Day()).Format("2006-01")
	for _, f := range files {
		if month := messageFile.FindStringSubmatch(f.Name()); month != nil && month[1] < oldest {
			if err := os.Remove(filepath.Join(m.dir, f.Name())); err != nil {
				return err
			}
		}
	}
	m.name = name
	return durable.SyncDir(m.dir)
}

// NewMessagesKey makes the pair of keys of whoever may read the messages of logins: public goes to the ledger, private stays
// with them.
func NewMessagesKey(private, public string) error {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if err := durable.Create(private, formatKeyFile(key.Bytes()), 0o600); err != nil {
		return fmt.Errorf("couldn't write the private key: %w", err)
	}
	if err := durable.Create(public, formatKeyFile(key.PublicKey().Bytes()), 0o644); err != nil {
		return fmt.Errorf("couldn't write the public key: %w", err)
	}
	return nil
}

func formatKeyFile(key []byte) []byte {
	return []byte(base64.RawURLEncoding.EncodeToString(key) + "\n")
}

func readKeyFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read a key: %w", err)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("couldn't read %s: expected a key in base64url, made by ledgerd login messages-key", path)
	}
	return raw, nil
}

// Message is one that was read.
type Message struct {
	At       string `json:"at"`
	Provider string `json:"provider"`
	Exchange
}

// ReadMessages opens a month's file, and gives each line to f in order. An error names the line that is no whole part of it.
func ReadMessages(r io.Reader, keyFile string, f func(Message) error) error {
	raw, err := readKeyFile(keyFile)
	if err != nil {
		return err
	}
	private, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return err
	}
	key, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		return err
	}
	var last ledger.Hash
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4*maxAnswer)
	for n := 1; lines.Scan(); n++ {
		var l messageLine
		if err := ijson.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("line %d isn't one of a file of logins", n)
		}
		if want := hex.EncodeToString(last[:]); l.Previous != want {
			return fmt.Errorf("line %d doesn't follow on the line before: expected previous %s, found %.64q", n, want, l.Previous)
		}
		plain, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), l.info(), l.Sealed)
		if err != nil {
			return fmt.Errorf("line %d doesn't open: it is sealed for another key, or was changed", n)
		}
		m := Message{At: l.At, Provider: l.Provider}
		if err := json.Unmarshal(plain, &m.Exchange); err != nil {
			return fmt.Errorf("line %d holds something else", n)
		}
		if err := f(m); err != nil {
			return err
		}
		last = sha256.Sum256(lines.Bytes())
	}
	return lines.Err()
}
