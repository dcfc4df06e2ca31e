package keyimport

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	gcmpb "github.com/tink-crypto/tink-go/v2/proto/aes_gcm_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	xaespb "github.com/tink-crypto/tink-go/v2/proto/x_aes_gcm_go_proto"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// ErrUnfit: a key cannot be what it is imported as. The text of such an error says why and what to do.
var ErrUnfit = errors.New("unfit key")

type unfit string

func (u unfit) Error() string        { return string(u) }
func (u unfit) Is(target error) bool { return target == ErrUnfit }

func unfitf(format string, args ...any) error { return unfit(fmt.Sprintf(format, args...)) }

// Keys are keys in clear. They are not safe for concurrent use.
type Keys struct {
	keys     []*tinkpb.Keyset_Key
	disabled map[keys.ID]bool
	primary  uint32
	// Gone are the ids of keys that stood there without their material, destroyed.
	Gone []keys.ID
}

// Tink reads a Tink keyset in clear, as JSON or in Tink's binary form.
func Tink(text []byte) (*Keys, error) {
	ks := &tinkpb.Keyset{}
	var err error
	if isJSON(text) {
		ks, err = keyset.NewJSONReader(bytes.NewReader(text)).Read()
	} else {
		err = proto.Unmarshal(text, ks)
	}
	switch {
	case err != nil && bytes.Contains(text, []byte("encryptedKeyset")):
		return nil, unfitf("the Tink keyset is encrypted: name what encrypted it with --kek-transit or --kek-file")
	case err != nil, len(ks.GetKey()) == 0: // the decoder's error may quote a key
		return nil, unfitf("this is no Tink keyset in clear, in JSON or binary: write one with tinkey, or with insecurecleartextkeyset.Write")
	}
	return fromTink(ks)
}

// EncryptedTink reads a Tink keyset that kek has encrypted, with no associated data.
func EncryptedTink(ctx context.Context, text []byte, kek keys.Unwrapper) (*Keys, error) {
	envelope := &tinkpb.EncryptedKeyset{}
	var err error
	if isJSON(text) {
		envelope, err = keyset.NewJSONReader(bytes.NewReader(text)).ReadEncrypted()
	} else {
		err = proto.Unmarshal(text, envelope)
	}
	if err != nil || len(envelope.GetEncryptedKeyset()) == 0 {
		return nil, unfitf("this is no encrypted Tink keyset, in JSON or binary: leave the key-encryption key out if it is in clear")
	}
	plaintext, err := kek.DecryptWithContext(ctx, envelope.GetEncryptedKeyset(), nil)
	if err != nil {
		return nil, fmt.Errorf("decrypting the Tink keyset: %w", err)
	}
	defer clear(plaintext)
	ks := &tinkpb.Keyset{}
	if err := proto.Unmarshal(plaintext, ks); err != nil || len(ks.GetKey()) == 0 {
		return nil, unfitf("what the key-encryption key decrypted is no Tink keyset")
	}
	return fromTink(ks)
}

func isJSON(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) }

func fromTink(ks *tinkpb.Keyset) (*Keys, error) {
	k := &Keys{primary: ks.GetPrimaryKeyId(), disabled: map[keys.ID]bool{}}
	seen := map[uint32]bool{}
	for _, key := range ks.GetKey() {
		id := keys.ID(key.GetKeyId())
		switch {
		case seen[key.GetKeyId()]:
			k.Zero()
			return nil, unfitf("key id %s stands in the file twice: a key id means one key: make the keyset anew, and take over one of them", id)
		case key.GetStatus() == tinkpb.KeyStatusType_DESTROYED || key.GetKeyData() == nil:
			k.Gone = append(k.Gone, id)
			continue
		case key.GetStatus() != tinkpb.KeyStatusType_ENABLED && key.GetStatus() != tinkpb.KeyStatusType_DISABLED:
			k.Zero()
			return nil, unfitf("key %s is neither enabled nor disabled: correct its status with tinkey", id)
		}
		seen[key.GetKeyId()] = true
		k.disabled[id] = key.GetStatus() == tinkpb.KeyStatusType_DISABLED
		key.Status = tinkpb.KeyStatusType_ENABLED // the keyset's document has the state
		k.keys = append(k.keys, key)
	}
	if len(k.keys) == 0 {
		return nil, unfitf("all keys in the file are destroyed: there is nothing to import")
	}
	return k, nil
}

