// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/config"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/service"
	"github.com/traccia-ledger/traccia/cmd/internal/gateway/subjects"
	"github.com/traccia-ledger/traccia/cmd/internal/provider"
	"github.com/traccia-ledger/traccia/ledger"
)

// checkAnswer is what gateway check says:
//
//	{"schema":"traccia/gateway-check/1","result":"proven","problems":[],"body":"inps","kid":"NzbL…","tenants":10020,"clients":0,
//	 "e_services":[{"id":"978e…","name":"…","url":"https://…","needs":["…"],
//	  "operations":[{"method":"POST","path":"/consultazione","does":["…"]}]}],"notes":["…"]}
type checkAnswer struct {
	cli.Verdict
	Body      string        `json:"body"`
	Kid       string        `json:"kid"`     // of its key; "" where that can't be used
	Tenants   int           `json:"tenants"` // bodies that a voucher's consumerId is looked up among
	Clients   int           `json:"clients"`
	EServices []serviceSays `json:"e_services"`
	Notes     []string      `json:"notes"` // what works, and should be otherwise; what wasn't looked at
	Call      *callSays     `json:"call,omitempty"`
}

type serviceSays struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	URL        string          `json:"url"`
	Upstream   string          `json:"upstream"`
	Needs      []string        `json:"needs"`
	Operations []operationSays `json:"operations"`
}

type operationSays struct {
	Method string   `json:"method"`
	Path   string   `json:"path"`
	Does   []string `json:"does"`
}

func (a *checkAnswer) Text(w io.Writer) {
	var known []string
	if a.Kid != "" {
		known = append(known, fmt.Sprintf("receipts are signed by %s (kid %s)", a.Body, a.Kid))
	}
	if a.Tenants+a.Clients > 0 {
		known = append(known, fmt.Sprintf("%d tenants and %d clients of PDND are known", a.Tenants, a.Clients))
	}
	if len(known) > 0 {
		fmt.Fprintln(w, strings.Join(known, "; "))
	}
	for _, s := range a.EServices {
		fmt.Fprintf(w, "\n%s (%s)\n  %s is answered by %s\n", s.Name, s.ID, s.URL, s.Upstream)
		for _, need := range s.Needs {
			fmt.Fprintf(w, "  needs %s\n", need)
		}
		for _, o := range s.Operations {
			fmt.Fprintf(w, "  %s %s\n", o.Method, o.Path)
			for _, does := range o.Does {
				fmt.Fprintf(w, "    %s\n", does)
			}
		}
	}
	if len(a.EServices) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range a.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	if a.Call != nil {
		a.Call.text(w)
	}
}

func checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check CONFIG",
		Short: "Check a configuration, and say what the gateway will do with it",
		Long: `check reads a configuration as the gateway does: names, forms, templates, JSON Pointers
and XPaths, each fault with its line; then the files and key sets that it names. It says
in words what each operation demands, records and lets through.

With --call it also judges a recorded request, a file of HTTP as it went over the wire:
which operation it is for, whether its tokens are good at the instant --at, whether the
places lead to persons' codes (it says how many, never which). --answer adds the
provider's answer to it. Nothing is sent and nothing recorded.

The ledger is asked whether its log has registered the key and not revoked it; offline,
and where it doesn't answer, a note says that this wasn't looked at.`,
		Example: `  gateway check gateway.yaml
  gateway check gateway.yaml --offline --json
  gateway check gateway.yaml --call request.http --answer answer.http --at 2026-11-22T09:30:00Z`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := f.run(cmd, args[0])
			if err != nil {
				return err
			}
			return cli.Print(cmd, a)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.offline, "offline", false, "ask no URL")
	flags.StringVar(&f.call, "call", "", "file with a recorded HTTP request to judge")
	flags.StringVar(&f.answer, "answer", "", "file with the HTTP answer to it")
	flags.StringVar(&f.at, "at", "", "instant of the call, RFC 3339 (default: now)")
	cmd.MarkFlagFilename("call")
	cmd.MarkFlagFilename("answer")
	return cmd
}

type checkFlags struct {
	offline          bool
	call, answer, at string
}

func (f *checkFlags) run(cmd *cobra.Command, path string) (*checkAnswer, error) {
	at := time.Now()
	if f.at != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, f.at); err != nil {
			return nil, cli.WrongFlag("--at", "a time as 2026-11-22T09:30:00Z", strconv.Quote(f.at))
		}
	}
	if f.call == "" && (f.answer != "" || f.at != "") {
		return nil, cli.Usagef("--answer and --at need --call")
	}
	a := &checkAnswer{EServices: []serviceSays{}, Notes: []string{}}
	c, err := config.Load(path)
	var refused *config.Refused
	if errors.As(err, &refused) {
		a.Result, a.Problems = cli.Unproven, refused.Problems
		return a, nil
	}
	if err != nil {
		return nil, &cli.CouldNotCheck{Err: err}
	}
	o, problems := service.Open(c, f.offline)
	a.Result, a.Problems, a.Body = cli.Proven, problems, c.Identity.Body
	if o.Key != nil && o.Key.Body == a.Body {
		a.Kid = o.Key.Kid
	}
	if o.Consumers != nil {
		a.Tenants, a.Clients = o.Consumers.Len()
	}
	if f.offline && (o.PDND == nil && config.IsURL(c.PDND.Keys) || o.Clients == nil && config.IsURL(c.PDND.ClientKeys)) {
		a.Notes = append(a.Notes, "offline: key sets behind a URL weren't asked for")
	}
	if c.TLS == nil {
		a.Notes = append(a.Notes, "no tls: whatever stands before "+c.Listen+" has to end it on this machine")
	}
	if !f.offline && f.call == "" && len(problems) == 0 {
		a.registered(cmd.Context(), c, o)
	} else {
		a.Notes = append(a.Notes, "whether the ledger has registered the key wasn't looked at")
	}
	if c.Check == nil {
		a.Notes = append(a.Notes, "no check: the memory is never compared with the log, and citizens are shown the scope as declared, not checked")
	}
	for i := range c.EServices {
		a.say(&c.EServices[i])
	}
	if f.call != "" && len(problems) == 0 {
		p, err := f.judge(cmd.Context(), a, c, o, at)
		if err != nil {
			return nil, err
		}
		if p != nil {
			a.Problems = append(a.Problems, *p)
		}
	}
	return a, nil
}

