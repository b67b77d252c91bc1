// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/traccia-ledger/traccia/cmd/internal/cli"
	"github.com/traccia-ledger/traccia/cmd/internal/fetch"
	"github.com/traccia-ledger/traccia/ledger"
	"github.com/traccia-ledger/traccia/ledger/checkpoint"
	"github.com/traccia-ledger/traccia/verifier"
)

// ledgerURL is what the URL of a ledger, or of one of its logs, and a file of keys mean.
type ledgerURL struct {
	base  *url.URL                   // of the ledger
	epoch uint32                     // the year that the URL names, else the latest in the file
	one   bool                       // the URL is that of one log
	keys  map[uint32][]note.Verifier // by year
}

var logPath = regexp.MustCompile(`/log/([0-9]+)$`)

// parseLedger reads both; a URL of one log must have a key in the file.
func parseLedger(where, keyFile string) (*ledgerURL, error) {
	base, err := fetch.ParseURL(where)
	if err != nil {
		return nil, err
	}
	logs, err := readKeys(keyFile)
	if err != nil {
		return nil, err
	}
	return ledgerOf(base, logs, "--key "+keyFile)
}

// ledgerOf is parseLedger for keys that came from elsewhere, which is named.
func ledgerOf(base *url.URL, logs []note.Verifier, from string) (*ledgerURL, error) {
	l := &ledgerURL{base: base, keys: make(map[uint32][]note.Verifier)}
	for _, k := range logs {
		if _, epoch, err := ledger.ParseOrigin(k.Name()); err == nil {
			l.keys[epoch] = append(l.keys[epoch], k)
			l.epoch = max(l.epoch, epoch)
		}
	}
	if m := logPath.FindStringSubmatch(base.Path); m != nil {
		n, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			return nil, cli.Usagef("%s: no year has the number %s", base, m[1])
		}
		root := *base
		root.Path = strings.TrimSuffix(base.Path, m[0])
		l.base, l.epoch, l.one = &root, uint32(n), true
	}
	if len(l.keys[l.epoch]) == 0 {
		return nil, cli.Usagef("%s has no key for the log of %d", from, l.epoch)
	}
	return l, nil
}

// url is the prefix of a year's log.
func (l *ledgerURL) url(epoch uint32) *url.URL {
	return l.base.JoinPath("log", strconv.FormatUint(uint64(epoch), 10))
}

// year reads a year's log.
func (l *ledgerURL) year(epoch uint32) *fetch.Log { return fetch.NewLog(l.url(epoch)) }

// all are the keys of every year.
func (l *ledgerURL) all() (keys []note.Verifier) {
	for _, list := range l.keys {
		keys = append(keys, list...)
	}
	return keys
}

// roll goes on to the latest year's log, whose key the years before announced, and returns that key; "" where the latest is
// one whose key was given, or the URL names a year.
func (l *ledgerURL) roll(ctx context.Context) (vkey string, err error) {
	if l.one {
		return "", nil
	}
	latest, next, err := verifier.Latest(ctx, func(epoch uint32) checkpoint.Fetcher { return l.year(epoch) }, l.epoch, l.keys[l.epoch])
	if err != nil {
		return "", fmt.Errorf("couldn't follow %s: %w", l.url(l.epoch), err)
	}
	if next == nil {
		return "", nil
	}
	key, err := checkpoint.ParseKey(next.VKey)
	if err != nil {
		return "", err
	}
	l.epoch, l.keys[latest] = latest, []note.Verifier{key}
	return next.VKey, nil
}
