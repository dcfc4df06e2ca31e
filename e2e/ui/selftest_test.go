package ui

import (
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

func TestTheSelfTestSaysWhatFailsAndWhatToDo(t *testing.T) {
	t.Parallel()
	w, front, _ := replicated(t, 0)
	b := openBrowser(t, "")
	ui := w.uis[ui258][byCookie()]
	try := func(ui, namespace string, want ...string) {
		t.Helper()
		b.open(front.url + "/self-test?ui=" + ui + "&namespace=" + namespace)
		b.click("#run")
		b.awaitText(want...)
		if strings.Contains(b.text(), "broke") {
			t.Errorf("the page failed:\n%s", b.text())
		}
	}
	try(ui, "payments", "are on the same site", "It has its keys", "OPTIONS and POST requests reach the server", "Pages of "+ui+" may ask", "Your browser sent no login", "Log in at "+front.url+"/login")
	b.screenshot("nobody")
	b.logInToCodec(front.url, "alice")
	try(ui, "payments", "You are alice@example.com", "You may decode in namespace payments", "It works here, and not in the Web UI?")
	b.screenshot("works")
	try(ui, "orders", "You may not decode payloads of namespace orders", "not-granted", contact)
	try(ui, "elsewhere", "This server does not serve a namespace elsewhere", "add it to namespaces")
	b.screenshot("namespace")
	try("https://temporal.example.com", "payments", "The server does not know https://temporal.example.com", `Add "https://temporal.example.com" to cors.origins`)
	// The mistake that everybody makes once.
	try(strings.Replace(ui, "localhost", "127.0.0.1", 1), "payments", "are not on the same site", "open the Web UI at http://localhost:")
	b.screenshot("another-site")
	// What stands in between, and gets in the way.
	proxy := *front.backends.Load()
	for _, c := range []struct {
		fault func(http.ResponseWriter, *http.Request)
		want  string
	}{
		{func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "A login proxy in between redirects"},
		{func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodOptions {
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
				return
			}
			httputil.NewSingleHostReverseProxy(proxy[0]).ServeHTTP(w, r)
		}, "Something in between redirects OPTIONS requests, as a login proxy does"},
		{func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			httputil.NewSingleHostReverseProxy(proxy[0]).ServeHTTP(w, r)
		}, "Something in between answers POST requests, with status 502"},
		{func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "It does not answer as this server does"},
	} {
		fault := http.HandlerFunc(c.fault)
		front.fault.Store(&fault)
		try(ui, "payments", c.want)
	}
	b.screenshot("proxy")
	front.fault.Store(nil)

	b.open(front.url + "/login")
	b.click("#logout")
	b.awaitText("Log in to the codec server")
	try(ui, "payments", "Your browser sent no login")

	ctx := b.ctx
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}); err != nil {
		t.Fatal(err)
	}
	b.screenshot("dark")
	// On a telephone nothing stands beyond the edge, long addresses included.
	if _, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 320, Height: 640, DeviceScaleFactor: 1, Mobile: true}); err != nil {
		t.Fatal(err)
	}
	if wide := b.eval(`[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > 320 || e.scrollWidth > e.clientWidth && e.clientWidth > 0).map(e => e.outerHTML).join("\n")`); wide != "" {
		t.Errorf("wider than a telephone:\n%s", wide)
	}
	b.screenshot("telephone")
}

func protojsonOf(p *commonpb.Payloads) (string, error) {
	text, err := protojson.Marshal(p)
	return string(text), err
}

// dataOf is what the payloads of an answer hold, or the answer itself where it is something else.
func dataOf(answer []byte) string {
	var payloads commonpb.Payloads
	if protojson.Unmarshal(answer, &payloads) != nil || len(payloads.Payloads) == 0 {
		return string(answer)
	}
	var all strings.Builder
	for _, p := range payloads.Payloads {
		all.Write(p.GetData())
	}
	return all.String()
}
