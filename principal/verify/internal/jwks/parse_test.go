package jwks

import (
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// FuzzParse: whatever an issuer publishes, only public keys for signatures come out of it, and not too many.
func FuzzParse(f *testing.F) {
	signer, key := newKey(f, "k")
	for _, keys := range [][]jose.JSONWebKey{{}, {key}, {{Key: signer, KeyID: "private"}, key}, {{Key: []byte("symmetric"), KeyID: "s"}}} {
		document, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(document)
	}
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AA","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","x":"AA"},null,7]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		keys, err := parse(document)
		if err != nil && keys != nil || len(keys) > maxKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
				t.Errorf("%s is a %T for %q", k.KeyID, k.Key, k.Use)
			}
		}
	})
}
