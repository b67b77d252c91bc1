// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/memory"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
	"github.com/traccia-ledger/traccia/ledger"
)

func breakGlassCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "break-glass",
		Short: "Release vital answers while the ledger is down",
		Long: `While the ledger is down a gateway releases nothing. In a session of break-glass, which a
named person opens, it releases the answers of e-services that CONFIG marks as vital, for
operations on vital interests, against receipts that are signed and on its own disk; they
are recorded when the ledger is back. docs/break-glass.md says what everyone sees of it.`,
	}
	cmd.AddCommand(sessionCommand("open", false), sessionCommand("renew", true), sessionCloseCommand(), sessionStatusCommand())
	return cmd
}

// sessionAnswer is one session:
//
//	{"schema":"traccia/gateway-break-glass-open/1","session":"0f9e7c1a-5b1d-4a86-9f0e-2f4c3c1a7b55","open":true,"opened":"2026-11-22T09:30:00Z",
//	 "until":"2026-11-22T09:45:00Z","receipts":0,"recorded":0,"person":"Anna Verdi","reason":"…","salt":"…","warrant":"8c1d…64 hex"}
type sessionAnswer struct {
	cli.Done
	sessionSays
	Policies string `json:"policies,omitempty"` // digest of those that an open one decides by
}

type sessionSays struct {
	Session  string     `json:"session"`
	Open     bool       `json:"open"`
	Opened   time.Time  `json:"opened"`
	Until    time.Time  `json:"until"`
	Closed   *time.Time `json:"closed,omitempty"`
	Receipts int        `json:"receipts"`
	Recorded int        `json:"recorded"` // of them
	Public   bool       `json:"public"`   // its opening, and its end if it is over with all that is recorded, stand in the log
	Person   string     `json:"person"`
	Reason   string     `json:"reason"`
	Salt     string     `json:"salt"` // with person and reason gives warrant
	Warrant  string     `json:"warrant"`
}

func saySession(s *memory.Session) sessionSays {
	warrant := gateway.Warrant(s)
	a := sessionSays{
		Session: s.ID, Open: !s.Over(time.Now()), Opened: s.Opened.UTC(), Until: s.Until.UTC(), Receipts: s.Count, Recorded: s.Recorded,
		Person: s.Person, Reason: s.Reason, Salt: hex.EncodeToString(s.Salt[:]), Warrant: hex.EncodeToString(warrant[:]),
	}
	a.Public = s.TellOpened && (a.Open || s.TellRecorded == s.Recorded)
	if !s.Closed.IsZero() {
		closed := s.Closed.UTC()
		a.Closed = &closed
	}
	return a
}

func (a *sessionAnswer) Text(w io.Writer) {
	a.text(w)
	if a.Open && a.Policies == "" {
		fmt.Fprintln(w, "  NOTHING CAN BE RELEASED in it: no policies are known yet that it could decide by; the ledger's answer to a call names them")
	}
}

func (a *sessionSays) text(w io.Writer) {
	state := "OPEN until " + a.Until.Format(time.RFC3339)
	if !a.Open {
		state = "over"
	}
	fmt.Fprintf(w, "session %s, opened %s by %s: %s\n", a.Session, a.Opened.Format(time.RFC3339), a.Person, state)
	fmt.Fprintf(w, "  reason: %s\n", a.Reason)
	fmt.Fprintf(w, "  %d answers released, of at most %d; %d of them recorded\n", a.Receipts, ledger.MaxSessionCalls, a.Recorded)
	if !a.Public {
		fmt.Fprintln(w, "  the ledger wasn't told of it whole yet")
	}
}

