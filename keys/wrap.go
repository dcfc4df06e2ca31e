package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/protobuf/proto"
)

// Wrapper is the half of a [KEK] that makes wrapped keys: all that a custodian needs.
type Wrapper interface {
	EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)
}

// Unwrapper is the half of a [KEK] that opens wrapped keys: all that a worker needs.
type Unwrapper interface {
	DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error)
}

// Rewrapper wraps keys anew, under the newest version of a [KEK], and shows nobody what is inside: all that a custodian
// needs after the KEK was rotated.
type Rewrapper interface {
	RewrapWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error)
}

// Rewrap returns the same key of the keyset called name, wrapped anew.
func Rewrap(ctx context.Context, kek Rewrapper, name string, wrapped []byte) ([]byte, error) {
	var envelope tinkpb.EncryptedKeyset
	if err := proto.Unmarshal(wrapped, &envelope); err != nil {
		return nil, fmt.Errorf("rewrapping a key of keyset %q: it is not a Tink encrypted keyset: %w", name, err)
	}
	anew, err := kek.RewrapWithContext(ctx, envelope.GetEncryptedKeyset(), []byte(name))
	if err != nil {
		return nil, fmt.Errorf("rewrapping a key of keyset %q: %w", name, err)
	}
	if len(anew) == 0 {
		return nil, fmt.Errorf("rewrapping a key of keyset %q: the key-encryption key answered with nothing", name)
	}
	envelope.EncryptedKeyset = anew
	return proto.Marshal(&envelope)
}

// Ciphertext returns what the KEK made of a wrapped key: a KEK that has versions can tell its own from it.
func Ciphertext(wrapped []byte) ([]byte, error) {
	var envelope tinkpb.EncryptedKeyset
	if err := proto.Unmarshal(wrapped, &envelope); err != nil || len(envelope.GetEncryptedKeyset()) == 0 {
		return nil, errors.New("a wrapped key is not a Tink encrypted keyset")
	}
	return envelope.GetEncryptedKeyset(), nil
}

// Generate makes a new key of type t and wraps it for the keyset called name. It does not look for a doubled id: the
// caller compares with the keyset. The key leaves this function only wrapped.
func Generate(ctx context.Context, kek Wrapper, name string, t Type) (ID, []byte, error) {
	template, err := t.template()
	if err != nil {
		return 0, nil, err
	}
	handle, err := keyset.NewHandle(template)
	if err != nil {
		return 0, nil, fmt.Errorf("making a %s key: %w", t, err)
	}
	var buf bytes.Buffer
	sealer := &keepCause{wrapper: kek}
	if err := handle.WriteWithContext(ctx, keyset.NewBinaryWriter(&buf), sealer, []byte(name)); err != nil {
		return 0, nil, fmt.Errorf("wrapping a new key of keyset %q: %w", name, sealer.prefer(err))
	}
	return ID(handle.KeysetInfo().GetPrimaryKeyId()), buf.Bytes(), nil
}

// Wrap wraps a key that was made elsewhere for the keyset called name. handle holds that key alone.
func Wrap(ctx context.Context, kek Wrapper, name string, handle *keyset.Handle) ([]byte, error) {
	if len(handle.KeysetInfo().GetKeyInfo()) != 1 {
		return nil, fmt.Errorf("wrapping a key of keyset %q: it is not one key", name)
	}
	var buf bytes.Buffer
	sealer := &keepCause{wrapper: kek}
	if err := handle.WriteWithContext(ctx, keyset.NewBinaryWriter(&buf), sealer, []byte(name)); err != nil {
		return nil, fmt.Errorf("wrapping a key of keyset %q: %w", name, sealer.prefer(err))
	}
	return buf.Bytes(), nil
}

// Unwrap opens one wrapped key of the keyset called name and returns its AEAD. The key must be the one that id names,
// alone in its Tink keyset, of one of the two types that seal and with a TINK prefix; anything else is an error.
func Unwrap(ctx context.Context, kek Unwrapper, name string, id ID, wrapped []byte) (tink.AEAD, error) {
	return unwrapAEAD(ctx, kek, name, id, wrapped, false)
}

// UnwrapKey is [Unwrap] for a key as it stands in the document of the keyset called name. One that opens what another
// codec sealed may be of any AEAD that Tink has, and needs no prefix.
func UnwrapKey(ctx context.Context, kek Unwrapper, name string, key Key) (tink.AEAD, error) {
	return unwrapAEAD(ctx, kek, name, key.ID, key.Wrapped, key.OpensLegacy())
}

