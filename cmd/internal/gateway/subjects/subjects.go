// SPDX-License-Identifier: EUPL-1.2

// Package subjects finds whose data a call is about.
package subjects
