// SPDX-License-Identifier: EUPL-1.2

package ijson

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("../testdata/vectors-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		JSON    []string `json:"json"`
		Refused []struct {
			Why string `json:"why"`
			Hex string `json:"hex"`
		} `json:"json_refused"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.JSON) < 10 || len(v.Refused) < 40 {
		t.Fatalf("only %d and %d vectors", len(v.JSON), len(v.Refused))
	}
	for _, doc := range v.JSON {
		if err := Check([]byte(doc)); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
	for _, r := range v.Refused {
		doc, err := hex.DecodeString(r.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if Check(doc) == nil {
			t.Errorf("%s: accepted", r.Why)
		}
	}
}