func unwrapAEAD(ctx context.Context, kek Unwrapper, name string, id ID, wrapped []byte, legacy bool) (tink.AEAD, error) {
	handle, err := unwrap(ctx, kek, name, id, wrapped)
	if err != nil {
		return nil, err
	}
	info := handle.KeysetInfo().GetKeyInfo()
	if legacy && (len(info) != 1 || info[0].GetKeyId() != uint32(id)) {
		return nil, fmt.Errorf("opening key %s of keyset %q: the wrapped keyset is not that one key", id, name)
	}
	if !legacy && !only(handle, id, tinkpb.OutputPrefixType_TINK, XAES256GCM, AES256GCM) {
		return nil, fmt.Errorf("opening key %s of keyset %q: the wrapped keyset is not that one key, of type %s or %s with a TINK prefix", id, name, XAES256GCM, AES256GCM)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("opening key %s of keyset %q: %w", id, name, err)
	}
	return primitive, nil
}

// UnwrapPRF is [Unwrap] for a keyset whose [Type] makes search tokens: the key must be of type [HMACSHA256PRF].
func UnwrapPRF(ctx context.Context, kek Unwrapper, name string, id ID, wrapped []byte) (prf.PRF, error) {
	handle, err := unwrap(ctx, kek, name, id, wrapped)
	if err != nil {
		return nil, err
	}
	if !only(handle, id, tinkpb.OutputPrefixType_RAW, HMACSHA256PRF) {
		return nil, fmt.Errorf("opening key %s of keyset %q: the wrapped keyset is not that one key, of type %s", id, name, HMACSHA256PRF)
	}
	set, err := prf.NewPRFSet(handle)
	if err != nil {
		return nil, fmt.Errorf("opening key %s of keyset %q: %w", id, name, err)
	}
	return set.PRFs[set.PrimaryID], nil
}

func unwrap(ctx context.Context, kek Unwrapper, name string, id ID, wrapped []byte) (*keyset.Handle, error) {
	opener := &keepCause{unwrapper: kek}
	handle, err := keyset.ReadWithContext(ctx, keyset.NewBinaryReader(bytes.NewReader(wrapped)), opener, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("opening key %s of keyset %q: %w", id, name, opener.prefer(err))
	}
	return handle, nil
}

func (t Type) template() (*tinkpb.KeyTemplate, error) {
	switch t {
	case XAES256GCM:
		return aead.XAES256GCM192BitNonceKeyTemplate(), nil
	case AES256GCM:
		return aead.AES256GCMKeyTemplate(), nil
	case HMACSHA256PRF:
		return prf.HMACSHA256PRFKeyTemplate(), nil
	}
	return nil, fmt.Errorf("unknown key type %q: use %s or %s, or %s for search tokens", t, XAES256GCM, AES256GCM, HMACSHA256PRF)
}

// only reports whether a Tink keyset is the one key id, of one of the types: Tink would take others just as well.
func only(handle *keyset.Handle, id ID, prefix tinkpb.OutputPrefixType, types ...Type) bool {
	info := handle.KeysetInfo().GetKeyInfo()
	return len(info) == 1 && info[0].GetKeyId() == uint32(id) && info[0].GetOutputPrefixType() == prefix &&
		slices.ContainsFunc(types, func(t Type) bool {
			template, err := t.template()
			return err == nil && template.GetTypeUrl() == info[0].GetTypeUrl()
		})
}

// keepCause is one direction of a KEK, as Tink wants it. It remembers what the KEK said: Tink wraps a key-encryption error
// with %v, which hides a sealed or unreachable Vault from errors.As. It also refuses an empty answer, which no wrapped
// key ever opens to.
type keepCause struct {
	wrapper   Wrapper
	unwrapper Unwrapper
	err       error
}

func (k *keepCause) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if k.wrapper == nil {
		return nil, errors.New("this process opens keys and never wraps one")
	}
	out, err := k.wrapper.EncryptWithContext(ctx, plaintext, associatedData)
	return k.keep(out, err)
}

func (k *keepCause) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if k.unwrapper == nil {
		return nil, errors.New("this process wraps keys and never opens one")
	}
	out, err := k.unwrapper.DecryptWithContext(ctx, ciphertext, associatedData)
	return k.keep(out, err)
}

func (k *keepCause) keep(out []byte, err error) ([]byte, error) {
	if err == nil && len(out) == 0 {
		err = errors.New("the key-encryption key answered with nothing")
	}
	if err != nil {
		k.err = err
		return nil, err
	}
	return out, nil
}

func (k *keepCause) prefer(err error) error {
	if k.err != nil {
		return k.err
	}
	return err
}
