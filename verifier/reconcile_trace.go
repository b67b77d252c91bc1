// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// First fields of the lines that are read as traces: those of GovWay's topics as they are shipped (govway.fileTrace.properties of
// GovWay 3.3 and 3.4), request and answer of a provided (in) or consumed (out) API, and that of docs/reconcile.md.
const (
	traceOwn = "traccia"
	inAsked  = "in-request"
	inTold   = "in-response"
	outAsked = "out-request"
	outTold  = "out-response"
)

// MaxTraceLine bounds a line of a trace, in bytes: GovWay writes all headers, tokens among them.
const MaxTraceLine = 1 << 18

// ParseTraceFields cuts a line as GovWay's file traces have it into its fields, of which each stands in quotes, with \" for a
// quote; | is between them. JoinTraceFields makes the same line of them.
//
//	"traccia"|"b6cdd758-342c-4599-ae95-33a781730b3f"|"2026-11-22 09:30:00:123"|…
func ParseTraceFields(line string) (fields []string, ok bool) {
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

// JoinTraceFields is the line of fields.
func JoinTraceFields(fields []string) string {
	var b strings.Builder
	for n, f := range fields {
		if n > 0 {
			b.WriteByte('|')
		}
		b.WriteString(`"` + strings.ReplaceAll(f, `"`, `\"`) + `"`)
	}
	return b.String()
}

// ParseTraceLine reads a line of a trace. What it returns is half a call where the line is of one of GovWay's own topics, with the
// transaction as Key. Nothing of the line is kept but ids, digests, method, status and time.
func ParseTraceLine(line []byte) (*ReconcileItem, bool) {
	f, ok := ParseTraceFields(string(line))
	if !ok || len(f) < 11 || len(f[1]) == 0 || len(f[1]) > 64 {
		return nil, false
	}
	i := &ReconcileItem{Side: sideCall, Key: f[1], Count: 1}
	switch f[0] {
	case traceOwn:
		if len(f) != 11 {
			return nil, false
		}
		i.Voucher, i.Purpose, i.EService, i.Method = f[3], f[4], f[5], f[8]
		ok = i.at(f[2]) && i.status(f[9])
		i.pair(f[6], f[7])
		i.Receipt = receiptOf(f[10])
		ok = ok && (f[10] == "" || i.Receipt != "")
	case inAsked, outAsked:
		i.Method = f[7]
		ok = i.at(f[3])
		i.headers(f[11:])
	case inTold, outTold:
		if len(f) < 13 {
			return nil, false
		}
		i.Method = f[7]
		ok = i.at(f[3]) && i.status(f[9])
		i.Receipt = headerOf(f[13:], "Traccia-Receipt", receiptOf)
	default:
		return nil, false
	}
	for _, id := range []string{i.Purpose, i.EService} {
		ok = ok && (id == "" || isUUID(id))
	}
	if !ok || len(i.Voucher) > 200 {
		return nil, false
	}
	if !knownMethod(i.Method) {
		i.Method = ""
	}
	return i, true
}

func knownMethod(m string) bool {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
		return true
	}
	return false
}

// at reads an instant as GovWay writes it, in UTC: 2026-11-22 09:30:00:123.
func (i *ReconcileItem) at(text string) bool {
	const form = "2006-01-02 15:04:05.000"
	if len(text) != len(form) || text[19] != ':' {
		return false
	}
	t, err := time.Parse(form, text[:19]+"."+text[20:])
	i.Time = t.UnixMilli()
	return err == nil && i.Time > 0
}

func (i *ReconcileItem) status(text string) bool {
	if text == "" {
		return true
	}
	n, err := strconv.Atoi(text)
	i.Status = n
	return err == nil && len(text) == 3 && n >= 100
}

// pair makes of an evidence and a Digest header what the receipt's pair has to be.
func (i *ReconcileItem) pair(evidence, digest string) {
	if i.Voucher == "" {
		return
	}
	var content string
	for _, one := range strings.Split(digest, ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(one), "SHA-256="); ok {
			if sum, err := base64.StdEncoding.DecodeString(text); err == nil && len(sum) == sha256.Size {
				content = hex.EncodeToString(sum)
			}
		}
	}
	if evidence != "" {
		sum := sha256.Sum256([]byte(evidence))
		evidence = hex.EncodeToString(sum[:])
	}
	p := ledger.Pair(i.Voucher, evidence, content)
	i.Pair = hex.EncodeToString(p[:])
}

