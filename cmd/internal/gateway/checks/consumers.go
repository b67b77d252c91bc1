// SPDX-License-Identifier: EUPL-1.2

package checks

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/pdnd"
)

// Consumers says which body a voucher's consumer is.
type Consumers struct{ tenants, clients map[string]string }

// CodeConsumer: a consumer that isn't known.
const CodeConsumer = "consumer_unknown"

// LoadConsumers reads the list of bodies in PDND's open data, a CSV file (aderenti.csv):
//
//	id,name,fiscalCode,ipaCode,attributes
//	2d6de81f-961a-4e12-8617-cce887ed7f86,Comune di Bologna,01232710374,c_a944,"[…]"
//
// A body's id is its IPA code in lower case where one tenant alone bears it, else its uuid (docs/formats.md, section 3).
// What the configuration says of a tenant goes first.
func LoadConsumers(c *config.PDND) (*Consumers, error) {
	k := &Consumers{tenants: make(map[string]string), clients: make(map[string]string)}
	if c.Tenants != "" {
		f, err := os.Open(c.Tenants)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := k.read(f); err != nil {
			return nil, fmt.Errorf("couldn't read the list of bodies: %w", err)
		}
	}
	for _, one := range c.Consumers {
		if one.Tenant != "" {
			k.tenants[one.Tenant] = one.Body
		}
		if one.Client != "" {
			k.clients[one.Client] = one.Body
		}
	}
	return k, nil
}

// Len is how many tenants and clients are known.
func (k *Consumers) Len() (tenants, clients int) { return len(k.tenants), len(k.clients) }

func (k *Consumers) read(r io.Reader) error {
	rows := csv.NewReader(r)
	header, err := rows.Read()
	if err != nil {
		return err
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	id, ipa := slices.Index(header, "id"), slices.Index(header, "ipaCode")
	if id < 0 || ipa < 0 {
		return errors.New("expected the columns id and ipaCode")
	}
	bearers := make(map[string]int)
	codes := make(map[string]string)
	for {
		row, err := rows.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		u, err := uuid.Parse(row[id])
		if err != nil {
			line, _ := rows.FieldPos(id)
			return fmt.Errorf("line %d: expected a uuid", line)
		}
		code := strings.ToLower(strings.TrimSpace(row[ipa]))
		codes[u.String()] = code
		bearers[code]++
	}
	for tenant, code := range codes {
		k.tenants[tenant] = tenant
		if bearers[code] == 1 && ledger.CheckID(code) == nil {
			k.tenants[tenant] = code
		}
	}
	return nil
}

// Of finds the body of a voucher.
func (k *Consumers) Of(c *pdnd.Claims) (string, *ledger.Problem) {
	if c.ConsumerID != "" {
		if body, ok := k.tenants[c.ConsumerID]; ok {
			return body, nil
		}
		return "", &ledger.Problem{Code: CodeConsumer, Where: "voucher#consumerId", Expected: "a body that the provider knows (its list of PDND's bodies may be old)", Found: c.ConsumerID}
	}
	if body, ok := k.clients[c.ClientID]; ok {
		return body, nil
	}
	return "", &ledger.Problem{Code: CodeConsumer, Where: "voucher#client_id", Expected: "consumerId in the voucher (PDND writes it since July 2025), or a client that the provider knows", Found: c.ClientID}
}
