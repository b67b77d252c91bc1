// SPDX-License-Identifier: EUPL-1.2

//go:build !unix

package monitor

import "os"

// lock has no way to keep others out here: whoever starts two monitors over one
// directory has leaves that the next start refuses.
func lock(*os.File) error { return nil }
