// SPDX-License-Identifier: EUPL-1.2

package dev

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/traccia-ledger/traccia/policies"
)

var (
	//go:embed data/aderenti.csv.gz
	bodiesCSV []byte
	//go:embed data/eservice_con_piu_token_staccati_last_twelve_months.csv.gz
	tokensCSV []byte
)

// Body is a body on PDND.
type Body struct {
	ID     string // in the ledger: the lower-case IPA code where exactly one tenant bears it, else the tenant's uuid
	Tenant string // uuid
	Name   string

	// Attributes are those that PDND certifies and the default vocabulary has a kind of body for.
	Attributes []string
}

// AllBodies reads the open data: some ten thousand bodies in their order, with their ids in a ledger.
func AllBodies() ([]Body, error) {
	rows, err := readCSV(bodiesCSV, "id", "name", "fiscalCode", "ipaCode", "attributes")
	if err != nil {
		return nil, fmt.Errorf("couldn't read the bodies on PDND: %w", err)
	}
	known, err := kindAttributes()
	if err != nil {
		return nil, err
	}
	borne := make(map[string]int)
	for _, row := range rows {
		borne[strings.ToLower(row[3])]++
	}
	bodies := make([]Body, len(rows))
	for i, row := range rows {
		id := strings.ToLower(row[3])
		if id == "" || borne[id] > 1 {
			id = row[0]
		}
		bodies[i] = Body{ID: id, Tenant: row[0], Name: row[1]}
		var attributes []struct{ Name, Type string }
		if err := json.Unmarshal([]byte(row[4]), &attributes); err != nil {
			return nil, fmt.Errorf("couldn't read the attributes of a body on PDND: %w", err)
		}
		for _, a := range attributes {
			if name := strings.TrimSpace(a.Name); a.Type == "Certified" && known[name] && !slices.Contains(bodies[i].Attributes, name) {
				bodies[i].Attributes = append(bodies[i].Attributes, name)
			}
		}
	}
	return bodies, nil
}

// kindAttributes are the attributes that mean a kind of body in the default vocabulary.
func kindAttributes() (map[string]bool, error) {
	b, err := policies.ParseBundle(policies.Default())
	if err != nil {
		return nil, fmt.Errorf("couldn't read the kinds of bodies: %w", err)
	}
	known := make(map[string]bool)
	for _, kind := range b.Vocabulary.BodyKinds {
		for _, name := range kind.Also {
			known[name] = true
		}
	}
	return known, nil
}

// group is what chosen has of one category.
type group struct {
	category string
	ids      []string
}

// chosen are the bodies with keys, by PDND's categories of consumers, those that ask most first. The hub's scope
// speaks for those of hubProviders.
var chosen = []group{
	{"3", strings.Fields("c_h501 c_f205 c_a944 c_f839 c_l219 c_g273 c_d969 c_d612 c_a662 c_c351 c_l781 c_l736 c_g224 c_l424 c_f257 udcab")},
	{"7", strings.Fields("r_lombar r_emiro r_lazio r_campan r_piemon r_veneto r_puglia p_tn")},
	{"4", strings.Fields("inps inail")},
	{"12", strings.Fields("istat m_lps m_it m_pi")},
	{"10", strings.Fields("uni_bo un_lsrm")},
	{"1", strings.Fields("aspcb cidssos arlfa")},
	{"2", strings.Fields("asl_bo aslrm")},
	{"5", strings.Fields("cmrc")},
	{"6", strings.Fields("age agid")},
}

// hub is the body that runs the recording gateway of hubProviders.
const hub = "inps"

var hubProviders = []string{"inail", "inps", "istat"}

// Municipality stands behind the hub's gateway too: INPS pulls flows from it.
const Municipality = "c_h501"

// flow is one line of the load profile: consumers of a category ask an e-service.
type flow struct {
	provider Body
	service  service
	category string // of the consumers
	tokens   float64
}

// flows is the load profile of the providers among the chosen bodies, as PDND counted it.
func flows(bodies map[string]Body) ([]flow, error) {
	rows, err := readCSV(tokensCSV, "id", "name", "id", "name", "eserviceid", "eserviceName", "producerName", "tokenCount")
	if err != nil {
		return nil, fmt.Errorf("couldn't read the token counts of PDND: %w", err)
	}
	byName := make(map[string]Body)
	for _, b := range bodies {
		byName[strings.ToLower(b.Name)] = b
	}
	var list []flow
	for _, row := range rows {
		provider, ok := byName[strings.ToLower(row[6])]
		asked := slices.ContainsFunc(chosen, func(g group) bool { return g.category == row[2] })
		if !ok || !asked || row[0] == "0" || row[7] == "" {
			continue
		}
		tokens, err := strconv.ParseFloat(row[7], 64)
		if err != nil {
			return nil, fmt.Errorf("couldn't read the token counts of PDND: %w", err)
		}
		list = append(list, flow{provider, describe(row[4], row[5]), row[2], tokens})
	}
	return list, nil
}

func readCSV(compressed []byte, header ...string) ([][]string, error) {
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || !slices.Equal(rows[0], header) {
		return nil, fmt.Errorf("the columns aren't %v", header)
	}
	return rows[1:], nil
}
