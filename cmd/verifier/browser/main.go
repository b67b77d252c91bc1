// SPDX-License-Identifier: EUPL-1.2

//go:build js && wasm

// Browser is the verifier that citizens' browsers run (docs/verify.md): the same judgement as verifier history and verifier
// receipt, of package verifier, without the replay of decisions, whose engine would weigh more than all the rest.
//
// It runs in a worker. It sees the files that it is given and the browser's clock, asks nobody anything, and says what it
// found as JSON; worker.js is its only caller:
//
//	tracciaCheck(file, trust, now, progress) → Promise of a text
//
// file is a Uint8Array: a history, an excerpt, or a ledger's answer to a submission. trust is a witness policy or, which is
// enough for an answer, the keys of logs. now is an instant in milliseconds. progress is called with a step, how much of it is
// done, and of how much.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"syscall/js"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/consent"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
)

func main() {
	js.Global().Set("tracciaCheck", js.FuncOf(func(_ js.Value, args []js.Value) any {
		file := make([]byte, args[0].Length())
		js.CopyBytesToGo(file, args[0])
		trust, now, progress := args[1].String(), time.UnixMilli(int64(args[2].Float())), args[3]
		// A check waits for the browser's cryptography, so it can't run in its callback.
		var run js.Func
		run = js.FuncOf(func(_ js.Value, settle []js.Value) any {
			resolve := settle[0]
			go func() {
				defer run.Release()
				text, err := json.Marshal(check(file, trust, now, progress))
				if err != nil {
					panic(err) // of types that always marshal
				}
				resolve.Invoke(string(text))
			}()
			return nil
		})
		return js.Global().Get("Promise").New(run)
	}))
	select {}
}

// Kinds of file.
const (
	kindHistory = "history"
	kindExcerpt = "excerpt"
	kindReceipt = "receipt"
	kindUnknown = "unknown"
)

// verdict is what is said of a file. It holds the code of no person but in events, which the page shows nobody else.
type verdict struct {
	Schema   string           `json:"schema"`
	Kind     string           `json:"kind"`
	Result   string           `json:"result"` // proven, not_proven, unchecked
	Reason   string           `json:"reason"` // of unchecked: trust, witnesses, parts
	Problems []ledger.Problem `json:"problems"`
	// Plain says each problem in words, in the same order, by language.
	Plain map[string][]string    `json:"plain"`
	Notes map[string][]string    `json:"notes"` // what isn't proven, by language
	Steps []verifier.HistoryStep `json:"steps"`

	// Of a history or excerpt, as verifier history --json has them.
	Complete      bool                    `json:"complete"`
	CompleteUntil string                  `json:"complete_until"`
	Stale         bool                    `json:"stale"`
	Events        []verifier.HistoryEvent `json:"events"`
	Lists         []verifier.HistoryScope `json:"lists"`
	Logs          []verifier.HistoryShard `json:"logs"`

	// Of a ledger's answer, as verifier receipt --json has them.
	Checks    []verifier.Check `json:"checks"`
	ReceiptID string           `json:"receipt_id"`
	Index     uint64           `json:"index"`
	Count     int              `json:"count"`
}

const (
	proven    = "proven"
	notProven = "not_proven"
	unchecked = "unchecked"
)

func check(file []byte, trust string, now time.Time, progress js.Value) *verdict {
	policy, logs, err := readTrust(trust)
	switch {
	case err != nil:
		return &verdict{Schema: schema, Kind: kindUnknown, Result: unchecked, Reason: "trust"}
	case len(file) > 1 && file[0] == 0x1f && file[1] == 0x8b: // gzip
		if policy == nil {
			return &verdict{Schema: schema, Kind: kindHistory, Result: unchecked, Reason: "witnesses"}
		}
		return ofHistory(verifier.History(file, policy, now, verifier.Rules{
			Consents: func(name string, partial bool) verifier.Consents { return consent.NewList(name, partial) },
			Progress: func(step string, done, of int) { progress.Invoke(step, done, of) },
		}))
	}
	return ofReceipt(verifier.Receipt(bytes.TrimSpace(file), logs, nil))
}

const schema = "traccia/browser-verdict/1"

// readTrust reads what the reader trusts: a witness policy, or the keys of logs alone.
func readTrust(text string) (*checkpoint.Policy, []note.Verifier, error) {
	policy, err := checkpoint.ParsePolicy([]byte(text))
	if err != nil {
		logs, err := checkpoint.ParseKeys([]byte(text))
		return nil, logs, err
	}
	var logs []note.Verifier
	for _, l := range policy.Logs {
		v, err := checkpoint.ParseKey(l.VKey)
		if err != nil {
			return nil, nil, err
		}
		logs = append(logs, v)
	}
	if len(logs) == 0 {
		return nil, nil, errors.New("a policy without logs")
	}
	return policy, logs, nil
}

var languages = []string{"it", "en"}

func ofHistory(r *verifier.HistoryReport) *verdict {
	v := &verdict{
		Schema: schema, Kind: kindHistory, Result: notProven, Problems: r.Problems, Plain: map[string][]string{}, Notes: map[string][]string{}, Steps: r.Steps(),
		Complete: r.Complete, Stale: r.Stale, Events: r.Events, Lists: r.Scopes, Logs: r.Shards,
	}
	switch {
	case r.Malformed != nil:
		v.Kind, v.Problems = kindUnknown, []ledger.Problem{*r.Malformed}
		v.Steps[0].Problems = []int{0}
	case r.Excerpt:
		v.Kind = kindExcerpt
	}
	if r.Proven() {
		v.Result = proven
	}
	if !r.CompleteUntil.IsZero() {
		v.CompleteUntil = r.CompleteUntil.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	}
	for _, lang := range languages {
		for _, p := range v.Problems {
			v.Plain[lang] = append(v.Plain[lang], verifier.Plain(p).In(lang))
		}
		v.Notes[lang] = r.Notes(lang)
	}
	return v
}

// ofReceipt makes steps of an answer's checks, which have the same names as in verifier receipt.
func ofReceipt(r *verifier.ReceiptReport) *verdict {
	v := &verdict{Schema: schema, Kind: kindReceipt, Result: unchecked, Reason: "parts", Problems: r.Problems(), Plain: map[string][]string{}, Checks: r.Checks}
	switch {
	case r.Malformed != nil:
		v.Kind = kindUnknown
		v.Steps = []verifier.HistoryStep{{Name: verifier.StepFile, State: verifier.StepFailed, Problems: []int{0}}}
	default:
		v.ReceiptID, v.Index, v.Count = r.Answer.ReceiptID, r.Answer.FirstIndex, r.Answer.Count
		v.Steps = []verifier.HistoryStep{{Name: verifier.StepFile, State: verifier.StepOK}}
	}
	switch {
	case r.Proven():
		v.Result, v.Reason = proven, ""
	case len(v.Problems) > 0:
		v.Result, v.Reason = notProven, ""
	}
	found := 0
	for _, c := range r.Checks {
		step := verifier.HistoryStep{Name: c.Name, State: verifier.StepUnknown}
		if c.OK {
			step.State = verifier.StepOK
		} else if c.Problem != nil {
			step.State, step.Problems = verifier.StepFailed, []int{found}
			found++
		}
		v.Steps = append(v.Steps, step)
	}
	for _, lang := range languages {
		for _, p := range v.Problems {
			v.Plain[lang] = append(v.Plain[lang], verifier.Plain(p).In(lang))
		}
	}
	return v
}
