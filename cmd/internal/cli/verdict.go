// SPDX-License-Identifier: EUPL-1.2

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/ledger"
)

// Result is what a verdict comes to.
type Result string

// The three results of docs/contract.md.
const (
	Proven    Result = "proven"
	Unproven  Result = "not_proven"
	Unchecked Result = "unchecked"
)

// Verdict is embedded in the answer of every command that judges something. Its own fields of the answer follow:
//
//	{"schema":"traccia/verifier-receipt/1","result":"proven","problems":[],"origin":"registro.example/2026",…}
//
// The schema is the command as typed, its words joined by "-". The zero Verdict is Unchecked.
type Verdict struct {
	Schema   string           `json:"schema"` // filled in by Print
	Result   Result           `json:"result"`
	Problems []ledger.Problem `json:"problems"`
}

// Done is embedded in the answer of a command that does something and judges nothing.
type Done struct {
	Schema string `json:"schema"` // filled in by Print
}

// Statement is a command's answer: a struct that embeds [Verdict] or [Done] and says itself to people.
type Statement interface {
	// Text writes the answer for people, whole lines. Print adds result and problems itself.
	Text(w io.Writer)
	settle(schema string)
	conclude() error
	ending(w io.Writer)
}

func (v *Verdict) settle(schema string) {
	v.Schema = schema
	if v.Result != Proven && v.Result != Unproven {
		v.Result = Unchecked
	}
	if v.Result == Proven && len(v.Problems) > 0 {
		v.Result = Unproven
	}
	if v.Problems == nil {
		v.Problems = []ledger.Problem{}
	}
	for i := range v.Problems {
		if p := &v.Problems[i]; p.Where == "" {
			p.Where = "body" // of the file, all of it, as over HTTP
		}
	}
}

func (v *Verdict) conclude() error {
	switch v.Result {
	case Proven:
		return nil
	case Unproven:
		return &NotProven{Problems: v.Problems}
	default:
		return &CouldNotCheck{Err: errors.New("not checked")}
	}
}

func (v *Verdict) ending(w io.Writer) {
	fmt.Fprintf(w, "result: %s\n", strings.ReplaceAll(string(v.Result), "_", " "))
	writeProblems(w, v.Problems)
}

func (d *Done) settle(schema string) { d.Schema = schema }
func (*Done) conclude() error        { return nil }
func (*Done) ending(io.Writer)       {}

// Print gives a command's answer, once: a JSON object with --json, else its text. The error it returns is the
// command's: nil when proven or done, *NotProven or *CouldNotCheck as the verdict says.
func Print(cmd *cobra.Command, s Statement) error {
	r := runOf(cmd)
	if r.printed {
		return errors.New("a command answered twice")
	}
	s.settle(schemaOf(cmd))
	out := cmd.OutOrStdout()
	if r.json {
		if err := writeJSON(out, s); err != nil {
			return &CouldNotCheck{Err: fmt.Errorf("couldn't write the answer: %w", err)}
		}
	} else {
		s.Text(out)
		s.ending(out)
	}
	r.printed = true
	return s.conclude()
}

// Line is one element of a stream.
type Line interface{ Text(w io.Writer) }

// PrintLine gives one element of a stream, before Print gives the answer that ends it: one line of NDJSON with
// --json, else its text.
func PrintLine(cmd *cobra.Command, l Line) error {
	if runOf(cmd).json {
		if err := writeJSON(cmd.OutOrStdout(), l); err != nil {
			return fmt.Errorf("couldn't write a line: %w", err)
		}
		return nil
	}
	l.Text(cmd.OutOrStdout())
	return nil
}

func schemaOf(cmd *cobra.Command) string {
	return "traccia/" + strings.ReplaceAll(cmd.CommandPath(), " ", "-") + "/1"
}

