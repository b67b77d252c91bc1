// SPDX-License-Identifier: EUPL-1.2

package memory

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/own"
	"github.com/traccia-ledger/traccia/ledger/postgres"
	"github.com/traccia-ledger/traccia/ledger/postgres/pgtest"
)

// killedEnv makes this test binary a second process, that works on a memory until it is killed; databaseEnv is what it
// shares, if anything.
const (
	killedEnv   = "TRACCIA_TEST_MEMORY"
	databaseEnv = "TRACCIA_TEST_MEMORY_DATABASE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedEnv); dir != "" {
		work(dir)
		os.Exit(1) // only an error gets here
	}
	os.Exit(pgtest.Main(m))
}

// work makes calls as fast as it can and says of each what it knows to be on disk.
func work(dir string) {
	o := Options{Logger: quiet}
	if address := os.Getenv(databaseEnv); address != "" {
		a, err := postgres.ParseAddress(address)
		if err != nil {
			fmt.Println("error", err)
			return
		}
		o.Database = &a
	}
	m, err := Open(dir, scope, name, o)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	start := 0
	m.Records(func(*own.Entry) error { start++; return nil })
	start += len(m.Unsettled())
	var out sync.Mutex
	say := func(word string, n int) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(word, n)
	}
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := 0; ; i++ {
				n := 1_000_000*worker + start + i
				s := ledger.Subject(fmt.Sprintf("%010d%d", worker, 0)) // of no one: only Records' readers check it
				if seen, err := m.Seen("dpop", strconv.Itoa(n), time.Now().Add(time.Hour)); seen || err != nil {
					fmt.Println("error", seen, err)
					return
				}
				p, err := m.Begin(jti(n), []byte(strconv.Itoa(n)))
				if err != nil {
					return
				}
				say("begun", n)
				say("seen", n)
				// The numbers go up, whatever was lost before.
				if err := m.Acknowledge(p, point(uint64(n)+1), []own.Entry{event(n, s, uint32(start+i), uint64(n))}); err != nil {
					fmt.Println("error", err)
					return
				}
				say("acknowledged", n)
			}
		})
	}
	all.Wait()
}

// TestKilled: whatever instant a process is killed at, what it knew to be on disk is there.
func TestKilled(t *testing.T) {
	t.Run("alone", func(t *testing.T) { killed(t, home{dir: create(t)}, "") })
	pgtest.Engines(t, func(t *testing.T, s *pgtest.Server) {
		address := s.Database(t)
		killed(t, instance(t, address, "", 0), address)
	})
}

func killed(t *testing.T, h home, address string) {
	begun, acknowledged := map[int]bool{}, map[int]bool{}
	for range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killedEnv+"="+h.dir, databaseEnv+"="+address)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		seen := map[int]bool{}
		for stopAt := 100 + rand.IntN(400); lines.Scan(); stopAt-- {
			word, number, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(lines.Text())
			}
			switch word {
			case "begun":
				begun[n] = true
			case "seen":
				seen[n] = true
			case "acknowledged":
				acknowledged[n] = true
			}
			if stopAt == 0 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()

		m := h.open(t)
		known := map[string]bool{}
		for _, e := range records(t, m) {
			known[e.Receipt] = true
		}
		for n := range acknowledged {
			if !known[scope+"/"+jti(n)] {
				t.Fatalf("call %d was acknowledged and is forgotten", n)
			}
		}
		left := map[string]bool{}
		for _, p := range m.Unsettled() {
			text, err := m.Submission(p)
			if err != nil {
				t.Fatal(err)
			}
			left[string(text)] = true
		}
		for n := range begun {
			if done := known[scope+"/"+jti(n)]; done == left[strconv.Itoa(n)] {
				t.Fatalf("call %d: acknowledged %v, unsettled %v", n, done, !done)
			}
		}
		for n := range seen {
			if again, err := m.Seen("dpop", strconv.Itoa(n), time.Now().Add(time.Hour)); !again || err != nil {
				t.Fatalf("token %d is new again, %v", n, err)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d calls begun, %d acknowledged", len(begun), len(acknowledged))
}
