// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

const batchPath = "/v1/access-receipts/batch"

// stream is a batch under way.
type stream struct {
	t        testing.TB
	response *http.Response
	answers  *json.Decoder
}

// open sends a batch of whatever body yields and returns once the server has
// begun to answer.
func (f *fixture) open(t testing.TB, body io.Reader) *stream {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.http.URL+batchPath, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	response, err := f.http.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/x-ndjson" || response.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, headers %v", response.StatusCode, response.Header)
	}
	return &stream{t, response, json.NewDecoder(response.Body)}
}

// answeredLine is a line that the server answers with.
type answeredLine struct {
	Line    int             `json:"line"`
	Status  int             `json:"status"`
	Answer  json.RawMessage `json:"answer"`
	Problem *problem        `json:"problem"`
}

// next reads one answer; false at the end.
func (s *stream) next() (answeredLine, bool) {
	s.t.Helper()
	var line answeredLine
	err := s.answers.Decode(&line)
	if err == io.EOF {
		return line, false
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if line.Problem != nil {
		body, err := json.Marshal(line.Problem)
		if err != nil {
			s.t.Fatal(err)
		}
		if p := parseProblem(s.t, body); p.Status != line.Status || line.Answer != nil {
			s.t.Errorf("line %d: status %d, problem %s, answer %s", line.Line, line.Status, body, line.Answer)
		}
	} else if _, err := ledger.ParseAnswer(line.Answer); err != nil {
		s.t.Errorf("line %d: %v", line.Line, err)
	}
	return line, true
}

func (s *stream) all() (list []answeredLine) {
	for {
		line, ok := s.next()
		if !ok {
			return list
		}
		list = append(list, line)
	}
}

// brief is what a test expects of a line.
func brief(list []answeredLine) string {
	var b strings.Builder
	for _, l := range list {
		fmt.Fprintf(&b, "%d:%d", l.Line, l.Status)
		if l.Problem != nil {
			fmt.Fprintf(&b, ":%s@%s", l.Problem.Code, l.Problem.Where)
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

func TestBatchLines(t *testing.T) {
	f := sharedFixture(t)
	good := make([]string, 6)
	for i := range good {
		good[i] = string(f.draft(t, i).build(t))
	}
	expired := f.draft(t, 0)
	expired.voucher.claims["exp"] = seconds(-time.Hour)
	expired.voucher.claims["iat"] = seconds(-2 * time.Hour)
	conflict := f.draft(t, 1)
	first := conflict.build(t)
	conflict.receipt.claims["purpose"] = "another"
	f.submit(t, first).answer(t, http.StatusCreated)
	long := strings.Repeat("x", MaxSubmission+1)
	for _, test := range []struct {
		name, body, want string
	}{
		{"nothing", "", ""},
		{"blank lines only", "\n \r\n\t\n", ""},
		{"good and bad", good[0] + "\n{}\n" + good[1] + "\n" + string(expired.build(t)) + "\n" + string(conflict.build(t)) + "\nnull\n" + string(first) + "\n",
			"1:201 2:400:missing@/receipt 3:201 4:422:expired@voucher#exp 5:409:conflict@receipt#jti 6:400:syntax@body 7:200"},
		{"no last newline", good[2] + "\n" + good[3], "1:201 2:201"},
		{"an unfinished last line", good[2] + "\n" + good[3][:100], "1:200 2:400:syntax@/evidence"},
		{"blank lines count", "\n\n" + good[2] + "\r\n\n" + good[3] + "\n\n", "3:200 5:200"},
		{"a line too long ends it", good[4] + "\n" + long + "\n" + good[5] + "\n", "1:201 2:413:too_large@body"},
		{"as long as can be", long[:MaxSubmission-1] + "\n", "1:400:syntax@body"},
		{"two objects in a line", good[0] + good[1] + "\n" + good[0] + "\n", "1:400:syntax@body 2:200"},
		{"an array of them", "[" + good[0] + "," + good[1] + "]\n", "1:400:syntax@body"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := brief(f.open(t, strings.NewReader(test.body)).all()); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestBatchOfTheSame(t *testing.T) {
	f := sharedFixture(t)
	raw := append(f.draft(t, 0).build(t), '\n')
	count := make(map[int]int)
	var first uint64
	for _, line := range f.open(t, bytes.NewReader(bytes.Repeat(raw, 200))).all() {
		count[line.Status]++
		a, err := ledger.ParseAnswer(line.Answer)
		if err != nil {
			t.Fatal(err)
		}
		if line.Line == 1 {
			first = a.FirstIndex
		}
		if a.FirstIndex != first {
			t.Errorf("line %d is entry %d, line 1 entry %d", line.Line, a.FirstIndex, first)
		}
	}
	if count[http.StatusCreated] != 1 || count[http.StatusOK] != 199 {
		t.Errorf("statuses %v, want one 201 and 199 of 200", count)
	}
}

func TestBatchKeepsOrder(t *testing.T) {
	f := sharedFixture(t)
	var body bytes.Buffer
	const n = 500
	begin := f.unused(n)
	for i := range n {
		if i%3 == 2 {
			fmt.Fprintf(&body, `{"line":%d}`+"\n", i)
			continue
		}
		body.Write(f.submission(t, begin+i))
		body.WriteByte('\n')
	}
	list := f.open(t, &body).all()
	if len(list) != n {
		t.Fatalf("%d answers, want %d", len(list), n)
	}
	for i, line := range list {
		want := http.StatusCreated
		if i%3 == 2 {
			want = http.StatusBadRequest
		}
		if line.Line != i+1 || line.Status != want {
			t.Fatalf("answer %d is for line %d, status %d, want %d", i, line.Line, line.Status, want)
		}
		if want != http.StatusCreated {
			continue
		}
		a, err := ledger.ParseAnswer(line.Answer)
		if err != nil {
			t.Fatal(err)
		}
		sub, err := f.world.Submission(begin + i)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := ledger.ParseReceipt(sub.Receipt); err != nil || a.ReceiptID != r.ReceiptID() {
			t.Fatalf("line %d is answered with %s (%v)", i+1, a.ReceiptID, err)
		}
	}
}

func TestBatchStreams(t *testing.T) {
	f := sharedFixture(t)
	body, send := io.Pipe()
	begin := f.unused(21)
	go fmt.Fprintf(send, "%s\n", f.submission(t, begin))
	s := f.open(t, body)
	for i := range 20 {
		line, ok := s.next()
		if !ok || line.Line != i+1 || line.Status != http.StatusCreated {
			t.Fatalf("answer %d: %s", i, brief([]answeredLine{line}))
		}
		// Only now the next one is sent.
		if _, err := fmt.Fprintf(send, "%s\n", f.submission(t, begin+1+i)); err != nil {
			t.Fatal(err)
		}
	}
	send.Close()
	if rest := s.all(); len(rest) != 1 {
		t.Errorf("%d answers at the end, want 1", len(rest))
	}
}

// TestHTTP2 takes a batch over TLS, where a deadline that passes ends the
// stream.
func TestHTTP2(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	f.server.patience, f.server.Batches.patience = 2*time.Second, 2*time.Second
	over := httptest.NewUnstartedServer(f.server.Handler())
	over.EnableHTTP2 = true
	over.StartTLS()
	defer over.Close()
	send := func(path, contentType string, body io.Reader) *http.Response {
		t.Helper()
		response, err := over.Client().Post(over.URL+path, contentType, body)
		if err != nil {
			t.Fatal(err)
		}
		if response.ProtoMajor != 2 {
			t.Fatalf("HTTP/%d", response.ProtoMajor)
		}
		return response
	}
	body, pipe := io.Pipe()
	go fmt.Fprintf(pipe, "%s\n", f.submission(t, 0))
	response := send(batchPath, "application/x-ndjson", body)
	defer response.Body.Close()
	s := &stream{t: t, answers: json.NewDecoder(response.Body)}
	for i := range 5 { // each line in time, all together not
		if line, ok := s.next(); !ok || line.Line != i+1 || line.Status != http.StatusCreated {
			t.Fatalf("answer %d: %s", i, brief([]answeredLine{line}))
		}
		time.Sleep(f.server.patience * 3 / 10)
		if _, err := fmt.Fprintf(pipe, "%s\n", f.submission(t, 1+i)); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprint(pipe, `{"receipt":`) // and no more
	if got, want := brief(s.all()), "6:201 7:408:incomplete@body"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	single := send("/v1/access-receipts", "application/json", bytes.NewReader(f.submission(t, 0)))
	defer single.Body.Close()
	if single.StatusCode != http.StatusOK {
		t.Errorf("a retry: %d", single.StatusCode)
	}
}

func TestBatchDisconnected(t *testing.T) {
	f := sharedFixture(t)
	body, send := io.Pipe()
	var sent [][]byte
	begin := f.unused(10)
	for i := range 10 {
		sent = append(sent, f.submission(t, begin+i))
	}
	go func() {
		for _, raw := range sent {
			send.Write(append(bytes.Clone(raw), '\n'))
		}
		send.Write([]byte(`{"receipt":`)) // and the client dies
	}()
	s := f.open(t, body)
	if line, ok := s.next(); !ok || line.Status != http.StatusCreated {
		t.Fatal(brief([]answeredLine{line}))
	}
	s.response.Body.Close()
	send.CloseWithError(io.ErrUnexpectedEOF)
	eventually(t, "the batch to end", func() bool { return f.active.Load() == 0 })
	for i, raw := range sent {
		if got := f.submit(t, raw); got.status != http.StatusOK && (i == 0 || got.status != http.StatusCreated) {
			t.Errorf("line %d sent again: %d %s", i+1, got.status, got.body)
		}
	}
}

// dial opens a connection to send what no HTTP client would.
func (f *fixture) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", f.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	return conn
}

func TestSlowClients(t *testing.T) {
	f := newFixture(t, fastWorld, node.Options{})
	f.server.patience, f.server.Batches.patience = 2*time.Second, 2*time.Second
	raw := f.submission(t, 0)
	read := func(t *testing.T, conn net.Conn) *http.Response {
		t.Helper()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	t.Run("half a submission", func(t *testing.T) {
		conn := f.dial(t)
		fmt.Fprintf(conn, "POST /v1/access-receipts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(raw), raw[:len(raw)/2])
		begun, response := time.Now(), read(t, conn)
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		p := reply{response.StatusCode, response.Header, body}.problem(t, http.StatusRequestTimeout, "incomplete", "body")
		if took := time.Since(begun); took < f.server.patience/2 || !strings.Contains(p.Expected, "2s") {
			t.Errorf("after %v: %s", took, body)
		}
	})
	t.Run("half a line", func(t *testing.T) {
		conn := f.dial(t)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000000\r\n\r\n%s\n%s", batchPath, raw, raw[:100])
		s := &stream{t: t, answers: json.NewDecoder(read(t, conn).Body)}
		if got, want := brief(s.all()), "1:201 2:408:incomplete@body"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("a line at a time", func(t *testing.T) {
		body, send := io.Pipe()
		go func() {
			for range 4 { // each in time, all together not
				send.Write(append(bytes.Clone(raw), '\n'))
				time.Sleep(f.server.patience * 3 / 10)
			}
			send.Close()
		}()
		if got, want := brief(f.open(t, body).all()), "1:200 2:200 3:200 4:200"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("answers not taken", func(t *testing.T) {
		conn := f.dial(t)
		conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n", batchPath)
		chunk := bytes.Repeat([]byte(`{"`+repeat("x", 1000)+"\":1}\n"), 100)
		eventually(t, "the request to arrive", func() bool { return f.active.Load() == 1 })
		sent := 0
		for sent < 200<<20 {
			if _, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(chunk), chunk); err != nil {
				break
			}
			sent += len(chunk)
		}
		eventually(t, "the server to give up", func() bool { return f.active.Load() == 0 })
		if sent >= 200<<20 {
			t.Error("the server read on without end")
		}
	})
	eventually(t, "all requests to end", func() bool { return f.active.Load() == 0 })
}

// TestBatchMemory holds up every commit and sees how much of a batch the
// server reads meanwhile.
func TestBatchMemory(t *testing.T) {
	var held atomic.Bool
	release := make(chan struct{})
	f := newFixture(t, fastWorld, node.Options{Step: func(string) {
		if held.Load() {
			<-release
		}
	}})
	d := f.draft(t, 0)
	d.private["identity_headers"] = func() object {
		headers := object{}
		for i := range 32 {
			headers[fmt.Sprintf("X-%d", i)] = repeat("x", 1024)
		}
		return headers
	}()
	d.private["integrity"] = repeat("x", 16<<10)
	line := append(d.build(t), '\n')
	const lines = 1400 // some 100 MB of the same submission, each to be looked up by the sequencer
	held.Store(true)
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { close(release) }) })
	var sent atomic.Int64
	body, send := io.Pipe()
	go func() {
		for range lines {
			n, err := send.Write(line)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
		send.Close()
	}()
	done := make(chan int)
	go func() {
		n := 0
		for _, l := range f.open(t, body).all() {
			if l.Status == http.StatusOK || l.Status == http.StatusCreated {
				n++
			}
		}
		done <- n
	}()
	before, stands := int64(0), 0
	eventually(t, "the server to stop reading", func() bool {
		time.Sleep(50 * time.Millisecond)
		now := sent.Load()
		if stands++; now != before || now == 0 {
			stands = 0
		}
		before = now
		return stands == 60
	})
	const sockets = 24 << 20
	if got := sent.Load(); got < windowBytes/4 || got > windowBytes+sockets {
		t.Errorf("%d bytes read while nothing is recorded, want up to about %d", got, windowBytes)
	}
	held.Store(false)
	once.Do(func() { close(release) })
	if got := <-done; got != lines {
		t.Errorf("%d of %d lines recorded", got, lines)
	}
}
