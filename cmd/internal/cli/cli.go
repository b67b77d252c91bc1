// SPDX-License-Identifier: EUPL-1.2

// Package cli is the plumbing that Traccia's commands share: what they print, how they end, when they stop.
//
// It follows docs/contract.md, "Common". What always holds:
//   - [Run] decides the exit code and [Main] alone exits; a command returns an error and nothing else;
//   - with --json, standard output carries exactly one JSON object, whatever happens (a command that prints lines
//     with [PrintLine] carries NDJSON instead, and its last line is that object);
//   - standard error carries everything else: errors, hints, progress;
//   - a verdict that nobody filled in says "unchecked", never "proven".
//
// A binary builds its tree of cobra commands and hands the root to Main, which adds --json, version, completion and
// the refusal of unknown commands, flags and arguments. A command ends with
//
//	return cli.Print(cmd, &answer)
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes of every command.
const (
	ExitDone          = 0 // proven, or done
	ExitNotProven     = 1
	ExitUsage         = 2
	ExitCouldNotCheck = 3 // I/O, network, interruption
)

// run is the state of one invocation; it travels in the commands' context and is used by one goroutine.
type run struct {
	json    bool // --json was given
	started bool // flags and arguments were accepted, the command's own code runs
	printed bool // the one object, or the human text, is out
}

type runKey struct{}

func runOf(cmd *cobra.Command) *run {
	if ctx := cmd.Context(); ctx != nil {
		if r, ok := ctx.Value(runKey{}).(*run); ok {
			return r
		}
	}
	return &run{}
}

// Main runs the command tree on the process's arguments and exits.
//
// SIGINT and SIGTERM cancel the commands' context once, so that a server can finish what it acknowledged; a second
// signal ends the process at once.
func Main(root *cobra.Command) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := Run(ctx, root, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Run runs the command tree once and gives the exit code. The tree can't be run again.
func Run(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	r := &run{}
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.PersistentFlags().BoolVar(&r.json, "json", false, "print one JSON object on standard output")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if isGroup(cmd) && cmd.Flags().NArg() > 0 {
			return unknownCommand(cmd, cmd.Flags().Arg(0))
		}
		return wrongValue(err)
	})
	root.AddCommand(versionCommand())
	root.SetHelpCommand(helpCommand(root))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	prepare(root, r)

	cmd, err := root.ExecuteContextC(context.WithValue(ctx, runKey{}, r))
	if err == nil {
		return ExitDone
	}
	if !r.started {
		r.json = asksJSON(args)
		err = &Usage{Err: err}
	}
	code := ExitCode(err)
	report(cmd, r, err, code, stdout, stderr)
	return code
}

// asksJSON looks for --json before flags are parsed: an unknown flag must be reported as JSON too.
func asksJSON(args []string) bool {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}

func isGroup(cmd *cobra.Command) bool { return cmd.Annotations["cli"] == "group" }

// prepare refuses what cobra lets through (arguments where none are named, an unknown name below a group of
// commands), notes when a command's own code starts, and gives a group the examples of its commands.
func prepare(cmd *cobra.Command, r *run) {
	switch {
	case !cmd.Runnable():
		if cmd.Annotations == nil {
			cmd.Annotations = make(map[string]string)
		}
		cmd.Annotations["cli"] = "group"
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return errors.New("a command is needed")
		}
	default:
		if cmd.Args == nil {
			cmd.Args = noArgs
		}
		runE := cmd.RunE
		if runE == nil {
			plain := cmd.Run
			runE = func(cmd *cobra.Command, args []string) error { plain(cmd, args); return nil }
			cmd.Run = nil
		}
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			r.started = true
			return runE(cmd, args)
		}
	}
	var examples []string
	for _, c := range cmd.Commands() {
		prepare(c, r)
		if c.Example != "" {
			examples = append(examples, c.Example)
		}
	}
	if isGroup(cmd) && cmd.HasParent() {
		cmd.Example = strings.Join(examples, "\n")
	}
}

// wrongValue says in our words which value a flag takes.
func wrongValue(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	flag, expected := invalid.GetFlag(), "another value"
	switch flag.Value.Type() {
	case "int", "int64", "uint", "uint32", "uint64":
		expected = "a whole number"
	case "float64":
		expected = "a number"
	case "bool":
		expected = "true or false"
	case "duration":
		expected = "a time such as 90s or 2h"
	}
	return WrongFlag("--"+flag.Name, expected, strconv.Quote(invalid.GetValue()))
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

func unknownCommand(group *cobra.Command, name string) error {
	if group.SuggestionsMinimumDistance <= 0 {
		group.SuggestionsMinimumDistance = 2
	}
	if near := group.SuggestionsFor(name); len(near) > 0 {
		return fmt.Errorf("unknown command %q, did you mean %q?", name, near[0])
	}
	return fmt.Errorf("unknown command %q", name)
}

// helpCommand is cobra's help, but an unknown topic is a usage error.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := root.Find(args)
			if err != nil || target == nil {
				return &Usage{Err: err}
			}
			if len(rest) > 0 {
				return &Usage{Err: unknownCommand(target, rest[0])}
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
	}
}

// report says an error once: on standard error for people and, with --json, as the one object on standard output.
func report(cmd *cobra.Command, r *run, err error, code int, stdout, stderr io.Writer) {
	if r.json && !r.printed {
		if werr := writeJSON(stdout, failure(cmd, err, code)); werr != nil {
			fmt.Fprintf(stderr, "%s: couldn't write the answer: %v\n", cmd.CommandPath(), werr)
		}
	}
	var unproven *NotProven
	if r.printed && errors.As(err, &unproven) {
		return // the text or object already says why
	}
	fmt.Fprintf(stderr, "%s: %s\n", cmd.CommandPath(), oneLine(err.Error()))
	if errors.As(err, &unproven) {
		writeProblems(stderr, unproven.Problems)
	}
	if code == ExitUsage {
		fmt.Fprintf(stderr, "hint: %s --help\n", cmd.CommandPath())
	}
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// oneLine keeps a message of several lines (cobra's flag errors, wrapped errors) on one.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
