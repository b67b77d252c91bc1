// SPDX-License-Identifier: EUPL-1.2

package govway

import (
	"encoding/base64"
	"strings"
	"testing"
)

const asked = `"in-request"|"tx"|"govway-modipa"|"2026-11-22 09:30:00:123"|"+0100"|"10.0.0.1"|"HTTP/1.1"|"GET"|"https://x/a?b=c"|"application/json"|"12"|"HEADERS"|"Authorization=Bearer a.b.c"|"X=\"1\""`

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestParse(t *testing.T) {
	l, ok := Parse([]byte(asked + "\r"))
	if !ok || l.Transaction != "tx" || l.Consumed || !l.Asked || l.Told || l.Method != "GET" || l.URL != "https://x/a?b=c" || l.Token() != "a.b.c" || l.Header("x") != `"1"` ||
		l.At.UnixMilli() != 1795339800123 {
		t.Errorf("%+v, %v", l, ok)
	}
	body := "tx.govway-modipa." + encode("2026-11-22T09:30:00.123+0100") + "." + encode("application/json") + "." + encode(`{"a":1}`)
	if l, ok := Parse([]byte(body)); !ok || !l.HasContent || !l.Asked || l.ContentType != "application/json" || string(l.Content) != `{"a":1}` {
		t.Errorf("%+v, %v", l, ok)
	}
	answer := "tx.govway." + encode("x") + "." + encode("HTTP/1.1 200 OK\nContent-Type: text/xml\nX: y") + "." + encode("<a/>")
	if l, ok := Parse([]byte(answer)); !ok || !l.HasContent || !l.Told || l.Status != 200 || l.ContentType != "text/xml" || l.Header("X") != "y" {
		t.Errorf("%+v, %v", l, ok)
	}
	for _, line := range []string{
		"x", `"in-request"`, strings.Replace(asked, "in-request", "in-altro", 1), strings.Replace(asked, "09:30:00:123", "09:30:00.123", 1), strings.Replace(asked, `"tx"`, `""`, 1),
		"tx.g.d.e", "tx.g.d." + encode("a") + ".%", "tx.g.d.%.e30=", ".g.d." + encode("a") + ".e30=", "tx.g.d." + encode("HTTP/1.1 2000 OK") + ".e30=", "tx.g.d." + encode("a\nb") + ".e30=",
	} {
		if l, ok := Parse([]byte(line)); ok {
			t.Errorf("took %s as %+v", line, l)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(asked))
	f.Add([]byte("tx.govway." + encode("x") + "." + encode("HTTP/1.1 200 OK\nA: b") + "." + encode("{}")))
	f.Add([]byte(`"a\""|"\"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if fields, ok := ParseFields(string(line)); ok && FormatFields(fields) != string(line) {
			t.Errorf("%q is %q again", line, FormatFields(fields))
		}
		l, ok := Parse(line)
		if !ok {
			return
		}
		if l.Transaction == "" || !l.Asked && !l.Told || l.HasContent && l.Asked == l.Told || l.Status != 0 && (l.Status < 100 || l.Status > 999) {
			t.Errorf("%q is %+v", line, l)
		}
	})
}
