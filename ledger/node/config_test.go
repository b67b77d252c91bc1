// SPDX-License-Identifier: EUPL-1.2

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSettings(t *testing.T) {
	const good = `{"name":"registro.example","pdnd":{"eservice":{"id":"3d0a8a4e-61d0-4f0c-8a58-0f1f1a0d9c11",` +
		`"producer":"8f1b7c55-2f5f-4b53-9b0a-5f8e6f4b7d22","audience":["https://registro.example/v1"]}}}`
	for _, test := range []struct{ name, old, new, refused string }{
		{"good", "", "", ""},
		{"an id that is no uuid", "3d0a8a4e-61d0", "3D0A8A4E-61d0", "pdnd/eservice/id"},
		{"a producer that is no uuid", "8f1b7c55-2f5f-4b53-9b0a-5f8e6f4b7d22", "inps", "pdnd/eservice/producer"},
		{"no audience", `["https://registro.example/v1"]`, "[]", "pdnd/eservice/audience"},
		{"a version that is no uuid", `"audience"`, `"descriptors":["1"],"audience"`, "pdnd/eservice/descriptors"},
		{"an unknown name", `"audience"`, `"aud"`, "names id, producer, audience, descriptors"},
		{"a name with a space", "registro.example\",\"pdnd", "registro example\",\"pdnd", "name"},
		{"an interval of an hour", `"pdnd"`, `"publish_interval":"1h","pdnd"`, "publish_interval"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, configFile), []byte(strings.Replace(good, test.old, test.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ReadSettings(dir)
			if (err != nil) != (test.refused != "") || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Errorf("got %v, want %q", err, test.refused)
			}
		})
	}
}
