// SPDX-License-Identifier: EUPL-1.2

//go:build linux || darwin

package node

import "syscall"

// freeBytes is what a file system leaves to this process.
func freeBytes(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}
