// SPDX-License-Identifier: EUPL-1.2

package verifier

import (
	"slices"
	"strings"
)

// Ways in which an operator's id or a case reference says nothing.
const (
	meansFiller   = "filler"   // a word that software or people put where there is nothing to say
	meansRepeated = "repeated" // one character, over and over
	meansKeyboard = "keyboard" // neighbouring keys, one after the other
	meansShort    = "short"    // one or two characters
)

// fillers stand where an operator or a case should, in letters and digits alone.
var fillers = []string{
	"admin", "administrator", "amministratore", "anonimo", "anonymous", "aaa", "batch", "caso", "case", "default", "demo", "dummy", "esempio", "example", "fascicolo",
	"na", "nd", "nessuno", "nn", "none", "null", "operatore", "operator", "pdnd", "pippo", "pluto", "pratica", "prova", "root", "service", "sistema", "sportello",
	"system", "tbd", "test", "ufficio", "undefined", "unknown", "user", "username", "utente", "vario", "xxx",
}

// rows are those of an Italian keyboard.
var rows = []string{"1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz"}

// keyboardRun is the length from which neighbouring keys, and nothing else, are taken for a run; of digits one more, because
// cases are numbered.
const keyboardRun = 4

// meaningless says in which way a value says nothing; "" where it may say something.
func meaningless(value string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(value))
	// With 1 and the like behind it, a filler is one all the same.
	stem := strings.TrimRight(plain, "0123456789")
	switch {
	case slices.Contains(fillers, plain), len(plain)-len(stem) <= 2 && slices.Contains(fillers, stem):
		return meansFiller
	case plain == "" || len(plain) > 1 && strings.Trim(plain, plain[:1]) == "":
		return meansRepeated
	case len(plain) <= 2:
		return meansShort
	}
	least := keyboardRun
	if stem == "" {
		least++
	}
	if len(plain) < least {
		return ""
	}
	back := []byte(plain)
	slices.Reverse(back)
	for _, row := range rows {
		if strings.Contains(row, plain) || strings.Contains(row, string(back)) {
			return meansKeyboard
		}
	}
	return ""
}
