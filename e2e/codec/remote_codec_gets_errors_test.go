package codec_test

import (
	"net/http"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/e2e/stack"
)

// TestTheSDKsRemoteCodecGetsAnErrorAndNeverAnExplanation: a worker or tool that uses the server as its remote codec
// cannot take an explanation for data, in explain mode either.
func TestTheSDKsRemoteCodecGetsAnErrorAndNeverAnExplanation(t *testing.T) {
	s := startStack(t)
	server := s.Server(t, stack.ServerOptions{Origins: []string{origin}})
	p := sealed(t, s, "payments", "order-4711", "4711 euros")
	remote := func(token string) sdk.PayloadCodec {
		return sdk.NewRemotePayloadCodec(sdk.RemotePayloadCodecOptions{Endpoint: server.URL, Client: *server.HTTP, ModifyRequest: func(r *http.Request) error {
			r.Header.Set("X-Namespace", "payments")
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			return nil
		}})
	}
	out, err := remote(s.Token(t, "alice")).Decode([]*commonpb.Payload{p})
	if err != nil {
		t.Fatal(err)
	}
	shows(t, out[0], "4711 euros")
	broken := sealed(t, s, "payments", "order-4711", "x")
	broken.Data[len(broken.Data)-1] ^= 1
	for name, in := range map[string]struct {
		token   string
		payload *commonpb.Payload
	}{
		"who may not":                {s.Token(t, "bob"), p},
		"who is not known":           {"", p},
		"a payload that was changed": {s.Token(t, "alice"), broken},
	} {
		out, err := remote(in.token).Decode([]*commonpb.Payload{plain("fine"), in.payload})
		for _, p := range out { // the SDK returns what it was given beside the error
			if _, explained := stack.ExplanationIn(p); explained || strings.Contains(string(p.GetData()), "4711") {
				t.Errorf("%s: the remote codec returns %s", name, p.GetData())
			}
		}
		if err == nil {
			t.Errorf("%s: the remote codec returns no error", name)
		} else if strings.Contains(err.Error(), "signet-explanation") {
			t.Errorf("%s: the error is an explanation: %v", name, err)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	// The same through a data converter: a caller who ignores the error has nothing in his hands.
	var text string
	dc := sdk.NewCodecDataConverter(sdk.GetDefaultDataConverter(), remote(s.Token(t, "bob")))
	if err := dc.FromPayload(p, &text); err == nil || text != "" {
		t.Errorf("a data converter over the remote codec reads %q, %v", text, err)
	}
}
