// SPDX-License-Identifier: EUPL-1.2

package pebble

// OpenReadOnly opens a store only to be read: nothing in its directory changes, and Commit and Checkpoint fail. What a
// crash left in the write-ahead log is read from there. It takes the lock like Open, so nobody writes meanwhile.
func OpenReadOnly(dir string, o Options) (*Store, error) {
	o.readOnly = true
	return Open(dir, o)
}
