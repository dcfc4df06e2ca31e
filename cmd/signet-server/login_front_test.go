package main

import (
	"net/http/httptest"
	"testing"

	"github.com/signet-temporal/signet/codecserver/login"
)

// TestTheAddressAloneLeadsPeopleToAPage: who types it into a browser finds no JSON there, but where to log in or what to try.
func TestTheAddressAloneLeadsPeopleToAPage(t *testing.T) {
	for page, s := range map[string]site{"/self-test": {}, "/login": {login: new(login.Login)}} {
		for _, method := range []string{"GET", "HEAD"} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(method, "/?next=https://evil.example", nil))
			if to := w.Header().Get("Location"); w.Code != 303 || to != page || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s / is answered with %d and leads to %q, want %q", method, w.Code, to, page)
			}
		}
	}
}
