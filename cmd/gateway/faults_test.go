// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/traccia-ledger/traccia/cmd/internal/dev"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/jws"
)

func isReceipt(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/access-receipts") }

// notShort leaves a test to the runs that have time.
func notShort(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
}

// TestLedgerKilled kills the ledger in the middle of a call, before and after it has recorded it: the call waits and gets its
// answer when the ledger is back, once recorded.
func TestLedgerKilled(t *testing.T) {
	r := newRig(t)
	for _, recorded := range []bool{false, true} {
		var once sync.Once
		now, dead := make(chan struct{}), make(chan struct{})
		r.onTheWay(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
			first := false
			once.Do(func() { first = true })
			if !first {
				next.ServeHTTP(w, req)
				return
			}
			if recorded {
				next.ServeHTTP(httptest.NewRecorder(), req)
			}
			close(now)
			<-dead
			cutOff(w)
		})
		answer := make(chan got)
		go func() { answer <- r.call("/consultazione") }()
		<-now
		r.killLedger()
		close(dead)
		r.startLedger()
		if g := <-answer; g.status != http.StatusOK && g.status != http.StatusServiceUnavailable || g.err != nil {
			t.Errorf("recorded %v: %+v", recorded, g)
		}
	}
	r.compare()
}

// TestGatewayKilled kills the gateway at instants between the ledger's acknowledgement and the end of the release.
func TestGatewayKilled(t *testing.T) {
	r := newRig(t)
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for i := range rounds {
		var once sync.Once
		now := make(chan struct{})
		r.onTheWay(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
			next.ServeHTTP(w, req)
			if isReceipt(req) {
				once.Do(func() {
					w.(http.Flusher).Flush()
					close(now)
				})
			}
		})
		done := make(chan got)
		go func() { done <- r.call("/consultazione") }()
		<-now
		time.Sleep(time.Duration(i) * 400 * time.Microsecond)
		r.killGateway()
		<-done
		r.onTheWay(nil)
		r.start()
	}
	if g := r.call("/consultazione"); g.status != http.StatusOK {
		t.Errorf("%+v", g)
	}
	t.Logf("%d of %d consumers got their answers: %v", len(r.given), rounds+1, r.compare())
}

// TestProviderFaults: nothing of a provider that hangs or fails is released or recorded; of what a consumer that left was
// authorised to get a statement says that it got nothing.
func TestProviderFaults(t *testing.T) {
	notShort(t)
	r := newRig(t)
	if g := r.call("/consultazione"); g.status != http.StatusOK {
		t.Fatalf("%+v", g)
	}
	good := *r.answer.Load()
	hang := make(chan struct{})
	defer close(hang)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		status int
	}{
		"hanging":    {func(http.ResponseWriter, *http.Request) { <-hang }, http.StatusGatewayTimeout},
		"500":        {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, answered, 500) }, http.StatusBadGateway},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answered); cutOff(w) }, http.StatusBadGateway},
	} {
		r.answers(c.answer)
		if g := r.call("/consultazione"); g.status != c.status || strings.Contains(g.body, "isee") {
			t.Errorf("%s: %+v", name, g)
		}
	}
	// Consumers that leave while the provider works, and while the ledger does.
	r.answers(func(_ http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body) // or net/http doesn't watch the connection
		<-req.Context().Done()
	})
	if g := r.ask(soon(t, 200*time.Millisecond), "/consultazione", r.sample); g.err == nil {
		t.Errorf("%+v", g)
	}
	r.answers(good)
	r.cut = false // nothing was recorded of any of these
	left := make(chan struct{})
	r.onTheWay(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if isReceipt(req) {
			<-left
		}
		next.ServeHTTP(w, req)
	})
	if g := r.ask(soon(t, 300*time.Millisecond), "/consultazione", r.sample); g.err == nil {
		t.Errorf("%+v", g)
	}
	time.Sleep(200 * time.Millisecond) // for the gateway to see that it left
	close(left)
	r.eventually("a statement says that nothing was released", func() bool { return len(r.records()) == 3 })
	r.cut = false // the statement says what became of it
	if kinds := r.compare(); kinds[ledger.KindAccess] != 2 || kinds[ledger.KindUndelivered] != 1 {
		t.Errorf("%v", kinds)
	}
}

