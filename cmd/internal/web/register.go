// SPDX-License-Identifier: EUPL-1.2

package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/traccia-ledger/traccia/cmd/internal/web/chart"
	"github.com/traccia-ledger/traccia/cmd/internal/web/register"
	"github.com/traccia-ledger/traccia/cmd/internal/web/session"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/node"
)

const registerPath = "/registro"

// The public pages: what anyone finds in the public log, in words (package register).
var (
	registerPage = page{path: registerPath, open: true, methods: []string{http.MethodGet}, serve: serveRegister, nav: "nav.register"}
	bodiesPage   = page{path: registerPath + "/enti", open: true, methods: []string{http.MethodGet}, serve: serveBodies}
	checksPage   = page{path: registerPath + "/controlli", open: true, methods: []string{http.MethodGet}, serve: serveChecks}
	leafPage     = page{path: registerPath + "/foglia", open: true, methods: []string{http.MethodGet}, serve: serveLeaf}
)

// bodiesShown is how many are on one page.
const bodiesShown = 50

// publicCache is what caches may do with a page that nobody entered: the log shows more every few seconds.
const publicCache = "public, max-age=5, must-revalidate"

// registerView is what the public pages show.
type registerView struct {
	*register.Register
	Address string // of the ledger, in commands
	Now     time.Time
	JSON    string // address of the same as JSON

	State  string // register.State
	Untold []time.Time
	Year   *yearView
	Years  []int
}

// yearView is a year's totals.
type yearView struct {
	Year   int
	Events uint64
	Months []monthView // January first
	Chart  chart.Year
}

// monthView is a month of it; Total is nil where it isn't told.
type monthView struct {
	Month  time.Month
	Total  *register.Month
	Events uint64 // those shown
	Line   bool   // of a body: it has a line of its own
}

// Minutes is how old the last head is.
func (v registerView) Minutes() int {
	head := v.Current().Head
	if head == nil {
		return 0
	}
	return max(0, int(v.Now.Sub(head.At)/time.Minute))
}

// Cosigned is how many of them cosigned the latest checkpoint.
func (v registerView) Cosigned(list []register.Watcher) int { return register.Cosigned(list) }

func (s *server) registerView(r *http.Request) (registerView, error) {
	reg, err := s.register.Get(r.Context())
	if err != nil {
		if errors.Is(err, node.ErrNotPublished) {
			return registerView{}, &statusError{status: http.StatusServiceUnavailable, key: "unpublished", wait: 10 * time.Second}
		}
		return registerView{}, err
	}
	query := registerQuery(r)
	query.Set("formato", "json")
	now := s.Node.Now()
	return registerView{
		Register: reg, Address: cmp.Or(s.Origin, "URL"), Now: now, JSON: r.URL.Path + "?" + query.Encode(),
		State: reg.State(now, s.Node.Err() != nil), Untold: reg.Untold(now),
	}, nil
}

// registerQuery is what a request says to the public pages, which is all of it that a page may repeat: names of theirs, and no
// words that are somebody's code.
func registerQuery(r *http.Request) url.Values {
	all, known := r.URL.Query(), url.Values{}
	for _, name := range []string{"anno", "cerca", "mese", "ordine", "pagina", "ente", "log", "n"} {
		value := all.Get(name)
		_, err := ledger.ParseSubject(strings.ToUpper(strings.TrimSpace(value)))
		if all.Has(name) && err != nil && len(value) <= register.MaxWords && utf8.ValidString(value) {
			known.Set(name, value)
		}
	}
	return known
}

// yearOf chooses the year that a request asks for among those told, and shows it, with the numbers that of gives.
func (v *registerView) yearOf(r *http.Request, lang string, of func(m *register.Month) (events uint64, ok bool)) {
	if v.Years = v.Register.Years(); len(v.Years) == 0 {
		return
	}
	year, _ := strconv.Atoi(registerQuery(r).Get("anno"))
	if !slices.Contains(v.Years, year) {
		year = v.Years[0]
	}
	y := &yearView{Year: year, Months: make([]monthView, 12)}
	var numbers [12]uint64
	for i := range y.Months {
		m := &y.Months[i]
		m.Month = time.Month(i + 1)
		if m.Total = v.Of(fmt.Sprintf("%04d-%02d", year, i+1)); m.Total == nil {
			continue
		}
		m.Events, m.Line = of(m.Total)
		numbers[i] = m.Events
		y.Events += m.Events
	}
	y.Chart = chart.NewYear(numbers, [12]uint64{}, func(n uint64) string { return brief(lang, n) })
	v.Year = y
}

