// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/cmd/internal/api"
	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

// eraseCall travels in the body of a request over the operator's socket, and
// nowhere else.
type eraseCall struct {
	Subjects []ledger.Subject `json:"subjects"`
	Month    string           `json:"month"`             // "": every one
	Request  []byte           `json:"request,omitempty"` // a submission that says both
	Apply    bool             `json:"apply"`
}

// eraseAnswer says what was destroyed or would be. RecordIndex is 0: the
// public count of the month is written when the month is over.
type eraseAnswer struct {
	cli.Done
	DryRun      bool     `json:"dry_run"`
	Wraps       int      `json:"wraps"`
	Months      []string `json:"months"`
	Held        []string `json:"held"`
	Requests    int      `json:"requests"`
	RecordIndex uint64   `json:"record_index"`
}

func newEraseAnswer(apply bool, e *node.Erased) *eraseAnswer {
	return &eraseAnswer{DryRun: !apply, Wraps: e.Wraps, Months: e.Months, Held: e.Held, Requests: e.Requests}
}

func (a *eraseAnswer) Text(w io.Writer) {
	where := "no month"
	if len(a.Months) > 0 {
		where = strings.Join(a.Months, ", ")
	}
	if a.DryRun {
		fmt.Fprintf(w, "%d keys would be destroyed, of %s, and %d requests recorded. Nothing was changed: add --apply.\n", a.Wraps, where, a.Requests)
		if len(a.Held) > 0 {
			fmt.Fprintf(w, "Under a legal hold, so that nothing can be erased: %s\n", strings.Join(a.Held, ", "))
		}
		return
	}
	fmt.Fprintf(w, "%d keys destroyed, of %s; %d requests recorded, which the persons' histories show.\n", a.Wraps, where, a.Requests)
	if a.Wraps > 0 {
		fmt.Fprint(w, "The public count is recorded when the month is over. Now copy the keys directory, and destroy older copies of it.\n")
	}
}