// headers takes what a request's headers say.
func (i *ReconcileItem) headers(fields []string) {
	token := headerOf(fields, "Authorization", func(v string) string {
		kind, token, _ := strings.Cut(v, " ")
		if !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "DPoP") {
			return ""
		}
		return token
	})
	i.Voucher, i.Purpose, i.EService = voucherOf(token)
	same := func(v string) string { return v }
	i.pair(headerOf(fields, "Agid-JWT-TrackingEvidence", same), headerOf(fields, "Digest", same))
}

// headerOf looks for a header among fields of the form Name=value.
func headerOf(fields []string, name string, read func(string) string) string {
	for _, f := range fields {
		if n, v, ok := strings.Cut(f, "="); ok && strings.EqualFold(n, name) {
			return read(v)
		}
	}
	return ""
}

// receiptOf reads the header Traccia-Receipt: inps/5a0e7b3c-52f0-4d0e-9d5e-3f1b7f0f7a11; index=4711
func receiptOf(v string) string {
	id, _, _ := strings.Cut(v, ";")
	id = strings.TrimSpace(id)
	iss, jti, _ := strings.Cut(id, "/")
	if ledger.CheckID(iss) != nil || !isUUID(jti) {
		return ""
	}
	return id
}

// voucherOf reads what is compared of a voucher, whose signature GovWay may have taken away: that it was good, the gateway says.
func voucherOf(token string) (jti, purpose, eservice string) {
	parts := strings.Split(token, ".")
	if len(parts) < 2 {
		return "", "", ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", "", ""
	}
	var c struct {
		JTI      string `json:"jti"`
		Purpose  string `json:"purposeId"`
		EService string `json:"eserviceId"`
	}
	if json.Unmarshal(payload, &c) != nil {
		return "", "", ""
	}
	return c.JTI, c.Purpose, c.EService
}

// Trace takes a line of a trace, without its end; files and lines are counted as the report shall name them.
func (r *Reconciler) Trace(file int, line uint64, text []byte) error {
	text = bytes.TrimSuffix(text, []byte("\r"))
	i, ok := ParseTraceLine(text)
	if !ok {
		return r.bad("traces", file, line, "a line of docs/reconcile.md, or of GovWay's own request and response topics")
	}
	i.File, i.Line = uint32(file), line
	return r.halves.Add(i)
}

// joinCalls puts the halves of calls together, and hands the calls on.
func (r *Reconciler) joinCalls() error {
	var call *ReconcileItem
	for half, err := range r.halves.Sorted() {
		if err != nil {
			return err
		}
		if call != nil && call.Key == half.Key {
			call.fill(half)
			continue
		}
		if err := r.call(call); err != nil {
			return err
		}
		one := *half
		call = &one
	}
	return r.call(call)
}

// fill takes what the other half of a call knows.
func (i *ReconcileItem) fill(o *ReconcileItem) {
	for _, f := range []struct{ to, from *string }{
		{&i.Receipt, &o.Receipt}, {&i.Pair, &o.Pair}, {&i.Voucher, &o.Voucher}, {&i.Purpose, &o.Purpose}, {&i.EService, &o.EService}, {&i.Method, &o.Method},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if o.Status != 0 {
		i.Status = o.Status
	}
	if o.Time != 0 && o.Time < i.Time {
		i.Time = o.Time
	}
}

// call hands a whole call to the comparisons.
func (r *Reconciler) call(c *ReconcileItem) error {
	if c == nil || r.when(c.Time) == outside {
		return nil
	}
	if r.inPeriod(c.Time) {
		r.report.Calls++
	}
	if c.Receipt == "" && c.Voucher == "" {
		r.report.Keyless++
		return nil
	}
	if r.Tracing && c.Voucher != "" && r.inPeriod(c.Time) {
		if err := r.count(c, strconv.Itoa(c.Status)); err != nil {
			return err
		}
	}
	if !r.Ledger {
		return nil
	}
	r.shared.callID = r.shared.callID || c.Receipt != ""
	r.shared.callToken = r.shared.callToken || c.Voucher != ""
	if c.Receipt != "" {
		c.Key = c.Receipt
		return r.byID.Add(c)
	}
	c.Key = c.Pair
	return r.byPair.Add(c)
}
