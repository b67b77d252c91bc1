// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// publicLog is the ledger as an outsider sees it.
type publicLog struct {
	prefix string // URL of the shard's log, with the final slash
	keys   []note.Verifier
	at     checkpoint.Checkpoint // up to here the log is accounted for
}

func openLog(ctx context.Context, t *target) (*publicLog, error) {
	vkeys, err := os.ReadFile(filepath.Join(t.dir, "log.vkey"))
	if err != nil {
		return nil, fmt.Errorf("couldn't read the log's key: %w", err)
	}
	l := &publicLog{}
	if l.keys, err = checkpoint.ParseKeys(vkeys); err != nil {
		return nil, fmt.Errorf("couldn't read the log's key: %w", err)
	}
	_, epoch, err := ledger.ParseOrigin(l.keys[len(l.keys)-1].Name())
	if err != nil {
		return nil, fmt.Errorf("couldn't read the log's key: %w", err)
	}
	l.prefix = fmt.Sprintf("%s/log/%d/", t.url, epoch)
	l.at, err = l.checkpoint(ctx)
	return l, err
}

func (l *publicLog) checkpoint(ctx context.Context) (checkpoint.Checkpoint, error) {
	signed, err := l.Fetch(ctx, "checkpoint")
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	return checkpoint.Open(signed, l.keys...)
}

// Fetch implements checkpoint.Fetcher.
func (l *publicLog) Fetch(ctx context.Context, path string) ([]byte, error) {
	return get(ctx, l.prefix+path)
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("couldn't fetch from the ledger: %w", err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return io.ReadAll(io.LimitReader(response.Body, 32<<20))
	case http.StatusNotFound:
		return nil, fs.ErrNotExist
	}
	return nil, errors.New("couldn't fetch from the ledger: " + response.Status)
}

// wait returns once the public log has size leaves, and goes on from there.
func (l *publicLog) wait(ctx context.Context, size uint64) error {
	const patience, pause = 2 * time.Minute, 50 * time.Millisecond
	for begun := time.Now(); ; {
		now, err := l.checkpoint(ctx)
		if err != nil {
			return err
		}
		if now.Size >= size {
			l.at = now
			return nil
		}
		if time.Since(begun) > patience {
			return fmt.Errorf("the public log still has %d of %d leaves", now.Size, size)
		}
		time.Sleep(pause)
	}
}

// account reads what the log grew by: every acknowledged event must stand
// where its answer says, and no other.
func (l *publicLog) account(cmd *cobra.Command, spans []span) ([]ledger.Problem, error) {
	ctx, before := cmd.Context(), l.at
	if err := l.wait(ctx, last(spans)); err != nil {
		return nil, err
	}
	reader, err := checkpoint.OpenReader(ctx, l, before, l.at)
	if err != nil {
		return nil, err
	}
	progress := cli.NewProgress(cmd, "reading the log back", int64(l.at.Size-before.Size))
	defer progress.Close()
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	var problems []ledger.Problem
	found, acknowledged, foreign := 0, 0, 0
	for i, s := range spans {
		acknowledged += int(s.end - s.first)
		if i > 0 && s.first < spans[i-1].end {
			problems = append(problems, ledger.Problem{Code: "overlap", Where: fmt.Sprintf("leaf %d", s.first), Expected: "one receipt's event", Found: "two"})
		}
	}
	rest := spans
	err = reader.Read(ctx, l.at, func(index uint64, leaf []byte) error {
		for len(rest) > 0 && rest[0].end <= index {
			rest = rest[1:]
		}
		acknowledged := len(rest) > 0 && rest[0].first <= index
		parsed, err := ledger.ParseLeaf(leaf)
		if err != nil {
			return fmt.Errorf("leaf %d: %w", index, err)
		}
		_, event := parsed.(ledger.Event)
		switch {
		case event && acknowledged:
			found++
		case event:
			foreign++
		}
		progress.Add(1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't read the log back: %w", err)
	}
	if found != acknowledged {
		problems = append(problems, ledger.Problem{Code: "events_missing", Where: "log", Expected: fmt.Sprint(acknowledged), Found: fmt.Sprint(found)})
	}
	if foreign > 0 {
		problems = append(problems, ledger.Problem{Code: "events_of_others", Where: "log", Expected: "none while loadgen runs", Found: fmt.Sprint(foreign)})
	}
	return problems, nil
}

// watch follows a ledger's metrics until it is called back, which returns the
// seconds of CPU that went by, and the memory meanwhile.
func watch(ctx context.Context, url string) func() (cpu float64, series []memory, err error) {
	if url == "" {
		return func() (float64, []memory, error) { return 0, nil, nil }
	}
	first, err := readMetrics(ctx, url)
	series := []memory{first.memory()}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if m, err := readMetrics(ctx, url); err == nil {
					series = append(series, m.memory())
				}
			}
		}
	}()
	return func() (float64, []memory, error) {
		close(stop)
		<-done
		if err != nil {
			return 0, nil, err
		}
		m, err := readMetrics(ctx, url)
		return m.cpu - first.cpu, append(series, m.memory()), err
	}
}

// metrics are those that matter here.
type metrics struct{ cpu, resident, logSize float64 }

func (m metrics) memory() memory { return memory{uint64(m.logSize), int(m.resident / (1 << 20))} }

func readMetrics(ctx context.Context, url string) (metrics, error) {
	text, err := get(ctx, url)
	if err != nil {
		return metrics{}, fmt.Errorf("couldn't read the ledger's metrics: %w", err)
	}
	var m metrics
	wanted := map[string]*float64{"process_cpu_seconds_total": &m.cpu, "process_resident_memory_bytes": &m.resident, "traccia_log_size": &m.logSize}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if room := wanted[name]; room != nil {
			if *room, err = strconv.ParseFloat(value, 64); err != nil {
				return metrics{}, fmt.Errorf("couldn't read the ledger's metrics: %s: %w", name, err)
			}
		}
	}
	return m, nil
}
