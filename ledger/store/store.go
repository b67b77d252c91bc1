// SPDX-License-Identifier: EUPL-1.2

// Package store is the contract between the ledger and whatever keeps its
// rows: rows of bytes under a table and a key, read through snapshots and
// written by conditional commits.
//
// It is small so that an embedded key-value store and a SQL store can both
// keep it. In SQL each Table is one table (key BYTEA PRIMARY KEY, value BYTEA
// NOT NULL), named by Table.String; a Commit is one transaction of multi-row
// statements; a Snapshot is one read-only transaction. storetest holds the
// suite that every store passes.
//
// What must always hold: a commit is there whole or not at all, whatever
// crashes; once it returned nil it survives a power cut; no snapshot shows a
// commit that a power cut could still take away. That last rule is what allows
// a checkpoint to be signed over what a snapshot shows.
//
// Keys and names never hold personal data. Values may, sealed.
package store

import (
	"context"
	"errors"
	"fmt"
)

// A Table is one of the fixed tables. The numbers are part of the embedded
// store's format and the names are the SQL tables: neither may change.
type Table uint8

// The tables. Those in the first group belong to ledger/engine, which alone
// knows their keys; the others belong to the packages above it.
const (
	TableTree     Table = 1 // logs, by id
	TableRoot     Table = 2 // the latest root of each log
	TableLeaf     Table = 3 // leaves, by log and index
	TableTile     Table = 4 // Merkle tiles, by log, level and index
	TableLeafHash Table = 5 // truncated leaf hashes, to find an index
	TableIdentity Table = 6 // leaf identities of logs fed by Trillian's queue
	TableQueue    Table = 7 // leaves waiting in Trillian's queue

	TableBody    Table = 16 // sealed bodies of events, by epoch and index
	TablePrivate Table = 17 // sealed private parts of receipts
	TableReceipt Table = 18 // what answers a submission that comes again
	TableCounter Table = 19 // next numbers of subjects and agencies
	TableWrap    Table = 20 // wrapped sealing keys, by handle
	TableRecord  Table = 21 // record leaves, by epoch and index
	TableBlob    Table = 22 // content that records name by digest
	TableHead    Table = 23 // head leaves, by epoch and index
	TableLookUp  Table = 24 // who looked into whose history in a month, hashed

	TableConsent    Table = 27 // where the events of each citizen's list in +consent stand
	TableConsentEnd Table = 28 // consents by the end of their validity
	TableSession    Table = 29 // sessions of the pages, each sealed under a secret that its browser alone has
	TableLeft       Table = 30 // what citizens left with the ledger beside the log, sealed
	TableDayKey     Table = 31 // the authority's day keys, wrapped to it
)

var tableNames = map[Table]string{
	TableTree: "tree", TableRoot: "root", TableLeaf: "leaf", TableTile: "tile",
	TableLeafHash: "leaf_hash", TableIdentity: "identity", TableQueue: "queue",
	TableBody: "body", TablePrivate: "private", TableReceipt: "receipt", TableCounter: "counter",
	TableWrap: "wrap", TableRecord: "record", TableBlob: "blob",
	TableHead: "head", TableLookUp: "look_up",
	TableConsent: "consent", TableConsentEnd: "consent_end", TableSession: "session", TableLeft: "left_by_citizen", TableDayKey: "day_key",
}

// String returns the table's name in SQL.
func (t Table) String() string {
	if name, ok := tableNames[t]; ok {
		return name
	}
	return fmt.Sprintf("table(%d)", uint8(t))
}

// Known reports whether t is one of the tables above.
func (t Table) Known() bool { _, ok := tableNames[t]; return ok }

// Tables returns every table, in ascending order.
func Tables() []Table {
	tables := make([]Table, 0, len(tableNames))
	for t := range Table(255) {
		if t.Known() {
			tables = append(tables, t)
		}
	}
	return tables
}

// MaxKey is the length in bytes of the longest key a store must take.
const MaxKey = 128

// MaxValue is the length in bytes of the longest value a store must take.
const MaxValue = 4 << 20

// A Row is one row to expect or to write. An empty Value is a value; a nil
// Value means that the row is absent (expected) or goes away (written).
type Row struct {
	Table Table
	Key   []byte // 1 to MaxKey bytes
	Value []byte // at most MaxValue bytes
}

// Check returns an error for a row that no store takes. It names the table
// and the lengths, never the bytes.
func (r Row) Check() error {
	switch {
	case !r.Table.Known():
		return fmt.Errorf("store: no such table: %d", uint8(r.Table))
	case len(r.Key) == 0 || len(r.Key) > MaxKey:
		return fmt.Errorf("store: a key of %d bytes in %s, expected 1 to %d", len(r.Key), r.Table, MaxKey)
	case len(r.Value) > MaxValue:
		return fmt.Errorf("store: a value of %d bytes in %s, expected at most %d", len(r.Value), r.Table, MaxValue)
	}
	return nil
}

var (
	// ErrConflict: an expected row was not as expected. Nothing was written.
	ErrConflict = errors.New("store: a row changed since it was read")
	// ErrNewer: the store was written by a newer version of this software.
	ErrNewer = errors.New("store: written by a newer version")
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("store: in use by another process")
	// ErrDamaged: what is stored is not what was written.
	ErrDamaged = errors.New("store: damaged")
	// ErrStopped: an earlier failure left the outcome of a write unknown. The
	// store takes no more commits until it is closed and opened again.
	ErrStopped = errors.New("store: stopped after a failed write")
)

// A Reader reads one state of the store, the same at each call. It is safe for
// concurrent use.
type Reader interface {
	// Get returns the value at key, or nil when there is none. An empty value
	// is not nil. The caller owns the bytes.
	Get(ctx context.Context, t Table, key []byte) ([]byte, error)
	// GetMany is Get for each key, in order, in as few round trips as the store
	// can.
	GetMany(ctx context.Context, t Table, keys [][]byte) ([][]byte, error)
	// Scan calls f for the rows with from <= key < to in ascending order of
	// bytes, at most limit of them; a nil to is the end of the table, a limit
	// of 0 is none. The slices are valid during the call only. An error of f
	// ends the scan and is returned as it is.
	Scan(ctx context.Context, t Table, from, to []byte, limit int, f func(key, value []byte) error) error
}

// A Snapshot is a Reader of all that was durably committed when it was made.
// Close it soon: stores keep what it shows.
type Snapshot interface {
	Reader
	Close() error
}

// A Store keeps rows. It is safe for concurrent use.
type Store interface {
	// Snapshot returns a view that shows every commit that returned nil before
	// the call.
	Snapshot(ctx context.Context) (Snapshot, error)
	// Commit writes all the rows, or none. It returns ErrConflict, and has
	// written nothing, unless every expected row has exactly that value when
	// it writes. Of several rows with one key the last wins. Nil means durable.
	// After any other error the outcome is unknown until the store is opened
	// again. The store keeps no reference to the rows.
	//
	// A ctx that ends before the commit began has written nothing. Embedded
	// stores don't interrupt a commit that began.
	Commit(ctx context.Context, expect, write []Row) error
	Close() error
}

// After returns the least key that is greater than every key that starts with
// prefix, for use as the end of a Scan; nil when there is none.
func After(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
