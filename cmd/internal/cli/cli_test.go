// SPDX-License-Identifier: EUPL-1.2

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/traccia-ledger/traccia/ledger"
)

type sizeAnswer struct {
	Verdict
	Size int `json:"size"`
}

func (a *sizeAnswer) Text(w io.Writer) { fmt.Fprintf(w, "size %d\n", a.Size) }

type keyAnswer struct {
	Done
	Kid string `json:"kid"`
}

func (a *keyAnswer) Text(w io.Writer) { fmt.Fprintf(w, "key %s\n", a.Kid) }

type lineAnswer struct {
	Line int `json:"line"`
}

func (l lineAnswer) Text(w io.Writer) { fmt.Fprintf(w, "line %d\n", l.Line) }

var badRoot = ledger.Problem{Code: "root_mismatch", Where: "receipt#subjects/root", Expected: "aa", Found: "bb"}

// tree is a binary as the commands build one.
func tree() *cobra.Command {
	root := &cobra.Command{Use: "ledgerd", Short: "test"}
	leaf := func(use string, run func(cmd *cobra.Command) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: use, RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd) }}
	}
	fsck := leaf("fsck", func(cmd *cobra.Command) error {
		return Print(cmd, &sizeAnswer{Verdict: Verdict{Result: Proven}, Size: 7})
	})
	fsck.Flags().String("data", "", "directory")
	fsck.Flags().Int("receipts", 0, "number")
	needs := leaf("needs", func(cmd *cobra.Command) error { return nil })
	needs.Flags().String("key", "", "file")
	if err := needs.MarkFlagRequired("key"); err != nil {
		panic(err)
	}
	body := &cobra.Command{Use: "body", Short: "bodies"}
	add := leaf("add", func(cmd *cobra.Command) error { return Print(cmd, &keyAnswer{Kid: "k1"}) })
	add.Example = "  ledgerd body add --id c_a944"
	body.AddCommand(add)
	root.AddCommand(fsck, needs, body,
		leaf("wrong", func(cmd *cobra.Command) error {
			return Print(cmd, &sizeAnswer{Verdict: Verdict{Result: Proven, Problems: []ledger.Problem{badRoot}}})
		}),
		leaf("silent", func(cmd *cobra.Command) error { return Print(cmd, &sizeAnswer{}) }),
		leaf("io", func(*cobra.Command) error { return fmt.Errorf("couldn't load log: %w", fs.ErrNotExist) }),
		leaf("problem", func(*cobra.Command) error { return fmt.Errorf("couldn't parse receipt: %w", &badRoot) }),
		leaf("means", func(*cobra.Command) error { return &CouldNotCheck{Err: &badRoot} }),
		leaf("usage", func(*cobra.Command) error { return Usagef("--to is before --from") }),
		leaf("flag", func(*cobra.Command) error { return WrongFlag("--lang", "it or en", `"fr"`) }),
		leaf("leading", func(*cobra.Command) error { return Usagef("--url: %w", errors.New("no URL")) }),
		leaf("whole", func(*cobra.Command) error {
			return &ledger.Problem{Code: ledger.CodeSyntax, Expected: "an object", Found: "the end"}
		}),
		leaf("twice", func(cmd *cobra.Command) error {
			return errors.Join(Print(cmd, &keyAnswer{}), Print(cmd, &keyAnswer{}))
		}),
		leaf("stream", func(cmd *cobra.Command) error {
			for i := range 2 {
				if err := PrintLine(cmd, lineAnswer{i + 1}); err != nil {
					return err
				}
			}
			return Print(cmd, &keyAnswer{Kid: "end"})
		}),
		leaf("wait", func(cmd *cobra.Command) error {
			fmt.Fprintln(cmd.ErrOrStderr(), "waiting")
			<-cmd.Context().Done()
			return cmd.Context().Err()
		}),
	)
	return root
}

