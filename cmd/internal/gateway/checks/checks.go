// SPDX-License-Identifier: EUPL-1.2

// Package checks judges a call as a provider on PDND must.
package checks
