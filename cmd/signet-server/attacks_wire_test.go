package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
)

// headerAttacks are about what stands in a header twice, hidden, or in the wrong place.
func headerAttacks() []attack {
	return []attack{
		{"header smuggling", func(a *arena) (got []answer) {
			token := a.idp.of("ann", nil)
			a.issued = append(a.issued, token)
			bearer := "Authorization: Bearer " + token
			got = slices.Concat(
				a.raw(a.rawDecode("/decode", "Authorization : Bearer "+token)),       // a space before the colon
				a.raw(a.rawDecode("/decode", "X: y", " "+bearer)),                    // a folded line
				a.raw(a.rawDecode("/decode", "X: y\n"+bearer+"\x00")),                // a zero byte
				a.raw(a.rawDecode("/decode", "Content-Length: 5", bearer)),           // a second length
				a.raw(a.rawDecode("/decode", "Transfer-Encoding: xchunked", bearer)), // an encoding nobody knows
				a.raw(a.rawDecode("/decode", "Transfer-Encoding: chunked, chunked", bearer)),
				a.raw(strings.Replace(a.rawDecode("/decode", bearer), "Host: codec\r\n", "Host: codec\r\nHost: other\r\n", 1)),
				a.raw(strings.Replace(a.rawDecode("/decode", bearer), "Content-Length: ", "Content-Length: +", 1)),
			)
			return got
		}, []string{"400", "501", unauthenticated}, false},
		{"two of one header", func(a *arena) []answer {
			ann, bob := a.idp.of("ann", nil), a.idp.of("bob", nil)
			a.issued = append(a.issued, ann, bob)
			return a.all(
				shot{header: map[string][]string{"Authorization": {"Bearer " + bob, "Bearer " + ann}}},
				shot{header: map[string][]string{"Authorization": {"Bearer " + ann, "Bearer " + ann}}},
				shot{header: map[string][]string{"Authorization": {"", "Bearer " + ann}}},
				shot{header: map[string][]string{"Authorization": {"Bearer " + ann + ", Bearer " + ann}}},
				shot{header: map[string][]string{"Authorization": {"Bearer " + a.jobToken, "Bearer " + a.jobToken}}},
				shot{token: ann, header: map[string][]string{"Authorization-Extras": {ann, ann}}},
			)
		}, []string{unauthenticated}, false},
		{"headers that a proxy would set", func(a *arena) []answer {
			return a.all(shot{header: map[string][]string{"X-Forwarded-User": {"ann"}, "X-Forwarded-Email": {"ann@example.com"}, "X-Forwarded-Groups": {"oncall"},
				"X-Remote-User": {"ann"}, "X-Auth-Request-User": {"ann"}, "X-Original-Url": {"/healthz"}, "X-Forwarded-Client-Cert": {"Subject=\"CN=worker\";DNS=worker.example.com"},
				"X-Ssl-Client-Verify": {"SUCCESS"}, "Cf-Access-Jwt-Assertion": {"x"}}},
				shot{header: map[string][]string{"X_namespace": {"payments"}, "X-Namespace": nil}, path: "/encode"})
		}, []string{unauthenticated}, false},
		{"a second request in the body of the first", func(a *arena) (got []answer) {
			// With both a length and chunks. What a proxy in front would have taken for a body is a request of its own here,
			// with what its own header proves: nothing.
			inner := a.rawDecode("/decode")
			got = a.raw("POST /decode HTTP/1.1\r\nHost: codec\r\nContent-Type: application/json\r\nContent-Length: " + fmt.Sprint(5+len(inner)) +
				"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner)
			return append(got, a.raw("POST /decode HTTP/1.1\r\nHost: codec\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"+inner)...)
		}, []string{unauthenticated}, false},
		{"headers without end", func(a *arena) []answer {
			return slices.Concat(a.raw(a.rawDecode("/decode", "X: "+strings.Repeat("y", 128<<10))),
				a.raw(a.rawDecode("/decode", slices.Repeat([]string{"X: " + strings.Repeat("y", 1000)}, 128)...)))
		}, []string{"431"}, false},
		{"an emergency that is none", func(a *arena) []answer {
			return a.all(shot{token: a.idp.of("bob", nil), header: map[string][]string{"Signet-Break-Glass": {"let me in please"}}},
				shot{token: a.idp.of("bob", nil), header: map[string][]string{"Signet-Break-Glass": {"x"}}})
		}, []string{denied, badBody}, false},
	}
}

func pathAttacks() []attack {
	return []attack{
		{"path tricks of a stranger", func(a *arena) (got []answer) {
			for _, target := range []string{"/decode", "//decode", "/./decode", "/../decode", "/healthz/../decode", "/readyz/decode", "/%64ecode", "/x%2fdecode", "/decode?/healthz", "/decode#/healthz",
				"/healthz%00/decode", "/..%2f..%2fdecode", "/static/%2e%2e/decode", "/\\decode", "/decode/", "/decode/..", "/decode;x=/healthz", "/decode.json", "/DECODE", "/decode%00", "/decode%20", "/decode%2f",
				"https://codec/decode", "https://evil.example/decode", "*", "/healthz", "/readyz", "/metrics", "/debug/pprof/", "/.git/config", "/download"} {
				got = append(got, a.raw(a.rawDecode(target))...)
			}
			for i := range got {
				if to := got[i].header.Get("Location"); to != "" {
					a.t.Errorf("a redirect to %s", to)
				}
			}
			return got
		}, []string{unauthenticated, "404 not-found"}, false},
		{"path tricks of somebody who may only decode", func(a *arena) (got []answer) {
			for _, path := range []string{"/encode", "/decode/encode", "/decode%2fencode", "//encode", "/decode/..//encode", "/%65ncode", "/encode?action=decode"} {
				got = append(got, a.fire(shot{path: path, token: a.idp.of("ann", nil), body: bodyOf(a.t, &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`1`)})}))
			}
			return got
		}, []string{denied}, false},
	}
}

