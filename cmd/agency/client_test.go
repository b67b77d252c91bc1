// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/durable"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"30":                            30 * time.Second,
		"-1":                            0,
		"1.5":                           0,
		"99999999999999999999":          0,
		"Sun, 22 Nov 2026 09:31:00 GMT": time.Minute,
		"Sun, 22 Nov 2026 09:29:00 GMT": 0,
		"soon":                          0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", header, got, want)
		}
	}
}

// TestPacer follows the pauses on a clock of its own.
func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &client{patience: 10 * time.Minute, notice: io.Discard}
		busy := &unavailable{err: errors.New("busy")}
		pace := c.pacer()
		begun := time.Now()
		longest := time.Duration(0)
		var err error
		for err == nil {
			before := time.Now()
			err = pace.wait(t.Context(), busy)
			longest = max(longest, time.Since(before))
		}
		if longest < longestPause/2 || longest > longestPause {
			t.Errorf("the longest pause was %s", longest)
		}
		if waited := time.Since(begun); waited > c.patience || waited < c.patience-longestPause {
			t.Errorf("gave up after %s", waited)
		}
		if !errors.Is(err, busy.err) {
			t.Errorf("gave up with %v", err)
		}

		pace.progress()
		before := time.Now()
		if err := pace.wait(t.Context(), &unavailable{after: time.Minute, err: busy.err}); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(before); waited != time.Minute {
			t.Errorf("waited %s, the ledger asked for 1m", waited)
		}
		if err := pace.wait(t.Context(), &unavailable{after: time.Hour, err: busy.err}); err == nil {
			t.Error("waited for an hour")
		}

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := pace.wait(ctx, busy); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped with %v", err)
		}
	})
}

// TestSilentLedger asks a ledger that takes the request and never answers.
func TestSilentLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, touch, cancel := watched(t.Context())
		defer cancel()
		begun := time.Now()
		time.Sleep(stall - time.Second)
		touch()
		<-ctx.Done()
		if waited := time.Since(begun); waited != 2*stall-time.Second {
			t.Errorf("gave up after %s", waited)
		}
		if err := context.Cause(ctx); err == nil || !strings.Contains(err.Error(), "no answer for") {
			t.Errorf("gave up with %v", err)
		}
	})
}

// TestExchangeRefuses gives answers that no ledger gives.
func TestExchangeRefuses(t *testing.T) {
	s, r, err := reported()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ledger.FormatSubmission(s)
	if err != nil {
		t.Fatal(err)
	}
	good := `{"line":1,"status":201,"answer":` + string(fakeAnswer(r.ReceiptID(), len(s.Subjects))) + "}\n"
	for _, test := range []struct {
		name, response, want string
		passing              bool
	}{
		{"right", good, "", false},
		{"nothing", "", "answered 0 of 1 lines", true},
		{"half a line", good[:len(good)/2], "answered 0 of 1 lines", true},
		{"no line end", good[:len(good)-1], "answered 0 of 1 lines", true},
		{"busy", `{"line":1,"status":503,"problem":{"code":"busy"}}` + "\n", "503 Service Unavailable", true},
		{"another line", strings.Replace(good, `"line":1`, `"line":2`, 1), "answered line 2 of the request, expected 1", false},
		{"no status", strings.Replace(good, "201", "0", 1), "status 0", false},
		{"no answer", `{"line":1,"status":201}` + "\n", "couldn't read the ledger's answer", false},
		{"no JSON", "<html>\n", "couldn't read the ledger's answer", false},
		{"too long", strings.Repeat("x", maxAnswer+1), "longer than", false},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, test.response) }))
		base, err := parseURL(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{base: base, http: server.Client(), notice: io.Discard}
		line := &outgoing{number: 1, raw: raw}
		n, err := c.exchange(t.Context(), []*outgoing{line})
		var later *unavailable
		switch {
		case test.want == "":
			if err != nil || n != 1 || line.outcome == nil {
				t.Errorf("%s: %d, %v", test.name, n, err)
			}
		case err == nil || !strings.Contains(err.Error(), test.want) || errors.As(err, &later) != test.passing || n != 0 || line.outcome != nil:
			t.Errorf("%s: %d, %v, want %s", test.name, n, err, test.want)
		}
		server.Close()
	}
}

