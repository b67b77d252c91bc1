// SPDX-License-Identifier: EUPL-1.2

package serving

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestStop holds the process until what it took is answered.
func TestStop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came, goOn := make(chan struct{}), make(chan struct{})
	var s Servers
	s.Start(New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(came)
		<-goOn
		io.WriteString(w, "done")
	}), slog.New(slog.DiscardHandler)), l)
	answer := make(chan string)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		answer <- string(data)
	}()
	<-came
	stopped := make(chan struct{})
	go func() {
		s.Stop(time.Minute)
		close(stopped)
	}()
	select {
	case <-stopped:
		t.Error("stopped while a request was under way")
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	if got := <-answer; got != "done" {
		t.Errorf("the request under way was answered %q", got)
	}
	<-stopped
	select {
	case err := <-s.Failed():
		t.Errorf("a stop is no failure: %v", err)
	default:
	}
}

func TestFailed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var s Servers
	s.Start(New(http.NotFoundHandler(), slog.New(slog.DiscardHandler)), l)
	defer s.Stop(time.Minute)
	l.Close()
	if err := <-s.Failed(); err == nil {
		t.Error("no error of a listener that is gone")
	}
}

func TestReady(t *testing.T) {
	why := "starting"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var s Servers
	s.Start(New(Metrics(prometheus.NewRegistry(), func() string { return why }), slog.New(slog.DiscardHandler)), l)
	defer s.Stop(time.Minute)
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} {
		resp, err := http.Get("http://" + l.Addr().String() + "/ready")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("status %d, expected %d", resp.StatusCode, want)
		}
		why = ""
	}
	path := filepath.Join(t.TempDir(), "ready.json")
	if err := WriteReady(path, map[string]string{"url": "http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "{\"url\":\"http://127.0.0.1:1\"}\n" {
		t.Errorf("%q, %v", data, err)
	}
	if err := WriteReady("", nil); err != nil {
		t.Error(err)
	}
}
