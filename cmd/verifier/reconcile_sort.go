// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/traccia-ledger/traccia/verifier"
)

const (
	sortedInMemory = 1 << 16 // items
	mergedAtOnce   = 64      // files
)

// diskSorter sorts items in a directory of its user's: pieces of them in memory, each written to a file, which are merged. It
// holds one piece, or a buffer for each of mergedAtOnce files.
type diskSorter struct {
	dir   string
	most  int // items in memory
	items []verifier.ReconcileItem
	runs  []*os.File
}

func newDiskSorter(dir string, most int) *diskSorter { return &diskSorter{dir: dir, most: most} }

func compareItems(a, b *verifier.ReconcileItem) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Side, b.Side), cmp.Compare(a.Origin, b.Origin),
		cmp.Compare(a.Index, b.Index), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
}

func (s *diskSorter) Add(i *verifier.ReconcileItem) error {
	s.items = append(s.items, *i)
	if len(s.items) < s.most {
		return nil
	}
	return s.spill()
}

func (s *diskSorter) sort() {
	slices.SortFunc(s.items, func(a, b verifier.ReconcileItem) int { return compareItems(&a, &b) })
}

// spill writes what is in memory to a file, and merges files that became too many.
func (s *diskSorter) spill() error {
	s.sort()
	err := s.write(func(yield func(*verifier.ReconcileItem, error) bool) {
		for n := range s.items {
			if !yield(&s.items[n], nil) {
				return
			}
		}
	})
	clear(s.items)
	s.items = s.items[:0]
	if err != nil || len(s.runs) < mergedAtOnce {
		return err
	}
	old := s.runs
	s.runs = nil
	err = s.write(merged(old))
	for _, f := range old {
		f.Close()
	}
	return err
}

// write makes a file of sorted items. It has no name: nothing of it is left, whatever ends the process.
func (s *diskSorter) write(items iter.Seq2[*verifier.ReconcileItem, error]) error {
	file, err := os.CreateTemp(s.dir, "sorted-")
	if err != nil {
		return fmt.Errorf("couldn't sort on disk: %w", err)
	}
	os.Remove(file.Name())
	s.runs = append(s.runs, file)
	out := bufio.NewWriterSize(file, 1<<16)
	var b []byte
	for i, err := range items {
		if err != nil {
			return err
		}
		b = appendItem(b[:0], i)
		if _, err := out.Write(b); err != nil {
			return fmt.Errorf("couldn't sort on disk: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("couldn't sort on disk: %w", err)
	}
	_, err = file.Seek(0, io.SeekStart)
	return err
}

func (s *diskSorter) Sorted() iter.Seq2[*verifier.ReconcileItem, error] {
	if len(s.runs) > 0 {
		if err := s.spill(); err != nil {
			return func(yield func(*verifier.ReconcileItem, error) bool) { yield(nil, err) }
		}
		return merged(s.runs)
	}
	s.sort()
	return func(yield func(*verifier.ReconcileItem, error) bool) {
		for n := range s.items {
			if !yield(&s.items[n], nil) {
				return
			}
		}
	}
}

func (s *diskSorter) Close() error {
	var err error
	for _, f := range s.runs {
		err = errors.Join(err, f.Close())
	}
	s.runs, s.items = nil, nil
	return err
}

// run is a file that is being merged, with its next item.
type run struct {
	in   *bufio.Reader
	item verifier.ReconcileItem
}

type runs []*run

func (r runs) Len() int           { return len(r) }
func (r runs) Less(a, b int) bool { return compareItems(&r[a].item, &r[b].item) < 0 }
func (r runs) Swap(a, b int)      { r[a], r[b] = r[b], r[a] }
func (r *runs) Push(x any)        { *r = append(*r, x.(*run)) }
func (r *runs) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

func merged(files []*os.File) iter.Seq2[*verifier.ReconcileItem, error] {
	return func(yield func(*verifier.ReconcileItem, error) bool) {
		var open runs
		for _, f := range files {
			one := &run{in: bufio.NewReaderSize(f, 1<<16)}
			switch err := readItem(one.in, &one.item); {
			case errors.Is(err, io.EOF):
			case err != nil:
				yield(nil, err)
				return
			default:
				open = append(open, one)
			}
		}
		heap.Init(&open)
		for len(open) > 0 {
			item := open[0].item
			switch err := readItem(open[0].in, &open[0].item); {
			case errors.Is(err, io.EOF):
				heap.Pop(&open)
			case err != nil:
				yield(nil, err)
				return
			default:
				heap.Fix(&open, 0)
			}
			if !yield(&item, nil) {
				return
			}
		}
	}
}

// texts are an item's strings, in the order in which they are kept.
func texts(i *verifier.ReconcileItem) [10]*string {
	return [10]*string{&i.Key, &i.Origin, &i.Role, &i.Kind, &i.Receipt, &i.Pair, &i.Voucher, &i.Purpose, &i.EService, &i.Method}
}

func appendItem(b []byte, i *verifier.ReconcileItem) []byte {
	b = append(b, i.Side)
	for _, t := range texts(i) {
		b = binary.AppendUvarint(b, uint64(len(*t)))
		b = append(b, *t...)
	}
	b = binary.AppendVarint(b, i.Time)
	for _, n := range []uint64{uint64(i.File), i.Line, i.Index, uint64(i.Status), i.Count} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// readItem reads an item, or gives io.EOF where there is none.
func readItem(in *bufio.Reader, i *verifier.ReconcileItem) (err error) {
	if i.Side, err = in.ReadByte(); err != nil {
		return err
	}
	cut := func(err error) error { return fmt.Errorf("couldn't read what was sorted on disk: %v", err) }
	for _, t := range texts(i) {
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return cut(err)
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return cut(err)
		}
		*t = string(text)
	}
	if i.Time, err = binary.ReadVarint(in); err != nil {
		return cut(err)
	}
	var file, status uint64
	for _, n := range []*uint64{&file, &i.Line, &i.Index, &status, &i.Count} {
		if *n, err = binary.ReadUvarint(in); err != nil {
			return cut(err)
		}
	}
	i.File, i.Status = uint32(file), int(status)
	return nil
}
