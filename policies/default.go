// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"embed"
	"sync"
)

//go:embed vocabulary/*.json default/bundle.json default/*.cedar
var defaults embed.FS

// Default is the document of the bundle in the directory default, with the
// vocabulary in vocabulary: what a ledger begins with that has no policies of
// its own. docs/policies.md says what it covers.
var Default = sync.OnceValue(func() []byte {
	b, err := ReadSource(defaults, "default")
	if err != nil {
		panic(err)
	}
	document, err := b.Format()
	if err != nil {
		panic(err)
	}
	return document
})
