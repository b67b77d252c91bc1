// SPDX-License-Identifier: EUPL-1.2

// Package govway reads file traces as GovWay writes them (govway.fileTrace.properties of GovWay 3.3 and 3.4, as shipped in
// link-it/govway, ant/setup/deploy/resources/core), and the topic of docs/reconcile.md. It trusts nothing in them, and
// checks form alone: a trace is its keeper's word.
package govway

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Topics, the first fields of lines in quotes: request and answer of a provided (in) or consumed (out) API, and our own.
const (
	Own     = "traccia"
	inAsk   = "in-request"
	inTell  = "in-response"
	outAsk  = "out-request"
	outTell = "out-response"
)

// Nobody stands in our own topic for a receipt, where the gateway says that an answer was about nobody.
const Nobody = "nobody"

// MaxLine bounds a line without contents, in bytes: GovWay writes all headers, tokens among them.
const MaxLine = 1 << 18

// Line is a line of a trace.
type Line struct {
	Transaction string // of GovWay: what joins the lines of one call
	Consumed    bool   // of an API that the body consumes (out), else of one that it provides
	Asked, Told bool   // it is about the request, the answer; both in our own topic

	At      time.Time // zero in lines of contents
	Method  string    // one that HTTP has, else ""
	URL     string
	Status  int         // 0 where it isn't known
	Headers [][2]string // of the request, or of the answer: name and value, as they stand

	// Content is the request's or answer's, in a line of the topics requestBody and responseBody; HasContent there.
	Content     []byte
	HasContent  bool
	ContentType string // of the request's

	// Of our own topic, which has these in place of headers. OwnVoucher is the voucher's jti, OwnReceipt may be Nobody.
	IsOwn                                                                              bool
	OwnVoucher, OwnPurpose, OwnEService, OwnEvidence, OwnDigest, OwnReceipt, OwnCohort string
}

// ParseFields cuts a line into its fields, of which each stands in quotes, with \" for a quote; | is between them.
//
//	"traccia"|"b6cdd758-342c-4599-ae95-33a781730b3f"|"2026-11-22 09:30:00:123"|…
func ParseFields(line string) (fields []string, ok bool) {
	for {
		if !strings.HasPrefix(line, `"`) {
			return nil, false
		}
		end := 1
		for {
			next := strings.IndexByte(line[end:], '"')
			if next < 0 {
				return nil, false
			}
			end += next
			if line[end-1] != '\\' {
				break
			}
			end++
		}
		fields = append(fields, strings.ReplaceAll(line[1:end], `\"`, `"`))
		line = line[end+1:]
		if line == "" {
			return fields, true
		}
		if line[0] != '|' {
			return nil, false
		}
		line = line[1:]
	}
}

// FormatFields makes the line that ParseFields cuts into these fields.
func FormatFields(fields []string) string {
	var b strings.Builder
	for n, f := range fields {
		if n > 0 {
			b.WriteByte('|')
		}
		b.WriteString(`"` + strings.ReplaceAll(f, `"`, `\"`) + `"`)
	}
	return b.String()
}

// atForm is how GovWay writes an instant, but for the last colon, which stands for the point.
const atForm = "2006-01-02 15:04:05.000"

// FormatOwn makes a line of our own topic, without its end.
//
//	"traccia"|"b6cdd758-…"|"2026-11-22 09:30:00:123"|"99382e29-…"|"4a153b51-…"|"978e5066-…"|""|""|"GET"|"200"|"inps/5a0e7b3c-…; index=4711"|""
func FormatOwn(l *Line) string {
	at, status := []byte(l.At.UTC().Format(atForm)), ""
	at[19] = ':'
	if l.Status != 0 {
		status = strconv.Itoa(l.Status)
	}
	return FormatFields([]string{
		Own, l.Transaction, string(at), l.OwnVoucher, l.OwnPurpose, l.OwnEService, l.OwnEvidence, l.OwnDigest, l.Method, status, l.OwnReceipt, l.OwnCohort,
	})
}