func eraseCommand() *cobra.Command {
	var flags ledgerFlags
	var file, request string
	var call eraseCall
	var asked askedCall
	var list bool
	cmd := &cobra.Command{
		Use:   "erase --subject-file F [--month YYYY-MM] [--apply] | --request F [--apply] | --requests | --answer ID [--apply | --refuse REASON]",
		Short: "Erase what is recorded about a person",
		Long: `Destroys the keys that seal a person's events, in one month or in all that are
kept. Without --apply it only counts them. The log and every published proof
stay as they are; nobody opens the events any more. Later events of the same
person are sealed with new keys.

The file holds one code a line: all of them share the work, which is to wrap
anew the keys of everyone else in the months concerned. The ledger goes on
recording meanwhile.

Once the keys are destroyed, an event is recorded for each person and month that
says that they asked for it: without it their histories would say that something is
hidden from them. It is an event like others, which the person alone can read. The
operator signs it, or the body that identified the person: --request takes the file
that agency request erasure made, which says who and which month.

Citizens ask for erasure on the pages too: --requests lists who waits for an answer,
--answer ID erases what that request names, and with --refuse says why not, in the
words that its citizen reads.

Who was erased is written nowhere else. The log gets a count of people for each
calendar month, when the month is over.`,
		Example: `  ledgerd erase --subject-file person.txt
  ledgerd erase --request request.json --apply
  ledgerd erase --subject-file person.txt --month 2026-11 --apply --json
  ledgerd erase --requests
  ledgerd erase --answer k3xq7mzd2a --apply
  ledgerd erase --answer k3xq7mzd2a --refuse "Un giudizio è in corso (art. 17, par. 3, lett. e)"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if list || asked.ID != "" {
				if asked.Apply = call.Apply; asked.Apply && asked.ID == "" {
					return cli.WrongFlag("--apply", "--answer ID beside it, the request to grant", "none")
				}
				return runAsked(cmd, &flags, asked)
			}
			if (file == "") == (request == "") {
				return cli.Usagef("--subject-file is needed, a file with the person's code, or --request, a body's, or --requests, those of citizens")
			}
			if asked.Refuse != "" || asked.Subjects {
				return cli.Usagef("--refuse goes with --answer ID, and --show-subjects with --requests")
			}
			if call.Month != "" && !monthForm.MatchString(call.Month) {
				return cli.WrongFlag("--month", "a month like 2026-11", strconv.Quote(call.Month))
			}
			var err error
			if request == "" {
				call.Subjects, err = readSubjects(file)
			} else if call.Request, err = cli.ReadFile(request, api.MaxSubmission); err != nil {
				err = fmt.Errorf("couldn't read the request: %w", err)
			}
			if err != nil {
				return err
			}
			reply, err := adminDo(cmd, &flags, adminCall{Erase: &call})
			if err != nil {
				return err
			}
			return cli.Print(cmd, newEraseAnswer(call.Apply, reply.Erased))
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&file, "subject-file", "", "file with the person's code, or one a line")
	cmd.Flags().StringVar(&request, "request", "", "file that agency request erasure made")
	cmd.Flags().StringVar(&call.Month, "month", "", "only events of this month, e.g. 2026-11")
	cmd.Flags().BoolVar(&call.Apply, "apply", false, "destroy the keys; without it they are only counted")
	cmd.Flags().BoolVar(&list, "requests", false, "list the requests of citizens that wait for an answer")
	cmd.Flags().BoolVar(&asked.Subjects, "show-subjects", false, "with --requests: print the citizens' codes too")
	cmd.Flags().StringVar(&asked.ID, "answer", "", "the request of a citizen to grant, or with --refuse to refuse")
	cmd.Flags().StringVar(&asked.Refuse, "refuse", "", "why a request isn't granted, as its citizen reads it")
	cmd.MarkFlagsMutuallyExclusive("request", "subject-file", "requests", "answer")
	cmd.MarkFlagsMutuallyExclusive("refuse", "apply")
	cmd.MarkFlagsMutuallyExclusive("answer", "month")
	cmd.MarkFlagsMutuallyExclusive("request", "month")
	return cmd
}

var monthForm = regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])$`)

// readSubjects reads one code a line, each once. No error repeats one.
func readSubjects(path string) ([]ledger.Subject, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the subject file: %w", err)
	}
	var subjects []ledger.Subject
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		subject, err := ledger.ParseSubject(text)
		if err != nil {
			return nil, cli.Usagef("%s, line %d: expected 16 capital letters and digits, or 11 digits, with a right check character", path, n)
		}
		if !slices.Contains(subjects, subject) {
			subjects = append(subjects, subject)
		}
	}
	switch {
	case lines.Err() != nil:
		return nil, cli.Usagef("%s: expected one code a line", path)
	case len(subjects) == 0:
		return nil, cli.Usagef("%s: expected the person's code, found none", path)
	case len(subjects) > node.MaxErased:
		return nil, cli.Usagef("%s: expected at most %d codes, found %d", path, node.MaxErased, len(subjects))
	}
	return subjects, nil
}

// readSubject reads the code of one person.
func readSubject(path string) (ledger.Subject, error) {
	subjects, err := readSubjects(path)
	if err != nil {
		return "", err
	}
	if len(subjects) != 1 {
		return "", cli.Usagef("%s: expected the code of one person, found %d", path, len(subjects))
	}
	return subjects[0], nil
}

func doErase(ctx context.Context, n *node.Node, call *eraseCall) (*node.Erased, error) {
	if call.Request != nil {
		return n.EraseRequested(ctx, call.Request, call.Apply)
	}
	for _, s := range call.Subjects {
		if _, err := ledger.ParseSubject(string(s)); err != nil {
			return nil, fmt.Errorf("couldn't erase: %w", err)
		}
	}
	return n.Erase(ctx, call.Subjects, call.Month, call.Apply)
}