func serveRegister(s *server, w http.ResponseWriter, r *http.Request) error {
	v, err := s.registerView(r)
	if err != nil {
		return err
	}
	v.yearOf(r, lang(r), func(m *register.Month) (uint64, bool) { return m.Events, true })
	return s.sendPublic(w, r, "register", v, v.Register)
}

// bodiesView is what register_bodies.html shows: a page of those found, or one.
type bodiesView struct {
	registerView
	Words    string
	Month    *register.Month
	ByEvents bool
	Found    int
	Rows     []register.Row
	Page, Of int
	Body     *register.Body
	Check    *register.Check // of the scope that Body runs
	Recorded *time.Time      // the head after Body's record
}

// Query is the address of another page of the same.
func (v bodiesView) Query(page int) string {
	q := url.Values{"pagina": {strconv.Itoa(page)}}
	for name, value := range map[string]string{"cerca": v.Words, "mese": v.monthName(), "ordine": v.order()} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q.Encode()
}

// Prior and Following are the pages beside this one.
func (v bodiesView) Prior() int     { return v.Page - 1 }
func (v bodiesView) Following() int { return v.Page + 1 }

func (v bodiesView) monthName() string {
	if v.Month == nil {
		return ""
	}
	return v.Month.Month
}

func (v bodiesView) order() string {
	if v.ByEvents {
		return "eventi"
	}
	return ""
}

func serveBodies(s *server, w http.ResponseWriter, r *http.Request) error {
	v := bodiesView{}
	var err error
	if v.registerView, err = s.registerView(r); err != nil {
		return err
	}
	if r.URL.Query().Has("ente") {
		return s.serveBody(w, r, v)
	}
	query := registerQuery(r)
	v.Words = strings.TrimSpace(query.Get("cerca"))
	if v.Month = v.Register.Of(query.Get("mese")); v.Month == nil {
		v.Month = v.Latest()
	}
	v.ByEvents = query.Get("ordine") == "eventi"
	rows := v.Find(register.Query{Words: v.Words, Month: v.Month, Events: v.ByEvents})
	v.Found = len(rows)
	v.Of = max(1, (len(rows)+bodiesShown-1)/bodiesShown)
	page, _ := strconv.Atoi(query.Get("pagina"))
	v.Page = min(max(page, 1), v.Of)
	v.Rows = rows[(v.Page-1)*bodiesShown : min(v.Page*bodiesShown, len(rows))]
	return s.sendPublic(w, r, "register_bodies", v, bodiesJSON{register.Schema, v.Words, v.Month, v.Found, v.Page, v.Of, v.Rows})
}

// bodiesJSON is a page of the list.
type bodiesJSON struct {
	Schema string          `json:"schema"`
	Words  string          `json:"words"`
	Month  *register.Month `json:"month"`
	Found  int             `json:"found"`
	Page   int             `json:"page"`
	Of     int             `json:"pages"`
	Bodies []register.Row  `json:"bodies"`
}

// bodyJSON is one body.
type bodyJSON struct {
	Schema string          `json:"schema"`
	Body   *register.Body  `json:"body"`
	Check  *register.Check `json:"scope,omitempty"`
	Months []bodyMonth     `json:"months"` // the latest first
}

// bodyMonth is a month that is told; Events is nil where the body has no line of its own in it.
type bodyMonth struct {
	Month  string         `json:"month"`
	Events *uint64        `json:"events"`
	Told   register.Place `json:"told"`
}

