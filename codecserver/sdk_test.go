package codecserver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

// The SDK's own client of the protocol, over a real connection.
func remote(t *testing.T, w *world, token string) sdk.PayloadCodec {
	t.Helper()
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	return sdk.NewRemotePayloadCodec(sdk.RemotePayloadCodecOptions{
		Endpoint: server.URL + "/any/prefix",
		ModifyRequest: func(r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("X-Namespace", "payments")
			return nil
		},
	})
}

func TestTheSDKsRemoteCodecSealsAndOpens(t *testing.T) {
	codec := remote(t, newWorld(t), "ann")
	in := []*commonpb.Payload{plain("1"), plain(`"` + secret + `"`), {Metadata: map[string][]byte{"encoding": []byte("binary/null")}}}
	sealed, err := codec.Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := codec.Decode(append(sealed, plain("foreign")))
	if err != nil || len(opened) != 4 {
		t.Fatalf("%d payloads, %v", len(opened), err)
	}
	for i := range in {
		if proto.Equal(in[i], sealed[i]) || !proto.Equal(in[i], opened[i]) {
			t.Errorf("payload %d: sealed %v, opened %v", i, sealed[i], opened[i])
		}
	}
}

func TestTheSDKsRemoteCodecGetsAnErrorAndNoPayloadWhenItMayNot(t *testing.T) {
	w := newWorld(t)
	for token, want := range map[string]string{"bob": "denied", "expired-token": "unauthenticated"} {
		codec := remote(t, w, token)
		if out, err := codec.Decode([]*commonpb.Payload{w.sealed("payments")}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Decode = %v, %v; want an error with %q", token, out, err, want)
		}
		if _, err := codec.Encode([]*commonpb.Payload{plain("1")}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Encode = %v, want an error with %q", token, err, want)
		}
	}
}
