// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger/node"
	"github.com/traccia-ledger/traccia/ledger/node/nodetest"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// The page for operators shows commands and what they print, in blocks marked
// console. TestRunbook runs them: each section in a shell of its own, over a
// ledger of its own, with what the page calls /var/lib/traccia, /backup and
// https://registro.example in a temporary directory, and with stand-ins for
// systemctl and journalctl. What makes things go wrong stands in the page too, in
// comments marked run. "# exit 3" behind a command says how it ends, … in what it
// prints stands for anything.

const runbookPage = "../../docs/operations.md"

// A passage is a heading's commands, in order.
type passage struct {
	heading string
	steps   []step
}

// step is one command. Those of comments have nothing to print.
type step struct {
	line    int
	command string
	exit    int
	prints  string
	hidden  bool
}

var exitMark = regexp.MustCompile(`\s+# exit (\d+)$`)

func readRunbook(t *testing.T, page string) (all []passage) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const outside, console, comment, other = 0, 1, 2, 3
	where := outside
	add := func(s step) {
		if m := exitMark.FindStringSubmatch(s.command); m != nil {
			s.exit, _ = strconv.Atoi(m[1])
		}
		last := &all[len(all)-1]
		last.steps = append(last.steps, s)
	}
	for i, line := range strings.Split(string(text), "\n") {
		heading, isHeading := strings.CutPrefix(line, "## ")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case where == outside && isHeading:
			all = append(all, passage{heading: heading})
		case where == outside && line == "```console":
			where = console
		case where == outside && line == "<!-- run":
			where = comment
		case where == outside && strings.HasPrefix(line, "```"):
			where = other
		case where == comment && line == "-->", where != comment && where != outside && line == "```":
			where = outside
		case where == comment:
			add(step{line: i + 1, command: line, hidden: true})
		case where == console && isCommand:
			add(step{line: i + 1, command: command})
		case where == console:
			steps := all[len(all)-1].steps
			s := &steps[len(steps)-1]
			if strings.HasSuffix(s.command, `\`) {
				s.command += "\n" + line
			} else {
				s.prints += line + "\n"
			}
		}
	}
	return all
}

// runbookPrelude is what the stand-ins are made of. ROOT is the temporary directory.
const runbookPrelude = `
export DATA=$ROOT/data
cd "$ROOT"
pid= sent=0
systemctl() {
	case $1 in
	start)
		rm -f "$ROOT/ready"
		ledgerd serve --data "$DATA" --listen 127.0.0.1:0 --ready-file "$ROOT/ready" >>"$ROOT/journal" 2>&1 &
		pid=$!
		while [ ! -e "$ROOT/ready" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
		if [ -e "$ROOT/ready" ]; then URL=$(sed 's/.*"url":"\([^"]*\)".*/\1/' "$ROOT/ready"); fi ;;
	stop) kill $pid && wait $pid ;;
	esac
}
journalctl() { tail -n "${@: -1}" "$ROOT/journal" | sed 's/^time=[^ ]* //'; }
awaitEnd() { wait $pid; }
record() { for ((i = 0; i < $1; i++)); do agency receipt submit "$ROOT/submissions/$((sent++)).json" --url "$URL" --out "$ROOT/answer.json" --patience 2s >/dev/null || return; done; }
database() { exec 3<>/dev/tcp/127.0.0.1/$CONTROL; echo "$1" >&3; read -r said <&3; exec 3>&-; [ "$said" = done ]; }
trap 'kill $pid 2>/dev/null; wait' EXIT
`

// toShell puts the temporary directory's names for the page's.
var toShell = strings.NewReplacer("/var/lib/traccia", "$DATA", "/backup", "$ROOT/backup", "https://registro.example", "$URL",
	"'postgres://traccia@db.example/traccia?sslrootcert=/etc/traccia/ca.crt'", `"$DATABASE"`)

var localURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

func TestRunbook(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	t.Parallel() // it waits more than it works
	now := time.Now().UTC()
	if now.Add(3*time.Minute).Month() != now.Month() {
		t.Skip("NOT CHECKED: the month ends in this moment")
	}
	root := t.TempDir()
	bin := runbookBinaries(t, root)
	w := nodetest.NewWorld(t, now)
	for i := range 60 {
		write(t, filepath.Join(root, "submissions", fmt.Sprintf("%d.json", i)), w.Make(t, i, nodetest.Access{Subjects: 1, First: i % 5}))
	}
	write(t, filepath.Join(root, "person.txt"), []byte(nodetest.Person(3)+"\n"))
	ran := 0
	for _, p := range readRunbook(t, runbookPage) {
		if len(p.steps) == 0 {
			continue
		}
		ran++
		dir := filepath.Join(root, strconv.Itoa(ran))
		t.Run(p.heading, func(t *testing.T) {
			t.Parallel()
			if p.steps[0].command == ": a small disk" {
				dir = nodetest.NewSmallDisk(t).Dir
			}
			runPassage(t, p, w, dir, root, bin, now)
		})
	}
	if ran < 8 {
		t.Errorf("%d sections with commands were found", ran)
	}
}

// runbookBinaries makes the programs that the page calls.
func runbookBinaries(t *testing.T, root string) string {
	t.Helper()
	bin := filepath.Join(root, "bin")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(bin, "ledgerd"), []byte("#!/bin/sh\n"+processEnv+"=1 exec '"+self+"' \"$@\"\n"))
	if err := os.Chmod(filepath.Join(bin, "ledgerd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", bin, "../verifier", "../agency").CombinedOutput(); err != nil {
		t.Fatalf("couldn't build the others: %v\n%s", err, out)
	}
	return bin
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func runPassage(t *testing.T, p passage, w *nodetest.World, dir, root, bin string, now time.Time) {
	data := filepath.Join(dir, "data")
	control, beside := "", ""
	world := *w
	switch p.steps[0].command {
	case ": in a database":
		server := pgtest.Own(t)
		world.Store = server.Database(t)
		control = databaseControl(t, server)
	case ": beside a database":
		beside = pgtest.Postgres(t).Database(t)
	}
	opt := node.Options{}
	if p.steps[0].command == ": since last year" {
		opt.Now = func() time.Time { return time.Now().AddDate(-1, 0, 0) }
	}
	world.Create(t, data, opt)
	n, err := node.Open(t.Context(), data, opt)
	if err != nil {
		t.Fatal(err)
	}
	world.Register(t, n)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	dates := strings.NewReplacer("2026-11-22", now.Format("2006-01-02"), "2026-11", now.Format("2006-01"), "2026", now.Format("2006"), "2027", strconv.Itoa(now.Year()+1))
	const mark = "=== "
	var script strings.Builder
	script.WriteString(runbookPrelude)
	for _, s := range p.steps {
		fmt.Fprintf(&script, "%s\necho \"%s$?\"\n", toShell.Replace(dates.Replace(s.command)), mark)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", script.String())
	shell.WaitDelay = 10 * time.Second
	shell.Env = append(os.Environ(), "ROOT="+dir, "PATH="+bin+":"+os.Getenv("PATH"), "CONTROL="+control, "DATABASE="+beside)
	for _, name := range []string{"submissions", "person.txt"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	shell.Stdout, shell.Stderr = &out, &out
	if err := shell.Run(); err != nil {
		t.Errorf("the shell: %v", err)
	}
	said := localURL.ReplaceAllString(out.String(), "https://registro.example")
	said = strings.NewReplacer(data, "/var/lib/traccia", filepath.Join(dir, "backup"), "/backup", dir+"/", "").Replace(said)
	for _, s := range p.steps {
		got, rest, found := strings.Cut(said, mark)
		if !found {
			t.Fatalf("%s:%d: the shell ended before %s\n%s", runbookPage, s.line, s.command, said)
		}
		code, rest, _ := strings.Cut(rest, "\n")
		said = rest
		t.Logf("$ %s\n%s", s.command, got)
		if code != strconv.Itoa(s.exit) {
			t.Errorf("%s:%d: %s ended with %s, expected %d:\n%s", runbookPage, s.line, s.command, code, s.exit, got)
		}
		if want := dates.Replace(s.prints); !s.hidden && !agrees(want, got) {
			t.Errorf("%s:%d: %s printed\n%sexpected\n%s", runbookPage, s.line, s.command, got, want)
		}
	}
}

// agrees compares what was printed with what the page shows.
func agrees(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", ".*?")
	return regexp.MustCompile(`(?s)^` + pattern + `$`).MatchString(strings.TrimSpace(got))
}

// databaseControl listens for what the shell wants of the database: stop or start.
func databaseControl(t *testing.T, server *pgtest.Server) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			word := make([]byte, 16)
			n, _ := c.Read(word)
			said := "done"
			switch strings.TrimSpace(string(word[:n])) {
			case "stop":
				server.Kill()
			case "start":
				if err := server.Start(); err != nil {
					said = err.Error()
				}
			}
			fmt.Fprintln(c, said)
			c.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}