// Encodings of a raw key.
const (
	Raw    = "raw"    // the bytes themselves
	Hex    = "hex"    // text
	Base64 = "base64" // text, with either alphabet
)

// AES reads a raw AES key of 16 or 32 bytes. The id that it is given is made up: payloads name it otherwise.
func AES(text []byte, encoding string) (*Keys, error) {
	material := text
	trimmed := bytes.TrimSpace(text)
	var err error
	switch encoding {
	case Raw:
	case Hex:
		material = make([]byte, hex.DecodedLen(len(trimmed)))
		_, err = hex.Decode(material, trimmed)
	case Base64:
		trimmed = bytes.TrimRight(bytes.Map(standard, trimmed), "=")
		material = make([]byte, base64.RawStdEncoding.DecodedLen(len(trimmed)))
		_, err = base64.RawStdEncoding.Decode(material, trimmed)
	default:
		return nil, unfitf("unknown encoding %q of an AES key: use raw, hex or base64", encoding)
	}
	if err != nil {
		return nil, unfitf("the AES key is not %s: name its encoding, raw, hex or base64", encoding)
	}
	if encoding != Raw {
		defer clear(material)
	}
	switch n := len(material); {
	case n == 24:
		return nil, unfitf("the key has 24 bytes (AES-192), which Tink does not do: give it to legacy.NewAESGCM in the configuration of each process")
	case (n == 17 || n == 33) && material[n-1] == '\n':
		return nil, unfitf("the key has %d bytes, the last of which is a line break: write the file without it", n)
	case n != 16 && n != 32:
		return nil, unfitf("the key has %d bytes: an AES key has 16 or 32: name its encoding, raw, hex or base64", n)
	}
	value, err := proto.Marshal(&gcmpb.AesGcmKey{KeyValue: material})
	if err != nil {
		return nil, fmt.Errorf("reading the AES key: %w", err)
	}
	var id uint32
	for id == 0 {
		var random [4]byte
		rand.Read(random[:])
		id = binary.BigEndian.Uint32(random[:])
	}
	return &Keys{primary: id, keys: []*tinkpb.Keyset_Key{{
		KeyId: id, Status: tinkpb.KeyStatusType_ENABLED, OutputPrefixType: tinkpb.OutputPrefixType_RAW, // nonce ‖ ciphertext ‖ tag, as the samples write it
		KeyData: &tinkpb.KeyData{TypeUrl: aead.AES256GCMKeyTemplate().GetTypeUrl(), Value: value, KeyMaterialType: tinkpb.KeyData_SYMMETRIC},
	}}}, nil
}

// Zero overwrites the keys. They cannot be used afterwards.
func (k *Keys) Zero() {
	for _, key := range k.keys {
		clear(key.GetKeyData().GetValue())
	}
	k.keys = nil
}

