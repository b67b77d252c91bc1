// SPDX-License-Identifier: EUPL-1.2

// Package config is the gateway's one file: which e-services stand behind it, what a call to each must carry, and where in
// it a person's code is found.
//
// The file is YAML, of which the strict part is taken: one document, no anchors, aliases, tags and merges, no name twice, no
// unknown name. deploy/gateway.example.yaml shows all of it. A relative path is taken from the file's own directory.
//
// [Load] judges the form of everything, and opens nothing that the file names. Every refusal is a ledger.Problem whose Where
// is the file, the line and the field (gateway.yaml:41:e_services/0/profile).
package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

// Config is the whole file.
type Config struct {
	Listen  string `yaml:"listen"`  // address that consumers' calls come to
	TLS     *TLS   `yaml:"tls"`     // nil behind a proxy of the same machine that ends TLS
	Metrics string `yaml:"metrics"` // address on loopback; "" for none
	Memory  string `yaml:"memory"`  // directory of the provider's own memory
	// Database is what several instances of the gateway share, a URL of the provider's own PostgreSQL or CockroachDB; "" for one
	// gateway alone.
	Database string `yaml:"database"`
	Traces   string `yaml:"traces"` // file with a line of each call, for verifier reconcile; "" for none

	Ledger    Ledger     `yaml:"ledger"`
	Identity  Identity   `yaml:"identity"`
	Check     *Check     `yaml:"check"` // nil: the memory isn't compared with the log
	PDND      PDND       `yaml:"pdnd"`
	EServices []EService `yaml:"e_services"`

	where func(field string) string
}

// Where is how a problem calls a field, such as ledger/policy: by file and line. The Config must be of [Load].
func (c *Config) Where(field string) string { return c.where(field) }

// TLS are the PEM files of the certificate that consumers see.
type TLS struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// Ledger is where accesses are recorded.
type Ledger struct {
	URL    string `yaml:"url"`
	Name   string `yaml:"name"`   // such as registro.example; the aud of receipts
	Policy string `yaml:"policy"` // file of the log's key and its witnesses, as verifier takes it
}

// Identity is the body that runs the gateway: its receipts' iss, and their scope.
type Identity struct {
	Body           string `yaml:"body"`
	Key            string `yaml:"key"`             // file, as agency key new makes it
	PassphraseFile string `yaml:"passphrase_file"` // of a protected key; "" else
}

// Check is the nightly comparison of the memory with the log (docs/provider-check.md).
type Check struct {
	At        string        `yaml:"at"`        // hour of the day by this machine's clock and zone: 02:30
	Keys      string        `yaml:"keys"`      // file: a JWK set of every key that ever was the body's own
	Providers []string      `yaml:"providers"` // that the body's scope speaks for, all of them
	Others    []string      `yaml:"others"`    // other scopes that may speak for some of them
	InFlight  time.Duration `yaml:"in_flight"` // events younger than this aren't judged: their calls may be under way

	hour, minute int
}

// Last is the latest instant at or before now at which the check was due.
func (c *Check) Last(now time.Time) time.Time {
	at := time.Date(now.Year(), now.Month(), now.Day(), c.hour, c.minute, 0, 0, now.Location())
	if at.After(now) {
		at = time.Date(now.Year(), now.Month(), now.Day()-1, c.hour, c.minute, 0, 0, now.Location())
	}
	return at
}

// maxOwnKeys bounds the file of a party's keys.
const maxOwnKeys = 1 << 20

// OwnKeys reads the file of the body's own keys.
func (c *Check) OwnKeys() ([]jws.Key, error) {
	data, err := cli.ReadFile(c.Keys, maxOwnKeys)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the body's own keys: %w", err)
	}
	keys, err := jws.ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the body's own keys in %s: %w", c.Keys, err)
	}
	return keys, nil
}

// PDND is whose tokens are believed.
type PDND struct {
	Issuers    []string `yaml:"issuers"`     // of vouchers
	Keys       string   `yaml:"keys"`        // of vouchers: an https URL or a file with a JWK set
	ClientKeys string   `yaml:"client_keys"` // of consumers: the same
	Tenants    string   `yaml:"tenants"`     // the open data's aderenti.csv: which body a consumerId is
	// Consumers are the bodies that Tenants doesn't name, and the clients whose vouchers carry no consumerId.
	Consumers []Consumer `yaml:"consumers"`
}

// Consumer says which body a tenant or a client of PDND is. Either is a uuid, and may be "".
type Consumer struct {
	Body   string `yaml:"body"`
	Tenant string `yaml:"tenant"`
	Client string `yaml:"client"`
}