func (s *server) serveBody(w http.ResponseWriter, r *http.Request, v bodiesView) error {
	if v.Body = v.Register.Body(registerQuery(r).Get("ente")); v.Body == nil {
		return errNoPage
	}
	if i := slices.IndexFunc(v.Checks, func(c register.Check) bool { return c.Scope == v.Body.ID }); i >= 0 {
		v.Check = &v.Checks[i]
	}
	v.yearOf(r, lang(r), func(m *register.Month) (uint64, bool) { return m.Line(v.Body.ID) })
	h, ok, err := s.Node.PublicHeadFrom(r.Context(), v.Body.Place.Epoch, v.Body.Place.Index)
	if err != nil {
		return err
	}
	if ok {
		v.Recorded = &h.At
	}
	list := bodyJSON{Schema: register.Schema, Body: v.Body, Check: v.Check, Months: []bodyMonth{}}
	for _, m := range v.Months {
		month := bodyMonth{Month: m.Month, Told: m.Told}
		if n, ok := m.Line(v.Body.ID); ok {
			month.Events = &n
		}
		list.Months = append(list.Months, month)
	}
	return s.sendPublic(w, r, "register_bodies", v, list)
}

func serveChecks(s *server, w http.ResponseWriter, r *http.Request) error {
	v, err := s.registerView(r)
	if err != nil {
		return err
	}
	return s.sendPublic(w, r, "register_checks", v, v.Checks)
}

// What the templates place and check get.
type (
	placeView struct {
		Lang  string
		Place register.Place
	}
	checkView struct {
		Lang string
		register.Check
	}
)

// leafView is what register_leaf.html shows.
type leafView struct {
	registerView
	*register.Leaf
	Kind   string // event, head, preamble or record: a key below register.leaf
	Record string // its JSON
	HeadAt time.Time
	Hex    string
}

func serveLeaf(s *server, w http.ResponseWriter, r *http.Request) error {
	v := leafView{}
	var err error
	if v.registerView, err = s.registerView(r); err != nil {
		return err
	}
	place := register.Place{Epoch: v.Current().Epoch} // the preamble, unless another is asked for
	if query := registerQuery(r); r.URL.Query().Has("log") || r.URL.Query().Has("n") {
		epoch, err := strconv.ParseUint(query.Get("log"), 10, 32)
		index, err2 := strconv.ParseUint(query.Get("n"), 10, 64)
		if errors.Join(err, err2) != nil {
			return errNoPage
		}
		place = register.Place{Epoch: uint32(epoch), Index: index}
	}
	v.Leaf, err = s.register.Leaf(r.Context(), place)
	if errors.Is(err, node.ErrNotPublished) {
		return errNoPage
	} else if err != nil {
		return err
	}
	v.Hex = hex.EncodeToString(v.Raw)
	switch leaf := v.Value.(type) {
	case ledger.Record:
		v.Kind, v.Record = "record", string(leaf.JSON)
	case ledger.Head:
		v.Kind, v.HeadAt = "head", time.UnixMilli(int64(leaf.UnixMS))
	case ledger.Preamble:
		v.Kind = "preamble"
	default:
		v.Kind = "event"
	}
	return s.sendPublic(w, r, "register_leaf", v, map[string]any{"schema": register.Schema, "place": v.Place, "kind": v.Kind, "leaf": v.Hex, "record": json.RawMessage(cmp.Or(v.Record, "null"))})
}

// sendPublic answers with a page, or with the same as JSON where that is asked for. Caches may keep it for as long as nothing
// is published, unless it shows that somebody has entered.
func (s *server) sendPublic(w http.ResponseWriter, r *http.Request, name string, data, list any) error {
	h := w.Header()
	var text []byte
	var err error
	if r.URL.Query().Get("formato") == "json" {
		text, err = json.Marshal(list)
		h.Set("Content-Type", "application/json")
	} else {
		text, err = s.compose(r, name, data)
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Language", pageLang(r))
	}
	if err != nil {
		return err
	}
	if session.From(r.Context()) == nil {
		h.Set("Cache-Control", publicCache)
		h.Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(text)))
	}
	h.Set("Vary", "Cookie")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	return nil
}

var printers = map[string]*message.Printer{"it": message.NewPrinter(language.Italian), "en": message.NewPrinter(language.English)}

// number writes one with its thousands apart.
func number(lang string, n uint64) string { return printers[lang].Sprintf("%d", n) }

// brief writes a number in five characters: 9999, 12k, 1,2M.
func brief(lang string, n uint64) string {
	switch {
	case n < 10_000:
		return strconv.FormatUint(n, 10)
	case n < 999_500:
		return fmt.Sprintf("%dk", (n+500)/1000)
	case n < 9_950_000:
		return printers[lang].Sprintf("%.1fM", float64(n)/1e6)
	}
	return fmt.Sprintf("%dM", (n+500_000)/1_000_000)
}
