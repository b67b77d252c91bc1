// SPDX-License-Identifier: EUPL-1.2

// Package ledger is the vocabulary of Traccia and its formats: leaves, names,
// tags, commitments, subject trees, receipts, private parts, submissions,
// bodies and answers. The format page (docs/formats.md, version 1) is the
// specification; where it is silent the doc comment of the type says what was
// chosen.
//
// Nothing that arrives is trusted. Every Parse function accepts exactly what
// its Format function could have written, with two exceptions that are kept as
// the bytes they came in and never encoded again, because they are signed or
// committed to: a receipt's payload and a private part. These may be any strict
// I-JSON.
//
// What must always hold: an error of this package repeats no subject, token or
// other value that it was given, only kinds, lengths, counts and hashes; nothing
// here reads a clock, a file or the network; nothing but the standard library
// and the two packages ijson and jws is imported, so that a verifier built on
// it stays small.
package ledger

// Version is the version of the formats, the first byte of every leaf.
const Version = 1

// NameSpace starts every string that separates one use of a hash or key from
// another.
const NameSpace = "traccia/v1"
