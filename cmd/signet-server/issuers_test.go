package main

import (
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/principal/verify"
)

// TestEveryChangeOfAnIssuerIsAnother: an issuer that passed for the same would keep a verifier that lets in whom the
// configuration does not.
func TestEveryChangeOfAnIssuerIsAnother(t *testing.T) {
	is := reflect.TypeFor[verify.Issuer]()
	for i := range is.NumField() {
		var changed verify.Issuer
		switch field := reflect.ValueOf(&changed).Elem().Field(i); v := field.Addr().Interface().(type) {
		case *string:
			*v = "x"
		case *[]string:
			*v = []string{"x"}
		case *bool:
			*v = true
		case *time.Duration:
			*v = time.Minute
		case **x509.CertPool:
			*v = x509.NewCertPool()
		default:
			t.Fatalf("%s: this test does not know the type %s", is.Field(i).Name, field.Type())
		}
		if sameIssuers([]verify.Issuer{{}}, []verify.Issuer{changed}) || sameIssuers([]verify.Issuer{changed}, []verify.Issuer{{}}) {
			t.Errorf("a change of %s is none", is.Field(i).Name)
		}
	}
	if sameIssuers(nil, []verify.Issuer{{}}) || !sameIssuers([]verify.Issuer{{}}, []verify.Issuer{{}}) {
		t.Error("the number of issuers does not count, or nothing is the same")
	}
}

// TestATokenThatWasTakenIsNotTakenAfterAReloadThatSaysOtherwise: though what it says was remembered.
func TestATokenThatWasTakenIsNotTakenAfterAReloadThatSaysOtherwise(t *testing.T) {
	a := &arena{t: t, dir: t.TempDir(), idp: newProvider(t), cloud: newProvider(t)}
	file := a.file("config.yaml", nil)
	a.makeKeys()
	ours, theirs := `{issuer: "`+a.idp.URL+`", audiences: [codec, other]}`, `{issuer: "`+a.cloud.URL+`", audiences: [codec]}`
	configure := func(issuers string) {
		t.Helper()
		text := "listen: 127.0.0.1:0\nissuers: [" + issuers + "]\nnamespaces: [{name: payments, keyset: login/codec}]\nkeys: {file: {dir: " + a.dir + "/keys}}\naudit: {stdout: true}\npolicy: {grants: []}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure(ours + ", " + theirs)
	c, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := build(t.Context(), c, &syncBuffer{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l := newLive(file, b, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { l.now.Load().close(slog.New(slog.DiscardHandler)) })
	ask := func(token string, want int) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, "/decode", strings.NewReader(`{"payloads":[]}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		if l.ServeHTTP(w, r); w.Code != want {
			t.Errorf("status %d, want %d", w.Code, want)
		}
	}
	other, their := a.idp.of("ann", fields{"aud": "other"}), a.cloud.of("ann", nil)
	ask(other, http.StatusOK)
	ask(their, http.StatusOK)
	configure(strings.Replace(ours, ", other", "", 1) + ", " + theirs)
	if err := l.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(other, http.StatusUnauthorized) // its audience is gone
	ask(their, http.StatusOK)
	configure(ours)
	if err := l.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(other, http.StatusOK)
	ask(their, http.StatusUnauthorized) // its issuer is
}
