// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"fmt"
	"io"

	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/verifier"
)

func printConsents(w io.Writer, r *verifier.HistoryReport) {
	lines := words.In("en", pageTime).Consents(r)
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(w, pageWords["en"]["consents"]+":")
	for i, l := range lines {
		fmt.Fprintf(w, "  %s: %s\n      %s\n      id %s, event %d/%d\n", l.State, l.What, l.Terms, r.Consents[i].ID, r.Consents[i].Epoch, r.Consents[i].Index)
	}
	fmt.Fprintln(w)
}
