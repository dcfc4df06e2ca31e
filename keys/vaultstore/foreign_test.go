package vaultstore

import (
	"testing"
)

func TestATransitKeyOfAnotherApplicationOpens(t *testing.T) {
	f := script(map[string][]reply{"PUT team/tr/decrypt/payments": {decrypted, denied, {status: 200, body: `{"data":{}}`}}})
	s := f.store(t)
	k, err := s.TransitKey("team/tr/payments")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.DecryptWithContext(t.Context(), []byte("vault:v1:x"), nil); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if _, sent := f.asked[0].body["context"]; sent {
		t.Error("a context was sent")
	}
	_, err = k.DecryptWithContext(t.Context(), []byte("vault:v1:x"), nil)
	wantProblem(t, err, 403, `"update" on path "team/tr/decrypt/payments"`)
	_, err = k.DecryptWithContext(t.Context(), []byte("vault:v1:x"), nil)
	wantProblem(t, err, 0, "without a plaintext")
	for _, path := range []string{"", "payments", "/payments", "transit/", "../sys/x", "transit/a b", "tr//x"} {
		if k, err := s.TransitKey(path); err == nil || k != nil {
			t.Errorf("%q: %v, %v", path, k, err)
		}
	}
}
