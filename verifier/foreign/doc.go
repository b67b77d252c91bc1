// SPDX-License-Identifier: EUPL-1.2

// Package foreign has software of others read the log of a running ledger. It is
// a module of its own, so that what only its tests need isn't the project's:
//
//	cd verifier/foreign && go test ./...
package foreign
