// SPDX-License-Identifier: EUPL-1.2

package ledger

import "crypto/sha256"

// BodyCommitment is the commitment in an event's leaf: H(NS/body ‖ 00 ‖ nonce ‖
// body), over the body's exact bytes.
func BodyCommitment(nonce *[32]byte, body []byte) Hash {
	return commit(NameSpace+"/body\x00", nonce, body)
}

// PrivateDigest is the private_digest in a receipt: H(NS/private ‖ 00 ‖ salt ‖
// content), over the private part's exact bytes.
func PrivateDigest(salt *[32]byte, content []byte) Hash {
	return commit(NameSpace+"/private\x00", salt, content)
}

func commit(use string, salt *[32]byte, content []byte) Hash {
	h := sha256.New()
	h.Write([]byte(use))
	h.Write(salt[:])
	h.Write(content)
	return Hash(h.Sum(nil))
}

// Pair is what the receipts of both sides of one call have in common: H(NS/pair
// ‖ 00 ‖ LP(voucher jti) ‖ LP(evidence digest) ‖ LP(request digest)). Digests
// are the 64 lower-case hex digits of a SHA-256, "" when there is none; the jti
// is a uuid, or at least no longer than [MaxText] characters.
func Pair(voucherJTI, evidenceDigest, requestDigest string) Hash {
	b := []byte(NameSpace + "/pair\x00")
	b = appendLP(b, voucherJTI)
	b = appendLP(b, evidenceDigest)
	b = appendLP(b, requestDigest)
	return sha256.Sum256(b)
}