// Profiles of an e-service: the least that a call must carry beside its voucher. More is checked where it comes.
const (
	ProfileAudit02     = "AUDIT_REST_02" // a TrackingEvidence whose digest the voucher names
	ProfileAudit01     = "AUDIT_REST_01" // a TrackingEvidence
	ProfileVoucher     = "VOUCHER_ONLY"
	ProfileINPSHeaders = "INPS_HEADERS" // INPS-Identity-UserId, and INPS-Identity-CodiceUfficio if there is one
)

// EService is one API of PDND's catalogue.
type EService struct {
	ID          string   `yaml:"id"`   // uuid in the catalogue
	Name        string   `yaml:"name"` // for people
	Provider    string   `yaml:"provider"`
	ProducerID  string   `yaml:"producer_id"` // PDND's tenant uuid of the provider
	Descriptors []string `yaml:"descriptors"` // uuids of the versions served; empty for any
	Audience    []string `yaml:"audience"`    // one of them must be in a voucher's aud
	URL         string   `yaml:"url"`         // as consumers write it; its path is what the gateway serves
	Upstream    string   `yaml:"upstream"`    // of the provider's own server

	Profile   string `yaml:"profile"`
	DPoP      bool   `yaml:"dpop"`      // Bearer vouchers are refused
	Integrity bool   `yaml:"integrity"` // every request is signed by INTEGRITY_REST_02
	// Vital: operations on vital interests may be released by break-glass while the ledger is down.
	Vital bool `yaml:"vital"`

	// Where a call says who acted and why, if not in its evidence.
	Operator *Source `yaml:"operator"`
	Office   *Source `yaml:"office"`
	Case     *Source `yaml:"case"`

	Timeout    time.Duration `yaml:"timeout"` // for the provider's whole answer
	MaxRequest int64         `yaml:"max_request"`
	MaxAnswer  int64         `yaml:"max_answer"` // bytes; more is refused
	Operations []Operation   `yaml:"operations"`
}

// Operation is one method and path of an e-service, what its receipts say, and where the codes of persons are.
type Operation struct {
	Method string `yaml:"method"`
	Path   string `yaml:"path"` // template behind the e-service's URL: /prestazioni/{id}

	Purpose        string   `yaml:"purpose"`
	LegalBasis     string   `yaml:"legal_basis"`
	LegalReference string   `yaml:"legal_reference"`
	DataCategories []string `yaml:"data_categories"`

	// Consent: the access rests on the person's consent, or on an entitlement of theirs, which the receipt names. It is so
	// without a word where the legal basis is consent.
	Consent bool `yaml:"consent"`

	Request    []Source `yaml:"request"`
	Response   []Source `yaml:"response"`
	MayBeEmpty bool     `yaml:"may_be_empty"` // the answer may be about nobody: an empty list, a 404

	// Cohort: the answer is an aggregate, about a group of people and none of them; its size is recorded for everyone to see.
	Cohort *Cohort `yaml:"cohort"`

	// NoPersons: the operation never tells of a person (/status); nothing is recorded and no sources are named.
	NoPersons bool `yaml:"no_persons"`
}

// consentBases are the words for consent as a legal basis, as the default vocabulary has them: ids, IRIs of DPV and PDND's.
var consentBases = []string{"A6-1-a", "A6-1-a-explicit-consent", "A9-2-a", "art22-consent", "CONSENT"}

// RestsOnConsent says whether receipts of the operation name a consent.
func (o *Operation) RestsOnConsent() bool {
	word := o.LegalBasis[strings.LastIndexAny(o.LegalBasis, "#:")+1:]
	return !o.NoPersons && (o.Consent || slices.Contains(consentBases, word))
}

// Cohort says where an aggregate's answer has the number of people that it is about.
type Cohort struct {
	Size    string `yaml:"size"`    // JSON Pointer (RFC 6901) to a whole number in the answer
	Minimum int64  `yaml:"minimum"` // of people, below which the answer isn't given out; DefaultMinimum where it isn't said
}

// DefaultMinimum is how many people an aggregate is about at least: as many as the default policies want for special
// categories of data.
const DefaultMinimum = 20

// Source is one place of a request or an answer, by exactly one of JSON, XPath, Header, Query and Variable.
//
//	{json: "/elenco_flussi/*/flusso", base64: {xpath: "/Flusso/Beneficiario/@CodiceFiscale"}}
type Source struct {
	JSON     string `yaml:"json"`     // JSON Pointer (RFC 6901) into the content; a segment * stands for each item of an array
	XPath    string `yaml:"xpath"`    // into XML content: the subset that package subjects describes
	Header   string `yaml:"header"`   // name
	Query    string `yaml:"query"`    // name of a parameter; of requests alone
	Variable string `yaml:"variable"` // name in the operation's path template; of requests alone

	Base64   *Source `yaml:"base64"`   // what is found is base64 of a document, in which this JSON or XPath leads on
	Optional bool    `yaml:"optional"` // that nothing is there is no fault of the call
}
