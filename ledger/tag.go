// SPDX-License-Identifier: EUPL-1.2

package ledger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// SubjectAlpha is the VRF input of a subject in a scope and epoch:
// LP(NS/subject) ‖ LP(subject) ‖ LP(scope) ‖ u32 epoch. The first 32 bytes of
// its output are the key k_s of [SubjectTag].
//
//	0012 traccia/v1/subject 0010 RSSMRA80A01H501U 0006 c_h501 000007ea
func SubjectAlpha(subject Subject, scope string, epoch uint32) []byte {
	b := appendLP(nil, NameSpace+"/subject")
	b = appendLP(b, string(subject))
	b = appendLP(b, scope)
	return binary.BigEndian.AppendUint32(b, epoch)
}

// AgencyAlpha is the VRF input of an agency in an epoch: LP(NS/agency) ‖
// LP(agency) ‖ u32 epoch. The first 32 bytes of its output are the key k_a of
// [AgencyTag].
//
//	0011 traccia/v1/agency 0006 c_h501 000007ea
func AgencyAlpha(agency string, epoch uint32) []byte {
	b := appendLP(nil, NameSpace+"/agency")
	b = appendLP(b, agency)
	return binary.BigEndian.AppendUint32(b, epoch)
}

// SubjectTag is the tag of the i-th event, from 0, of the subject, scope and
// epoch that k belongs to: HMAC(k, NS/subject-tag ‖ 00 ‖ u32 i).
func SubjectTag(k *[32]byte, i uint32) Hash {
	mac := hmac.New(sha256.New, k[:])
	mac.Write(binary.BigEndian.AppendUint32([]byte(NameSpace+"/subject-tag\x00"), i))
	return Hash(mac.Sum(nil))
}

// AgencyTag is the tag of the j-th event, from 0, of the agency and epoch that
// k belongs to: HMAC(k, NS/agency-tag ‖ 00 ‖ u64 j).
func AgencyTag(k *[32]byte, j uint64) Hash {
	mac := hmac.New(sha256.New, k[:])
	mac.Write(binary.BigEndian.AppendUint64([]byte(NameSpace+"/agency-tag\x00"), j))
	return Hash(mac.Sum(nil))
}
