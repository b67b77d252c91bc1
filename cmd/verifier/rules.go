// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/verifier"
)

// rules are what the verifier has from packages that it doesn't import.
var rules = verifier.Rules{
	Consents: func(name string, partial bool) verifier.Consents { return consent.NewList(name, partial) },
}
