// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"cmp"
	"encoding/binary"

	"github.com/traccia-ledger/traccia/verifier"
)

// reconciled sorts what is compared.
var reconciled = sorted[verifier.ReconcileItem]{compareItems, appendItem, readItem}

func compareItems(a, b *verifier.ReconcileItem) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Side, b.Side), cmp.Compare(a.Origin, b.Origin),
		cmp.Compare(a.Index, b.Index), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
}

// texts are an item's strings, in the order in which they are kept.
func texts(i *verifier.ReconcileItem) [10]*string {
	return [10]*string{&i.Key, &i.Origin, &i.Role, &i.Kind, &i.Receipt, &i.Pair, &i.Voucher, &i.Purpose, &i.EService, &i.Method}
}

func appendItem(b []byte, i *verifier.ReconcileItem) []byte {
	b = append(b, i.Side)
	for _, t := range texts(i) {
		b = appendText(b, *t)
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
	for _, t := range texts(i) {
		if *t, err = readText(in); err != nil {
			return err
		}
	}
	if i.Time, err = binary.ReadVarint(in); err != nil {
		return errCut(err)
	}
	var file, status uint64
	for _, n := range []*uint64{&file, &i.Line, &i.Index, &status, &i.Count} {
		if *n, err = binary.ReadUvarint(in); err != nil {
			return errCut(err)
		}
	}
	i.File, i.Status = uint32(file), int(status)
	return nil
}