func sessionCommand(name string, renew bool) *cobra.Command {
	var o service.Opening
	cmd := &cobra.Command{
		Use:   name + " CONFIG --person NAME --reason TEXT",
		Short: "Open a session, for 15 minutes or 1,000 calls",
		Long: `open starts a session of break-glass in the gateway that serves CONFIG: for 15 minutes or
1,000 calls vital answers are released when the ledger doesn't answer. It needs a named
person, who answers for it, and a reason. Name and reason stay on the gateway's disk; the
ledger gets a public record of the session with a digest of them, and one of its end with
the number of calls.

Where the ledger answers, calls are recorded by it as ever.`,
		Example: `  gateway break-glass open /etc/traccia-gateway/gateway.yaml --person 'Anna Verdi' --reason 'ledger unreachable, emergency room of Bologna'`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, flag := range []struct{ name, text string }{{"person", o.Person}, {"reason", o.Reason}} {
				if err := ledger.CheckText(flag.text, ledger.MaxText); err != nil {
					return cli.WrongFlag("--"+flag.name, fmt.Sprintf("a text of 1 to %d characters", ledger.MaxText), "another")
				}
			}
			o.Renew = renew
			return tellSession(cmd, args[0], "/sessions", o)
		},
	}
	if renew {
		cmd.Short = "End the open session and open another one"
		cmd.Long = `renew ends the session that is open and opens another one in the same instant: a named
person decides again, for 15 minutes or 1,000 calls more.`
		cmd.Example = `  gateway break-glass renew /etc/traccia-gateway/gateway.yaml --person 'Carlo Neri' --reason 'ledger still unreachable'`
	}
	cmd.Flags().StringVar(&o.Person, "person", "", "who answers for it")
	cmd.Flags().StringVar(&o.Reason, "reason", "", "why; no citizen's name or code")
	cmd.MarkFlagRequired("person")
	cmd.MarkFlagRequired("reason")
	return cmd
}

func sessionCloseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "close CONFIG",
		Short: "End the open session",
		Long: `close ends the session of break-glass that is open; one that nobody closes ends by itself.
What was released in it is recorded when the ledger is back, and then its end.`,
		Example: `  gateway break-glass close /etc/traccia-gateway/gateway.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return tellSession(cmd, args[0], "/sessions/close", nil)
		},
	}
}

func tellSession(cmd *cobra.Command, path, where string, what any) error {
	c, err := config.Load(path)
	if err != nil {
		return err
	}
	var state service.State
	if err := service.AskFor(cmd.Context(), c, http.MethodGet, "/status", &state); err != nil {
		return err
	}
	var s memory.Session
	if err := service.Tell(cmd.Context(), c, http.MethodPost, where, what, &s); err != nil {
		return err
	}
	return cli.Print(cmd, &sessionAnswer{sessionSays: saySession(&s), Policies: state.Policies})
}

// sessionsAnswer is all sessions that the memory has. A receipt that isn't in the log an hour after its session is over is a
// problem.
type sessionsAnswer struct {
	cli.Verdict
	Sessions []sessionSays `json:"sessions"`
}

func (a *sessionsAnswer) Text(w io.Writer) {
	if len(a.Sessions) == 0 {
		fmt.Fprintln(w, "there was no session of break-glass")
	}
	for i := range a.Sessions {
		a.Sessions[i].text(w)
	}
}

func sessionStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status CONFIG",
		Short: "Say which sessions there were, and what of them is recorded",
		Long: `status lists every session of break-glass, by a gateway that serves or doesn't: who opened
it and why, how many answers were released in it and how many of these are recorded. With
--json it has the salt too, with which the public record of a session is shown to be of
that person and reason. It ends with 1 where a session that is over for an hour lacks a
receipt in the ledger.`,
		Example: `  gateway break-glass status /etc/traccia-gateway/gateway.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(args[0])
			if err != nil {
				return err
			}
			list, err := sessions(cmd.Context(), c)
			if err != nil {
				return &cli.CouldNotCheck{Err: err}
			}
			a := &sessionsAnswer{Sessions: []sessionSays{}}
			a.Result, a.Problems = cli.Proven, []ledger.Problem{}
			for i := range list {
				s := saySession(&list[i])
				a.Sessions = append(a.Sessions, s)
				if !s.Open && s.Recorded < s.Receipts && time.Since(s.Until) > time.Hour {
					a.Result = cli.Unproven
					a.Problems = append(a.Problems, ledger.Problem{
						Code: "break_glass_missing", Where: "session " + s.Session, Expected: fmt.Sprintf("%d recorded receipts", s.Receipts), Found: fmt.Sprint(s.Recorded),
					})
				}
			}
			return cli.Print(cmd, a)
		},
	}
}

// sessions asks the gateway that serves, or else the memory.
func sessions(ctx context.Context, c *config.Config) (list []memory.Session, err error) {
	err = service.AskFor(ctx, c, http.MethodGet, "/sessions", &list)
	if !errors.Is(err, service.ErrNobody) {
		return list, err
	}
	m, err := service.OpenMemory(c, true, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	list = m.Sessions()
	return list, m.Close()
}
