// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

const (
	sortedInMemory = 1 << 16 // items
	mergedAtOnce   = 64      // files
)

// sorted says how items of a kind are ordered, and kept in files.
type sorted[T any] struct {
	compare func(a, b *T) int
	write   func(b []byte, item *T) []byte
	read    func(in *bufio.Reader, item *T) error // io.EOF where there is none
}

// diskSorter sorts items in a directory of its user's: pieces of them in memory, each written to a file, which are merged. It
// holds one piece, or a buffer for each of mergedAtOnce files.
type diskSorter[T any] struct {
	sorted[T]
	dir   string
	most  int // items in memory
	items []T
	runs  []*os.File
}

func newDiskSorter[T any](as sorted[T], dir string, most int) *diskSorter[T] {
	return &diskSorter[T]{sorted: as, dir: dir, most: most}
}

func (s *diskSorter[T]) Add(i *T) error {
	s.items = append(s.items, *i)
	if len(s.items) < s.most {
		return nil
	}
	return s.spill()
}

func (s *diskSorter[T]) sort() {
	slices.SortFunc(s.items, func(a, b T) int { return s.compare(&a, &b) })
}

// spill writes what is in memory to a file, and merges files that became too many.
func (s *diskSorter[T]) spill() error {
	s.sort()
	err := s.keep(func(yield func(*T, error) bool) {
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
	err = s.keep(s.merged(old))
	for _, f := range old {
		f.Close()
	}
	return err
}

// keep makes a file of sorted items. It has no name: nothing of it is left, whatever ends the process.
func (s *diskSorter[T]) keep(items iter.Seq2[*T, error]) error {
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
		b = s.write(b[:0], i)
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

func (s *diskSorter[T]) Sorted() iter.Seq2[*T, error] {
	if len(s.runs) > 0 {
		if err := s.spill(); err != nil {
			return func(yield func(*T, error) bool) { yield(nil, err) }
		}
		return s.merged(s.runs)
	}
	s.sort()
	return func(yield func(*T, error) bool) {
		for n := range s.items {
			if !yield(&s.items[n], nil) {
				return
			}
		}
	}
}

func (s *diskSorter[T]) Close() error {
	var err error
	for _, f := range s.runs {
		err = errors.Join(err, f.Close())
	}
	s.runs, s.items = nil, nil
	return err
}

// run is a file that is being merged, with its next item.
type run[T any] struct {
	in   *bufio.Reader
	item T
}

type runs[T any] struct {
	open    []*run[T]
	compare func(a, b *T) int
}

func (r *runs[T]) Len() int           { return len(r.open) }
func (r *runs[T]) Less(a, b int) bool { return r.compare(&r.open[a].item, &r.open[b].item) < 0 }
func (r *runs[T]) Swap(a, b int)      { r.open[a], r.open[b] = r.open[b], r.open[a] }
func (r *runs[T]) Push(x any)         { r.open = append(r.open, x.(*run[T])) }
func (r *runs[T]) Pop() any {
	last := r.open[len(r.open)-1]
	r.open = r.open[:len(r.open)-1]
	return last
}

func (s *diskSorter[T]) merged(files []*os.File) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		open := &runs[T]{compare: s.compare}
		for _, f := range files {
			one := &run[T]{in: bufio.NewReaderSize(f, 1<<16)}
			switch err := s.read(one.in, &one.item); {
			case errors.Is(err, io.EOF):
			case err != nil:
				yield(nil, err)
				return
			default:
				open.Push(one)
			}
		}
		heap.Init(open)
		for open.Len() > 0 {
			item := open.open[0].item
			switch err := s.read(open.open[0].in, &open.open[0].item); {
			case errors.Is(err, io.EOF):
				heap.Pop(open)
			case err != nil:
				yield(nil, err)
				return
			default:
				heap.Fix(open, 0)
			}
			if !yield(&item, nil) {
				return
			}
		}
	}
}

// appendText and readText are how strings are kept in files that are sorted.
func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func readText(in *bufio.Reader) (string, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return "", errCut(err)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(in, text); err != nil {
		return "", errCut(err)
	}
	return string(text), nil
}

func errCut(err error) error { return fmt.Errorf("couldn't read what was sorted on disk: %v", err) }
