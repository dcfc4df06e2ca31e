package principal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/principal"
)

func ann() principal.Principal {
	return principal.Principal{Kind: principal.KindUser, Issuer: "https://idp", Subject: "ann-17", Tenant: "acme", Txn: "t-1",
		IssuedAt: time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)}
}

func TestAContextCarriesAPrincipalOrWhyThereIsNone(t *testing.T) {
	if _, err := principal.FromContext(t.Context()); !errors.Is(err, principal.ErrNone) {
		t.Errorf("an empty context: %v", err)
	}
	if got, err := principal.FromContext(principal.NewContext(t.Context(), ann())); err != nil || got != ann() {
		t.Errorf("got %v, %v", got, err)
	}
	refused := errors.New("forged")
	if got, err := principal.FromContext(context.WithValue(t.Context(), principal.Key{}, refused)); !errors.Is(err, refused) || got != (principal.Principal{}) {
		t.Errorf("a refused one: %v, %v", got, err)
	}
}

func TestNeitherLogNorFmtNamesAPerson(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, ann()); strings.Contains(text, "ann-17") || !strings.Contains(text, "acme") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
	other := ann()
	other.Subject = "bob"
	if ann().String() == other.String() {
		t.Error("a log does not tell two people apart")
	}
	if text := principal.Service("nightly", "acme").String(); !strings.Contains(text, "nightly") {
		t.Errorf("a service is not named: %s", text)
	}
}

func TestWhatAPrincipalMustHave(t *testing.T) {
	if err := ann().Check(); err != nil {
		t.Error(err)
	}
	if err := principal.Service("nightly", "acme").Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*principal.Principal){
		"kind":        func(p *principal.Principal) { p.Kind = "" },
		"subject":     func(p *principal.Principal) { p.Subject = "" },
		"issuer":      func(p *principal.Principal) { p.Issuer = "" },
		"issued":      func(p *principal.Principal) { p.IssuedAt = time.Time{} },
		"tenant":      func(p *principal.Principal) { p.Tenant = "acme\r\nX-Forwarded-User: eve" },
		"longer than": func(p *principal.Principal) { p.Txn = strings.Repeat("x", 257) },
		"printable":   func(p *principal.Principal) { p.Subject = "аnn" }, // a Cyrillic а
		"has none":    func(p *principal.Principal) { p.Kind = principal.KindService },
	} {
		p := ann()
		spoil(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "eve") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheSameSomebodyIsTheSameAtAnotherTime(t *testing.T) {
	later := ann()
	later.IssuedAt, later.Txn = later.IssuedAt.Add(time.Hour), "t-2"
	if !ann().Same(later) {
		t.Error("the same user an hour later is somebody else")
	}
	for _, change := range []func(*principal.Principal){
		func(p *principal.Principal) { p.Issuer = "https://other" }, func(p *principal.Principal) { p.Tenant = "other" },
		func(p *principal.Principal) { p.Kind = principal.KindService },
	} {
		p := ann()
		change(&p)
		if ann().Same(p) {
			t.Errorf("%v is taken for %v", p, ann())
		}
	}
}
