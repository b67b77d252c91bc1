// SPDX-License-Identifier: EUPL-1.2

package verifier_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/traccia-ledger/traccia/ledger/checkpoint"
)

// keepVectors writes beside files what they are judged under, and what of each is expected.
func keepVectors[V any](t *testing.T, folder string, trusted *checkpoint.Policy, vectors []V) {
	t.Helper()
	policy, err := checkpoint.FormatPolicy(trusted)
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"policy.txt": policy, "expect.json": append(list, '\n')} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// keptVectors reads what keepVectors wrote.
func keptVectors[V any](t *testing.T, folder string) (policy *checkpoint.Policy, vectors []V) {
	t.Helper()
	policy, err := checkpoint.ParsePolicy(keptVector(t, folder, "policy.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(keptVector(t, folder, "expect.json"), &vectors); err != nil {
		t.Fatal(err)
	}
	return policy, vectors
}

func keptVector(t *testing.T, folder, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
