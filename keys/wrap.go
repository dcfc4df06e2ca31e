package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Generate makes a new key of type t and wraps it for the keyset called name. It does not look for a doubled id: the
// caller compares with the keyset. The key leaves this function only wrapped.
func Generate(ctx context.Context, kek KEK, name string, t Type) (ID, []byte, error) {
	template, err := t.template()
	if err != nil {
		return 0, nil, err
	}
	handle, err := keyset.NewHandle(template)
	if err != nil {
		return 0, nil, fmt.Errorf("making a %s key: %w", t, err)
	}
	var buf bytes.Buffer
	sealer := &keepCause{KEK: kek}
	if err := handle.WriteWithContext(ctx, keyset.NewBinaryWriter(&buf), sealer, []byte(name)); err != nil {
		return 0, nil, fmt.Errorf("wrapping a new key of keyset %q: %w", name, sealer.prefer(err))
	}
	return ID(handle.KeysetInfo().GetPrimaryKeyId()), buf.Bytes(), nil
}

// Unwrap opens one wrapped key of the keyset called name and returns its AEAD. The key must be the one that id names,
// alone in its Tink keyset and with a TINK prefix; anything else is an error.
func Unwrap(ctx context.Context, kek KEK, name string, id ID, wrapped []byte) (tink.AEAD, error) {
	opener := &keepCause{KEK: kek}
	handle, err := keyset.ReadWithContext(ctx, keyset.NewBinaryReader(bytes.NewReader(wrapped)), opener, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("opening key %s of keyset %q: %w", id, name, opener.prefer(err))
	}
	info := handle.KeysetInfo().GetKeyInfo()
	if len(info) != 1 || info[0].GetKeyId() != uint32(id) || info[0].GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
		return nil, fmt.Errorf("opening key %s of keyset %q: the wrapped keyset is not that one key with a TINK prefix", id, name)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("opening key %s of keyset %q: %w", id, name, err)
	}
	return primitive, nil
}

func (t Type) template() (*tinkpb.KeyTemplate, error) {
	switch t {
	case XAES256GCM:
		return aead.XAES256GCM192BitNonceKeyTemplate(), nil
	case AES256GCM:
		return aead.AES256GCMKeyTemplate(), nil
	}
	return nil, fmt.Errorf("unknown key type %q: use %s or %s", t, XAES256GCM, AES256GCM)
}

// keepCause remembers what the KEK said: Tink wraps a key-encryption error with %v, which hides a sealed or
// unreachable Vault from errors.As. It also refuses an empty answer, which no wrapped key ever opens to.
type keepCause struct {
	KEK
	err error
}

func (k *keepCause) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	out, err := k.KEK.EncryptWithContext(ctx, plaintext, associatedData)
	return k.keep(out, err)
}

func (k *keepCause) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	out, err := k.KEK.DecryptWithContext(ctx, ciphertext, associatedData)
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
