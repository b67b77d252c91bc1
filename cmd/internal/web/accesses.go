// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/traccia-ledger/traccia/cmd/internal/web/accesses"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/cmd/internal/words"
	"github.com/traccia-ledger/traccia/verifier"
)

const accessesPath = "/accessi"

var (
	accessesPage = page{path: accessesPath, methods: []string{http.MethodGet}, serve: serveAccesses, nav: "nav.accesses"}
	refreshPage  = page{path: accessesPath + "/aggiorna", methods: []string{http.MethodPost}, serve: serveRefresh}
)

// visitCookie remembers the last visits, see accesses.Keeper.Visit.
const (
	visitCookie = "traccia-visit"
	visitAge    = 400 * 24 * time.Hour
)

// How much of a list is on one page.
const (
	groupsShown = 10 // bodies with their accesses; the others with a link
	groupShown  = 5  // accesses of each
	bodyShown   = 50 // accesses, where one body was chosen
)

// patient is how long a page waits for a history before it shows that it waits.
const patient = 300 * time.Millisecond

// accessesView is what accesses.html shows.
type accessesView struct {
	Waiting bool // there is no history yet
	Failed  bool // and there won't be
	*accesses.List
	History  *accesses.History
	Verdict  string // complete, stale, incomplete or unseen: a key below accesses.verdict
	Missing  []verdictProblem
	Notes    []string
	Lists    []scopeLine
	Since    time.Time // the last visit; zero: this is the first
	Filter   accesses.Filter
	Mistake  string // in its days; "": none
	Options  accesses.Options
	Chosen   int // accesses that the filter chooses
	Groups   []groupView
	Others   []groupView // bodies without room for their accesses
	Year     *accesses.Year
	Years    []int
	Page, Of int // where one body was chosen
	speak    *words.Speaker
}

// verdictProblem is a reason why a list isn't complete.
type verdictProblem struct{ Plain, Exactly string }

type scopeLine struct{ Name, State string }

// groupView is a body with the accesses for which there is room.
type groupView struct {
	*accesses.Group
	Shown []*accesses.Access
	Query string // of the page with all of them
}

// More is how many aren't shown.
func (g groupView) More() int { return len(g.Accesses) - len(g.Shown) }

// speaker says things as the pages do.
func speaker(lang string) *words.Speaker {
	return words.In(lang, func(t time.Time) string { return at(lang, t) })
}

// at writes an instant as sentences have it: 22 novembre 2026 alle 09:30.
func at(lang string, t time.Time) string {
	between := " at "
	if lang == "it" {
		between = " alle "
	}
	return day(lang, t) + between + t.In(italy).Format("15:04")
}

func serveAccesses(s *server, w http.ResponseWriter, r *http.Request) error {
	m, err := s.histories.Get(session.From(r.Context()).Subject)
	if err != nil {
		return busy(err)
	}
	remembered := s.cookie(r, visitCookie)
	since, next := s.histories.Visit(session.From(r.Context()).Subject, remembered, m)
	if next != remembered {
		s.setCookie(w, visitCookie, next, visitAge)
	}
	soon := time.NewTimer(patient)
	defer soon.Stop()
	select {
	case <-m.Done():
	case <-soon.C:
		return s.serveWaiting(w, r, m, since)
	}
	v, status := s.accessesView(r, m, since)
	return s.renderStatus(w, r, status, "accesses", v)
}

// accessesView is what a history that is done with shows, or that it failed.
func (s *server) accessesView(r *http.Request, m *accesses.Making, since time.Time) (v accessesView, status int) {
	h, err := m.Result()
	if err != nil {
		s.Log.Error("pages", "error", err)
		return accessesView{Failed: true}, http.StatusServiceUnavailable
	}
	return newAccessesView(h, lang(r), since, r), http.StatusOK
}

// busy says that too many ask at once.
func busy(err error) error {
	if errors.Is(err, accesses.ErrBusy) {
		return &statusError{status: http.StatusServiceUnavailable, key: "busy", wait: 10 * time.Second, cause: err}
	}
	return err
}

