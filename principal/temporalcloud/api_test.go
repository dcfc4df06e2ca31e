package temporalcloud

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// user is one as the API's protobuf messages look in JSON.
func user(email, state, namespace string) string {
	return fmt.Sprintf(`{"id":"1","resourceVersion":"2","spec":{"email":%q,"access":{"accountAccess":{"role":"ROLE_FINANCE_ADMIN","roleDeprecated":"x"},
		"namespaceAccesses":{%q:{"permission":"PERMISSION_WRITE"}}}},"state":%q}`, email, namespace, state)
}

func TestTheAPIIsAskedForOneUserAndItsAnswerNotBelievedBlindly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, body := http.StatusOK, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/cloud/users" || r.URL.RawQuery != "email=ann%2Bx%40example.com" || r.Header.Get("Authorization") != "Bearer sesame" ||
			r.Header.Get("temporal-cloud-api-version") == "" {
			t.Errorf("asked %s %s %v", r.Method, r.URL, r.Header)
		}
		w.Header().Set("Location", "https://evil.example/")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	api := &API{Address: server.URL, KeyFile: file, Account: "a2b3c"}
	const email, active = "ann+x@example.com", "RESOURCE_STATE_ACTIVE"
	good := user("Ann+x@Example.com", active, "payments.a2b3c")
	for says, c := range map[string]struct {
		status int
		body   string
		want   *User
		err    string
	}{
		"the user":                       {200, `{"users":[` + good + `]}`, &User{"finance-admin", map[string]string{"payments.a2b3c": "write"}}, ""},
		"nobody":                         {200, `{}`, nil, ""},
		"another, whom nobody asked for": {200, `{"users":[` + user("eve@example.com", active, "payments.a2b3c") + `]}`, nil, ""},
		"one who is invited":             {200, `{"users":[` + user(email, "RESOURCE_STATE_ACTIVATING", "payments.a2b3c") + `]}`, nil, ""},
		"one who is suspended":           {200, `{"users":[` + user(email, "RESOURCE_STATE_SUSPENDED", "payments.a2b3c") + `]}`, nil, ""},
		"two":                            {200, `{"users":[` + good + "," + good + `]}`, nil, "two users"},
		"a key of another account":       {200, `{"users":[` + user(email, active, "payments.zzzzz") + `]}`, nil, "of another account than a2b3c"},
		"not JSON":                       {200, `<html>`, nil, "something else than users"},
		"a key that is refused":          {401, `{}`, nil, "answers 401"},
		"a redirect":                     {302, ``, nil, "answers 302"},
	} {
		status, body = c.status, c.body
		got, err := api.User(t.Context(), email)
		if !reflect.DeepEqual(got, c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %+v, %v", says, got, err)
		}
	}
	server.Close()
	if _, err := api.User(t.Context(), email); err == nil || strings.Contains(err.Error(), "example.com") || strings.Contains(err.Error(), "sesame") {
		t.Errorf("away: %v", err)
	}
	api.KeyFile += "-none"
	if _, err := api.User(t.Context(), email); err == nil || !strings.Contains(err.Error(), "reading the API key") {
		t.Errorf("no key: %v", err)
	}
}

// TestAnAnswerWithoutAnEndIsNotRead: whoever stands between could fill the memory.
func TestAnAnswerWithoutAnEndIsNotRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for chunk := make([]byte, 64<<10); sent < 64<<20; sent += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	_, err := (&API{Address: server.URL, KeyFile: file, Account: "a2b3c"}).User(t.Context(), "ann@example.com")
	server.Close() // the handler has ended
	if err == nil || sent >= 64<<20 {
		t.Errorf("%d bytes were sent: %v", sent, err)
	}
}
