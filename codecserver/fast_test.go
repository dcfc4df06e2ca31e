package codecserver

import (
	"bytes"
	"encoding/json"
	"slices"
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
		`{"payloads":[{"metadata":{"a":"MQ=="}},{"metadata": {"a":"MQ=="},"data":"MQ=="},{"metadata":{"a":"MQ=="}}]}`, `{"payloads":[{"metadata":{"a":"MQ=="}},{"metadata":{"a":"Mg=="}}]}`,
		`{"payloads":[{"metadata":{"a":"MQ=="}},{"metadata":{"a":"MQ==","b":""}},{"metadata":{"a":"MQ=="}}]}`, `{"payloads":[{"metadata":{}},{"metadata":{}}]}`,
		`{"payloads":[{"metadata":{"a":"","b":"","c":"","d":""}},{"metadata":{"a":"","b":"","c":"","d":""}}]}`, `{"payloads":[{"metadata":{"a":"MQ=="}},{"metadata":{"a":"MQ=="},"metadata":{"a":"MQ=="}}]}`,
		`{"payloads":[{"data":"MR=="}]}`, "\ufeff{\"payloads\":[]}", `{"payloads":[{},{},{},{}]}`, `{"payloads":[{"data":"====" }]}`,
	} {
		f.Add([]byte(seed))
	}
	h := &Handler{limits: Limits{MaxPayloads: 3}}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := &scratch{body: bytes.Clone(body)}
		first, ok := s.fastParse(3)
		fast := cloned(first)
		s.wipeSlots()
		if again, okAgain := s.fastParse(3); ok != okAgain || ok && !alike(fast, again) {
			t.Fatalf("%q: in memory of its own %v %v, in used memory %v %v", body, fast, ok, again, okAgain)
		}
		if !ok {
			return
		}
		whole, err := h.parse(json.NewDecoder(bytes.NewReader(body)))
		if err != nil || !alike(fast, whole) {
			t.Fatalf("%q: %v, the whole parser has %v, %v", body, fast, whole, err)
		}
	})
}

// cloned are items with memory of their own.
func cloned(items []*item) []*item {
	clones := make([]*item, len(items))
	for i, it := range items {
		clones[i] = &item{raw: bytes.Clone(it.raw), payload: proto.Clone(it.payload).(*commonpb.Payload)}
	}
	return clones
}

func alike(a, b []*item) bool {
	return slices.EqualFunc(a, b, func(a, b *item) bool { return bytes.Equal(a.raw, b.raw) && proto.Equal(a.payload, b.payload) })
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
