// SPDX-License-Identifier: EUPL-1.2

package engine

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/trillian/log"
	"github.com/google/trillian/util/clock"
	"k8s.io/klog/v2"

	"github.com/traccia-ledger/traccia/ledger"
)

var emptyRoot = ledger.Hash(sha256.Sum256(nil))

// startTrillian does what Trillian wants done once in a process: its metrics
// (to nowhere: ours are elsewhere) and its log. It also registers flags of its
// own on importing; our commands don't parse that set.
var startTrillian = sync.OnceFunc(func() {
	log.InitMetrics(nil)
	klog.SetSlogLogger(slog.New(quietHandler{}))
})

// quietHandler passes what Trillian reports as errors to the default logger,
// whichever it is at that moment, and drops the rest.
type quietHandler struct{}

func (quietHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (quietHandler) Handle(ctx context.Context, r slog.Record) error {
	return slog.Default().Handler().Handle(ctx, r)
}

func (h quietHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h quietHandler) WithGroup(string) slog.Handler      { return h }

// monotonic is a clock that never shows the same time twice nor an earlier
// one, nor one before the latest root. Trillian refuses a root that is not
// later than the last, so a clock set back would stop the log.
type monotonic struct {
	last atomic.Int64 // nanoseconds
	wall func() time.Time
}

func newMonotonic() *monotonic { return &monotonic{wall: time.Now} }

func (m *monotonic) Now() time.Time {
	for {
		last := m.last.Load()
		now := max(m.wall().UnixNano(), last+1)
		if m.last.CompareAndSwap(last, now) {
			return time.Unix(0, now)
		}
	}
}

// atLeast makes every later Now show a time after nanos.
func (m *monotonic) atLeast(nanos uint64) {
	for {
		last := m.last.Load()
		if last >= int64(nanos) || m.last.CompareAndSwap(last, int64(nanos)) {
			return
		}
	}
}

func (m *monotonic) NewTimer(d time.Duration) clock.Timer { return clock.System.NewTimer(d) }
