// Package codec_test speaks the codec protocol with the real daemon, without a browser: tokens of a real OpenID provider,
// payloads of real workflows' shape, keys in a real Vault.
package codec_test

import (
	"fmt"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
)

// origin is that of the Web UI which the servers here allow.
const origin = "https://temporal.example.com"

func startStack(t *testing.T) *stack.Stack {
	t.Helper()
	return stack.Start(t, stack.Options{WithoutTemporal: true})
}

// sealed returns a payload of a workflow, as its worker seals it.
func sealed(t *testing.T, s *stack.Stack, namespace, workflowID, text string) *commonpb.Payload {
	t.Helper()
	codec, err := converter.NewCodec(s.DefaultRing(t), converter.CodecOptions{Keyset: stack.Keyset(namespace), Scope: namespace})
	if err != nil {
		t.Fatal(err)
	}
	dc, err := converter.NewDataConverter(nil, codec)
	if err != nil {
		t.Fatal(err)
	}
	bound := sdk.WithDataConverterSerializationContext(dc, sdk.WorkflowSerializationContext{Namespace: namespace, WorkflowID: workflowID})
	ps, err := bound.ToPayloads(text)
	if err != nil {
		t.Fatal(err)
	}
	return ps.GetPayloads()[0]
}

func plain(text string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(fmt.Sprintf("%q", text))}
}

// shows fails the test unless a payload is the given text.
func shows(t *testing.T, p *commonpb.Payload, text string) {
	t.Helper()
	if got := string(p.GetData()); got != fmt.Sprintf("%q", text) || string(p.GetMetadata()["encoding"]) != "json/plain" {
		t.Errorf("the payload is %s (%s), want %q", got, p.GetMetadata()["encoding"], text)
	}
}
