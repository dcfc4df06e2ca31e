package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signet-temporal/signet/internal/wire"
)

// wantedHeaders are what the Web UI's requests carry, and a preflight must allow each.
func wantedHeaders() []string {
	return []string{"authorization", "authorization-extras", "content-type", "x-namespace"}
}

// payload is the body of a decode request: the one of the file, or one with everything right but the ciphertext.
func (x *examination) payload() (body string, made bool, err error) {
	all := &commonpb.Payloads{}
	if x.Payload != "" {
		text, err := os.ReadFile(x.Payload)
		if err != nil {
			return "", false, fmt.Errorf("reading the payload: %w", err)
		}
		one, lenient := &commonpb.Payload{}, protojson.UnmarshalOptions{DiscardUnknown: true}
		if lenient.Unmarshal(text, all) != nil || len(all.Payloads) == 0 {
			if lenient.Unmarshal(text, one) != nil {
				return "", false, fmt.Errorf("--payload %s is not the JSON of a payload, as temporal workflow show --output json has it", x.Payload)
			}
			all.Payloads = []*commonpb.Payload{one}
		}
		for _, p := range all.Payloads {
			if !wire.Sealed(p.Metadata) {
				return "", false, fmt.Errorf("--payload %s holds a payload that signet did not seal: a codec server returns it as it is, whoever asks", x.Payload)
			}
		}
	} else {
		scope := x.Scope
		if scope == "" {
			scope = x.Namespace
		}
		id, err := wire.NewKeyID("ns/doctor", 1)
		if err != nil {
			return "", false, err
		}
		about, err := wire.NewContext(scope, "")
		if err != nil {
			return "", false, fmt.Errorf("--namespace: %w", err)
		}
		data := append([]byte{1, 0, 0, 0, 1}, make([]byte, 64)...) // Tink's prefix of key 1, and no ciphertext
		all.Payloads = []*commonpb.Payload{{Metadata: wire.Join(id, about).Metadata([]byte(wire.Encoding)), Data: data}}
	}
	text, err := protojson.Marshal(all)
	return string(text), x.Payload == "", err
}

// send sends one request as the clients make the address: the action behind it, as text.
func (x *examination) send(ctx context.Context, method, path, body string, header map[string]string) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(x.URL, "/")+path, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := x.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp, string(text), err
}

// token reads what the token says of itself, without believing it: the server's answer to a token that it does not like
// names no claims.
func (x *examination) token() {
	if x.Token == "" {
		x.fail("token", "none was given: with --token, or in SIGNET_TOKEN, this examination can tell who may decode")
		return
	}
	var claims struct {
		Issuer  string `json:"iss"`
		Expires int64  `json:"exp"`
	}
	parts := strings.Split(x.Token, ".")
	if len(parts) == 3 {
		if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(text, &claims) == nil {
			left := time.Until(time.Unix(claims.Expires, 0)).Round(time.Second)
			switch {
			case claims.Expires == 0:
				x.fail("token", "it says not when it expires: the server refuses it")
			case left < 0:
				x.fail("token", "it expired %v ago: log in again. The Web UI does not renew tokens for the codec server; reloading the page does", -left)
			default:
				x.ok("token", "of issuer %q, for another %v", claims.Issuer, left)
			}
			return
		}
	}
	if x.IDToken == "" {
		x.fail("token", "it is not a JSON Web Token, so the server needs an ID token beside it (--id-token, idTokenAudiences)")
		return
	}
	x.ok("token", "not a JSON Web Token: the ID token decides")
}

// login: a cookie is for the browser alone, so that it is there that a login is examined.
func (x *examination) login(ctx context.Context) {
	if resp, text, err := x.send(ctx, http.MethodGet, "/login", "", nil); err == nil && resp.StatusCode == http.StatusOK && strings.Contains(text, "Signet codec server") {
		where := strings.TrimSuffix(x.URL, "/")
		x.ok("login", "people log in at %s/login, and /self-test examines it in their browser", where)
	}
}

func (x *examination) preflight(ctx context.Context) {
	resp, _, err := x.send(ctx, http.MethodOptions, "/decode?preserveStorageRefs=true", "", map[string]string{
		"Origin": x.Origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": strings.Join(wantedHeaders(), ","),
	})
	if err != nil {
		x.fail("preflight", "%s", connectionAdvice(err))
		return
	}
	allowed := strings.ToLower(resp.Header.Get("Access-Control-Allow-Headers"))
	var missing []string
	for _, name := range wantedHeaders() {
		if !strings.Contains(","+strings.ReplaceAll(allowed, " ", "")+",", ","+name+",") {
			missing = append(missing, name)
		}
	}
	switch got := resp.Header.Get("Access-Control-Allow-Origin"); {
	case got == "" && resp.StatusCode == http.StatusForbidden:
		x.fail("preflight", "the server does not know the origin %s: add it to cors.origins, exactly as browsers send it, with scheme and port and without a slash at the end", x.Origin)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		x.fail("preflight", "something in between redirects it (status %d), as a login proxy does: preflights carry no login, let OPTIONS pass", resp.StatusCode)
	case resp.StatusCode >= 400:
		x.fail("preflight", "status %d: something in between refuses OPTIONS, let it pass", resp.StatusCode)
	case got != x.Origin:
		x.fail("preflight", "it allows the origin %q and not %s: a proxy in between answers, let the server do so", got, x.Origin)
	case len(missing) > 0:
		x.fail("preflight", "it does not allow %s: a proxy in between answers, let the server do so", strings.Join(missing, ", "))
	default:
		x.ok("preflight", "the Web UI at %s may ask", x.Origin)
	}
}

