package vaultstore

import (
	"fmt"
	"reflect"
	"testing"
)

const (
	rewrapPath  = "transit/rewrap/signet"
	destroyPath = "secret/destroy/signet/keysets/ns/a"
)

func TestRewrapReadsTheKeyFirstAndSendsTheNameAsContext(t *testing.T) {
	f := script(map[string][]reply{"GET " + keyPath: {derivedKey}, "PUT " + rewrapPath: {encrypted}})
	out, err := f.store(t).RewrapWithContext(t.Context(), []byte("vault:v1:x"), []byte("ns/pay"))
	if want := "vault:v1:zD8VkCQCPZw3XIYhXZWs5S2npJhR1xDFP1LU4qC9+lO0"; err != nil || string(out) != want {
		t.Fatalf("Rewrap = %q, %v, want %q", out, err, want)
	}
	if len(f.asked) != 2 || f.asked[0].path != keyPath {
		t.Fatalf("Vault was asked %+v, want the key first", f.asked)
	}
	if b := f.asked[1].body; len(b) != 2 || b["context"] != "bnMvcGF5" || b["ciphertext"] != "vault:v1:x" {
		t.Errorf("Vault was sent %v, want ciphertext and context", b)
	}
}

func TestRewrapOfWhatVaultDoesNotAnswerWellIsAnError(t *testing.T) {
	for name, tc := range map[string]struct {
		key, answer reply
		status      int
		want        string
	}{
		"not derived":         {plainKey, encrypted, 0, "is not derived"},
		"another keyset's":    {derivedKey, notAuthentic, 400, "does not open it"},
		"denied":              {derivedKey, denied, 403, `grants "update" on path "transit/rewrap/signet"`},
		"nothing":             {derivedKey, noContent, 0, "without a ciphertext"},
		"no version":          {derivedKey, reply{status: 200, body: `{"data":{"ciphertext":"vault:vx:y"}}`}, 0, "without a ciphertext"},
		"a number":            {derivedKey, reply{status: 200, body: `{"data":{"ciphertext":7}}`}, 0, "without a ciphertext"},
		"something of others": {derivedKey, reply{status: 200, body: `{"data":{"ciphertext":"kms:v1:y"}}`}, 0, "without a ciphertext"},
	} {
		f := script(map[string][]reply{"GET " + keyPath: {tc.key}, "PUT " + rewrapPath: {tc.answer}})
		out, err := f.store(t).RewrapWithContext(t.Context(), []byte("vault:v1:x"), []byte("ns/a"))
		t.Run(name, func(t *testing.T) { wantProblem(t, err, tc.status, tc.want) })
		if out != nil {
			t.Errorf("%s: Rewrap returned %q beside an error", name, out)
		}
	}
	f := script(nil)
	for _, pair := range [][2][]byte{{[]byte("x"), nil}, {nil, []byte("ns/a")}} {
		if out, err := f.store(t).RewrapWithContext(t.Context(), pair[0], pair[1]); err == nil || out != nil || len(f.asked) > 0 {
			t.Errorf("Rewrap(%q, %q) = %q, %v", pair[0], pair[1], out, err)
		}
	}
}

func TestVersionsOfCiphertextsAndOfTheTransitKey(t *testing.T) {
	f := script(map[string][]reply{"GET " + keyPath: {{status: 200, body: `{"data":{"derived":true,"supports_encryption":true,"latest_version":4,"min_decryption_version":2}}`}}})
	s := f.store(t)
	for text, want := range map[string]int{"vault:v1:x": 1, "vault:v37:": 37, "vault:v0:x": 0, "vault:v-1:x": 0, "vault:v1": 0, "vault:vx:y": 0, "kms:v1:x": 0, "": 0} {
		if got := s.VersionOf([]byte(text)); got != want {
			t.Errorf("VersionOf(%q) = %d, want %d", text, got, want)
		}
	}
	if latest, oldest, err := s.Versions(t.Context()); err != nil || latest != 4 || oldest != 2 {
		t.Errorf("Versions = %d, %d, %v, want 4 and 2", latest, oldest, err)
	}
	if _, _, err := script(map[string][]reply{"GET " + keyPath: {denied}}).store(t).Versions(t.Context()); err == nil {
		t.Error("Versions of a key that may not be read: no error")
	}
}

func TestForgetDestroysEveryVersionButThePresentOne(t *testing.T) {
	f := script(map[string][]reply{"GET " + docPath: {live}, "PUT " + destroyPath: {noContent}}) // live is version 3
	if err := f.store(t).Forget(t.Context(), "ns/a"); err != nil {
		t.Fatal(err)
	}
	if got := f.asked[len(f.asked)-1]; got.path != destroyPath || !reflect.DeepEqual(got.body, map[string]any{"versions": []any{1.0, 2.0}}) {
		t.Errorf("Vault was asked %+v, want versions 1 and 2 destroyed", got)
	}
	for name, tc := range map[string]struct {
		doc, destroy reply
		status       int
		want         string
	}{
		"denied":      {live, denied, 403, `must grant "update" on path "secret/destroy/signet/keysets/ns/a"`},
		"sealed":      {sealed, noContent, 503, "is sealed"},
		"unreachable": {live, reply{err: errUnreachable}, 0, "cannot be reached"},
	} {
		f := script(map[string][]reply{"GET " + docPath: {tc.doc}, "PUT " + destroyPath: {tc.destroy}, "GET " + mountPath: {kv2Mount}})
		err := f.store(t).Forget(t.Context(), "ns/a")
		t.Run(name, func(t *testing.T) { wantProblem(t, err, tc.status, tc.want, `"ns/a"`) })
	}
	first := reply{status: 200, body: fmt.Sprintf(`{"data":{"data":{"keyset":{}},"metadata":{"created_time":"t","version":%d}}}`, 1)}
	f = script(map[string][]reply{"GET " + docPath: {first}})
	if err := f.store(t).Forget(t.Context(), "ns/a"); err != nil || f.requests() != 1 {
		t.Errorf("Forget of a document with one version = %v after %d calls, want nothing done", err, f.requests())
	}
}