// serveWaiting sends the page up to where the list begins, with a line that says that it is on its way, and the rest once it is
// there. No script and no repeated request takes part: what says that it waits is hidden by what follows it.
func (s *server) serveWaiting(w http.ResponseWriter, r *http.Request, m *accesses.Making, since time.Time) error {
	begin, err := s.compose(r, "accesses", accessesView{Waiting: true})
	if err != nil {
		return err
	}
	const mark = `<div class="traccia-list"`
	before, _, found := bytes.Cut(begin, []byte(mark))
	if !found {
		return errors.New("the page of accesses has no place where its list begins")
	}
	if r.Method == http.MethodHead {
		return s.send(w, r, http.StatusOK, begin)
	}
	if err := s.send(w, r, http.StatusOK, before); err != nil {
		return err
	}
	control := http.NewResponseController(w)
	if err := control.Flush(); err != nil {
		return err
	}
	select {
	case <-m.Done():
	case <-r.Context().Done():
		return r.Context().Err()
	}
	v, _ := s.accessesView(r, m, since)
	whole, err := s.compose(r, "accesses", v)
	if err != nil {
		return err
	}
	_, rest, _ := bytes.Cut(whole, []byte(mark))
	_, err = w.Write(append([]byte(mark), rest...))
	return err
}

// serveRefresh has the list made anew.
func serveRefresh(s *server, w http.ResponseWriter, r *http.Request) error {
	s.histories.Forget(session.From(r.Context()).Subject)
	return s.redirect(w, r, "/"+lang(r)+accessesPath)
}

// newAccessesView chooses what of a history a request sees.
func newAccessesView(h *accesses.History, lang string, since time.Time, r *http.Request) accessesView {
	speak := speaker(lang)
	v := accessesView{History: h, List: accesses.NewList(h.Report, speak, since), Since: since, speak: speak}
	v.Filter, v.Mistake = accesses.ParseFilter(r.URL.Query())
	v.judge(h, lang)
	v.Options = accesses.OptionsOf(v.Accesses)
	chosen := v.Filter.Choose(v.Accesses, italy)
	v.Chosen = len(chosen)
	v.Years = accesses.Years(v.Accesses, italy)
	if len(v.Years) > 0 {
		year, _ := strconv.Atoi(r.URL.Query().Get("anno"))
		if !slices.Contains(v.Years, year) {
			year = v.Years[0]
		}
		v.Year = accesses.YearOf(v.Accesses, year, italy)
	}
	v.Page, v.Of = 1, 1
	for i, g := range accesses.Groups(chosen) {
		gv := groupView{Group: g, Query: v.Filter.OfBody(g.Body).Query()}
		switch {
		case v.Filter.Body != "":
			v.Of = (len(g.Accesses) + bodyShown - 1) / bodyShown
			page, _ := strconv.Atoi(r.URL.Query().Get("pagina"))
			v.Page = min(max(page, 1), v.Of)
			gv.Shown = g.Accesses[(v.Page-1)*bodyShown : min(v.Page*bodyShown, len(g.Accesses))]
		case i < groupsShown:
			gv.Shown = g.First(groupShown)
		default:
			v.Others = append(v.Others, gv)
			continue
		}
		v.Groups = append(v.Groups, gv)
	}
	return v
}

// judge says what the history comes to.
func (v *accessesView) judge(h *accesses.History, lang string) {
	r := h.Report
	switch {
	case r.Complete:
		v.Verdict = "complete"
	case r.Stale && !r.CompleteUntil.IsZero():
		v.Verdict = "stale"
	case !h.Witnessed:
		v.Verdict = "unseen"
	default:
		v.Verdict = "incomplete"
		for _, p := range r.Problems {
			v.Missing = append(v.Missing, verdictProblem{verifier.Plain(p).In(lang), fmt.Sprintf("%s, %s: %s / %s", p.Code, p.Where, p.Expected, p.Found)})
		}
	}
	v.Notes = r.Notes(lang)
	for _, s := range r.Scopes {
		v.Lists = append(v.Lists, scopeLine{fmt.Sprintf("%d %s (%d)", s.Epoch, s.Scope, s.Events), v.speak.List(s)})
	}
}

// Until is up to when the list is complete.
func (v accessesView) Until() time.Time { return v.Report.CompleteUntil }

// Without is why no access is there to tell, by the key of its heading: there was none, or none can be read.
func (v accessesView) Without() string {
	if len(v.Erased)+len(v.Wrong) > 0 {
		return "unreadable"
	}
	return "empty"
}

// Latest is the latest year, under the state of the ledger that was looked at.
func (v accessesView) Latest() verifier.HistoryShard { return v.Report.Shards[len(v.Report.Shards)-1] }

// Pages are the numbers of those of one body.
func (v accessesView) Pages() (numbers []int) {
	for n := range v.Of {
		numbers = append(numbers, n+1)
	}
	return numbers
}

// Rest is what isn't an access that is told, by the key of its heading.
func (v accessesView) Rest() map[string][]*accesses.Access {
	return map[string][]*accesses.Access{"wrong": v.Wrong, "erased": v.Erased, "own": v.Own}
}
