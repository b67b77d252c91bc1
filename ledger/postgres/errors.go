// SPDX-License-Identifier: EUPL-1.2

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/traccia-ledger/traccia/ledger/store"
)

// SQLSTATEs that decide something here.
const (
	codeSerialization  = "40001"
	codeDeadlock       = "40P01"
	codeUndefinedTable = "42P01"
	codeUnknownOutcome = "40003"
)

// said makes an error of pgx one that can be shown: one line, and of a server's
// error its message and code, not the detail, which may hold a key.
func said(err error) error {
	var answer *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
		hint := ""
		if answer.Hint != "" {
			hint = "; " + answer.Hint
		}
		return &shown{text: fmt.Sprintf("the database says: %s (SQLSTATE %s)%s", answer.Message, answer.Code, hint), err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &shown{text: "the database didn't answer in time: " + oneLine(err), err: err}
	}
	return &shown{text: oneLine(err), err: err}
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// shown is an error with another text.
type shown struct {
	text string
	err  error
}

func (e *shown) Error() string { return e.text }
func (e *shown) Unwrap() error { return e.err }

// code returns the SQLSTATE of a server's error, "" for any other.
func code(err error) string {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}

// inVain says whether the same statements would fail again: the fault is in
// them, in the schema or in the permissions, and not in the moment.
func inVain(err error) bool {
	for _, decided := range []error{store.ErrConflict, store.ErrLocked, store.ErrStopped, store.ErrDamaged, errClosed, errMoved} {
		if errors.Is(err, decided) {
			return true
		}
	}
	if errors.As(err, new(*finalError)) {
		return true
	}
	if c := code(err); len(c) == 5 {
		switch c[:2] {
		case "0A", "22", "23", "28", "3D", "3F", "42", "54":
			return true
		}
	}
	return false
}

// isSilent says whether an attempt ended without a word of a database that serves:
// cut off, refused, too late, or told that it is starting, ending or full.
func isSilent(err error) bool {
	if err == nil || inVain(err) {
		return false
	}
	c := code(err)
	return c == "" || strings.HasPrefix(c, "57P") || strings.HasPrefix(c, "08") || strings.HasPrefix(c, "53")
}

// isBroken says whether a connection was there and is no more.
func isBroken(err error) bool {
	var refused *pgconn.ConnectError
	if err == nil || errors.As(err, &refused) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	c := code(err)
	return c == "" || strings.HasPrefix(c, "57P") // told so on the way out
}

// uncertainError is one after which the transaction may be committed or not.
type uncertainError struct{ err error }

func (e *uncertainError) Error() string { return "the outcome is unknown: " + e.err.Error() }
func (e *uncertainError) Unwrap() error { return e.err }