// breakGlass runs a command on sessions.
func (r *rig) breakGlass(args ...string) (s sessionAnswer) {
	r.t.Helper()
	args = append([]string{"break-glass", args[0], r.config(), "--json"}, args[1:]...)
	if err := json.Unmarshal([]byte(r.command(args...)), &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// emergency kills the ledger once the gateway can decide by itself, and opens a session with one call in it.
func (r *rig) emergency() {
	r.t.Helper()
	if g := r.call("/emergenza"); g.status != http.StatusOK {
		r.t.Fatalf("%+v", g)
	}
	r.eventually("the gateway can decide by itself", func() bool { return r.state().Policies != "" })
	r.killLedger()
	session := r.breakGlass("open", "--person", "Anna Verdi", "--reason", "prova")
	if g := r.call("/emergenza"); g.status != http.StatusOK || !strings.HasSuffix(g.receipt, "; spooled="+session.Session+"; number=1") {
		r.t.Fatalf("%+v", g)
	}
}

// TestBreakGlassKilled: with the ledger killed, vital answers are released on spooled receipts, whatever kills the gateway
// meanwhile; and when the ledger is back, whichever step of the delivery it is killed at, all is recorded once.
func TestBreakGlassKilled(t *testing.T) {
	r := newRig(t)
	r.emergency()
	r.killGateway()
	r.start()
	for range 3 {
		if g := r.call("/emergenza"); g.status != http.StatusOK || !strings.Contains(g.receipt, "; spooled=") {
			t.Fatalf("%+v", g)
		}
	}
	if s := r.state(); !s.BreakGlass || s.Spooled != 4 {
		t.Errorf("%+v", s)
	}
	closed := r.breakGlass("close")
	if closed.Open || closed.Receipts != 4 || closed.Recorded != 0 || closed.Person != "Anna Verdi" {
		t.Errorf("%+v", closed)
	}
	// Each statement and receipt is recorded, and the gateway killed before it hears so.
	steps := closed.Receipts + 2
	if testing.Short() {
		steps = 2
	}
	seen := map[string]bool{}
	now, dead := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	r.onTheWay(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { cutOff(w) })
	r.startLedger()
	r.onTheWay(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		name := string(body)
		if s := struct{ Statement string }{}; json.Unmarshal(body, &s) == nil && s.Statement != "" {
			token, err := jws.Parse(s.Statement)
			if err != nil {
				t.Error(err)
				return
			}
			name = string(token.Payload) // signed anew each time
		}
		mu.Lock()
		fresh := !seen[name] && len(seen) < steps
		if fresh {
			seen[name] = true
		}
		mu.Unlock()
		if !fresh {
			next.ServeHTTP(w, req)
			return
		}
		// To its end, though another request may have had the gateway killed.
		next.ServeHTTP(httptest.NewRecorder(), req.WithContext(context.WithoutCancel(req.Context())))
		now <- struct{}{}
		<-dead
		cutOff(w)
	})
	for range steps {
		<-now
		r.killGateway()
		dead <- struct{}{}
		r.launch()
	}
	r.serves()
	r.eventually("the ledger was told of the session whole", func() bool {
		var a sessionsAnswer
		if err := json.Unmarshal([]byte(r.command("break-glass", "status", r.config(), "--json")), &a); err != nil {
			t.Fatal(err)
		}
		return a.Sessions[0].Public && a.Sessions[0].Recorded == closed.Receipts
	})
	t.Logf("killed at %d steps: %v", steps, r.compare())
}

// TestDiskFull: a spool that can't be written releases nothing, and the gateway ends; with room again it goes on where it was.
func TestDiskFull(t *testing.T) {
	notShort(t)
	r := newRig(t)
	r.emergency()
	before := len(r.given)
	process := r.path.process.Process
	// No file of the process can grow any more: its next write fails, as on a full disk.
	var old unix.Rlimit
	if err := unix.Prlimit(process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: unix.RLIM_INFINITY}, &old); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.path.process.Wait() }()
	for range 3 {
		if g := r.call("/emergenza"); g.status == http.StatusOK || strings.Contains(g.body, "isee") {
			t.Errorf("released: %+v", g)
		}
	}
	if err := <-ended; err == nil || !strings.Contains(r.stderr.String(), "the gateway's memory can't be written") {
		t.Errorf("%v\n%s", err, r.stderr)
	}
	if len(r.given) != before {
		t.Errorf("%d consumers got data", len(r.given)-before)
	}
	r.start()
	if g := r.call("/emergenza"); g.status != http.StatusOK || !strings.Contains(g.receipt, "; spooled=") {
		t.Errorf("with room again: %+v", g)
	}
	r.breakGlass("close")
	r.startLedger()
	r.compare()
}

