package converter_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/rotate"
)

// What seals and opens without a client: a tool that reads what Temporal has stored, or a program that sets its converters
// by itself. Programs with a client need none of it: signet.NewPlugin does it for them, in the right order.
func ExampleNewDataConverter() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := filestore.Create(dir + "/keys") // in production vaultstore, which has the same methods
	if err != nil {
		panic(err)
	}
	if _, err := rotate.Create(ctx, store, store, "ns/payments", rotate.Options{}); err != nil { // signet keyset create ns/payments
		panic(err)
	}
	ring, err := keys.NewRing(ctx, store, store, keys.RingOptions{Keysets: []string{"ns/payments"}})
	if err != nil {
		panic(err)
	}
	defer ring.Close()
	codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: "ns/payments", Scope: "payments"})
	if err != nil {
		panic(err)
	}
	dataConverter, err := converter.NewDataConverter(nil, codec)
	if err != nil {
		panic(err)
	}
	failureConverter, err := converter.NewFailureConverter(nil, dataConverter) // set the two together
	if err != nil {
		panic(err)
	}

	sealed, err := dataConverter.ToPayload("4111 1111 1111 1111")
	if err != nil {
		panic(err)
	}
	fmt.Println(string(sealed.Metadata["encoding"]))
	var card string
	fmt.Println(dataConverter.FromPayload(sealed, &card), card)
	fmt.Println(failureConverter.ErrorToFailure(fmt.Errorf("card %s is declined", card)).GetMessage())

	inClear := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"planted"`)}
	fmt.Println(errors.Is(dataConverter.FromPayload(inClear, &card), converter.ErrNotSealed))
	// Output:
	// binary/encrypted
	// <nil> 4111 1111 1111 1111
	// Encoded failure
	// true
}
