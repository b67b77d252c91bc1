// SPDX-License-Identifier: EUPL-1.2

// Package es256 verifies ECDSA signatures on P-256 with SHA-256 (FIPS 186-5), which receipts, keys and passkeys are signed
// with: by the standard library, and in browsers by the browser's own cryptography (Web Cryptography, W3C). There Go's takes
// 2 ms and more for each signature, and 80 kB of what is loaded; the browser's takes a tenth of that, and is what the
// connection to the page rests on anyway.
//
// Nothing of a key or signature is trusted. What must always hold: both ways accept the same keys and the same signatures;
// the tests of packages jws and consent run either way.
//
// In a browser each call waits for the browser, so it must not come from a callback of package syscall/js; and a page has to
// be secure (https, or of this machine itself), or browsers have no cryptography for it.
package es256

// size is the length of a coordinate and of r and s, in bytes.
const size = 32