// TestKeysRotated: the gateway's key is followed by another, and PDND's and its clients' by others, while calls come: each call
// is released and recorded, or neither.
func TestKeysRotated(t *testing.T) {
	notShort(t)
	r := newRig(t)
	other := t.TempDir()
	world, err := dev.NewWorld(dev.Config{Dir: other, Ledger: ledgerName, Seed: 1, Profile: ledger.ProfileAudit02, Subjects: 1})
	if err != nil {
		t.Fatal(err)
	}
	// A call of the same consumer to the same e-service, with tokens by other keys.
	var later *ledger.Submission
	for n := 0; later == nil; n++ {
		s, err := world.Submission(n)
		if err != nil {
			t.Fatal(err)
		}
		if call, err := ledger.ParseReceipt(s.Receipt); err == nil && call.EService == r.receipt.EService && call.Consumer == r.receipt.Consumer {
			later = s
		}
	}
	stop := make(chan struct{})
	var calls sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[int]int{}
	for range 3 {
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				g := r.call("/consultazione")
				mu.Lock()
				outcomes[g.status]++
				mu.Unlock()
			}
		})
	}
	body := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(r.binary, append([]string{"body", args[0], "--data", filepath.Join(r.dir, "ledger"), "--id", "inps"}, args[1:]...)...).CombinedOutput(); err != nil {
			t.Fatalf("ledgerd body %v: %v\n%s", args, err, out)
		}
	}
	old, _ := r.world.Key("inps")
	key := r.key(world, "next.key")
	jwks, err := jws.FormatKeys([]jws.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	r.write("next.jwks", jwks, 0o644)
	body("key-add", "--jwks", filepath.Join(r.dir, "next.jwks"), "--operator-word")
	if err := os.Rename(filepath.Join(r.dir, "next.key"), filepath.Join(r.dir, "inps.key")); err != nil {
		t.Fatal(err)
	}
	r.path.process.Process.Signal(syscall.SIGHUP)
	body("key-revoke", "--kid", old.Kid, "--reason", "rotation")
	r.eventually("calls are recorded under the new key", func() bool { return r.call("/consultazione").status == http.StatusOK })

	// PDND signs with a further key, then with that alone.
	for _, name := range []string{dev.PDNDKeysFile, dev.ClientKeysFile} {
		next, err := os.ReadFile(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		r.write(name, joined(t, r.read(name), string(next)), 0o644)
	}
	// Each reads them again at once, instead of half a minute after the last time.
	r.path.process.Process.Signal(syscall.SIGHUP)
	r.process.Process.Signal(os.Interrupt)
	r.process.Wait()
	r.startLedger()
	r.eventually("vouchers by the new key are taken", func() bool { return r.ask(t.Context(), "/consultazione", later).status == http.StatusOK })
	close(stop)
	calls.Wait()
	for _, name := range []string{dev.PDNDKeysFile, dev.ClientKeysFile} {
		next, err := os.ReadFile(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		r.write(name, next, 0o644)
	}
	r.killGateway()
	r.start()
	if g := r.call("/consultazione"); g.status != http.StatusUnauthorized {
		t.Errorf("a voucher by the key of before: %+v", g)
	}
	if g := r.ask(t.Context(), "/consultazione", later); g.status != http.StatusOK {
		t.Errorf("%+v", g)
	}
	t.Logf("%v: %v", outcomes, r.compare())
}

// joined is a JWK set with the keys of two.
func joined(t *testing.T, a, b string) []byte {
	t.Helper()
	var sets [2]struct {
		Keys []json.RawMessage `json:"keys"`
	}
	for i, text := range []string{a, b} {
		if err := json.Unmarshal([]byte(text), &sets[i]); err != nil {
			t.Fatal(err)
		}
	}
	sets[0].Keys = append(sets[0].Keys, sets[1].Keys...)
	data, err := json.Marshal(sets[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}
