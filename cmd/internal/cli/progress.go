// SPDX-License-Identifier: EUPL-1.2

package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Progress is a bar on standard error, drawn only when that is a terminal:
//
//	loading receipts  [=========>          ]  46%  2,310/5,000  1,204/s  2s left
//
// A nil Progress is a silent one. Its methods may be called from several goroutines.
type Progress struct {
	w     io.Writer
	label string
	total int64
	start time.Time

	mu   sync.Mutex // guards what follows
	done int64
	next time.Time // no drawing before it
	wide int       // columns of the last drawing
}

const drawEvery = 100 * time.Millisecond

// NewProgress starts a bar over total steps; 0 is an unknown number of them. It gives nil when standard error is no
// terminal. The caller ends it with Close before it prints anything else.
func NewProgress(cmd *cobra.Command, label string, total int64) *Progress {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return newProgress(f, label, total)
}

func newProgress(w io.Writer, label string, total int64) *Progress {
	now := time.Now()
	return &Progress{w: w, label: label, total: total, start: now, next: now.Add(drawEvery)}
}

// Add says that n more steps are done.
func (p *Progress) Add(n int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(drawEvery)
		p.draw(p.line(now))
	}
}

// Close wipes the bar.
func (p *Progress) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wide > 0 {
		p.draw("")
		fmt.Fprint(p.w, "\r")
	}
}

func (p *Progress) draw(line string) {
	fmt.Fprintf(p.w, "\r%-*s", p.wide, line)
	p.wide = len(line)
}

func (p *Progress) line(now time.Time) string {
	var b strings.Builder
	b.WriteString(p.label)
	rate := float64(p.done) / max(now.Sub(p.start).Seconds(), 1e-3)
	if p.total <= 0 {
		fmt.Fprintf(&b, "  %s  %s/s", grouped(p.done), grouped(int64(rate)))
		return b.String()
	}
	const columns = 20
	part := min(float64(p.done)/float64(p.total), 1)
	bar := strings.Repeat("=", int(part*columns))
	if len(bar) < columns {
		bar += ">"
	}
	fmt.Fprintf(&b, "  [%-*s] %3d%%  %s/%s  %s/s", columns, bar, int(part*100), grouped(p.done), grouped(p.total), grouped(int64(rate)))
	if left := p.total - p.done; left > 0 && rate >= 1 {
		fmt.Fprintf(&b, "  %s left", (time.Duration(float64(left)/rate) * time.Second).String())
	}
	return b.String()
}

// grouped writes 1234567 as 1,234,567; n isn't negative.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