func writeProblems(w io.Writer, problems []ledger.Problem) {
	for _, p := range problems {
		fmt.Fprintf(w, "  %s", p.Code)
		if p.Where != "" {
			fmt.Fprintf(w, " at %s", p.Where)
		}
		if p.Expected != "" {
			fmt.Fprintf(w, ": expected %s", p.Expected)
		}
		if p.Found != "" {
			fmt.Fprintf(w, ", found %s", p.Found)
		}
		fmt.Fprintln(w)
	}
}

// Usage is an error of who typed the command: exit 2 and a hint.
type Usage struct{ Err error }

// Usagef makes a Usage.
func Usagef(format string, args ...any) error { return &Usage{Err: fmt.Errorf(format, args...)} }

// WrongFlag is a Usage of one flag, such as --out: what belongs there, and what was given.
func WrongFlag(flag, expected, found string) error {
	return &Usage{Err: &ledger.Problem{Code: codeUsage, Where: flag, Expected: expected, Found: found}}
}

// CheckID is a Usage where a flag isn't the id of a body.
func CheckID(flag, id string) error {
	if ledger.CheckID(id) == nil {
		return nil
	}
	found := "something else"
	if id == "" {
		found = "nothing"
	}
	return WrongFlag(flag, "the id of a body, 1 to 64 of a-z, 0-9, _ and -", found)
}

const codeUsage = "usage"

func (e *Usage) Error() string {
	if p, ok := e.Err.(*ledger.Problem); ok && p.Code == codeUsage {
		return p.Where + ": expected " + p.Expected + ", found " + p.Found
	}
	return e.Err.Error()
}

func (e *Usage) Unwrap() error { return e.Err }

// NotProven says that what was examined doesn't hold: exit 1.
type NotProven struct{ Problems []ledger.Problem }

func (e *NotProven) Error() string { return "not proven" }

// CouldNotCheck says that nothing could be concluded: exit 3. Any error that is of no other kind counts as one, so it
// is needed only around a ledger.Problem that concerns a means of the check and not what is checked.
type CouldNotCheck struct{ Err error }

func (e *CouldNotCheck) Error() string { return e.Err.Error() }
func (e *CouldNotCheck) Unwrap() error { return e.Err }

// ExitCode gives the code a command ends with after err. The outermost kind decides; a ledger.Problem is a finding
// about what was examined, so it is not proven.
func ExitCode(err error) int {
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e.(type) {
		case *Usage:
			return ExitUsage
		case *NotProven:
			return ExitNotProven
		case *CouldNotCheck:
			return ExitCouldNotCheck
		}
	}
	if err == nil {
		return ExitDone
	}
	if _, ok := problemOf(err); ok {
		return ExitNotProven
	}
	return ExitCouldNotCheck
}

func problemOf(err error) (ledger.Problem, bool) {
	var p *ledger.Problem
	if errors.As(err, &p) {
		return *p, true
	}
	return ledger.Problem{}, false
}

// failure is the object of a command that ended before it had an answer.
func failure(cmd *cobra.Command, err error, code int) *Verdict {
	v := &Verdict{Result: Unchecked}
	var unproven *NotProven
	p, isProblem := problemOf(err)
	switch {
	case errors.As(err, &unproven):
		v.Problems = unproven.Problems
	case isProblem:
		v.Problems = []ledger.Problem{p}
	default:
		p = ledger.Problem{Code: "could_not_check", Where: cmd.CommandPath(), Expected: "no error", Found: oneLine(err.Error())}
		if code == ExitUsage {
			p.Code, p.Expected = codeUsage, "what "+p.Where+" --help says"
			if flag, rest, ok := strings.Cut(p.Found, ": "); ok && strings.HasPrefix(flag, "--") && !strings.Contains(flag, " ") {
				p.Where, p.Found = flag, rest
			}
		} else if errors.Is(err, context.Canceled) {
			p.Code = "interrupted"
		}
		v.Problems = []ledger.Problem{p}
	}
	if code == ExitNotProven {
		v.Result = Unproven
	}
	v.settle(schemaOf(cmd))
	return v
}
