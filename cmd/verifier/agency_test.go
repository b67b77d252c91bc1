// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/traccia-ledger/traccia/cmd/internal/agencykey"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/history"
	"github.com/traccia-ledger/traccia/ledger/jws"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// TestAgencyScripts drives the binary over the list of a body that consulted, as a real ledger with a witness makes it.
func TestAgencyScripts(t *testing.T) {
	hubScripts(t, "testdata/agency", map[string]func(*testscript.TestScript, bool, []string){
		// list FILE OPEN [COUNT]: the list of the consumer of the last access, looked up first; COUNT events of it
		"list": func(ts *testscript.TestScript, _ bool, args []string) {
			count := history.MaxPartEvents
			if len(args) > 2 {
				var err error
				count, err = strconv.Atoi(args[2])
				ts.Check(err)
			}
			file, err := ts.Value("ledger").(*hubLedger).list(args[1] == "true", count)
			ts.Check(err)
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), file, 0o600))
		},
		// own FILE: the key of the consumer of the last access, registered, whose id is BODY; URL is the ledger's
		"own": func(ts *testscript.TestScript, _ bool, args []string) {
			l := ts.Value("ledger").(*hubLedger)
			body, err := l.consumer()
			ts.Check(err)
			signer, key, err := l.keyOf(context.Background(), body)
			ts.Check(err)
			text, err := agencykey.Format(&agencykey.Key{Key: key, Body: body, Signer: signer}, "")
			ts.Check(err)
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
			ts.Setenv("BODY", body)
			ts.Setenv("URL", l.http.URL)
		},
		// called FILE N: the entries of that list but the last N, one as an index, the next as an answer, the third as a line
		"called": func(ts *testscript.TestScript, _ bool, args []string) {
			n, err := strconv.Atoi(args[1])
			ts.Check(err)
			text, err := ts.Value("ledger").(*hubLedger).called(n)
			ts.Check(err)
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
		},
	})
}

// consumer is who consulted last.
func (l *hubLedger) consumer() (string, error) {
	r, err := ledger.ParseReceipt(l.last.Receipt)
	if err != nil {
		return "", err
	}
	return r.Consumer, nil
}

func (l *hubLedger) list(open bool, count int) ([]byte, error) {
	ctx := context.Background()
	body, err := l.consumer()
	if err != nil {
		return nil, err
	}
	at := node.AgencyRange{Epoch: l.node.Epoch(), Count: count}
	if open {
		if err := l.lookUp(ctx, body, at); err != nil {
			return nil, err
		}
	}
	what := node.Closed
	if open {
		what = node.WithPrivate
	}
	return l.node.AgencyPart(ctx, body, at, what)
}

// lookUp has a body look at its list, with the key that it has or a first one.
func (l *hubLedger) lookUp(ctx context.Context, body string, at node.AgencyRange) error {
	signer, key, err := l.keyOf(ctx, body)
	if err != nil {
		return err
	}
	jti := uuid.NewString()
	unseen, err := l.node.UnseenCitizens(ctx, body, at, jti)
	if err != nil || unseen.Count == 0 {
		return err
	}
	look := node.LookUp{Content: []byte("{}")}
	now := time.Now().UTC()
	compact, err := ledger.SignReceipt(&ledger.Receipt{
		Aud: "registro.example", Iss: body, JTI: jti, IssuedAt: now.Unix(), Role: ledger.RoleRequester, Provider: body, Consumer: body,
		Purpose: "Verifica", LegalBasis: "https://w3id.org/dpv/legal/eu/gdpr#A6-1-c", DataCategories: []string{"https://w3id.org/dpv#ObservedPersonalData"},
		Actor: ledger.ActorService, Operation: ledger.Operation{Method: "POST", Path: "/v1/agencies/{agency}/list"}, OccurredAt: now.Format(time.RFC3339),
		PrivateDigest: ledger.Hex(ledger.PrivateDigest(&look.Salt, look.Content)), Subjects: unseen,
	}, key.Kid, signer)
	if err != nil {
		return err
	}
	if look.Receipt, err = ledger.ParseReceipt(compact); err != nil {
		return err
	}
	_, err = l.node.LookUpList(ctx, at, look)
	return err
}

func (l *hubLedger) keyOf(ctx context.Context, body string) (crypto.Signer, jws.Key, error) {
	key, ok := l.world.Key(body)
	if !ok {
		return nil, key, fmt.Errorf("the world has no key of %s", body)
	}
	if _, err := l.node.Registry().Key(body, key.Kid, 1<<50); err != nil {
		if _, err := l.node.AddKey(ctx, body, key, ""); err != nil {
			return nil, key, err
		}
	}
	return l.world.Signer(body), key, nil
}

func (l *hubLedger) called(without int) ([]byte, error) {
	part, err := l.list(false, history.MaxPartEvents)
	if err != nil {
		return nil, err
	}
	p, err := history.NewAgencyReader(bytes.NewReader(part)).Next()
	if err != nil {
		return nil, err
	}
	var text []byte
	for n, e := range p.Events[:len(p.Events)-without] {
		form := []string{"%[1]d\n", `{"receipt_id":"x","origin":%[2]q,"first_index":%[1]d,"count":1,"entries":[]}`, `{"line":1,"status":201,"answer":{"origin":%[2]q,"first_index":%[1]d,"count":1}}` + "\n"}[n%3]
		text = fmt.Appendf(text, form, e.Index, p.Origin)
	}
	return text, nil
}
