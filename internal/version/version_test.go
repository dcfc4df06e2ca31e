package version

import (
	"runtime/debug"
	"testing"
)

func TestAProgramSaysWhatItWasBuiltFrom(t *testing.T) {
	build := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v0.1.0"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-11-26T16:58:20Z"}, {Key: "vcs.modified", Value: "true"},
	}}
	if got := from(build).String(); got != "v0.1.0 (go1.26.8, commit 0123456789ab with changes), payload format v1" {
		t.Errorf("a release is %s", got)
	}
	if got := from(&debug.BuildInfo{GoVersion: "go1.26.8"}).String(); got != "(devel) (go1.26.8), payload format v1" {
		t.Errorf("a checkout is %s", got)
	}
}
