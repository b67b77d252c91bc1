// SPDX-License-Identifier: EUPL-1.2

package api

import (
	"bytes"
	"net/http"
	"testing"
)

// FuzzHTTPSubmit puts arbitrary bytes where a submission has some, and signs
// whatever stands under a signature: no answer may be a 5xx, and none may name
// anybody. The server's own goroutines look like news to the fuzzer: run it
// with -fuzzminimizetime 1x.
func FuzzHTTPSubmit(f *testing.F) {
	fixture := sharedFixture(f)
	// Of each place: how the bytes get there, and what stands there in a good submission.
	places := []func(d *draft, to func([]byte) []byte){
		func(d *draft, to func([]byte) []byte) { d.bytes = to },
		func(d *draft, to func([]byte) []byte) { d.receipt.bytes = to },
		func(d *draft, to func([]byte) []byte) { d.receipt.headerBytes = to },
		func(d *draft, to func([]byte) []byte) { d.privateBytes = to },
		func(d *draft, to func([]byte) []byte) { d.voucher.bytes = to },
		func(d *draft, to func([]byte) []byte) { d.voucher.headerBytes = to },
		func(d *draft, to func([]byte) []byte) { d.evidence.bytes = to },
		func(d *draft, to func([]byte) []byte) { d.evidence.headerBytes = to },
	}
	for i, put := range places {
		d := fixture.draft(f, 0)
		put(d, func(b []byte) []byte {
			f.Add(uint8(i), b)
			f.Add(uint8(i), b[:len(b)/2])
			f.Add(uint8(i), bytes.ReplaceAll(b, []byte(`"`), []byte(`'`)))
			f.Add(uint8(i), append(bytes.Clone(b[:len(b)-1]), `,"x":[[{}]]}`...))
			return b
		})
		d.build(f)
	}
	for i := range uint8(len(places)) {
		for _, text := range []string{"", "{}", "[]", "null", "{", `{"":0}`, "\x00", "\xff", `{"iat":-1e400}`, `{"alg":"none"}`} {
			f.Add(i, []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, place uint8, data []byte) {
		d := fixture.draft(t, 0)
		before := d.personal()
		places[int(place)%len(places)](d, func([]byte) []byte { return bytes.Clone(data) })
		raw := d.build(t)
		logged := fixture.log.len()
		got := fixture.submit(t, raw)
		switch {
		case got.status == http.StatusOK || got.status == http.StatusCreated:
			got.answer(t, got.status)
			return // which does hold the citizen's code
		case got.status >= 500:
			t.Fatalf("%d %s", got.status, got.body)
		}
		p := parseProblem(t, got.body)
		got.problem(t, got.status, p.Code, p.Where)
		for _, text := range before {
			if bytes.Contains(got.body, []byte(text)) || bytes.Contains(fixture.log.since(logged), []byte(text)) {
				t.Errorf("%q in the answer or the log: %s", text, got.body)
			}
		}
		// As a line of a batch it is answered too, however many lines it is.
		for _, line := range fixture.open(t, bytes.NewReader(raw)).all() {
			if line.Status >= 500 {
				t.Errorf("line %d: %+v", line.Line, line.Problem)
			}
		}
	})
}
