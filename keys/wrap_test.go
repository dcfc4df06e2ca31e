package keys_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
)

func TestAWrappedKeyOpensUnderItsNameAndIDOnly(t *testing.T) {
	kek := keystest.NewKEK(t)
	for _, typ := range []keys.Type{keys.XAES256GCM, keys.AES256GCM} {
		id, wrapped, err := keys.Generate(t.Context(), kek, "ns/a", typ)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := keys.Unwrap(t.Context(), kek, "ns/a", id, wrapped); err != nil || a == nil {
			t.Errorf("%s: %v", typ, err)
		}
		if a, err := keys.Unwrap(t.Context(), kek, "ns/b", id, wrapped); err == nil || a != nil {
			t.Errorf("%s: opened under another keyset's name", typ)
		}
		if a, err := keys.Unwrap(t.Context(), kek, "ns/a", id+1, wrapped); err == nil || a != nil {
			t.Errorf("%s: opened as another key id", typ)
		}
	}
	if _, _, err := keys.Generate(t.Context(), kek, "ns/a", "AES128_GCM"); err == nil || !strings.Contains(err.Error(), "XAES_256_GCM") {
		t.Errorf("unknown type: %v", err)
	}
}

func TestARewrappedKeyIsTheSameKeyUnderTheNewestVersion(t *testing.T) {
	kek := keystest.NewKEK(t)
	id, wrapped, err := keys.Generate(t.Context(), kek, "ns/a", keys.XAES256GCM)
	if err != nil {
		t.Fatal(err)
	}
	before, err := keys.Unwrap(t.Context(), kek, "ns/a", id, wrapped)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := before.Encrypt([]byte("hello"), []byte("context"))
	if err != nil {
		t.Fatal(err)
	}
	kek.Rotate(t)
	if out, err := keys.Rewrap(t.Context(), kek, "ns/b", wrapped); err == nil || out != nil {
		t.Error("rewrapped under another keyset's name")
	}
	anew, err := keys.Rewrap(t.Context(), kek, "ns/a", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	kek.SetOldest(2)
	if _, err := keys.Unwrap(t.Context(), kek, "ns/a", id, wrapped); err == nil {
		t.Error("what the old version wrapped still opens")
	}
	after, err := keys.Unwrap(t.Context(), kek, "ns/a", id, anew)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := after.Decrypt(sealed, []byte("context")); err != nil || string(text) != "hello" {
		t.Errorf("the rewrapped key opens %q, %v", text, err)
	}
	if a, err := keys.Unwrap(t.Context(), kek, "ns/b", id, anew); err == nil || a != nil {
		t.Error("it opens under another keyset's name")
	}
	if ciphertext, err := keys.Ciphertext(anew); err != nil || kek.VersionOf(ciphertext) != 2 {
		t.Errorf("Ciphertext = %d bytes, %v, want those of version 2", len(ciphertext), err)
	}
}

// answers is a KEK that rewraps everything to the same bytes.
type answers []byte

func (a answers) RewrapWithContext(context.Context, []byte, []byte) ([]byte, error) { return a, nil }

func TestWhatIsNoWrappedKeyIsNotRewrapped(t *testing.T) {
	kek := keystest.NewKEK(t)
	_, wrapped, err := keys.Generate(t.Context(), kek, "ns/a", keys.XAES256GCM)
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string][]byte{"nothing": nil, "text": []byte("vault:v1:abc"), "half of it": wrapped[:len(wrapped)/2]} {
		if out, err := keys.Rewrap(t.Context(), kek, "ns/a", in); err == nil || out != nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: rewrapped to %d bytes, %v", name, len(out), err)
		}
		if out, err := keys.Ciphertext(in); err == nil || out != nil {
			t.Errorf("%s: has the ciphertext %q", name, out)
		}
	}
	if out, err := keys.Rewrap(t.Context(), answers(nil), "ns/a", wrapped); err == nil || out != nil {
		t.Errorf("an empty answer made %d bytes, %v", len(out), err)
	}
}

func TestOtherTinkKeysetsAreRefused(t *testing.T) {
	kek := keystest.NewKEK(t)
	two := keyset.NewManager()
	first, err := two.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = two.SetPrimary(first)
	}
	if err == nil {
		_, err = two.Add(aead.AES256GCMKeyTemplate())
	}
	if err != nil {
		t.Fatal(err)
	}
	pair, err := two.Handle()
	if err != nil {
		t.Fatal(err)
	}
	for name, template := range map[string]*tinkpb.KeyTemplate{
		"AES-CTR-HMAC":      aead.AES128CTRHMACSHA256KeyTemplate(),
		"no TINK prefix":    aead.AES256GCMNoPrefixKeyTemplate(),
		"another AEAD":      aead.XChaCha20Poly1305KeyTemplate(),
		"two keys (a pair)": nil,
	} {
		handle := pair
		if template != nil {
			if handle, err = keyset.NewHandle(template); err != nil {
				t.Fatal(err)
			}
		}
		var buf bytes.Buffer
		if err := handle.WriteWithContext(t.Context(), keyset.NewBinaryWriter(&buf), kek, []byte("ns/a")); err != nil {
			t.Fatal(err)
		}
		if a, err := keys.Unwrap(t.Context(), kek, "ns/a", keys.ID(handle.KeysetInfo().GetPrimaryKeyId()), buf.Bytes()); err == nil || a != nil {
			t.Errorf("%s was opened", name)
		}
	}
}

type emptyKEK struct{}

func (emptyKEK) EncryptWithContext(context.Context, []byte, []byte) ([]byte, error) { return nil, nil }
func (emptyKEK) DecryptWithContext(context.Context, []byte, []byte) ([]byte, error) { return nil, nil }

// A Vault client has been seen to answer a decrypt with nothing and no error.
func TestAnEmptyAnswerOfTheKEKIsAnError(t *testing.T) {
	kek := keystest.NewKEK(t)
	id, wrapped, err := keys.Generate(t.Context(), kek, "ns/a", keys.XAES256GCM)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := keys.Generate(t.Context(), emptyKEK{}, "ns/a", keys.XAES256GCM); err == nil {
		t.Error("an empty wrapped key was accepted")
	}
	if _, err := keys.Unwrap(t.Context(), emptyKEK{}, "ns/a", id, wrapped); err == nil {
		t.Error("an empty unwrapped key was accepted")
	}
}

func TestTheCauseOfAKEKsErrorIsKept(t *testing.T) {
	kek := keystest.NewKEK(t)
	id, wrapped, err := keys.Generate(t.Context(), kek, "ns/a", keys.XAES256GCM)
	if err != nil {
		t.Fatal(err)
	}
	sealed := errors.New("Vault is sealed")
	kek.SetError(sealed)
	if _, err := keys.Unwrap(t.Context(), kek, "ns/a", id, wrapped); !errors.Is(err, sealed) {
		t.Errorf("Unwrap: %v", err)
	}
	if _, _, err := keys.Generate(t.Context(), kek, "ns/a", keys.XAES256GCM); !errors.Is(err, sealed) {
		t.Errorf("Generate: %v", err)
	}
}