// Imports returns what [rotate.PlanImport] takes to put the keys into the keyset called name, wrapped by kek. With legacy,
// they open what another codec sealed, and may be of any AEAD that Tink has. Without it they seal and open as those made
// here do, and as says what becomes of the file's primary key: Retired, Pending or Primary; the others are retired. What
// was disabled stays disabled. An error matches [ErrUnfit].
func (k *Keys) Imports(ctx context.Context, kek keys.Wrapper, name string, as keys.State, legacy *keys.Legacy) ([]rotate.Import, error) {
	var imports []rotate.Import
	for _, key := range k.keys {
		id := keys.ID(key.GetKeyId())
		handle, err := alone(key)
		if err != nil {
			return nil, err
		}
		if legacy == nil {
			if err := fits(key); err != nil {
				return nil, err
			}
		}
		in := rotate.Import{ID: id, State: keys.Retired, Imported: keys.Imported{Check: check(key), Legacy: legacy}}
		switch {
		case k.disabled[id]:
			in.State = keys.Disabled
		case key.GetKeyId() == k.primary:
			in.State = as
		}
		var wrapped []byte
		in.Wrap = func() ([]byte, error) {
			if wrapped == nil {
				if wrapped, err = keys.Wrap(ctx, kek, name, handle); err != nil {
					return nil, err
				}
			}
			return wrapped, nil
		}
		imports = append(imports, in)
	}
	return imports, nil
}

// alone returns a handle of that one key, and makes sure that it seals and opens.
func alone(key *tinkpb.Keyset_Key) (*keyset.Handle, error) {
	id := keys.ID(key.GetKeyId())
	cleartext, err := proto.Marshal(&tinkpb.Keyset{PrimaryKeyId: key.GetKeyId(), Key: []*tinkpb.Keyset_Key{key}})
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(cleartext)))
	if err == nil {
		_, err = aead.New(handle)
	}
	if err != nil { // whose text could quote the key
		return nil, unfitf("key %s of type %s is no AEAD that Tink has in Go: payloads are sealed with AEADs alone", id, typeName(key))
	}
	return handle, nil
}

// fits reports why a key cannot seal and open as the keys of a keyset do (docs/spec/payload-v1.md, "Key types").
func fits(key *tinkpb.Keyset_Key) error {
	id := keys.ID(key.GetKeyId())
	if p := key.GetOutputPrefixType(); p != tinkpb.OutputPrefixType_TINK {
		return unfitf("key %s has the prefix type %s: what it seals does not begin with its key id, by which Signet finds the key that opens it: import it as a key of another codec, with --encoding, or make a key with prefix TINK", id, p)
	}
	switch key.GetKeyData().GetTypeUrl() {
	case aead.AES256GCMKeyTemplate().GetTypeUrl():
		gcm := &gcmpb.AesGcmKey{}
		err := proto.Unmarshal(key.GetKeyData().GetValue(), gcm)
		n := len(gcm.GetKeyValue())
		clear(gcm.GetKeyValue())
		if err == nil && n == 32 {
			return nil
		}
	case aead.XAES256GCM192BitNonceKeyTemplate().GetTypeUrl():
		xaes := &xaespb.XAesGcmKey{}
		err := proto.Unmarshal(key.GetKeyData().GetValue(), xaes)
		clear(xaes.GetKeyValue())
		if err == nil && xaes.GetParams().GetSaltSize() == 12 {
			return nil
		}
	}
	return unfitf("key %s of type %s is neither %s nor %s (with a 192-bit nonce): import it as a key of another codec, with --encoding", id, typeName(key), keys.XAES256GCM, keys.AES256GCM)
}

func typeName(key *tinkpb.Keyset_Key) string {
	return strings.TrimPrefix(key.GetKeyData().GetTypeUrl(), "type.googleapis.com/google.crypto.tink.")
}

// check is keys.Imported.Check. It is 32 bits of a pseudo-random function under the key, as short as the check values of
// hardware modules: enough to tell keys apart, too little to be of use to whoever guesses at one that is not random.
func check(key *tinkpb.Keyset_Key) string {
	mac := hmac.New(sha256.New, key.GetKeyData().GetValue())
	mac.Write([]byte("signet/imported-key/v1"))
	return hex.EncodeToString(mac.Sum(nil)[:4])
}

// standard maps the alphabet of base64 for URLs to the other one.
func standard(r rune) rune {
	switch r {
	case '-':
		return '+'
	case '_':
		return '/'
	}
	return r
}
