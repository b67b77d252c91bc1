// SPDX-License-Identifier: EUPL-1.2

package deploytest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../../.."

// TestCompose: what is public is public on loopback alone, secrets come as files,
// our processes have no right that they don't need, and each is asked how it is.
func TestCompose(t *testing.T) {
	c := ReadCompose(t, root)
	ours := 0
	for name, s := range c.Services {
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: the port %s isn't on loopback", name, port)
			}
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s keeps capabilities, or can get some", name)
		}
		if len(s.Healthcheck.Test) < 2 == !s.Healthcheck.Disable || len(s.Healthcheck.Test) > 0 && s.Healthcheck.Test[0] != "CMD" {
			t.Errorf("%s: healthcheck %v", name, s.Healthcheck)
		}
		for _, volume := range s.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if _, ok := c.Volumes[source]; !ok && !strings.HasPrefix(source, "./") {
				t.Errorf("%s: no volume %s", name, source)
			}
		}
		if len(namesOf(s.Networks)) == 0 {
			t.Errorf("%s is in no network", name)
		}
		for _, network := range namesOf(s.Networks) {
			if _, ok := c.Networks[network]; !ok {
				t.Errorf("%s: no network %s", name, network)
			}
		}
		if !s.Ours() {
			continue
		}
		ours++
		if !s.ReadOnly || s.User != "65532:65532" {
			t.Errorf("%s: read_only %v, user %q", name, s.ReadOnly, s.User)
		}
		files := map[string]bool{}
		for _, secret := range s.Secrets {
			if c.Secrets[secret.Source].File == "" {
				t.Errorf("%s: no file for the secret %s", name, secret.Source)
			}
			files["/run/secrets/"+secret.Target] = true
		}
		text := strings.Join(s.Command, " ")
		for _, value := range s.Environment {
			text += " " + value
		}
		for _, file := range regexp.MustCompile(`/run/secrets/[a-z.]+`).FindAllString(text, -1) {
			if !files[file] {
				t.Errorf("%s: nothing is at %s", name, file)
			}
		}
	}
	if ours != 4 || len(c.Services) != 7 {
		t.Errorf("%d services, %d of them ours", len(c.Services), ours)
	}
}

// TestContainerfile: what an image needs when it runs is in it.
func TestContainerfile(t *testing.T) {
	text := read(t, root, "deploy", "Containerfile")
	_, last, _ := strings.Cut(text, "FROM scratch")
	for _, want := range []string{"/etc/ssl/certs/ca-certificates.crt", "/usr/local/bin/", "/usr/local/share/traccia-verifier/", "USER 65532:65532", "HEALTHCHECK "} {
		if !strings.Contains(last, want) {
			t.Errorf("the image has no %s", want)
		}
	}
	if strings.Contains(last, "RUN ") {
		t.Error("the image is made without a shell, and something is run in it")
	}
	for _, program := range []string{"ledgerd", "gateway", "verifier", "agency"} {
		if !strings.Contains(text, "./cmd/"+program) {
			t.Errorf("%s isn't built", program)
		}
	}
}

// namesOf reads a list of names, or a map by name.
func namesOf(v any) (names []string) {
	switch v := v.(type) {
	case []any:
		for _, name := range v {
			names = append(names, fmt.Sprint(name))
		}
	case map[string]any:
		for name := range v {
			names = append(names, name)
		}
	}
	return names
}
