// SPDX-License-Identifier: EUPL-1.2

//go:build !linux && !darwin

package node

import "errors"

// freeBytes isn't told here.
func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }
