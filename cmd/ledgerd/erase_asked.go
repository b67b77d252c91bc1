// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// askedCall is about requests for erasure that citizens made on the pages. Without an ID it lists them.
type askedCall struct {
	ID       string `json:"id,omitempty"`
	Refuse   string `json:"refuse,omitempty"` // the reason
	Apply    bool   `json:"apply,omitempty"`
	Subjects bool   `json:"subjects,omitempty"` // the list names the citizens
}

// askedAnswer lists the requests that wait, the oldest first.
type askedAnswer struct {
	cli.Done
	Requests []askedRequest `json:"requests"`
}

// askedRequest is a request, and until when it has to be answered.
type askedRequest struct {
	node.ErasureRequest
	Due time.Time `json:"answer_by"`
}

func (a *askedAnswer) Text(w io.Writer) {
	if len(a.Requests) == 0 {
		fmt.Fprintln(w, "No citizen waits for an answer.")
		return
	}
	for _, r := range a.Requests {
		fmt.Fprintf(w, "%s  asked %s, answer by %s, GDPR Art. 17(1)(%s), %s\n  months: %s\n", r.ID, r.Asked.Format(time.DateOnly), r.Due.Format(time.DateOnly), r.Ground, r.State, strings.Join(r.Months, ", "))
		if r.Subject != "" {
			fmt.Fprintf(w, "  citizen: %s\n", r.Subject)
		}
		if r.Words != "" {
			fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(r.Words, "\n", "\n  "))
		}
	}
	fmt.Fprint(w, "Answer with ledgerd erase --answer ID --apply, or --answer ID --refuse REASON: the citizen reads it.\n")
}

// refusedAnswer says that a request was refused.
type refusedAnswer struct {
	cli.Done
	ID      string `json:"id"`
	Refused bool   `json:"refused"`
}

func (a *refusedAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s is refused. The citizen reads the reason, and that they can complain to the Garante.\n", a.ID)
}

// runAsked lists requests, or answers one.
func runAsked(cmd *cobra.Command, flags *ledgerFlags, call askedCall) error {
	reply, err := adminDo(cmd, flags, adminCall{Asked: &call})
	switch {
	case err != nil:
		return err
	case call.ID == "":
		a := &askedAnswer{Requests: []askedRequest{}}
		for _, r := range reply.Asked {
			a.Requests = append(a.Requests, askedRequest{r, r.Due()})
		}
		return cli.Print(cmd, a)
	case call.Refuse != "":
		return cli.Print(cmd, &refusedAnswer{ID: call.ID, Refused: true})
	}
	return cli.Print(cmd, newEraseAnswer(call.Apply, reply.Erased))
}

func doAsked(ctx context.Context, n *node.Node, call *askedCall, reply *adminReply) (err error) {
	switch {
	case call.ID == "":
		reply.Asked, err = n.ErasureRequests(ctx)
		for i := range reply.Asked {
			if !call.Subjects {
				reply.Asked[i].Subject = ""
			}
		}
	case call.Refuse != "":
		err = n.RefuseErasure(ctx, call.ID, call.Refuse)
	default:
		reply.Erased, err = n.GrantErasure(ctx, call.ID, call.Apply)
	}
	return err
}
