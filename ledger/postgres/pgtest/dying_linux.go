// SPDX-License-Identifier: EUPL-1.2

package pgtest

import "syscall"

// dyingWithUs makes a server end, also when its tests are killed.
func dyingWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
}
