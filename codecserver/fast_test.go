package codecserver

import (
	"bytes"
	"encoding/json"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func TestTheFastParserTakesWhatClientsSend(t *testing.T) {
	for _, body := range []string{
		`{"payloads":[]}`,
		`{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"MQ=="}]}`,
		"{ \"payloads\" : [ {\"data\":\"\",\n\t\"metadata\":{\"a\":\"\", \"b\" : \"eA==\"}} , {} ]\r\n}\n",
	} {
		if _, ok := (&scratch{body: []byte(body)}).fastParse(10); !ok {
			t.Errorf("%s is left to the whole parser", body)
		}
	}
}

// FuzzFastParse: what the fast parser accepts, the whole parser accepts as the same payloads.
func FuzzFastParse(f *testing.F) {
	for _, seed := range []string{
		`{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"MQ=="},{}]}`, `{"payloads":[{},]}`, `{"payloads":[,{}]}`, `{"payloads":[{,}]}`,
		`{"payloads":[{"data":"MQ==",}]}`, `{"payloads":[{"data":"MQ==","data":"MQ=="}]}`, `{"payloads":[{"data":"","data":""}]}`, `{"payloads":[{"data":"MQ"}]}`,
		`{"payloads":[{"data":"M_-="}]}`, "{\"payloads\":[{\"data\":\"M\nQ==\"}]}", `{"payloads":[{"data":"M\u0051=="}]}`, `{"payloads":[{"data":null}]}`,
		`{"payloads":[{"metadata":{"a":"","a":""}}]}`, `{"payloads":[{"metadata":{"":""}}]}`, `{"payloads":[{"metadata":{},"metadata":{}}]}`, `{"payloads":[{"metadata":{"\u00e9":""}}]}`,
		`{"payloads":[{"metadata":{"é":""}}]}`, `{"payloads":[]} x`, `{"payloads":[]`, `{"payloads":[],"payloads":[]}`, `{"payloads":[{"externalPayloads":[{"sizeBytes":"7"}]}]}`,
		`{"payloads":[{"data":"MR=="}]}`, "\ufeff{\"payloads\":[]}", `{"payloads":[{},{},{},{}]}`, `{"payloads":[{"data":"====" }]}`,
	} {
		f.Add([]byte(seed))
	}
	h := &Handler{limits: Limits{MaxPayloads: 3}}
	f.Fuzz(func(t *testing.T, body []byte) {
		fast, ok := (&scratch{body: bytes.Clone(body)}).fastParse(3)
		if !ok {
			return
		}
		whole, err := h.parse(json.NewDecoder(bytes.NewReader(body)))
		if err != nil || len(whole) != len(fast) {
			t.Fatalf("%q: %d payloads, the whole parser has %d, %v", body, len(fast), len(whole), err)
		}
		for i := range fast {
			if !bytes.Equal(fast[i].raw, whole[i].raw) || !proto.Equal(fast[i].payload, whole[i].payload) {
				t.Fatalf("%q: payload %d is %q %v, the whole parser has %q %v", body, i, fast[i].raw, fast[i].payload, whole[i].raw, whole[i].payload)
			}
		}
	})
}

func FuzzAppendPayload(f *testing.F) {
	f.Add("encoding", []byte("json/plain"), `a"<>&\`, []byte{0xff}, []byte("1"), int64(7))
	f.Add("", []byte(nil), "é\u2028\x00", []byte(nil), []byte(nil), int64(0))
	f.Fuzz(func(t *testing.T, k1 string, v1 []byte, k2 string, v2, data []byte, size int64) {
		in := &commonpb.Payload{Metadata: map[string][]byte{k1: v1, k2: v2}, Data: data}
		for range uint64(size) % 3 {
			in.ExternalPayloads = append(in.ExternalPayloads, &commonpb.Payload_ExternalPayloadDetails{SizeBytes: size})
		}
		if _, err := proto.Marshal(in); err != nil { // names that are not UTF-8 are no metadata
			return
		}
		text, err := appendPayload(nil, in)
		if err != nil {
			t.Fatal(err)
		}
		out := &commonpb.Payload{}
		if err := protojson.Unmarshal(text, out); err != nil || !proto.Equal(in, out) {
			t.Fatalf("%s: %v\n got %v\nwant %v", text, err, out, in)
		}
		for _, member := range []string{"metadata", "data"} {
			if !bytes.Contains(text, []byte(`"`+member+`":`)) {
				t.Fatalf("%s has no %s", text, member)
			}
		}
	})
}
