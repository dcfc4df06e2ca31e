// Package selftest is a page that says in words why the Web UI does not decode: GET /self-test, in the browser of whom it
// happens to.
//
// What a browser does by itself, the page has it do: reach the server, over what stands in between, with the session's
// cookie. What only a page of the Web UI's own could have it do, a request with the Web UI's origin, the server does for
// the page: it sends the preflight and a decode through its own handler, as they would come, with the cookies that the
// browser sent. The payload is made up and opens for nobody; who may decode is told by the reason. So there is nothing on
// the page that is worth stealing, and each try is on record in the audit log like any other.
package selftest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signet-temporal/signet/codecserver/internal/page"
	"github.com/signet-temporal/signet/internal/wire"
)

const (
	path      = "/self-test"
	pathProbe = path + "/probe"
	maxBody   = 4 << 10
)

//go:embed selftest.html
var content string

//go:embed selftest.js
var script string

var testPage = page.New("Self-test", content, script)

// Options of the page.
type Options struct {
	LoginPage string            // where people log in; "": they do not, and the Web UI passes its token
	Scopes    map[string]string // by namespace: what is sealed into its payloads
}

type handler struct {
	codec http.Handler
	o     Options
}

// New returns the handler of the page, for the codec protocol's handler beside it.
func New(codec http.Handler, o Options) http.Handler { return &handler{codec, o} }

// Handles reports whether a request is for the handler.
func Handles(r *http.Request) bool { return r.URL.Path == path || r.URL.Path == pathProbe }

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == path && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		testPage.Write(w, http.StatusOK, h.o)
	case r.URL.Path == pathProbe && r.Method == http.MethodPost:
		h.probe(w, r)
	default:
		answer(w, http.StatusMethodNotAllowed, map[string]string{"error": "method-not-allowed"})
	}
}

// question is what the page asks.
type question struct {
	Origin    string `json:"origin"` // of the Web UI
	Namespace string `json:"namespace"`
}

// played is what became of the two requests of the Web UI. The page has the words for it.
type played struct {
	Preflight preflight `json:"preflight"`
	Cookie    bool      `json:"cookie"` // the browser has sent any
	Served    bool      `json:"served"` // the namespace is one of the server's
	Decode    decode    `json:"decode"`
}

type preflight struct {
	Status      int    `json:"status"`
	Origin      string `json:"origin"` // that is allowed
	Credentials bool   `json:"credentials"`
}

type decode struct {
	Status  int    `json:"status"`
	Error   string `json:"error,omitempty"`   // of an answer that is one
	Reason  string `json:"reason,omitempty"`  // of an explanation
	Message string `json:"message,omitempty"` // of an explanation
	Caller  string `json:"caller,omitempty"`
	Contact string `json:"contact,omitempty"`
	Request string `json:"request,omitempty"`
}

// probe plays the Web UI. It is for this page alone: a request of another one says so by its Origin.
func (h *handler) probe(w http.ResponseWriter, r *http.Request) {
	origins := r.Header.Values("Origin")
	own, err := url.Parse(strings.Join(origins, ","))
	if len(origins) != 1 || err != nil || own.Host == "" || own.Host != r.Host || r.Header.Get("Content-Type") != "application/json" {
		answer(w, http.StatusForbidden, map[string]string{"error": "origin-not-allowed"})
		return
	}
	var q question
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	in.DisallowUnknownFields()
	if err := in.Decode(&q); err != nil || strings.ContainsAny(q.Origin+q.Namespace, "\r\n\x00") {
		answer(w, http.StatusBadRequest, map[string]string{"error": "bad-request"})
		return
	}
	_, served := h.o.Scopes[q.Namespace]
	p := played{Cookie: r.Header.Get("Cookie") != "", Served: served, Preflight: h.preflight(r, q)}
	if p.Decode, err = h.decode(r, q); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": "bad-request"})
		return
	}
	answer(w, http.StatusOK, p)
}

// play sends a request through the codec protocol's handler, as the Web UI's page would have the browser do.
func (h *handler) play(r *http.Request, method string, body []byte, header map[string]string) *httptest.ResponseRecorder {
	played := r.Clone(r.Context())
	played.Method, played.URL = method, &url.URL{Path: "/decode", RawQuery: "preserveStorageRefs=true"}
	played.Body, played.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	played.Header = http.Header{"User-Agent": {r.UserAgent()}}
	for name, value := range header {
		played.Header.Set(name, value)
	}
	out := httptest.NewRecorder()
	h.codec.ServeHTTP(out, played)
	return out
}

func (h *handler) preflight(r *http.Request, q question) preflight {
	out := h.play(r, http.MethodOptions, nil, map[string]string{
		"Origin": q.Origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-namespace",
	}).Result()
	return preflight{Status: out.StatusCode, Origin: out.Header.Get("Access-Control-Allow-Origin"), Credentials: out.Header.Get("Access-Control-Allow-Credentials") == "true"}
}

func (h *handler) decode(r *http.Request, q question) (decode, error) {
	body, err := h.madeUp(q.Namespace)
	if err != nil {
		return decode{}, err
	}
	header := map[string]string{"Origin": q.Origin, "Content-Type": "application/json", "X-Namespace": q.Namespace}
	if cookie := r.Header.Get("Cookie"); cookie != "" {
		header["Cookie"] = cookie
	}
	out := h.play(r, http.MethodPost, body, header)
	d := decode{Status: out.Code, Request: out.Header().Get("X-Request-Id")}
	if out.Code != http.StatusOK {
		_ = json.Unmarshal(out.Body.Bytes(), &d) // an error's body is not always JSON
		return d, nil
	}
	var payloads commonpb.Payloads
	if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(out.Body.Bytes(), &payloads) == nil && len(payloads.Payloads) == 1 {
		_ = json.Unmarshal(payloads.Payloads[0].Data, &d) // what is no explanation is sealed, as it was sent
	}
	return d, nil
}

// madeUp is the body of a decode request with everything right but the ciphertext.
func (h *handler) madeUp(namespace string) ([]byte, error) {
	scope := h.o.Scopes[namespace]
	if scope == "" {
		scope = namespace
	}
	id, err := wire.NewKeyID("ns/self-test", 1)
	if err != nil {
		return nil, err
	}
	about, err := wire.NewContext(scope, "")
	if err != nil {
		return nil, err
	}
	data := append([]byte{1, 0, 0, 0, 1}, make([]byte, 64)...) // Tink's prefix of key 1, and no ciphertext
	return protojson.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{{Metadata: wire.Join(id, about).Metadata([]byte(wire.Encoding)), Data: data}}})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody is left to tell
}
