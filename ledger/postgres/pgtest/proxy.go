// SPDX-License-Identifier: EUPL-1.2

package pgtest

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between a client and PostgreSQL and does what networks do.
type Proxy struct {
	Addr string

	listener net.Listener
	target   string

	slow atomic.Int64 // how long each message takes, either way, in ns

	mu    sync.Mutex
	fault Fault // of the next COMMIT
	times int   // of how many
	conns map[net.Conn]bool
	cut   bool
}

// A Fault befalls a COMMIT.
type Fault int

// The faults.
const (
	None   Fault = iota
	Before       // cut off before the server gets it
	After        // cut off after the server got it, before its answer is passed on
	Late         // the client is cut off, the server gets it some time later
	Mute         // the client is cut off, the server gets nothing and isn't told
)

// late is when the server gets a Late COMMIT.
const late = 300 * time.Millisecond

// commitMessage is the end of the message that asks to commit.
var commitMessage = []byte("commit\x00")

// NewProxy starts one in front of a server.
func NewProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), listener: l, target: s.Host(), conns: map[net.Conn]bool{}}
	go p.accept()
	t.Cleanup(func() {
		l.Close()
		p.Cut()
	})
	return p
}

// Arm makes the next COMMITs, so many, suffer the fault.
func (p *Proxy) Arm(f Fault, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.times = f, times
}

// Armed says how many faults are left.
func (p *Proxy) Armed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.times
}

// Slow makes each message take so long, either way, from now on.
func (p *Proxy) Slow(d time.Duration) { p.slow.Store(int64(d)) }

// Cut ends all connections and lets nobody through until Mend.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for c := range p.conns {
		c.Close()
	}
}

// Mend lets clients through again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(c)
	}
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.keep(client) || !p.keep(server) {
		return
	}
	var muted atomic.Bool           // nothing more goes to the client
	answered := make(chan struct{}) // the server said something since, or is gone
	go func() {
		defer p.drop(client)
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			time.Sleep(time.Duration(p.slow.Load()))
			if muted.Load() {
				close(answered)
				return
			}
			if _, writeErr := client.Write(buf[:n]); err != nil || writeErr != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		time.Sleep(time.Duration(p.slow.Load()))
		f := p.befalls(buf[:n])
		if f != None {
			muted.Store(true)
			p.suffer(f, client, server, buf[:n], answered)
			return
		}
		if _, writeErr := server.Write(buf[:n]); err != nil || writeErr != nil {
			p.drop(server)
			return
		}
	}
}

func (p *Proxy) suffer(f Fault, client, server net.Conn, message []byte, answered <-chan struct{}) {
	switch f {
	case Late:
		p.drop(client)
		time.Sleep(late)
	case Mute:
		return // the server's connection stays
	}
	if f != Before {
		server.Write(message)
		<-answered
	}
	p.drop(server)
}

// befalls takes the fault of a COMMIT.
func (p *Proxy) befalls(message []byte) Fault {
	if !bytes.Contains(message, commitMessage) {
		return None
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.times == 0 {
		return None
	}
	p.times--
	return p.fault
}
