// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
	"github.com/traccia-ledger/traccia/ledger/ijson"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
	"github.com/traccia-ledger/traccia/ledger/place"
)

// Settings is the one configuration file of a data directory, DIR/config.json.
// An unknown name is an error.
//
//	{
//	  "name": "registro.example",
//	  "operator": "gestore",
//	  "publish_interval": "5s",
//	  "store": "postgres://traccia@db.example/traccia",
//	  "witness_policy": "policy.txt",
//	  "pdnd": {
//	    "issuers": ["interop.pagopa.it"],
//	    "voucher_keys": ["https://interop.pagopa.it/.well-known/jwks.json"],
//	    "client_keys": ["pdnd/clients.jwks"],
//	    "eservice": {"id": "3d0a8a4e-…", "producer": "8f1b7c55-…", "audience": ["https://registro.example/v1"]}
//	  }
//	}
type Settings struct {
	Name            string `json:"name"`                       // of the ledger, the same for all its years
	Operator        string `json:"operator,omitempty"`         // body id of who runs it; "": gestore
	PublishInterval string `json:"publish_interval,omitempty"` // a Go duration; "": 5s
	// Store is where the rows are: a database's URL, without a password, or a
	// directory (relative to the data directory); "": the directory store.
	Store string `json:"store,omitempty"`
	// WitnessPolicy is the file (relative to the data directory) that names the
	// witnesses to ask for cosignatures; "": none.
	WitnessPolicy string `json:"witness_policy,omitempty"`
	// AuthorityKey is the X25519 public key of the authority that opens what is
	// recorded without the operator, 32 bytes in base64url without padding (formats
	// §6); "": none.
	AuthorityKey string       `json:"authority_key,omitempty"`
	PDND         PDNDSettings `json:"pdnd"`
}

// PDNDSettings says whose tokens are believed. A key source is a JWKS file
// (relative to the data directory) or an https URL of one.
type PDNDSettings struct {
	Issuers     []string `json:"issuers,omitempty"`      // iss of vouchers
	VoucherKeys []string `json:"voucher_keys,omitempty"` // of PDND
	ClientKeys  []string `json:"client_keys,omitempty"`  // of PDND's clients, for evidence and integrity tokens
	// EService is the ledger's own; nil: it isn't one, and takes submissions as they are.
	EService *EServiceSettings `json:"eservice,omitempty"`
}

const configFile = "config.json"

// ReadSettings reads DIR/config.json.
func ReadSettings(dir string) (Settings, error) {
	path := filepath.Join(dir, configFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return Settings{}, fmt.Errorf("couldn't read the ledger's configuration: %w", err)
	}
	var s Settings
	if err := ijson.Unmarshal(data, &s); err != nil {
		return Settings{}, fmt.Errorf("couldn't read %s: %w", path, err)
	}
	if err := ledger.CheckName(s.Name); err != nil {
		return Settings{}, fmt.Errorf("couldn't read %s: name: %w", path, err)
	}
	if _, err := s.interval(); err != nil {
		return Settings{}, fmt.Errorf("couldn't read %s: publish_interval: %w", path, err)
	}
	if _, err := s.Authority(); err != nil {
		return Settings{}, fmt.Errorf("couldn't read %s: authority_key: %w", path, err)
	}
	if err := s.PDND.EService.check(); err != nil {
		return Settings{}, fmt.Errorf("couldn't read %s: %w", path, err)
	}
	return s, nil
}

// WriteSettings writes DIR/config.json where there is none yet.
func WriteSettings(dir string, s Settings) error {
	if _, err := os.Lstat(filepath.Join(dir, configFile)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("couldn't write the ledger's configuration: %w", errors.Join(err, fs.ErrExist))
	}
	return replaceSettings(dir, s)
}

func replaceSettings(dir string, s Settings) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.Replace(filepath.Join(dir, configFile), append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("couldn't write the ledger's configuration: %w", err)
	}
	return nil
}

// PlaceOf returns where the store of the ledger in dir is.
func PlaceOf(dir string, s Settings, opt Options) (place.Place, error) {
	where, err := place.Parse(cmp.Or(opt.Place, s.Store, storeDir), dir)
	if err != nil {
		return where, fmt.Errorf("couldn't tell where the store is: %w", err)
	}
	return where, nil
}

func (s Settings) operator() string {
	if s.Operator == "" {
		return "gestore"
	}
	return s.Operator
}

func (s Settings) interval() (time.Duration, error) {
	if s.PublishInterval == "" {
		return 5 * time.Second, nil
	}
	d, err := time.ParseDuration(s.PublishInterval)
	if err == nil && (d < 0 || d > time.Minute) {
		err = fmt.Errorf("expected 0s to 1m, found %s", d)
	}
	return d, err
}

// keys opens the key sources of a list.
func (s Settings) keys(dir string, sources []string) (pdnd.Keys, error) {
	var all keySources
	for _, source := range sources {
		var one pdnd.Keys
		var err error
		switch {
		case strings.HasPrefix(source, "https://"), strings.HasPrefix(source, "http://"):
			one, err = pdnd.URLKeys(source, nil)
		case filepath.IsAbs(source):
			one, err = pdnd.FileKeys(source)
		default:
			one, err = pdnd.FileKeys(filepath.Join(dir, source))
		}
		if err != nil {
			return nil, fmt.Errorf("couldn't open the key source %s: %w", source, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// keySources asks several sources in turn.
type keySources []pdnd.Keys

func (all keySources) Key(ctx context.Context, kid string, at time.Time) (jose.JSONWebKey, error) {
	err := pdnd.ErrUnknownKey
	for _, source := range all {
		var key jose.JSONWebKey
		if key, err = source.Key(ctx, kid, at); err == nil || !errors.Is(err, pdnd.ErrUnknownKey) {
			return key, err
		}
	}
	return jose.JSONWebKey{}, err
}
