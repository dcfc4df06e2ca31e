package codecserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/segmentio/asm/base64"
	"io"
	"mime"
	"net/http"
	"slices"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signet-temporal/signet/internal/wire"
)

// undefined is what the Web UI sends as namespace on pages that have none.
const undefined = "undefined"

// maxNamespace is how long Temporal lets a name be. What stands in the header stands in a record for each payload.
const maxNamespace = 1000

// checkHeaders reads X-Namespace and refuses what is not JSON: a page can send text/plain without a preflight.
func (q *request) checkHeaders() error {
	mediaType, _, err := mime.ParseMediaType(q.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return &problem{status: http.StatusUnsupportedMediaType, code: "unsupported-media-type", detail: "Content-Type is not application/json"}
	}
	if e := q.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return &problem{status: http.StatusUnsupportedMediaType, code: "unsupported-media-type", detail: "Content-Encoding is not supported"}
	}
	names := q.Header.Values("X-Namespace")
	if len(names) > 1 {
		return badRequest("more than one X-Namespace header")
	}
	if len(names) == 1 && len(names[0]) > maxNamespace {
		return badRequest("X-Namespace is longer than any namespace's name")
	}
	if len(names) == 1 && names[0] != undefined {
		q.namespace = names[0]
	}
	if err := q.readAccept(); err != nil {
		return err
	}
	return q.readBreakGlass()
}

// item is one payload of a request.
type item struct {
	raw     json.RawMessage   // as it came
	payload *commonpb.Payload // the same, parsed
	out     *commonpb.Payload // what to answer in its place; nil: raw
	verdict
}

// readPayloads reads {"payloads":[…]} of at most maxBody bytes within the limits: it stops at the first payload too many,
// so that a million empty ones cost no more than their bytes. Members it does not know are skipped, here and inside
// payloads.
func (h *Handler) readPayloads(q *request, maxBody int64) ([]*item, error) {
	err := q.scratch.read(q.Request, q.w, maxBody)
	var items []*item
	if err == nil {
		var ok bool
		if items, ok = q.scratch.fastParse(h.limits.MaxPayloads); !ok {
			items, err = h.parse(json.NewDecoder(bytes.NewReader(q.scratch.body)))
		}
	}
	var tooLarge *http.MaxBytesError
	var known *problem
	switch {
	case errors.As(err, &tooLarge):
		return nil, &problem{status: http.StatusRequestEntityTooLarge, code: "too-large", detail: "the body is larger than limits.maxBody"}
	case errors.As(err, &known):
		return nil, known
	case err != nil: // of encoding/json or protojson: its text may quote the body
		return nil, badRequest("the body is not the JSON of payloads")
	}
	q.payloads = len(items)
	return items, nil
}

func (h *Handler) parse(dec *json.Decoder) ([]*item, error) {
	if err := expect(dec, '{'); err != nil {
		return nil, err
	}
	var items []*item
	for seen := false; dec.More(); {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		if key != "payloads" {
			var skipped json.RawMessage
			if err := dec.Decode(&skipped); err != nil {
				return nil, err
			}
			continue
		}
		if seen {
			return nil, badRequest(`"payloads" is there twice`)
		}
		seen = true
		if items, err = h.parseList(dec); err != nil {
			return nil, err
		}
	}
	if err := expect(dec, '}'); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.Join(badRequest("there is more behind the JSON"), err)
	}
	return items, nil
}

func (h *Handler) parseList(dec *json.Decoder) ([]*item, error) {
	if err := expect(dec, '['); err != nil {
		return nil, err
	}
	var items []*item
	for dec.More() {
		if len(items) == h.limits.MaxPayloads {
			return nil, &problem{status: http.StatusRequestEntityTooLarge, code: "too-many-payloads", detail: "more payloads than limits.maxPayloads"}
		}
		it := &item{payload: &commonpb.Payload{}}
		if err := dec.Decode(&it.raw); err != nil {
			return nil, err
		}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(it.raw, it.payload); err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, expect(dec, ']')
}

func expect(dec *json.Decoder, delim json.Delim) error {
	token, err := dec.Token()
	if err == nil && token != delim {
		err = fmt.Errorf("expected %s", delim)
	}
	return err
}

// answer writes the payloads: a foreign one in the very bytes it came in.
func (h *Handler) answer(q *request, items []*item) {
	size := 32
	for _, it := range items {
		if it.out == nil {
			size += len(it.raw) + 1
		} else {
			size += textSize(it.out)
		}
	}
	body := append(make([]byte, 0, size), `{"payloads":[`...) // of its own: HTTP/2 may still send it when the handler has returned
	for i, it := range items {
		if i > 0 {
			body = append(body, ',')
		}
		if it.out == nil {
			body = append(body, it.raw...)
			continue
		}
		var err error
		if body, err = appendPayload(body, it.out); err != nil {
			h.fail(q, fmt.Errorf("writing a payload: %w", err))
			return
		}
	}
	body = append(body, "]}"...)
	q.w.Header().Set("Content-Type", "application/json")
	q.w.Header().Set(SummaryHeader, q.summary(items))
	q.w.WriteHeader(http.StatusOK)
	_, _ = q.w.Write(body) // the client has gone: nobody is left to tell
	h.logDone(q, items)
}

// appendPayload writes a payload as protojson does, except that "metadata" and "data" are there even when they are empty:
// the Web UI does not recognise a payload without them.
func appendPayload(dst []byte, p *commonpb.Payload) ([]byte, error) {
	dst = append(dst, `{"metadata":{`...)
	var few [4]string
	for i, key := range namesOf(few[:0], p.GetMetadata()) {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendName(dst, key); err != nil {
			return nil, err
		}
		dst = appendBase64(append(dst, ':'), p.GetMetadata()[key])
	}
	dst = appendBase64(append(dst, `},"data":`...), p.GetData())
	for i, external := range p.GetExternalPayloads() {
		text, err := protojson.Marshal(external)
		if err != nil {
			return nil, err
		}
		dst = append(dst, [2]string{`,"externalPayloads":[`, `,`}[min(i, 1)]...)
		dst = append(dst, text...)
	}
	if len(p.GetExternalPayloads()) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}'), nil
}

// textSize is how many bytes [appendPayload] writes, as a rule: a name with escapes and external payloads take more.
func textSize(p *commonpb.Payload) int {
	size := len(`{"metadata":{},"data":""},`) + base64.StdEncoding.EncodedLen(len(p.GetData()))
	var few [4]string
	for _, name := range namesOf(few[:0], p.GetMetadata()) {
		size += len(name) + len(`"":"",`) + base64.StdEncoding.EncodedLen(len(p.GetMetadata()[name]))
	}
	return size
}

// namesOf appends the names in metadata, sorted. Most payloads have an encoding and nothing else: to look that up takes a
// tenth of the time of an iteration.
func namesOf(names []string, metadata map[string][]byte) []string {
	if _, ok := metadata[wire.MetadataEncoding]; ok && len(metadata) == 1 {
		return append(names, wire.MetadataEncoding)
	}
	for name := range metadata {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// appendName writes most names as they are.
func appendName(dst []byte, name string) ([]byte, error) {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(name)
			return append(dst, quoted...), err
		}
	}
	return append(append(append(dst, '"'), name...), '"'), nil
}

func appendBase64(dst, data []byte) []byte {
	dst = append(dst, '"')
	begin, size := len(dst), base64.StdEncoding.EncodedLen(len(data))
	dst = slices.Grow(dst, size+1)[:begin+size]
	base64.StdEncoding.Encode(dst[begin:], data)
	return append(dst, '"')
}