// decode asks as the Web UI or as the CLI does.
func (x *examination) decode(ctx context.Context, browser bool) {
	step, path, header := "CLI", "/decode", map[string]string{"Content-Type": "application/json", "X-Namespace": x.Namespace, "User-Agent": "Go-http-client/1.1"}
	if browser {
		step, path = "Web UI", "/decode?preserveStorageRefs=true"
		header["Origin"], header["User-Agent"] = x.Origin, "Mozilla/5.0"
	}
	if x.Token != "" {
		header["Authorization"] = "Bearer " + x.Token
	}
	if x.IDToken != "" && browser {
		header["Authorization-Extras"] = x.IDToken
	}
	resp, text, err := x.send(ctx, http.MethodPost, path, x.body, header)
	switch {
	case err != nil:
		x.fail(step, "%s", connectionAdvice(err))
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		x.fail(step, "something in between redirects (status %d), as a login proxy does: let requests with a token pass", resp.StatusCode)
	case browser && resp.Header.Get("Access-Control-Allow-Origin") != x.Origin:
		x.fail(step, "the answer (status %d) does not allow the origin: the browser shows a network error. See preflight", resp.StatusCode)
	case resp.StatusCode == http.StatusOK:
		x.answer(step, text)
	default:
		x.refusal(step, resp, text)
	}
}

// answer judges an answer with status 200.
func (x *examination) answer(step, text string) {
	var out commonpb.Payloads
	if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(text), &out) != nil || len(out.Payloads) == 0 {
		x.fail(step, "the answer is not that of a codec server: is the address right, and does it lead to signet-server?")
		return
	}
	var said struct{ Message, Reason, RequestID string }
	if p := out.Payloads[0]; p.GetMetadata()["signet-explanation"] != nil && json.Unmarshal(p.GetData(), &said) == nil {
		if x.made && cannotOpen(said.Reason) {
			x.ok(step, "you may decode in namespace %s (the made-up payload does not open, as it should: %s)", x.Namespace, said.Reason)
			return
		}
		x.fail(step, "%s (%s, request %s)", said.Message, said.Reason, said.RequestID)
		return
	}
	if wire.Sealed(out.Payloads[0].GetMetadata()) {
		x.fail(step, "the payload came back as it was sent: that is not signet-server, or not one with this codec")
		return
	}
	x.ok(step, "the payload was opened: %d bytes, %q", len(out.Payloads[0].GetData()), out.Payloads[0].GetMetadata()["encoding"])
}

// cannotOpen: the reasons that come behind the policy.
func cannotOpen(reason string) bool {
	return reason == "key-unavailable" || reason == "not-authentic" || reason == "key-destroyed"
}

// refusal judges an answer for machines, which says no more than a word.
func (x *examination) refusal(step string, resp *http.Response, text string) {
	var said struct{ Error, RequestID string }
	if json.Unmarshal([]byte(text), &said) != nil || said.Error == "" {
		x.fail(step, "status %d, and not in the words of signet-server: something in between refuses it", resp.StatusCode)
		return
	}
	const hangs = ". The CLI tries again for 10 s and then says \"context deadline exceeded\""
	advice := map[string]string{
		"unauthenticated":    "the token is missing, has expired, or is not one that the server accepts; the server's log says which" + hangs,
		"denied":             fmt.Sprintf("the token is good, and no rule lets its bearer decode in namespace %s (or the server does not serve it): signet-server policy explain says why%s", x.Namespace, hangs),
		"masked":             "the payload opens, and no grant shows all of its labels: a person adds --codec-header Signet-Accept=masks to see the rest, a program needs a grant with the labels" + hangs,
		"origin-not-allowed": "the origin is not one of cors.origins",
		"rate-limited":       "the caller has had too many payloads: wait for " + resp.Header.Get("Retry-After") + " s",
		"busy":               "the server has too many requests under way",
		"unreadable":         "the payload does not open: it was changed or moved, or its key was destroyed",
		"unavailable":        "the key of the payload, the identity provider or the audit log is not available at the moment",
		"not-found":          "there is no /decode behind this address",
	}[said.Error]
	if x.made && x.ready && (said.Error == "unreadable" || said.Error == "unavailable") {
		x.ok(step, "you may decode in namespace %s (the made-up payload does not open, as it should)", x.Namespace)
		return
	}
	if advice == "" {
		advice = "the server's log says why"
	}
	x.fail(step, "%s (status %d, %s, request %s)", advice, resp.StatusCode, said.Error, said.RequestID)
}
