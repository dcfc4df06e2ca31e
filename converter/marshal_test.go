package converter

import (
	"bytes"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"
)

// FuzzPayloadForm: whatever proto reads, parsePayload reads alike; what neither reads, neither accepts; and
// appendPayload writes what proto would.
func FuzzPayloadForm(f *testing.F) {
	for _, p := range []*commonpb.Payload{
		{},
		{Data: []byte("x")},
		{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"a"`)},
		{Metadata: map[string][]byte{"a": nil, "": []byte("b"), "c": {}}},
		{ExternalPayloads: []*commonpb.Payload_ExternalPayloadDetails{{SizeBytes: 7}}},
	} {
		body, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte{0x0a, 0x02, 0x0a, 0x00})             // an entry without a value
	f.Add([]byte{0x12, 0x01, 'a', 0x12, 0x01, 'b'})   // data twice
	f.Add([]byte{0x98, 0x06, 0x01, 0x12, 0x01, 0xff}) // an unknown field
	f.Add([]byte{0x0a, 0x05, 0x0a, 0x01, 0xff, 0x12, 0x00})
	f.Fuzz(func(t *testing.T, body []byte) {
		want := new(commonpb.Payload)
		wantErr := proto.Unmarshal(body, want)
		got, ok := parsePayload(bytes.Clone(body))
		if ok != (wantErr == nil) || (!ok && got != nil) {
			t.Fatalf("parsePayload ok = %v with %v, proto says %v", ok, got, wantErr)
		}
		if !ok {
			return
		}
		if !proto.Equal(got, want) {
			t.Fatalf("parsePayload\n got %v\nwant %v", got, want)
		}
		written, err := appendPayload(nil, want)
		wantWritten, wantErr := proto.MarshalOptions{Deterministic: true}.Marshal(want)
		if (err == nil) != (wantErr == nil) || !bytes.Equal(written, wantWritten) {
			t.Fatalf("appendPayload\n got %x, %v\nwant %x, %v", written, err, wantWritten, wantErr)
		}
		if len(got.GetExternalPayloads()) == 0 && len(got.ProtoReflect().GetUnknown()) == 0 && payloadSize(got) < len(written) {
			t.Fatalf("payloadSize %d is less than the %d bytes written", payloadSize(got), len(written))
		}
	})
}
