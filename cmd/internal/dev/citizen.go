// SPDX-License-Identifier: EUPL-1.2

package dev

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/traccia-ledger/traccia/ledger"
)

// The codes made here have valid check characters and can't belong to anybody: no place in Italy or abroad has a code
// N000 to N999, and no tax office the numbers 600 to 799.
const (
	consonants = "BCDFGLMNPRSTVZ"
	months     = "ABCDEHLMPRST"
	names      = 14 * 14 * 14 // surnames, and given names, of three consonants
	days       = 28_000       // of birth, from 1930 on
	citizens   = names * names * days * 2 * 1000

	kinds = 100 // numbers after which the kinds of codes repeat

	step = 179_424_673 // a prime that doesn't divide citizens: i·step mod citizens takes every value once
)

// citizen is the i-th invented citizen; two numbers below 10⁹ never give the same code. One in fifty has a code changed for
// omocodia, one in a hundred a provisional code of 11 digits.
func citizen(i uint64) ledger.Subject {
	if i%kinds == 37 {
		return ledger.Subject(elevenDigits(i/kinds, '7'))
	}
	hi, lo := bits.Mul64(i, step)
	n := bits.Rem64(hi, lo, citizens)
	take := func(m uint64) int {
		r := n % m
		n /= m
		return int(r)
	}
	code := make([]byte, 0, 16)
	for range 6 {
		code = append(code, consonants[take(14)])
	}
	born := time.Date(1930, 1, 1+take(days), 0, 0, 0, 0, time.UTC)
	day := born.Day() + 40*take(2)
	code = fmt.Appendf(code, "%02d%c%02dN%03d", born.Year()%100, months[born.Month()-1], day, take(1000))
	if i%50 == 11 {
		code[14] = "LMNPQRSTUV"[code[14]-'0']
	}
	return ledger.Subject(append(code, checkCharacter(code)))
}

// organisation is the i-th invented organisation.
func organisation(i uint64) ledger.Subject { return ledger.Subject(elevenDigits(i, '6')) }

// elevenDigits writes i below 10⁹ into the seven digits of a number and two of the three of an office.
func elevenDigits(i uint64, office byte) string {
	code := fmt.Appendf(nil, "%07d%c%02d", i%1e7, office, i/1e7%100)
	sum := 0
	for k, c := range code {
		d := int(c - '0')
		if k%2 == 1 {
			d = d*2%10 + d*2/10
		}
		sum += d
	}
	return string(append(code, byte('0'+(10-sum%10)%10)))
}

// checkCharacter is that of DM 23 December 1976 for the first 15 characters.
func checkCharacter(code []byte) byte {
	odd := [...]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}
	sum := 0
	for k, c := range code {
		v := int(c - 'A')
		if c <= '9' {
			v = int(c - '0')
		}
		if k%2 == 0 {
			v = odd[v]
		}
		sum += v
	}
	return byte('A' + sum%26)
}

// People are some of the citizens whose files are asked for most, each with all the codes that are theirs. The first had a
// provisional code before.
func (w *World) People() [][]ledger.Subject {
	var people [][]ledger.Subject
	for i := range uint64(8) {
		people = append(people, []ledger.Subject{citizen(i)})
	}
	people[0] = append(people[0], citizen(37))
	return people
}
