package legacy_test

import (
	"bytes"
	"fmt"
	"log"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/converter/legacy"
)

// The options of a worker that moves from a codec made after Temporal's samples. The keys come from where the old codec had
// them.
func ExampleNewAESGCM() {
	old, err := legacy.NewAESGCM(map[string][]byte{"payments-2023": bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		log.Fatal(err)
	}
	options := signet.Options{Legacy: []converter.Legacy{old}}
	_, err = old.Open(&commonpb.Payload{Metadata: map[string][]byte{
		"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte("payments-2022"),
	}})
	fmt.Println(len(options.Legacy), err)
	// Output: 1 key is not available: no key "payments-2022": give it to legacy.NewAESGCM
}

// A keyset that the old codec kept encrypted: vault is an AEAD over the key that encrypted it, such as a Vault Transit key
// by way of the hcvault client of tink-go.
func readOldKeyset(file string, vault tink.AEAD) (*legacy.Tink, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	handle, err := keyset.Read(keyset.NewJSONReader(bytes.NewReader(text)), vault)
	if err != nil {
		return nil, err
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, err
	}
	return legacy.NewTink(primitive, legacy.TinkOptions{
		Encoding:       "binary/tink",
		AssociatedData: func(p *commonpb.Payload) []byte { return p.GetMetadata()["namespace"] },
	})
}

// An old keyset in clear is read with a package whose name says what that is.
func ExampleNewTink() {
	text := `{"primaryKeyId": 42, "key": [{"keyData": {"typeUrl": "type.googleapis.com/google.crypto.tink.AesGcmKey",
		"value": "GiAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", "keyMaterialType": "SYMMETRIC"},
		"status": "ENABLED", "keyId": 42, "outputPrefixType": "TINK"}]}`
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader([]byte(text))))
	if err != nil {
		log.Fatal(err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		log.Fatal(err)
	}
	old, err := legacy.NewTink(primitive, legacy.TinkOptions{Encoding: "binary/tink"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = old.Open(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/tink")}})
	fmt.Println(err)
	_, err = old.Open(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}})
	fmt.Println(err)
	_ = readOldKeyset
	// Output:
	// payload is not authentic
	// payload is not sealed
}
