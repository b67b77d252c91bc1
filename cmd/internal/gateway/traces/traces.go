// SPDX-License-Identifier: EUPL-1.2

// Package traces is the file in which a gateway keeps a line of each call, to be compared with the ledger's records
// (docs/reconcile.md). Nothing waits for it: lines that the disk doesn't take stay in memory, up to a limit, and are written
// when it takes them again.
package traces

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	maxWaiting = 16 << 20 // bytes of lines: some 50,000 calls
	retryPause = time.Second
)

// Open opens a file to append to; nil where path is "".
func Open(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the file for traces: %w", err)
	}
	return f, nil
}

// Writer writes lines to the file that it uses. Close ends it.
type Writer struct {
	log     *slog.Logger
	lost    prometheus.Counter
	failing prometheus.Gauge

	mu      sync.Mutex // never held while the disk takes its time
	using   bool       // guarded by mu
	waiting []byte     // lines with their ends; guarded by mu: Add appends, write alone cuts

	writing sync.Mutex
	file    *os.File // nil for none; guarded by writing
	begun   int      // bytes of the first line waiting that the file has; guarded by writing
	failed  bool     // the last time; guarded by writing

	wake, stop chan struct{}
	stopping   sync.Once
	ended      sync.WaitGroup
}

// New returns a writer that uses no file.
func New(log *slog.Logger, r prometheus.Registerer) *Writer {
	w := &Writer{
		log: log, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "traccia_gateway_traces_lost_total", Help: "Calls without a line in the traces, as the disk didn't take them for too long.",
		}),
		failing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "traccia_gateway_traces_failing", Help: "1 while the file for traces can't be written: lines wait in memory.",
		}),
	}
	r.MustRegister(w.lost, w.failing)
	w.ended.Go(w.run)
	return w
}

// Use goes on in another file, or in the same one opened again; nil for none. It owns the file.
func (w *Writer) Use(file *os.File) {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.write()
	w.leave()
	w.file, w.begun = file, 0
	if file != nil {
		endLine(file)
	}
	w.mu.Lock()
	if w.using = file != nil; !w.using {
		w.drop()
	}
	w.mu.Unlock()
}

// endLine ends a line that a crash, or a full disk, has cut. Where it can't, that one spoils the next.
func endLine(file *os.File) {
	last := make([]byte, 1)
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return
	}
	if _, err := file.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
		file.Write([]byte("\n"))
	}
}

// Add has a line written, which ends with a newline.
func (w *Writer) Add(line []byte) {
	w.mu.Lock()
	fits := len(w.waiting)+len(line) <= maxWaiting
	if w.using && fits {
		w.waiting = append(w.waiting, line...)
	} else if w.using {
		w.lost.Inc()
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default: // it is awake
	}
}

func (w *Writer) run() {
	for {
		select {
		case <-w.stop:
			return
		case <-w.wake:
		}
		for !w.flush() {
			select {
			case <-w.stop:
				return
			case <-time.After(retryPause):
			}
		}
	}
}

func (w *Writer) flush() bool {
	w.writing.Lock()
	defer w.writing.Unlock()
	return w.write()
}

// write hands to the file what waits, and says whether it took it. Its caller holds writing.
func (w *Writer) write() bool {
	w.mu.Lock()
	data := w.waiting
	w.mu.Unlock()
	if w.file == nil || len(data) == 0 {
		return true
	}
	n, err := w.file.Write(data[w.begun:])
	n += w.begun
	whole := bytes.LastIndexByte(data[:n], '\n') + 1
	w.begun = n - whole
	w.mu.Lock()
	w.waiting = w.waiting[whole:]
	w.mu.Unlock()
	switch {
	case err != nil && !w.failed:
		w.log.Error("couldn't write traces; they wait in memory", "error", err)
		w.failing.Set(1)
	case err == nil && w.failed:
		w.log.Info("traces are written again")
		w.failing.Set(0)
	}
	w.failed = err != nil
	return !w.failed
}

// leave closes the file. Its caller holds writing.
func (w *Writer) leave() {
	if w.file == nil {
		return
	}
	if err := w.file.Close(); err != nil {
		w.log.Error("couldn't close the file for traces", "error", err)
	}
	w.file = nil
}

// drop gives up what waits. Its caller holds mu.
func (w *Writer) drop() {
	if n := bytes.Count(w.waiting, []byte("\n")); n > 0 {
		w.lost.Add(float64(n))
		w.log.Error("traces are lost: their file couldn't be written", "lines", n)
	}
	w.waiting = nil
}

// Close writes what waits, once more, and closes the file. It may be called again.
func (w *Writer) Close() {
	w.stopping.Do(func() { close(w.stop) })
	w.ended.Wait()
	w.Use(nil)
}
