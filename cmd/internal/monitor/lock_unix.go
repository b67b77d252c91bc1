// SPDX-License-Identifier: EUPL-1.2

//go:build unix

package monitor

import (
	"os"
	"syscall"
)

// lock keeps other processes from locking the file, until it is closed.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