func runTree(args ...string) (code int, stdout, stderr string) {
	var out, errw bytes.Buffer
	code = Run(context.Background(), tree(), args, &out, &errw)
	return code, out.String(), errw.String()
}

func TestRun(t *testing.T) {
	tests := []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"fsck", 0, "size 7\nresult: proven\n", ""},
		{"fsck --json", 0, `{"schema":"traccia/ledgerd-fsck/1","result":"proven","problems":[],"size":7}` + "\n", ""},
		{"--json fsck", 0, `{"schema":"traccia/ledgerd-fsck/1","result":"proven","problems":[],"size":7}` + "\n", ""},
		{"body add", 0, "key k1\n", ""},
		{"body add --json", 0, `{"schema":"traccia/ledgerd-body-add/1","kid":"k1"}` + "\n", ""},
		{"wrong", 1, "size 0\nresult: not proven\n  root_mismatch at receipt#subjects/root: expected aa, found bb\n", ""},
		{"wrong --json", 1, `{"schema":"traccia/ledgerd-wrong/1","result":"not_proven","problems":[{"code":"root_mismatch","where":"receipt#subjects/root","expected":"aa","found":"bb"}],"size":0}` + "\n", ""},
		{"silent", 3, "size 0\nresult: unchecked\n", "ledgerd silent: not checked\n"},
		{"io", 3, "", "ledgerd io: couldn't load log: file does not exist\n"},
		{"io --json", 3, `{"schema":"traccia/ledgerd-io/1","result":"unchecked","problems":[{"code":"could_not_check","where":"ledgerd io","expected":"no error","found":"couldn't load log: file does not exist"}]}` + "\n", "ledgerd io: couldn't load log: file does not exist\n"},
		{"problem", 1, "", "ledgerd problem: couldn't parse receipt: root_mismatch at receipt#subjects/root: expected aa, found bb\n"},
		{"problem --json", 1, `{"schema":"traccia/ledgerd-problem/1","result":"not_proven","problems":[{"code":"root_mismatch","where":"receipt#subjects/root","expected":"aa","found":"bb"}]}` + "\n", "ledgerd problem: couldn't parse receipt: root_mismatch at receipt#subjects/root: expected aa, found bb\n"},
		{"means", 3, "", "ledgerd means: root_mismatch at receipt#subjects/root: expected aa, found bb\n"},
		{"usage", 2, "", "ledgerd usage: --to is before --from\nhint: ledgerd usage --help\n"},
		{"usage --json", 2, `{"schema":"traccia/ledgerd-usage/1","result":"unchecked","problems":[{"code":"usage","where":"ledgerd usage","expected":"what ledgerd usage --help says","found":"--to is before --from"}]}` + "\n", "ledgerd usage: --to is before --from\nhint: ledgerd usage --help\n"},
		{"flag --json", 2, `{"schema":"traccia/ledgerd-flag/1","result":"unchecked","problems":[{"code":"usage","where":"--lang","expected":"it or en","found":"\"fr\""}]}` + "\n", "ledgerd flag: --lang: expected it or en, found \"fr\"\nhint: ledgerd flag --help\n"},
		{"leading --json", 2, `{"schema":"traccia/ledgerd-leading/1","result":"unchecked","problems":[{"code":"usage","where":"--url","expected":"what ledgerd leading --help says","found":"no URL"}]}` + "\n", "ledgerd leading: --url: no URL\nhint: ledgerd leading --help\n"},
		{"whole --json", 1, `{"schema":"traccia/ledgerd-whole/1","result":"not_proven","problems":[{"code":"syntax","where":"body","expected":"an object","found":"the end"}]}` + "\n", "ledgerd whole: syntax: expected an object, found the end\n"},
		{"fsck --receipts abc --json", 2, `{"schema":"traccia/ledgerd-fsck/1","result":"unchecked","problems":[{"code":"usage","where":"--receipts","expected":"a whole number","found":"\"abc\""}]}` + "\n", "ledgerd fsck: --receipts: expected a whole number, found \"abc\"\nhint: ledgerd fsck --help\n"},
		{"twice", 3, "key \n", "ledgerd twice: a command answered twice\n"},
		{"stream", 0, "line 1\nline 2\nkey end\n", ""},
		{"stream --json", 0, `{"line":1}` + "\n" + `{"line":2}` + "\n" + `{"schema":"traccia/ledgerd-stream/1","kid":"end"}` + "\n", ""},
		{"", 2, "", "ledgerd: a command is needed\nhint: ledgerd --help\n"},
		{"body", 2, "", "ledgerd body: a command is needed\nhint: ledgerd body --help\n"},
		{"fsk", 2, "", "ledgerd: unknown command \"fsk\", did you mean \"fsck\"?\nhint: ledgerd --help\n"},
		{"fsk --data x", 2, "", "ledgerd: unknown command \"fsk\", did you mean \"fsck\"?\nhint: ledgerd --help\n"},
		{"body remove", 2, "", "ledgerd body: unknown command \"remove\"\nhint: ledgerd body --help\n"},
		{"--bogus", 2, "", "ledgerd: unknown flag: --bogus\nhint: ledgerd --help\n"},
		{"fsck --bogus", 2, "", "ledgerd fsck: unknown flag: --bogus\nhint: ledgerd fsck --help\n"},
		{"fsck --data", 2, "", "ledgerd fsck: flag needs an argument: --data\nhint: ledgerd fsck --help\n"},
		{"fsck extra", 2, "", "ledgerd fsck: unexpected argument \"extra\"\nhint: ledgerd fsck --help\n"},
		{"needs", 2, "", "ledgerd needs: required flag(s) \"key\" not set\nhint: ledgerd needs --help\n"},
		{"fsck --bogus --json", 2, `{"schema":"traccia/ledgerd-fsck/1","result":"unchecked","problems":[{"code":"usage","where":"ledgerd fsck","expected":"what ledgerd fsck --help says","found":"unknown flag: --bogus"}]}` + "\n", "ledgerd fsck: unknown flag: --bogus\nhint: ledgerd fsck --help\n"},
		{"help nothing", 2, "", "ledgerd help: unknown command \"nothing\"\nhint: ledgerd help --help\n"},
		{"completion", 2, "", "ledgerd completion: a command is needed\nhint: ledgerd completion --help\n"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := runTree(strings.Fields(test.args)...)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if diff := cmp.Diff(test.stdout, stdout); diff != "" {
				t.Errorf("stdout (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stderr, stderr); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHelpAndCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"--help":          "Available Commands:",
		"help":            "Available Commands:",
		"help fsck":       "--data string",
		"fsck -h":         "print one JSON object on standard output",
		"body --help":     "Examples:\n  ledgerd body add --id c_a944\n",
		"completion bash": "__start_ledgerd",
		"completion fish": "complete -c ledgerd",
		"completion zsh":  "#compdef ledgerd",
		"__complete fs":   "fsck",
		"version":         "built with go",
	} {
		code, stdout, stderr := runTree(strings.Fields(args)...)
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%q: exit code %d, want 0; stdout %q, want %q in it; stderr %q", args, code, stdout, want, stderr)
		}
	}
}