func bodyAttacks() []attack {
	const tooMany, tooLarge = "413 too-many-payloads", "413 too-large"
	return []attack{
		{"1e6 payloads", func(a *arena) []answer {
			return a.all( // within the client's patience
				shot{token: a.idp.of("ann", nil), body: `{"payloads":[{}` + strings.Repeat(",{}", 1e6-1) + `]}`},
				shot{token: a.idp.of("ann", nil), body: `{"payloads":[{"data":"MQ=="}` + strings.Repeat(`,{"data":""}`, 1e6-1) + `]}`},
				shot{token: a.idp.of("ann", nil), body: `{"payloads":[` + strings.Repeat("[", 1e6)},
			)
		}, []string{tooMany, badBody}, false},
		{"a body without end", func(a *arena) []answer {
			endless := strings.Repeat("A", 17<<20)
			return slices.Concat(
				a.all(shot{token: a.idp.of("ann", nil), body: `{"payloads":[{"data":"` + endless + `"}]}`}, shot{token: a.idp.of("ann", nil), body: `{"x":"` + endless + `"}`}),
				a.raw("POST /decode HTTP/1.1\r\nHost: codec\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{"),
			)
		}, []string{tooLarge, unauthenticated}, false},
		{"zip bomb", func(a *arena) []answer {
			// A worker's payloads of 16 MiB that are some KiB on the wire: allowed to read, and more than is opened at once.
			large := a.sealed("payments", make([]byte, 16<<20)...)
			if len(large.Data) > 64<<10 {
				a.t.Fatalf("the bomb has %d bytes", len(large.Data))
			}
			return a.all(shot{token: a.idp.of("ann", nil), body: bodyOf(a.t, slices.Repeat([]*commonpb.Payload{large}, 1000)...)})
		}, []string{"422 unreadable"}, true},
		{"a compressed request", func(a *arena) []answer {
			return a.all(shot{token: a.idp.of("ann", nil), header: map[string][]string{"Content-Encoding": {"gzip"}}}, shot{token: a.idp.of("ann", nil), header: map[string][]string{"Content-Encoding": {"zstd, identity"}}})
		}, []string{"415 unsupported-media-type"}, false},
		{"JSON with two meanings", func(a *arena) (got []answer) {
			good := strings.TrimSuffix(bodyOf(a.t, a.sealed("payments")), "}")
			for _, body := range []string{good + `,"payloads":[]}`, good + "}" + good + "}", good, "null", "[]", `{"payloads":{}}`, `{"payloads":[null]}`, `{"payloads":"x"}`} {
				got = append(got, a.fire(shot{token: a.idp.of("ann", nil), body: body}))
			}
			return got
		}, []string{badBody}, false},
		{"a preflight with a token and a body", func(a *arena) []answer {
			return []answer{a.fire(shot{method: http.MethodOptions, token: a.idp.of("ann", nil), header: map[string][]string{"Origin": {arenaUI}, "Access-Control-Request-Method": {"POST"}}})}
		}, []string{"204"}, false},
	}
}
