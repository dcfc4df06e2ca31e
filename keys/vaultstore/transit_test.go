package vaultstore

import (
	"testing"
)

func TestEncryptReadsTheKeyFirstAndSendsTheNameAsContext(t *testing.T) {
	f := script(map[string][]reply{"GET " + keyPath: {derivedKey}, "PUT " + encryptPath: {encrypted}})
	out, err := f.store(t).EncryptWithContext(t.Context(), []byte("hello"), []byte("ns/pay"))
	if want := "vault:v1:zD8VkCQCPZw3XIYhXZWs5S2npJhR1xDFP1LU4qC9+lO0"; err != nil || string(out) != want {
		t.Fatalf("Encrypt = %q, %v, want %q", out, err, want)
	}
	if len(f.asked) != 2 || f.asked[0].path != keyPath {
		t.Fatalf("Vault was asked %+v, want the key first", f.asked)
	}
	if b := f.asked[1].body; len(b) != 2 || b["context"] != "bnMvcGF5" || b["plaintext"] != "aGVsbG8=" {
		t.Errorf("Vault was sent %v, want plaintext and context", b)
	}
}

func TestEncryptNeverReachesAKeyThatIsMissingOrNotDerived(t *testing.T) {
	transitMount := reply{status: 200, body: `{"data":{"path":"transit/","type":"transit","options":null}}`}
	kvMount := reply{status: 200, body: `{"data":{"path":"transit/","type":"kv","options":{"version":"1"}}}`}
	for _, test := range []struct {
		name       string
		key, mount reply
		status     int
		want       string
	}{
		{"missing", nothingThere, transitMount, 404, "vault write -f transit/keys/signet derived=true"},
		{"missing because the engine is another", nothingThere, kvMount, 0, `no Transit engine at "transit" but one of type "kv"`},
		{"not derived", plainKey, transitMount, 0, "is not derived"},
		{"no engine", noSuchMount, preflightNo, 404, `no Transit engine at "transit"`},
		{"not readable", denied, transitMount, 403, `grants "read" on path "transit/keys/signet"`},
		{"sealed", sealed, sealed, 503, "is sealed"},
		{"nothing", reply{status: 200, body: `{"data":{}}`}, transitMount, 0, "describes no Transit key"}, // no Vault sends it
		{"no data", reply{status: 200, body: `{}`}, transitMount, 0, "describes no Transit key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := script(map[string][]reply{
				"GET " + keyPath: {test.key}, "PUT " + encryptPath: {encrypted},
				"GET sys/internal/ui/mounts/transit/keys/signet": {test.mount},
			})
			out, err := f.store(t).EncryptWithContext(t.Context(), []byte("hello"), []byte("ns/pay"))
			wantProblem(t, err, test.status, test.want)
			if out != nil || f.count("PUT", encryptPath) != 0 {
				t.Errorf("Encrypt returned %q after %d calls", out, f.count("PUT", encryptPath))
			}
		})
	}
}

// noPlaintext are answers that a client which believes every 200 takes for an empty key. No Vault sends them.
var noPlaintext = map[string]reply{
	"204": noContent, "empty": {status: 200}, "{}": {status: 200, body: `{}`}, "no data": {status: 200, body: `{"data":{}}`},
	"null": {status: 200, body: `{"data":{"plaintext":null}}`}, "empty field": {status: 200, body: `{"data":{"plaintext":""}}`},
	"number": {status: 200, body: `{"data":{"plaintext":7}}`}, "not base64": {status: 200, body: `{"data":{"plaintext":"%%"}}`},
}

