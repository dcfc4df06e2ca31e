package vaultstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// reply is one answer of Vault: recorded from Vault 1.21.2, except where a test says that no Vault sends it.
type reply struct {
	status int
	body   string
	err    error // instead of an answer: the network's, after Vault was asked
}

// The answers that many paths give.
var (
	nothingThere   = reply{status: 404, body: `{"errors":[]}`}
	denied         = reply{status: 403, body: `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`}
	tokenRefused   = reply{status: 403, body: `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`}
	preflightNo    = reply{status: 403, body: `{"errors":["preflight capability check returned 403, please ensure client's policies grant access to path \"secrt/\""]}`}
	sealed         = reply{status: 503, body: `{"errors":["Vault is sealed"]}`}
	noContent      = reply{status: 204}
	casMismatch    = reply{status: 400, body: `{"errors":["check-and-set parameter did not match the current version"]}`}
	kv2Mount       = reply{status: 200, body: `{"request_id":"225cfa43","data":{"accessor":"kv_47f49e37","options":{"version":"2"},"path":"secret/","type":"kv"},"auth":null}`}
	kv1Mount       = reply{status: 200, body: `{"request_id":"b24b711e","data":{"accessor":"kv_8afea5c0","options":{"version":"1"},"path":"secret/","type":"kv"},"auth":null}`}
	deletedDoc     = reply{status: 404, body: `{"request_id":"7ed6e745","lease_id":"","renewable":false,"lease_duration":0,"data":{"data":null,"metadata":{"created_time":"2026-11-22T10:07:06.06366112Z","custom_metadata":null,"deletion_time":"2026-11-22T10:07:06.129798122Z","destroyed":false,"version":3}},"wrap_info":null,"warnings":null,"auth":null,"mount_type":""}`}
	written        = reply{status: 200, body: `{"request_id":"8f29d1ef","data":{"created_time":"2026-11-22T10:07:06.152851559Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":4},"mount_type":"kv"}`}
	derivedKey     = reply{status: 200, body: `{"request_id":"77d3d2b6","data":{"allow_plaintext_backup":false,"auto_rotate_period":0,"convergent_encryption":false,"deletion_allowed":false,"derived":true,"exportable":false,"imported_key":false,"kdf":"hkdf_sha256","keys":{"1":1795342025},"latest_version":1,"min_available_version":0,"min_decryption_version":1,"min_encryption_version":0,"name":"signet","supports_decryption":true,"supports_derivation":true,"supports_encryption":true,"supports_signing":false,"type":"aes256-gcm96"},"mount_type":"transit"}`}
	plainKey       = reply{status: 200, body: `{"request_id":"b00c2955","data":{"deletion_allowed":false,"derived":false,"exportable":false,"keys":{"1":1795342025},"latest_version":1,"name":"signet","supports_decryption":true,"supports_derivation":true,"supports_encryption":true,"type":"aes256-gcm96"},"mount_type":"transit"}`}
	encrypted      = reply{status: 200, body: `{"request_id":"68af8aa5","data":{"ciphertext":"vault:v1:zD8VkCQCPZw3XIYhXZWs5S2npJhR1xDFP1LU4qC9+lO0","key_version":1},"mount_type":"transit"}`}
	decrypted      = reply{status: 200, body: `{"request_id":"661fd327","data":{"plaintext":"aGVsbG8="},"mount_type":"transit"}`}
	notAuthentic   = reply{status: 400, body: `{"errors":["cipher: message authentication failed"]}`}
	noSuchMount    = reply{status: 404, body: `{"errors":["no handler for route \"secrt/data/signet/keysets/none\". route entry not found."]}`}
	throttled      = reply{status: 429, body: `{"errors":["request path \"transit/keys/signet\": rate limit quota exceeded"]}`}
	liveDoc        = `{"request_id":"3c9765a7","data":{"data":{"keyset":{"format":1,"name":"ns/a","type":"XAES_256_GCM","policy":{"propagationDelay":"5m0s"},"keys":[]}},"metadata":{"created_time":"2026-11-22T10:07:06.06366112Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":3}},"mount_type":"kv"}`
	live           = reply{status: 200, body: liveDoc}
	liveID         = versionID(3, "2026-11-22T10:07:06.06366112Z")
	errLostAnswer  = errors.New("read tcp 127.0.0.1: connection reset by peer")
	errUnreachable = errors.New("dial tcp 127.0.0.1:8200: connect: connection refused")
)

const (
	docPath     = "secret/data/signet/keysets/ns/a"
	mountPath   = "sys/internal/ui/mounts/secret/data/signet/keysets"
	keyPath     = "transit/keys/signet"
	encryptPath = "transit/encrypt/signet"
	decryptPath = "transit/decrypt/signet"
)

// request is what a fake Vault was asked.
type request struct {
	method, path, token string
	body                map[string]any
}

// fakeVault is an HTTP transport that answers as answer says and remembers what it was asked. It works in a synctest
// bubble, where no network does.
type fakeVault struct {
	answer func(request) reply
	delay  time.Duration // before an answer is made

	mu    sync.Mutex
	asked []request
}

func (f *fakeVault) RoundTrip(r *http.Request) (*http.Response, error) {
	req := request{method: r.Method, path: strings.TrimPrefix(r.URL.Path, "/v1/"), token: r.Header.Get("X-Vault-Token")}
	if r.Body != nil {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = json.Unmarshal(content, &req.body)
	}
	time.Sleep(f.delay)
	f.mu.Lock()
	f.asked = append(f.asked, req)
	rep := f.answer(req)
	f.mu.Unlock()
	if rep.status == 0 && rep.err == nil { // a Vault that never answers
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if rep.err != nil {
		return nil, rep.err
	}
	return &http.Response{
		StatusCode: rep.status,
		Header:     http.Header{"Content-Type": {"application/json"}, "Location": {"http://127.0.0.1:8201" + r.URL.Path}},
		Body:       io.NopCloser(bytes.NewBufferString(rep.body)), Request: r,
	}, nil
}

// count returns how often path was asked with method.
func (f *fakeVault) count(method, path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.asked {
		if r.method == method && r.path == path {
			n++
		}
	}
	return n
}

// requests returns how often anything was asked.
func (f *fakeVault) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// script answers by "METHOD path"; a list is used up to its last entry, which stays. What it does not know is a
// missing engine.
func script(answers map[string][]reply) *fakeVault {
	return &fakeVault{answer: func(r request) reply {
		list := answers[r.method+" "+r.path]
		if len(list) == 0 {
			return noSuchMount
		}
		if len(list) > 1 {
			answers[r.method+" "+r.path] = list[1:]
		}
		return list[0]
	}}
}

func (f *fakeVault) client(t *testing.T) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	if config.Error != nil {
		t.Fatal(config.Error)
	}
	config.Address = "http://127.0.0.1:8200"
	config.HttpClient = &http.Client{Transport: f, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	config.Timeout, config.MinRetryWait, config.MaxRetryWait = defaultTimeout, time.Millisecond, 2*time.Millisecond
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken("hvs.first")
	return client
}

func (f *fakeVault) store(t *testing.T) *Store {
	t.Helper()
	s, err := New(f.client(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantProblem checks what a user sees: one line with the words that help, no token, and with status the answer of
// Vault behind it.
func wantProblem(t *testing.T, err error, status int, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), "hvs.") {
		t.Errorf("error %q has several lines or holds a token", err)
	}
	var answer *api.ResponseError
	if got := errors.As(err, &answer); got != (status != 0) || got && answer.StatusCode != status {
		t.Errorf("error %q has answer %+v behind it, want status %d", err, answer, status)
	}
}