func TestVersionJSON(t *testing.T) {
	code, stdout, _ := runTree("version", "--json")
	var a versionAnswer
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatal(err)
	}
	if code != 0 || a.Schema != "traccia/ledgerd-version/1" || !strings.HasPrefix(a.Go, "go") {
		t.Errorf("exit code %d, answer %+v", code, a)
	}
}

func TestExitCodeOutermostDecides(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{&NotProven{}, 1},
		{&badRoot, 1},
		{fmt.Errorf("couldn't read: %w", &Usage{Err: &badRoot}), 2},
		{&Usage{Err: &NotProven{}}, 2},
		{&CouldNotCheck{Err: &Usage{Err: io.EOF}}, 3},
		{context.Canceled, 3},
		{io.EOF, 3},
	}
	for _, test := range tests {
		if got := ExitCode(test.err); got != test.want {
			t.Errorf("ExitCode(%v) = %d, want %d", test.err, got, test.want)
		}
	}
}

// TestMain lets the test binary stand in for a command that waits for a signal.
func TestMain(m *testing.M) {
	if os.Getenv("TRACCIA_CLI_WAIT") != "" {
		os.Args = []string{"ledgerd", "wait", "--json"}
		Main(tree())
	}
	os.Exit(m.Run())
}

func TestSignalCancelsContext(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "TRACCIA_CLI_WAIT=1")
	var out bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stderr).ReadString('\n'); line != "waiting\n" {
		t.Fatalf("standard error starts with %q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != ExitCouldNotCheck {
		t.Fatalf("ended with %v, want exit code %d", err, ExitCouldNotCheck)
	}
	if !strings.Contains(out.String(), `"code":"interrupted"`) {
		t.Errorf("stdout %q doesn't say that it was interrupted", out.String())
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(content string, mode os.FileMode) string {
		path := filepath.Join(dir, fmt.Sprintf("f%d", time.Now().UnixNano()))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for content, want := range map[string]string{"a b": "a b", "a\n": "a", "a\r\n": "a", " a ": " a "} {
		got, err := ReadSecret(file(content, 0o640))
		if got != want || err != nil {
			t.Errorf("ReadSecret of %q = %q, %v, want %q", content, got, err, want)
		}
	}
	for _, content := range []string{"", "\n", "a\nb", "a\x00", strings.Repeat("a", maxSecret+1)} {
		if _, err := ReadSecret(file(content, 0o600)); err == nil {
			t.Errorf("ReadSecret took %.20q", content)
		}
	}
	for _, mode := range []os.FileMode{0o604, 0o602, 0o620, 0o644} {
		if _, err := ReadSecret(file("a", mode)); ExitCode(err) != ExitUsage {
			t.Errorf("mode %o: ReadSecret gave %v, want a usage error", mode, err)
		}
	}
	if _, err := ReadSecret(filepath.Join(dir, "absent")); ExitCode(err) != ExitCouldNotCheck {
		t.Errorf("an absent file gave %v, want an error of exit code 3", err)
	}
}

func TestProgress(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		total, done int64
		after       time.Duration
		want        string
	}{
		{5000, 2500, 2 * time.Second, "loading  [==========>         ]  50%  2,500/5,000  1,250/s  2s left"},
		{5000, 5000, 2 * time.Second, "loading  [====================] 100%  5,000/5,000  2,500/s"},
		{5000, 6000, 2 * time.Second, "loading  [====================] 100%  6,000/5,000  3,000/s"},
		{0, 1234567, time.Second, "loading  1,234,567  1,234,567/s"},
		{10, 0, 0, "loading  [>                   ]   0%  0/10  0/s"},
	}
	for _, test := range tests {
		p := &Progress{label: "loading", total: test.total, done: test.done, start: start}
		if got := p.line(start.Add(test.after)); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}

	var out bytes.Buffer
	p := newProgress(&out, "loading", 2)
	p.next = time.Now().Add(-time.Second)
	p.Add(1)
	p.Add(1) // too soon to be drawn
	p.Close()
	if got := strings.Count(out.String(), "loading"); got != 1 {
		t.Errorf("drawn %d times, want once: %q", got, out.String())
	}
	if !strings.HasSuffix(out.String(), " \r") {
		t.Errorf("not wiped: %q", out.String())
	}

	cmd := &cobra.Command{}
	cmd.SetErr(&out)
	silent := NewProgress(cmd, "x", 1)
	silent.Add(1)
	silent.Close()
	if silent != nil {
		t.Error("a bar where standard error is no terminal")
	}
}
