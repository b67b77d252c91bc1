// SPDX-License-Identifier: EUPL-1.2

package cli

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionAnswer struct {
	Done
	Module   string `json:"module"`
	Version  string `json:"version"`  // of the module, (devel) when built from a checkout
	Revision string `json:"revision"` // commit, empty when built without version control
	Time     string `json:"time"`     // of the commit, RFC 3339
	Modified bool   `json:"modified"` // built from a checkout with changes of its own
	Go       string `json:"go"`
}

func (a *versionAnswer) Text(w io.Writer) {
	fmt.Fprintf(w, "%s %s\n", a.Module, a.Version)
	if a.Revision != "" {
		changed := ""
		if a.Modified {
			changed = ", with local changes"
		}
		fmt.Fprintf(w, "commit %s of %s%s\n", a.Revision, a.Time, changed)
	}
	fmt.Fprintf(w, "built with %s\n", a.Go)
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print which build this is",
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return errors.New("this binary carries no build information")
			}
			a := versionAnswer{Module: info.Main.Path, Version: info.Main.Version, Go: info.GoVersion}
			for _, s := range info.Settings {
				switch s.Key {
				case "vcs.revision":
					a.Revision = s.Value
				case "vcs.time":
					a.Time = s.Value
				case "vcs.modified":
					a.Modified = s.Value == "true"
				}
			}
			return Print(cmd, &a)
		},
	}
}
