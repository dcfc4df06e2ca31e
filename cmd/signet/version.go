package main

import (
	"fmt"
	"io"
	"runtime/debug"
)

type versionCmd struct{}

// Help is the long help of the command.
func (versionCmd) Help() string { return jsonHelp[versionInfo]() }

// versionInfo is the JSON output of `version`.
type versionInfo struct {
	Version    string `json:"version" help:"version of the module, (devel) for a build of a checkout"`
	Revision   string `json:"revision,omitempty" help:"commit it was built from, when known"`
	Time       string `json:"time,omitempty" help:"time of that commit, RFC 3339"`
	Modified   bool   `json:"modified" help:"whether the checkout had changes"`
	Go         string `json:"go" help:"version of Go that built it"`
	WireFormat int    `json:"wireFormat" help:"format of sealed payloads that it knows"`
}

// Run prints what the Go toolchain wrote into the program.
func (versionCmd) Run(a *app) error {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("this program was built without build information: build it with modules")
	}
	v := versionInfo{Version: build.Main.Version, Go: build.GoVersion, WireFormat: 1}
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
	return a.print(v, v.table)
}

func (v versionInfo) table(w io.Writer) {
	fmt.Fprintf(w, "signet %s (%s", v.Version, v.Go)
	if v.Revision != "" {
		fmt.Fprintf(w, ", commit %.12s", v.Revision)
		if v.Modified {
			fmt.Fprint(w, " with changes")
		}
	}
	fmt.Fprintf(w, "), payload format v%d\n", v.WireFormat)
}
