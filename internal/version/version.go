// Package version reads what the Go toolchain wrote into a program about itself.
package version

import (
	"errors"
	"runtime/debug"
	"strings"
)

// Info is what a program says of itself.
type Info struct {
	Version    string `json:"version" help:"version of the module, (devel) for a build of a checkout"`
	Revision   string `json:"revision,omitempty" help:"commit it was built from, when known"`
	Time       string `json:"time,omitempty" help:"time of that commit, RFC 3339"`
	Modified   bool   `json:"modified" help:"whether the checkout had changes"`
	Go         string `json:"go" help:"version of Go that built it"`
	WireFormat int    `json:"wireFormat" help:"format of sealed payloads that it knows"`
}

// Read reads the Info of the running program.
func Read() (Info, error) {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return Info{}, errors.New("this program was built without build information: build it with modules")
	}
	return from(build), nil
}

func from(build *debug.BuildInfo) Info {
	v := Info{Version: build.Main.Version, Go: build.GoVersion, WireFormat: 1}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// String is one line for people.
func (v Info) String() string {
	about := []string{v.Go}
	if v.Revision != "" {
		commit := "commit " + v.Revision[:min(12, len(v.Revision))]
		if v.Modified {
			commit += " with changes"
		}
		about = append(about, commit)
	}
	return v.Version + " (" + strings.Join(about, ", ") + "), payload format v1"
}
