// SPDX-License-Identifier: EUPL-1.2

//go:build !(js && wasm)

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "browsers run this program: build it with ledgerd verifier build")
	os.Exit(2)
}