func TestAnAnswerWithoutAPlaintextOrCiphertextIsAnError(t *testing.T) {
	for name, answer := range noPlaintext {
		f := script(map[string][]reply{"PUT " + decryptPath: {answer}, "GET " + keyPath: {derivedKey}, "PUT " + encryptPath: {answer}})
		if out, err := f.store(t).DecryptWithContext(t.Context(), []byte("vault:v1:x"), []byte("ns/a")); err == nil || out != nil {
			t.Errorf("%s: Decrypt = %q, %v", name, out, err)
		}
		if out, err := f.store(t).EncryptWithContext(t.Context(), []byte("k"), []byte("ns/a")); err == nil || out != nil {
			t.Errorf("%s: Encrypt = %q, %v", name, out, err)
		}
	}
}

func TestDecryptProvesOnceThatTheKeyHonoursTheName(t *testing.T) {
	f := script(map[string][]reply{"PUT " + decryptPath: {decrypted, notAuthentic, decrypted}})
	s := f.store(t)
	for range 3 {
		out, err := s.DecryptWithContext(t.Context(), []byte("vault:v1:x"), []byte("ns/pay"))
		if err != nil || string(out) != "hello" {
			t.Fatalf("Decrypt = %q, %v", out, err)
		}
	}
	if n := f.count("PUT", decryptPath); n != 4 {
		t.Errorf("%d calls for 3 keys, want one more", n)
	}
	right, wrong := f.asked[0].body, f.asked[1].body
	if right["context"] != "bnMvcGF5" || wrong["context"] == right["context"] || wrong["context"] == "" || wrong["ciphertext"] != right["ciphertext"] {
		t.Errorf("Vault was sent %v, then %v: want the same ciphertext under another name", right, wrong)
	}
}

func TestDecryptGivesNothingOutBeforeTheProof(t *testing.T) {
	for name, test := range map[string]struct {
		probe  reply
		status int
		want   string
	}{
		"opens under any name": {decrypted, 0, "is not derived"},
		"sealed":               {sealed, 503, "is sealed"},
		"throttled":            {throttled, 429, "throttles"},
		"denied":               {denied, 403, "denied permission"},
		"unreachable":          {reply{err: errUnreachable}, 0, "cannot be reached"},
		"empty":                {noContent, 0, "without a plaintext"},
	} {
		t.Run(name, func(t *testing.T) {
			// vault/api tries three times where another try may help.
			f := script(map[string][]reply{"PUT " + decryptPath: {decrypted, test.probe, test.probe, test.probe, decrypted, notAuthentic}})
			if name != "sealed" && name != "unreachable" && name != "throttled" {
				f = script(map[string][]reply{"PUT " + decryptPath: {decrypted, test.probe, decrypted, notAuthentic}})
			}
			s := f.store(t)
			out, err := s.DecryptWithContext(t.Context(), []byte("vault:v1:x"), []byte("ns/a"))
			wantProblem(t, err, test.status, test.want)
			if out != nil {
				t.Errorf("Decrypt returned %q beside an error", out)
			}
			if out, err = s.DecryptWithContext(t.Context(), []byte("vault:v1:x"), []byte("ns/a")); err != nil || string(out) != "hello" {
				t.Errorf("after the trouble: Decrypt = %q, %v", out, err)
			}
		})
	}
}

func TestNothingIsWrappedOrUnwrappedWithoutAName(t *testing.T) {
	f := script(map[string][]reply{"PUT " + decryptPath: {decrypted}, "GET " + keyPath: {derivedKey}, "PUT " + encryptPath: {encrypted}})
	s := f.store(t)
	for _, pair := range [][2][]byte{{[]byte("x"), nil}, {nil, []byte("ns/a")}} {
		if out, err := s.EncryptWithContext(t.Context(), pair[0], pair[1]); err == nil || out != nil {
			t.Errorf("Encrypt(%q, %q) = %q, %v", pair[0], pair[1], out, err)
		}
		if out, err := s.DecryptWithContext(t.Context(), pair[0], pair[1]); err == nil || out != nil {
			t.Errorf("Decrypt(%q, %q) = %q, %v", pair[0], pair[1], out, err)
		}
	}
	if len(f.asked) != 0 {
		t.Errorf("Vault was asked %d times", len(f.asked))
	}
}
