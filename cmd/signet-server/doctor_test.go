package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What stands between a browser and the codec server can break it in ways of its own.
func TestTheDoctorKnowsWhatStandsInBetween(t *testing.T) {
	const ui = "https://ui.example"
	allow := func(w http.ResponseWriter, headers string) {
		w.Header().Set("Access-Control-Allow-Origin", ui)
		w.Header().Set("Access-Control-Allow-Headers", headers)
	}
	const all = "Authorization, Authorization-Extras, Content-Type, X-Namespace"
	for says, c := range map[string]struct {
		server http.HandlerFunc
		want   string
	}{
		"a login proxy redirects": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://login.example/", http.StatusFound)
			},
			"FAIL  preflight  something in between redirects it (status 302), as a login proxy does",
		},
		"a proxy refuses OPTIONS": {
			func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
			"FAIL  preflight  status 405: something in between refuses OPTIONS",
		},
		"a proxy answers preflights and has not heard of ID tokens": {
			func(w http.ResponseWriter, r *http.Request) { allow(w, "Content-Type, X-Namespace, Authorization") },
			"FAIL  preflight  it does not allow authorization-extras",
		},
		"a proxy allows everybody, which browsers refuse with a token": {
			func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Access-Control-Allow-Origin", "*") },
			`FAIL  preflight  it allows the origin "*" and not https://ui.example`,
		},
		"errors without CORS headers": {
			func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodOptions {
					allow(w, all)
					return
				}
				w.WriteHeader(http.StatusBadGateway)
			},
			"FAIL  Web UI     the answer (status 502) does not allow the origin: the browser shows a network error",
		},
		"a page instead of JSON": {
			func(w http.ResponseWriter, r *http.Request) { allow(w, all); _, _ = io.WriteString(w, "<html>") },
			"FAIL  Web UI     the answer is not that of a codec server",
		},
		"a codec that does nothing": {
			func(w http.ResponseWriter, r *http.Request) { allow(w, all); _, _ = io.Copy(w, r.Body) },
			"FAIL  Web UI     the payload came back as it was sent",
		},
		"a gateway's own refusal": {
			func(w http.ResponseWriter, r *http.Request) {
				allow(w, all)
				if r.Method == http.MethodPost {
					w.WriteHeader(http.StatusForbidden)
				}
			},
			"FAIL  Web UI     status 403, and not in the words of signet-server",
		},
		"words that steer a terminal": {
			func(w http.ResponseWriter, r *http.Request) {
				allow(w, all)
				_ = json.NewEncoder(w).Encode(map[string]any{"payloads": []any{map[string]any{"metadata": map[string][]byte{"signet-explanation": []byte("v1")},
					"data": []byte(`{"message":"no\u001b[2J\u009b1m\u202eyes\r\nok    Web UI","reason":"x"}`)}}})
			},
			"FAIL  Web UI     no\ufffd[2J\ufffd1m\ufffdyes\ufffd\ufffdok    Web UI (x, request )\n",
		},
		"words that steer a terminal in an error": {
			func(w http.ResponseWriter, r *http.Request) {
				allow(w, all)
				if r.Method == http.MethodPost {
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `{"error":"\u001b]0;x\u0007","requestId":"\n"}`)
				}
			},
			"FAIL  Web UI     the server's log says why (status 403, \ufffd]0;x\ufffd, request \ufffd)\n",
		},
	} {
		t.Run(says, func(t *testing.T) {
			server := httptest.NewServer(c.server)
			defer server.Close()
			var stdout, stderr bytes.Buffer
			code := run([]string{"doctor", server.URL, "--origin", ui, "--token", "a.e30.c"}, &stdout, &stderr)
			if code != 1 || !strings.Contains(stdout.String(), c.want) {
				t.Errorf("exit %d, want %q in\n%s%s", code, c.want, stdout.String(), stderr.String())
			}
		})
	}
}
