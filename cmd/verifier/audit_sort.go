// SPDX-License-Identifier: EUPL-1.2

package main

import (
	"bufio"
	"cmp"
	"encoding/binary"

	"github.com/traccia-ledger/traccia/verifier"
)

// audited sorts what an audit groups.
var audited = sorted[verifier.AuditItem]{compareAudited, appendAudited, readAudited}

func compareAudited(a, b *verifier.AuditItem) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Index, b.Index))
}

// auditTexts are an item's strings, in the order in which they are kept.
func auditTexts(i *verifier.AuditItem) [5]*string {
	return [5]*string{&i.Key, &i.Receipt, &i.Operator, &i.Case, &i.Subject}
}

func appendAudited(b []byte, i *verifier.AuditItem) []byte {
	for _, t := range auditTexts(i) {
		b = appendText(b, *t)
	}
	b = appendText(b, string(i.Data))
	b = binary.AppendVarint(b, i.Time)
	for _, n := range []uint64{uint64(i.Epoch), i.Index, uint64(i.Use), i.Flags} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func readAudited(in *bufio.Reader, i *verifier.AuditItem) (err error) {
	if _, err := in.Peek(1); err != nil {
		return err
	}
	for _, t := range auditTexts(i) {
		if *t, err = readText(in); err != nil {
			return err
		}
	}
	data, err := readText(in)
	if err != nil {
		return err
	}
	if i.Data = nil; data != "" {
		i.Data = []byte(data)
	}
	if i.Time, err = binary.ReadVarint(in); err != nil {
		return errCut(err)
	}
	var epoch, use uint64
	for _, n := range []*uint64{&epoch, &i.Index, &use, &i.Flags} {
		if *n, err = binary.ReadUvarint(in); err != nil {
			return errCut(err)
		}
	}
	i.Epoch, i.Use = uint32(epoch), uint32(use)
	return nil
}
