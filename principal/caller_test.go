package principal_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/principal"
)

func TestALogNamesACallerWithoutMailAddressAndGroups(t *testing.T) {
	var out bytes.Buffer
	c := principal.Caller{Issuer: "https://idp", Subject: "u-17", Email: "ann@example.com", Groups: []string{"oncall"}}
	slog.New(slog.NewTextHandler(&out, nil)).Info("decoded", "caller", c)
	if !strings.Contains(out.String(), "caller.subject=u-17") {
		t.Errorf("the log does not name the subject: %s", out.String())
	}
	for _, private := range []string{"ann@example.com", "oncall"} {
		if strings.Contains(out.String(), private) {
			t.Errorf("the log holds %q: %s", private, out.String())
		}
	}
}

func TestANameIsTheMailAddressOrElseTheSubject(t *testing.T) {
	if got := (principal.Caller{Subject: "u-17"}).Name(); got != "u-17" {
		t.Errorf("Name() = %q, want the subject", got)
	}
	if got := (principal.Caller{Subject: "u-17", Email: "ann@example.com"}).Name(); got != "ann@example.com" {
		t.Errorf("Name() = %q, want the e-mail address", got)
	}
}
