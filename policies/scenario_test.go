// SPDX-License-Identifier: EUPL-1.2

package policies

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"
)

// sourceOf is a bundle as files: bundle.json in a, the vocabulary in v.
func sourceOf(t testing.TB, b *Bundle, scenarios string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	put := func(name string, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	s := source{Version: b.Version, DescriptionIt: b.DescriptionIt, DescriptionEn: b.DescriptionEn, Vocabulary: "../v"}
	for _, f := range b.Files {
		s.Policies = append(s.Policies, f.Name)
		files["a/"+f.Name] = &fstest.MapFile{Data: []byte(f.Text)}
	}
	put("a/bundle.json", s)
	v := b.Vocabulary
	for name, terms := range map[string][]Term{"categories": v.Categories, "purposes": v.Purposes, "legal-bases": v.LegalBases, "body-kinds": v.BodyKinds} {
		put("v/"+name+".json", map[string]any{"schema": VocabularySchema, "list": name, "terms": terms})
	}
	if scenarios != "" {
		files["a/scenarios/all.json"] = &fstest.MapFile{Data: []byte(scenarios)}
	}
	return files
}

func TestReadSource(t *testing.T) {
	want := smallBundle()
	got, err := ReadSource(sourceOf(t, want, ""), "a")
	if err != nil {
		t.Fatal(err)
	}
	first, err := want.Format()
	if err != nil {
		t.Fatal(err)
	}
	second, err := got.Format()
	if err != nil || string(first) != string(second) {
		t.Errorf("%s\n%s\n%v", first, second, err)
	}
	files := sourceOf(t, want, "")
	delete(files, "v/purposes.json")
	if _, err := ReadSource(files, "a"); err == nil {
		t.Error("no purposes")
	}
}

func TestScenarios(t *testing.T) {
	e := compile(t, smallBundle())
	const good = `{"name":"good","facts":{"kinds":["comune"],"categories":["isee"],"purpose":"isee-check","legal_basis":"a6-1-e"},"expect":"allow","policies":["isee-check"]}`
	for _, test := range []struct {
		name, file, wrong string // wrong: the names of those that don't hold, or the error
	}{
		{"good", good, ""},
		{"denied after all", strings.Replace(good, "comune", "ente", 1), "good"},
		{"allowed after all", strings.Replace(good, `"allow"`, `"deny"`, 1), "good"},
		{"by another policy", strings.Replace(good, `["isee-check"]}`, `["health"]}`, 1), "good"},
		{"for want of a policy", `{"name":"none","facts":{"categories":["isee"]},"expect":"deny","ground":"none"}`, ""},
		{"forbidden, not for want of a policy", `{"name":"many","facts":{"categories":["isee"],"subjects":101},"expect":"deny","ground":"none"}`, "many"},
		{"a chain", `{"name":"chain","chain":[` + good + `,` + strings.Replace(good, "comune", "ente", 1) + `]}`, "chain: good"},
		{"no level", `{"name":"loa","facts":{"categories":["disability"],"legal_basis":"a9-2-g","loa":0},"expect":"deny"}`, ""},
		{"no such policy", strings.Replace(good, `["isee-check"]}`, `["isee"]}`, 1), "error: no policy of the bundle"},
		{"no such term", strings.Replace(good, `["isee"]`, `["ISEE"]`, 1), "error: unknown_term"},
		{"no such kind", strings.Replace(good, `comune`, `comuni`, 1), "error: no kind of body"},
		{"no such member", strings.Replace(good, `"kinds"`, `"kind"`, 1), "error: an unknown name"},
		{"no expectation", strings.Replace(good, `,"expect":"allow"`, ``, 1), "error: expected facts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			list, err := e.TestScenarios(sourceOf(t, smallBundle(), `{"scenarios":[`+test.file+`]}`), "a")
			if want, ok := strings.CutPrefix(test.wrong, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var wrong []string
			for _, o := range list {
				if !o.OK {
					wrong = append(wrong, o.Name)
				}
			}
			if got := strings.Join(wrong, ", "); got != test.wrong {
				t.Errorf("got %q, want %q: %+v", got, test.wrong, list)
			}
		})
	}
	if _, err := e.TestScenarios(sourceOf(t, smallBundle(), ""), "a"); err == nil {
		t.Error("no scenarios at all pass")
	}
}