func TestLineReader(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	file := "one\n\n  \r\n two \r\n" + long + "\n" + long + "x\nthree"
	r := &lineReader{in: bufio.NewReader(strings.NewReader(file))}
	type line struct {
		Number, Start, End int64
		Raw                int
		Refused            bool
	}
	var got []line
	for {
		l, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if l.raw != nil && string(l.raw) != strings.TrimSuffix(file[l.start:l.end], "\n") {
			t.Errorf("line %d isn't what stands at %d to %d", l.number, l.start, l.end)
		}
		got = append(got, line{l.number, l.start, l.end, len(l.raw), l.outcome != nil})
	}
	n := int64(maxLine)
	want := []line{
		{1, 0, 4, 3, false},
		{4, 9, 16, 6, false},
		{5, 16, 17 + n, 0, true},
		{6, 17 + n, 19 + 2*n, 0, true},
		{7, 19 + 2*n, 24 + 2*n, 5, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	fresh, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	if fresh.Lines != 0 || fresh.Schema != stateSchema {
		t.Errorf("a new state is %+v", fresh)
	}
	want := &state{stateSchema, 120, 923400, 915702, "01", 117, 1, 2, 16804}
	if err := want.save(path); err != nil {
		t.Fatal(err)
	}
	got, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		"", "{}",
		strings.Replace(text(t, path), "/1", "/2", 1),
		strings.Replace(text(t, path), `"offset":923400`, `"offset":9`, 1),
		strings.Replace(text(t, path), `"offset":923400`, `"offset":92340000`, 1),
		strings.Replace(text(t, path), `"refused":2`, `"refused":-2`, 1),
	} {
		other := filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(other, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := openState(other); err == nil {
			t.Errorf("%q was read as %+v", bad, s)
		}
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[2J\nb\xff\u202ec è\x00"); got != "a[2Jbc è" {
		t.Errorf("printable gave %q", got)
	}
}

// TestReplaceFileLeavesNothing: a file that can't be put in place leaves no
// temporary one.
func TestReplaceFileLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(target, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(target, []byte("x"), 0o600); err == nil {
		t.Error("replaced a directory")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("left %d files", len(entries)-1)
	}
}

// TestReceiptsAreKept: another body's receipt with the same jti isn't replaced,
// on disk or in the same batch; the same receipt is.
func TestReceiptsAreKept(t *testing.T) {
	const jti = "5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11"
	made := func(iss string, count int) *answer {
		raw := fakeAnswer(iss+"/"+jti, count)
		a, err := ledger.ParseAnswer(raw)
		if err != nil {
			t.Fatal(err)
		}
		return &answer{Answer: a, raw: raw}
	}
	s := &submitter{receipts: t.TempDir()}
	file := filepath.Join(s.receipts, jti+".json")
	for _, step := range []struct {
		answers []*answer
		ok      bool
		want    string
	}{
		{[]*answer{made("inps", 1), made("c_a944", 1)}, false, ""},
		{[]*answer{made("inps", 1), made("inps", 1)}, true, "inps"},
		{[]*answer{made("inps", 2)}, true, "inps"},
		{[]*answer{made("c_a944", 1)}, false, "inps"},
	} {
		if err := s.keepAnswers(step.answers); (err == nil) != step.ok {
			t.Errorf("keeping %d answers gave %v", len(step.answers), err)
		}
		if step.want != "" && !strings.Contains(text(t, file), step.want+"/"+jti) {
			t.Errorf("the file is of another body than %s", step.want)
		}
	}
}
