// SPDX-License-Identifier: EUPL-1.2

package service

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/checks"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

// Opened is what a configuration names: files read, key sets loaded.
type Opened struct {
	Key           *agencykey.Key
	Policy        *checkpoint.Policy
	Ledger        *url.URL
	Certificate   *tls.Certificate // nil without TLS
	PDND, Clients pdnd.Keys        // nil for a URL that wasn't asked
	Consumers     *checks.Consumers
}

// maxPolicy bounds the file of the log's key and witnesses.
const maxPolicy = 1 << 20

// codeFile: a file or URL that the configuration names can't be used.
const codeFile = "unusable"

// Open reads all that a configuration names. Offline, it asks no URL. What can't be used is told with its field, all of it.
func Open(c *config.Config, offline bool) (*Opened, []ledger.Problem) {
	o := new(Opened)
	var problems []ledger.Problem
	try := func(field, expected string, err error) {
		if err != nil {
			problems = append(problems, ledger.Problem{Code: codeFile, Where: c.Where(field), Expected: expected, Found: found(err)})
		}
	}
	var err error
	if c.TLS != nil {
		certificate, err := tls.LoadX509KeyPair(c.TLS.Certificate, c.TLS.Key)
		o.Certificate = &certificate
		try("tls", "a certificate and its key in PEM", err)
	}
	if info, err := os.Stat(c.Memory); err == nil && !info.IsDir() {
		try("memory", "a directory, or nothing yet", errors.New("a file"))
	}
	if c.Traces != "" {
		_, err := os.Stat(filepath.Dir(c.Traces))
		if info, there := os.Stat(c.Traces); there == nil && info.IsDir() {
			err = errors.New("a directory")
		}
		try("traces", "a file, or a new one in a directory that is there", err)
	}
	if o.Ledger, err = url.Parse(c.Ledger.URL); err != nil {
		try("ledger/url", "a URL", err)
	}
	data, err := cli.ReadFile(c.Ledger.Policy, maxPolicy)
	if err == nil {
		o.Policy, err = checkpoint.ParsePolicy(data)
	}
	try("ledger/policy", "the policy file that verifier takes", err)
	if err == nil && c.Check != nil && len(o.Policy.Monitors) == 0 {
		try("ledger/policy", "a policy that names a monitor (group monitors), for the check", errors.New("one that names none"))
	}
	o.Key, err = agencykey.Read(c.Identity.Key, c.Identity.PassphraseFile)
	try("identity/key", "the key file of "+c.Identity.Body+", made by agency key new", err)
	if err == nil && o.Key.Body != c.Identity.Body {
		try("identity/key", "a key of "+c.Identity.Body, fmt.Errorf("a key of %s", o.Key.Body))
	}
	if c.Check != nil {
		keys, err := c.Check.OwnKeys()
		try("check/keys", "a JWK set of the body's own keys", err)
		if err == nil && o.Key != nil && !slices.ContainsFunc(keys, func(k jws.Key) bool { return k.Kid == o.Key.Kid }) {
			try("check/keys", "every key that ever was "+c.Identity.Body+"'s own, identity/key among them", errors.New("others alone"))
		}
	}
	for _, set := range []struct {
		field, source string
		into          *pdnd.Keys
	}{{"pdnd/keys", c.PDND.Keys, &o.PDND}, {"pdnd/client_keys", c.PDND.ClientKeys, &o.Clients}} {
		if offline && config.IsURL(set.source) {
			continue
		}
		keys, err := keySet(set.source)
		*set.into = keys
		try(set.field, "a JWK set", err)
	}
	o.Consumers, err = checks.LoadConsumers(&c.PDND)
	try("pdnd/tenants", "the list of bodies in PDND's open data (aderenti.csv)", err)
	return o, problems
}

func keySet(source string) (pdnd.Keys, error) {
	if config.IsURL(source) {
		return pdnd.URLKeys(source, &http.Client{Timeout: 10 * time.Second})
	}
	return pdnd.FileKeys(source)
}

// found says what was wrong, on one line.
func found(err error) string {
	if errors.Is(err, os.ErrNotExist) {
		return "no such file"
	}
	return err.Error()
}