// Parse reads a line, of any topic, without its end.
//
//	"out-request"|"b6cdd758-…"|"govway-modipa"|"2026-11-22 09:30:00:123"|"+0100"|"10.0.0.1"|"HTTP/1.1"|"POST"|"https://…"|"application/json"|"42"|"HEADERS"|"Authorization=Bearer eyJ…"
//	b6cdd758-….govway-modipa.MjAyNi0xMS0yMlQwOTozMDowMC4xMjMrMDEwMA==.YXBwbGljYXRpb24vanNvbg==.eyJjZiI6IuKApiJ9
func Parse(line []byte) (*Line, bool) {
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > 0 && line[0] != '"' {
		return parseContent(string(line))
	}
	f, ok := ParseFields(string(line))
	if !ok || len(f) < 11 || len(f[1]) == 0 || len(f[1]) > 64 {
		return nil, false
	}
	l := &Line{Transaction: f[1]}
	switch f[0] {
	case Own:
		if len(f) > 12 {
			return nil, false
		}
		l.IsOwn, l.Asked, l.Told, l.Method = true, true, true, f[8]
		l.OwnVoucher, l.OwnPurpose, l.OwnEService, l.OwnEvidence, l.OwnDigest, l.OwnReceipt = f[3], f[4], f[5], f[6], f[7], f[10]
		if len(f) == 12 {
			l.OwnCohort = f[11]
		}
		ok = l.at(f[2]) && l.status(f[9])
	case inAsk, outAsk:
		l.Asked, l.Consumed, l.Method, l.URL, l.ContentType = true, f[0] == outAsk, f[7], f[8], f[9]
		ok = l.at(f[3])
		l.headers(f[11:])
	case inTell, outTell:
		if len(f) < 13 {
			return nil, false
		}
		l.Told, l.Consumed, l.Method, l.URL, l.ContentType = true, f[0] == outTell, f[7], f[8], f[11]
		ok = l.at(f[3]) && l.status(f[9])
		l.headers(f[13:])
	default:
		return nil, false
	}
	switch l.Method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
	default:
		l.Method = ""
	}
	return l, ok
}

// parseContent reads a line of requestBody or responseBody. The third part of an answer's are its status line and headers.
func parseContent(line string) (*Line, bool) {
	parts := strings.Split(line, ".")
	if len(parts) != 5 || parts[0] == "" || len(parts[0]) > 64 {
		return nil, false
	}
	kind, err := base64.StdEncoding.DecodeString(parts[3])
	if err != nil {
		return nil, false
	}
	l := &Line{Transaction: parts[0], HasContent: true}
	if l.Content, err = base64.StdEncoding.DecodeString(parts[4]); err != nil {
		return nil, false
	}
	status, rest, isAnswer := strings.Cut(string(kind), "\n")
	if !strings.HasPrefix(status, "HTTP/1.1 ") {
		l.Asked, l.ContentType = true, string(kind)
		return l, !isAnswer
	}
	l.Told = true
	for header := range strings.SplitSeq(rest, "\n") {
		if name, value, ok := strings.Cut(header, ": "); ok {
			l.Headers = append(l.Headers, [2]string{name, value})
		}
	}
	l.ContentType = l.Header("Content-Type")
	code, _, _ := strings.Cut(strings.TrimPrefix(status, "HTTP/1.1 "), " ")
	return l, l.status(code)
}

// at reads an instant as GovWay writes it, in UTC: 2026-11-22 09:30:00:123.
func (l *Line) at(text string) bool {
	if len(text) != len(atForm) || text[19] != ':' {
		return false
	}
	t, err := time.Parse(atForm, text[:19]+"."+text[20:])
	l.At = t
	return err == nil && t.UnixMilli() > 0
}

func (l *Line) status(text string) (ok bool) {
	l.Status, ok = ParseStatus(text)
	return ok
}

// ParseStatus reads a status of HTTP, 0 for one that isn't known.
func ParseStatus(text string) (int, bool) {
	if text == "" {
		return 0, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && len(text) == 3 && n >= 100
}

// headers takes fields of the form Name=value.
func (l *Line) headers(fields []string) {
	for _, f := range fields {
		if n, v, ok := strings.Cut(f, "="); ok {
			l.Headers = append(l.Headers, [2]string{n, v})
		}
	}
}

// Header is the first value of a header, "" where it isn't there.
func (l *Line) Header(name string) string {
	for _, h := range l.Headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// Token is the voucher that a request carried, "" without one. GovWay may have taken its signature away.
func (l *Line) Token() string {
	kind, token, _ := strings.Cut(l.Header("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "DPoP") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Digest is the SHA-256 that a Digest header tells, nil where it tells none.
func Digest(header string) []byte {
	for one := range strings.SplitSeq(header, ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(one), "SHA-256="); ok {
			if sum, err := base64.StdEncoding.DecodeString(text); err == nil && len(sum) == 32 {
				return sum
			}
		}
	}
	return nil
}