// registered asks the ledger for the key.
func (a *checkAnswer) registered(ctx context.Context, c *config.Config, o *service.Opened) {
	known, err := provider.NewLedger(o.Ledger, o.Key, time.Now).Registered(ctx, c.Ledger.Name)
	var p *ledger.Problem
	switch {
	case errors.As(err, &p):
		a.Problems = append(a.Problems, ledger.Problem{Code: p.Code, Where: c.Where("ledger/url"), Expected: p.Expected, Found: p.Found})
	case err != nil:
		a.Notes = append(a.Notes, fmt.Sprintf("whether the ledger has registered the key couldn't be looked at: %v", err))
	case !known:
		a.Problems = append(a.Problems, ledger.Problem{
			Code: "not_registered", Where: c.Where("identity/key"),
			Expected: fmt.Sprintf("a key that the log of %s registers for %s (ledgerd body key-add)", c.Ledger.Name, c.Identity.Body), Found: "kid " + o.Key.Kid + ", which it doesn't, or that was revoked",
		})
	}
}

// say adds an e-service in words.
func (a *checkAnswer) say(s *config.EService) {
	says := serviceSays{ID: s.ID, Name: s.Name, URL: s.URL, Upstream: s.Upstream, Needs: needs(s), Operations: []operationSays{}}
	for i := range s.Operations {
		o := &s.Operations[i]
		says.Operations = append(says.Operations, operationSays{o.Method, o.Path, does(s, o)})
		if o.InURL() {
			a.Notes = append(a.Notes, fmt.Sprintf("%s: %s %s has codes of persons in its URL, which proxies write into their logs and the guidelines for interoperability forbid", s.Name, o.Method, o.Path))
		}
	}
	a.EServices = append(a.EServices, says)
}

func needs(s *config.EService) []string {
	list := []string{fmt.Sprintf("a voucher of PDND for %s, whose producerId, eserviceId and descriptorId are this e-service's where it has them", strings.Join(s.Audience, " or "))}
	if s.DPoP {
		list = append(list, "a DPoP proof, good once: vouchers of type Bearer are refused")
	}
	switch s.Profile {
	case config.ProfileAudit02:
		list = append(list, "a TrackingEvidence whose digest the voucher names (AUDIT_REST_02)")
	case config.ProfileAudit01:
		list = append(list, "a TrackingEvidence (AUDIT_REST_01)")
	case config.ProfileINPSHeaders:
		list = append(list, "the header INPS-Identity-UserId, which nobody signed")
	}
	if s.Integrity {
		list = append(list, "the request's signature, good once (INTEGRITY_REST_02)")
	}
	for _, text := range []struct {
		what   string
		source *config.Source
	}{{"operator", s.Operator}, {"office", s.Office}, {"case", s.Case}} {
		if text.source != nil && !text.source.Optional {
			list = append(list, "the "+text.what+" at "+subjects.Name(text.source)+" of the request")
		}
	}
	return list
}

func does(s *config.EService, o *config.Operation) []string {
	if o.NoPersons {
		return []string{"tells of nobody: nothing is recorded"}
	}
	if o.Cohort != nil {
		return []string{
			fmt.Sprintf("an aggregate, recorded for everyone to see as %q of %s, on %s, data %s", o.Purpose, s.Provider, o.LegalBasis, strings.Join(o.DataCategories, " ")),
			fmt.Sprintf("given out if the number at %s of the answer is %d or more and no person's code is in it", o.Cohort.Size, o.Cohort.Minimum),
		}
	}
	rests := ""
	if o.RestsOnConsent() {
		rests = ", naming the person's consent in force"
	}
	list := []string{fmt.Sprintf("recorded as %q of %s, on %s, data %s%s", o.Purpose, s.Provider, o.LegalBasis, strings.Join(o.DataCategories, " "), rests)}
	for _, part := range []struct {
		name    string
		sources []config.Source
	}{{"request", o.Request}, {"answer", o.Response}} {
		for i := range part.sources {
			optional := ""
			if part.sources[i].Optional {
				optional = ", where it is there"
			}
			list = append(list, fmt.Sprintf("an event for each person at %s of the %s%s", subjects.Name(&part.sources[i]), part.name, optional))
		}
	}
	switch {
	case s.Vital && ledger.IsVital(o.LegalBasis):
		list = append(list, "while the ledger is down: released in an open session of break-glass, and recorded afterwards")
	case s.Vital:
		list = append(list, "while the ledger is down: nothing is released, its legal basis isn't vital interests")
	}
	if o.MayBeEmpty {
		return append(list, "an empty list and an error about nobody are let through")
	}
	return append(list, "an answer about nobody is refused")
}
