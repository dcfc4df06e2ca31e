package keyimport

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

// file makes a Tink keyset of one key for each template; the last is primary.
func file(t *testing.T, templates ...*tinkpb.KeyTemplate) (*keyset.Handle, *tinkpb.Keyset) {
	t.Helper()
	manager := keyset.NewManager()
	for _, template := range templates {
		id, err := manager.Add(template)
		if err == nil {
			err = manager.SetPrimary(id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	handle, err := manager.Handle()
	if err != nil {
		t.Fatal(err)
	}
	return handle, insecurecleartextkeyset.KeysetMaterial(handle)
}

func asJSON(t *testing.T, ks *tinkpb.Keyset) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := keyset.NewJSONWriter(&buf).Write(ks); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func asBinary(t *testing.T, ks *tinkpb.Keyset) []byte {
	t.Helper()
	text, err := proto.Marshal(ks)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func raw(template *tinkpb.KeyTemplate) *tinkpb.KeyTemplate {
	template = proto.CloneOf(template)
	template.OutputPrefixType = tinkpb.OutputPrefixType_RAW
	return template
}

// bring puts keys into a keyset that has one key already, and returns it.
func bring(t *testing.T, kek *keystest.KEK, k *Keys, as keys.State, legacy *keys.Legacy) *keys.Keyset {
	t.Helper()
	imports, err := k.Imports(t.Context(), kek, "ns/a", as, legacy)
	if err != nil {
		t.Fatal(err)
	}
	before, err := rotate.PlanNew("ns/a", rotate.Options{}, rotate.Generated(t.Context(), kek), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	after, err := rotate.PlanImport(before, imports, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Keys) != 1 {
		t.Fatal("the plan changed the keyset that it was given")
	}
	again, err := rotate.PlanImport(after, imports, time.Now())
	if err != nil || again != after {
		t.Errorf("once more: %v, changed: %t", err, again != after)
	}
	return after
}

// wantOpens: the wrapped key opens what the file's keyset sealed.
func wantOpens(t *testing.T, kek *keystest.KEK, k *keys.Keyset, key keys.Key, handle *keyset.Handle) {
	t.Helper()
	old, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := old.Encrypt([]byte("hello"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	opener, err := keys.UnwrapKey(t.Context(), kek, k.Name, key)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := opener.Decrypt(sealed, []byte("aad")); err != nil || string(text) != "hello" {
		t.Errorf("key %s: %q, %v", key.ID, text, err)
	}
}

func TestATinkKeysetComesInWithItsIDsAndStates(t *testing.T) {
	kek := keystest.NewKEK(t)
	handle, ks := file(t, aead.AES256GCMKeyTemplate(), aead.XAES256GCM192BitNonceKeyTemplate(), aead.XAES256GCM192BitNonceKeyTemplate())
	ks.Key[0].Status = tinkpb.KeyStatusType_DISABLED
	for name, text := range map[string][]byte{"JSON": asJSON(t, ks), "binary": asBinary(t, ks), "JSON with white space": append([]byte("\n "), asJSON(t, ks)...)} {
		in, err := Tink(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		k := bring(t, kek, in, keys.Pending, nil)
		for i, want := range []keys.State{keys.Primary, keys.Disabled, keys.Retired, keys.Pending} {
			if got := k.Keys[i]; got.State != want || i > 0 && (got.ID != keys.ID(ks.Key[i-1].KeyId) || got.Imported == nil || got.OpensLegacy()) {
				t.Errorf("%s: key %d is %+v, want %s", name, i, got, want)
			}
		}
		wantOpens(t, kek, k, k.Keys[3], handle)
		if _, err := keys.Unwrap(t.Context(), kek, "ns/a", k.Keys[1].ID, k.Keys[1].Wrapped); err != nil {
			t.Errorf("%s: the disabled key, enabled again, is no key as those made here: %v", name, err)
		}
	}
}

// fileKEK is an AEAD as a key-encryption key.
type fileKEK struct {
	primitive interface {
		Decrypt(_, _ []byte) ([]byte, error)
	}
}

func (f fileKEK) DecryptWithContext(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	return f.primitive.Decrypt(ciphertext, associatedData)
}

func TestAnEncryptedTinkKeysetComesIn(t *testing.T) {
	kekHandle, _ := file(t, aead.AES128GCMKeyTemplate())
	primitive, err := aead.New(kekHandle)
	if err != nil {
		t.Fatal(err)
	}
	handle, _ := file(t, aead.XAES256GCM192BitNonceKeyTemplate())
	var inJSON, inBinary bytes.Buffer
	for _, w := range []keyset.Writer{keyset.NewJSONWriter(&inJSON), keyset.NewBinaryWriter(&inBinary)} {
		if err := handle.Write(w, primitive); err != nil {
			t.Fatal(err)
		}
	}
	kek := keystest.NewKEK(t)
	for _, text := range [][]byte{inJSON.Bytes(), inBinary.Bytes()} {
		in, err := EncryptedTink(t.Context(), text, fileKEK{primitive})
		if err != nil {
			t.Fatal(err)
		}
		k := bring(t, kek, in, keys.Retired, nil)
		wantOpens(t, kek, k, k.Keys[1], handle)
	}
	if _, err := Tink(inJSON.Bytes()); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "--kek-transit") {
		t.Errorf("an encrypted keyset, without its key: %v", err)
	}
	_, clear := file(t, aead.AES256GCMKeyTemplate())
	if _, err := EncryptedTink(t.Context(), asJSON(t, clear), fileKEK{primitive}); !errors.Is(err, ErrUnfit) {
		t.Errorf("a keyset in clear, with a key: %v", err)
	}
	other, _ := file(t, aead.AES128GCMKeyTemplate())
	wrong, err := aead.New(other)
	if err != nil {
		t.Fatal(err)
	}
	if in, err := EncryptedTink(t.Context(), inJSON.Bytes(), fileKEK{wrong}); err == nil || in != nil {
		t.Error("the wrong key-encryption key opened it")
	}
}

// TestWhatAnotherCodecUsedMayBeOfAnyAEAD: legacy keys need neither a prefix nor one of the two types.
func TestWhatAnotherCodecUsedMayBeOfAnyAEAD(t *testing.T) {
	kek, legacy := keystest.NewKEK(t), &keys.Legacy{Codec: keys.LegacyTink, Encoding: "binary/tink"}
	for _, template := range []*tinkpb.KeyTemplate{
		aead.AES128GCMKeyTemplate(), raw(aead.AES256GCMKeyTemplate()), aead.AES128CTRHMACSHA256KeyTemplate(), aead.ChaCha20Poly1305KeyTemplate(), aead.XChaCha20Poly1305KeyTemplate(), aead.AES256GCMSIVKeyTemplate(),
	} {
		handle, ks := file(t, template)
		in, err := Tink(asBinary(t, ks))
		if err != nil {
			t.Fatal(err)
		}
		k := bring(t, kek, in, keys.Retired, legacy)
		wantOpens(t, kek, k, k.Keys[1], handle)
		in, err = Tink(asBinary(t, ks))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Imports(t.Context(), kek, "ns/a", keys.Retired, nil); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "--encoding") {
			t.Errorf("%s %s as a key that seals: %v", template.GetTypeUrl(), template.GetOutputPrefixType(), err)
		}
	}
}

func TestARawKeyOpensWhatTheSampleCodecSealed(t *testing.T) {
	kek, material := keystest.NewKEK(t), []byte("an old key of thirty-two letters")
	for _, text := range []struct {
		encoding, text string
	}{
		{Raw, string(material)}, {Hex, hex.EncodeToString(material) + "\n"}, {Hex, strings.ToUpper(hex.EncodeToString(material))},
		{Base64, base64.StdEncoding.EncodeToString(material) + "\n"}, {Base64, base64.RawURLEncoding.EncodeToString(material)},
	} {
		in, err := AES([]byte(text.text), text.encoding)
		if err != nil {
			t.Fatalf("%+v: %v", text, err)
		}
		k := bring(t, kek, in, keys.Retired, &keys.Legacy{Codec: keys.LegacyAESGCM, KeyID: "old"})
		if got := k.Keys[1].Imported.Check; got != bring(t, kek, must(AES(material, Raw)), keys.Retired, &keys.Legacy{Codec: keys.LegacyAESGCM, KeyID: "old"}).Keys[1].Imported.Check {
			t.Errorf("%s: check value %s", text.encoding, got)
		}
		if _, err := keys.Unwrap(t.Context(), kek, "ns/a", k.Keys[1].ID, k.Keys[1].Wrapped); err == nil {
			t.Error("it is a key that seals")
		}
		opener, err := keys.UnwrapKey(t.Context(), kek, "ns/a", k.Keys[1])
		if err != nil {
			t.Fatal(err)
		}
		// Made with OpenSSL's AES-256-GCM under that key: nonce ‖ ciphertext of "hello" ‖ tag.
		data, _ := hex.DecodeString("000102030405060708090a0b438824d0bccc9e35e75dcd521498567e9716b3b04c")
		if got, err := opener.Decrypt(data, nil); err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", text.encoding, got, err)
		}
	}
}

func must(k *Keys, err error) *Keys {
	if err != nil {
		panic(err)
	}
	return k
}

func TestWhatDoesNotFitIsRefusedWithoutQuotingIt(t *testing.T) {
	_, good := file(t, aead.AES256GCMKeyTemplate())
	twice := proto.CloneOf(good)
	twice.Key = append(twice.Key, twice.Key[0])
	gone := proto.CloneOf(good)
	gone.Key[0].Status, gone.Key[0].KeyData = tinkpb.KeyStatusType_DESTROYED, nil
	odd := proto.CloneOf(good)
	odd.Key[0].Status = tinkpb.KeyStatusType_UNKNOWN_STATUS
	secret := base64.StdEncoding.EncodeToString(good.Key[0].KeyData.Value)
	for name, tc := range map[string]struct {
		read func() (*Keys, error)
		says string
	}{
		"nothing":             {func() (*Keys, error) { return Tink(nil) }, "no Tink keyset"},
		"broken JSON":         {func() (*Keys, error) { return Tink([]byte(`{"primaryKeyId": 1, "key": "` + secret + `"}`)) }, "no Tink keyset"},
		"a doubled id":        {func() (*Keys, error) { return Tink(asBinary(t, twice)) }, "stands in the file twice"},
		"destroyed keys only": {func() (*Keys, error) { return Tink(asBinary(t, gone)) }, "nothing to import"},
		"an odd status":       {func() (*Keys, error) { return Tink(asBinary(t, odd)) }, "neither enabled nor disabled"},
		"AES-192":             {func() (*Keys, error) { return AES(make([]byte, 24), Raw) }, "legacy.NewAESGCM"},
		"a line break":        {func() (*Keys, error) { return AES(append(make([]byte, 32), '\n'), Raw) }, "line break"},
		"hex taken for bytes": {func() (*Keys, error) { return AES(bytes.Repeat([]byte("ab"), 32), Raw) }, "64 bytes"},
		"no hex":              {func() (*Keys, error) { return AES([]byte("s3cretzz"), Hex) }, "not hex"},
		"no base64":           {func() (*Keys, error) { return AES([]byte("s3cret!!"), Base64) }, "not base64"},
		"no encoding":         {func() (*Keys, error) { return AES(make([]byte, 32), "") }, "use raw, hex or base64"},
	} {
		k, err := tc.read()
		if k != nil || !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("%s: %v, %v; want %q", name, k, err, tc.says)
		}
	}
	_, noAEAD := file(t, mac.HMACSHA256Tag256KeyTemplate())
	in, err := Tink(asBinary(t, noAEAD))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Imports(t.Context(), keystest.NewKEK(t), "ns/a", keys.Retired, &keys.Legacy{Codec: keys.LegacyTink, Encoding: "e"}); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "no AEAD") {
		t.Errorf("a MAC: %v", err)
	}
}

func TestZeroLeavesNothing(t *testing.T) {
	_, ks := file(t, aead.AES256GCMKeyTemplate())
	in, err := Tink(asBinary(t, ks))
	if err != nil {
		t.Fatal(err)
	}
	value := in.keys[0].GetKeyData().GetValue()
	in.Zero()
	if !bytes.Equal(value, make([]byte, len(value))) || len(value) < 32 {
		t.Errorf("%d bytes, not all zero", len(value))
	}
	if imports, err := in.Imports(t.Context(), keystest.NewKEK(t), "ns/a", keys.Retired, nil); len(imports) != 0 || err != nil {
		t.Errorf("after Zero: %d keys, %v", len(imports), err)
	}
}
