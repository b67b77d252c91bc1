// SPDX-License-Identifier: EUPL-1.2

//go:build !linux

package pgtest

import "syscall"

// dyingWithUs can be asked of Linux alone.
func dyingWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
