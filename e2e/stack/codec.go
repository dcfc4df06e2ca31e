package stack

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// CodecRequest is one request of the codec protocol.
type CodecRequest struct {
	// Action is the path, such as "/decode"; empty means that.
	Action string
	// Token goes into the Authorization header; empty: no such header.
	Token string
	// IDToken goes into Authorization-Extras; empty: no such header.
	IDToken string
	// Namespace goes into X-Namespace; empty: no such header.
	Namespace string
	// Origin makes the request one of a browser's page; empty: a machine's.
	Origin   string
	Payloads []*commonpb.Payload
}

// CodecAnswer is what the server answered.
type CodecAnswer struct {
	Status    int
	RequestID string // X-Request-Id
	Header    http.Header
	Body      string
	Payloads  []*commonpb.Payload // of an answer with status 200
}

// Decode sends payloads to /decode as a machine does: with a token and X-Namespace, and no Origin.
func (v *Server) Decode(t *testing.T, token, namespace string, payloads ...*commonpb.Payload) CodecAnswer {
	t.Helper()
	return v.Codec(t, CodecRequest{Token: token, Namespace: namespace, Payloads: payloads})
}

// Codec sends one request of the codec protocol.
func (v *Server) Codec(t *testing.T, r CodecRequest) CodecAnswer {
	t.Helper()
	if r.Action == "" {
		r.Action = "/decode"
	}
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: r.Payloads})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.URL+r.Action, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range map[string]string{"X-Namespace": r.Namespace, "Origin": r.Origin} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	if r.IDToken != "" {
		req.Header.Set("Authorization-Extras", r.IDToken)
	}
	res, err := v.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := CodecAnswer{Status: res.StatusCode, RequestID: res.Header.Get("X-Request-Id"), Header: res.Header, Body: string(text)}
	if res.StatusCode == http.StatusOK {
		var payloads commonpb.Payloads
		if err := protojson.Unmarshal(text, &payloads); err != nil {
			t.Fatalf("the answer is not the JSON of payloads: %v: %s", err, text)
		}
		answer.Payloads = payloads.GetPayloads()
	}
	return answer
}

// Explanation is what a person reads in place of a payload.
type Explanation struct {
	Mark      string `json:"signet-explanation"`
	Message   string `json:"message"`
	Reason    string `json:"reason"`
	Namespace string `json:"namespace"`
	Caller    string `json:"caller"`
	Contact   string `json:"contact"`
	RequestID string `json:"requestId"`
}

// ExplanationIn reads the explanation that stands in place of a payload; ok is false for any other payload.
func ExplanationIn(p *commonpb.Payload) (e Explanation, ok bool) {
	if string(p.GetMetadata()["encoding"]) != "json/plain" || json.Unmarshal(p.GetData(), &e) != nil {
		return Explanation{}, false
	}
	return e, e.Mark == "v1"
}
