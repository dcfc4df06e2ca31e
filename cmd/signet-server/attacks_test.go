package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"
)

// attack is what an attacker sends, and what must be answered: each answer is one of those wanted, and each of those
// wanted comes. Nothing is opened for it, and no plaintext and no token leaves, in an answer, the log or the audit log.
type attack struct {
	name  string // the attack
	send  func(a *arena) []answer
	want  []string
	opens bool // the attacker may decode: something is opened in memory, and does not leave
}

const (
	unauthenticated = "401 unauthenticated"
	denied          = "403 denied"
	badBody         = "400 bad-request"
)

// TestAttacks is the table of attacks on the codec server that docs/threat-model.md promises to withstand, against the
// server as main wires it, over HTTPS. A row is worth something because it fails when its defence is taken out.
func TestAttacks(t *testing.T) {
	a := newArena(t, `file: "$DIR/audit.jsonl"`, nil)
	stillServes(t, a, "before")
	for _, group := range [][]attack{tokenAttacks(), cloudAttacks(), programAttacks(), browserAttacks(), sessionAttacks(), namespaceAttacks(), headerAttacks(), pathAttacks(), bodyAttacks(), floods()} {
		for _, x := range group {
			t.Run(x.name, func(t *testing.T) { x.try(t, a) })
		}
	}
	stillServes(t, a, "after all of them")
}

func (x attack) try(t *testing.T, a *arena) {
	before, logged := len(a.audit()), len(a.log.String())
	defer func(outer *testing.T) { a.t = outer }(a.t)
	a.t, a.issued = t, nil
	handled := a.handled.Load()
	answers := x.send(a)
	var said []string
	for _, got := range answers {
		said = append(said, got.says)
		if !slices.Contains(x.want, got.says) {
			t.Errorf("the answer is %q, want one of %q: %.300s", got.says, x.want, got.whole)
		}
		if plaintext(got.whole) {
			t.Errorf("plaintext left: %.300s", got.whole)
		}
	}
	for _, want := range x.want {
		if !slices.Contains(said, want) {
			t.Errorf("no answer is %q: %q", want, slices.Compact(said))
		}
	}
	records, log := a.audit()[before:], a.log.String()[logged:]
	if n, lines := a.handled.Load()-handled, opened(records); (n > 0 || len(lines) > 0) && !x.opens {
		t.Errorf("%d payloads were opened or sealed, and the audit log says %q", n, lines)
	}
	for where, text := range map[string]string{"log": log, "audit log": records} {
		if plaintext(text) {
			t.Errorf("the %s holds plaintext", where)
		}
		for _, token := range a.issued {
			if strings.Contains(text, token) {
				t.Errorf("the %s holds a token", where)
			}
		}
	}
}

// stillServes: the table means nothing if the server refuses everybody.
func stillServes(t *testing.T, a *arena, when string) {
	t.Helper()
	before, handled := len(a.audit()), a.handled.Load()
	for who, s := range map[string]shot{"ann": {token: a.idp.of("ann", nil)}, "carol": {token: a.ofCloud("carol", nil)}, "job": {token: a.jobToken}, "worker": {client: a.client(a.authority.worker(nil))}} {
		if got := a.fire(s); got.says != "200 payloads" || !plaintext(got.whole) {
			t.Fatalf("%s, %s: %s %s", when, who, got.says, got.whole)
		}
	}
	if n, lines := a.handled.Load()-handled, opened(a.audit()[before:]); n != 4 || len(lines) != 4 {
		t.Errorf("%s: %d payloads were opened with %d records, want 4", when, n, len(lines))
	}
}

func tokenAttacks() []attack {
	// bad tells a person what is wrong with the token, and a program nothing.
	bad := func(name, reason string, token func(a *arena) string) attack {
		return attack{name, func(a *arena) []answer { return a.both(shot{token: token(a)}) }, []string{unauthenticated, "explained " + reason}, false}
	}
	return []attack{
		bad("no token", "missing-token", func(*arena) string { return "" }),
		bad("wrong audience", "wrong-audience", func(a *arena) string { return a.idp.of("ann", fields{"aud": "vault"}) }),
		bad("an ID token in place of an access token", "wrong-audience", func(a *arena) string { return a.idp.of("ann", fields{"aud": "temporal-ui"}) }),
		bad("no audience", "wrong-audience", func(a *arena) string { return a.idp.of("ann", fields{"aud": nil}) }),
		bad("another issuer", "unknown-issuer", func(a *arena) string { return a.idp.of("ann", fields{"iss": "https://evil.example"}) }),
		bad("an issuer that looks alike", "unknown-issuer", func(a *arena) string { return a.idp.of("ann", fields{"iss": a.idp.URL + "/"}) }),
		bad("expired", "expired-token", func(a *arena) string { return a.idp.of("ann", fields{"exp": time.Now().Add(-time.Minute).Unix()}) }),
		bad("for ever", "expired-token", func(a *arena) string { return a.idp.of("ann", fields{"exp": nil}) }),
		bad("of tomorrow", "token-not-yet-valid", func(a *arena) string { return a.idp.of("ann", fields{"iat": time.Now().Add(time.Hour).Unix()}) }),
		bad("alg=none", "bad-signature", func(a *arena) string {
			token := rewritten(a.idp.of("ann", nil), `{"alg":"none","typ":"JWT"}`)
			return token[:strings.LastIndexByte(token, '.')+1]
		}),
		bad("alg=none with the signature", "bad-signature", func(a *arena) string { return rewritten(a.idp.of("ann", nil), `{"alg":"none","kid":"1"}`) }),
		bad("a key in the header", "bad-signature", func(a *arena) string {
			return a.idp.token(a.idp.claims("ann", nil), jose.ES256, a.authority.key, fields{"jwk": jose.JSONWebKey{Key: a.authority.key.Public()}})
		}),
		bad("another's claims over ann's signature", "bad-signature", func(a *arena) string {
			forged, good := strings.Split(a.idp.of("bob", fields{"groups": []string{"oncall"}}), "."), strings.Split(a.idp.of("ann", nil), ".")
			return forged[0] + "." + forged[1] + "." + good[2]
		}),
		bad("a logout token", "malformed-token", func(a *arena) string {
			return a.idp.token(a.idp.claims("ann", nil), jose.RS256, a.idp.rsa, fields{"typ": "logout+jwt"})
		}),
		bad("a token of 9 KiB", "malformed-token", func(a *arena) string { return a.idp.of("ann", fields{"pad": strings.Repeat("x", 9<<10)}) }),
		{"HS256 with the public key", func(a *arena) (got []answer) {
			der, err := x509.MarshalPKIXPublicKey(a.idp.rsa.Public())
			if err != nil {
				a.t.Fatal(err)
			}
			asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			for _, key := range [][]byte{der, asPEM, []byte(strings.TrimSpace(string(asPEM))), a.idp.rsa.N.Bytes()} {
				got = append(got, a.fire(shot{token: a.idp.token(a.idp.claims("ann", nil), jose.HS256, key, nil)}))
			}
			return got
		}, []string{unauthenticated}, false},
		{"a key at a URL in the header", func(a *arena) []answer {
			asked := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { a.t.Error("the attacker's URL was asked") }))
			defer asked.Close()
			return a.all(
				shot{token: a.idp.token(a.idp.claims("ann", nil), jose.ES256, a.authority.key, fields{"jku": asked.URL, "kid": "9"})},
				shot{token: a.idp.token(a.idp.claims("ann", nil), jose.ES256, a.authority.key, fields{"x5u": asked.URL, "kid": "1"})},
				shot{token: a.idp.token(a.idp.claims("ann", fields{"iss": asked.URL}), jose.ES256, a.authority.key, nil)},
			)
		}, []string{unauthenticated}, false},
		{"a good token of somebody who may nothing", func(a *arena) []answer { return a.both(shot{token: a.idp.of("bob", nil)}) }, []string{denied, "explained not-granted"}, false},
		{"so many groups that the token says only where they stand", func(a *arena) []answer {
			return a.both(shot{token: a.idp.of("ann", fields{"_claim_names": fields{"groups": "src1"}, "_claim_sources": fields{"src1": fields{"endpoint": "https://graph.example.com"}}})})
		}, []string{denied, "explained denied"}, false},
		{"an ID token of another in Authorization-Extras", func(a *arena) []answer {
			return a.both(shot{token: a.idp.of("bob", nil), header: map[string][]string{"Authorization-Extras": {a.idp.of("ann", fields{"aud": "temporal-ui"})}}})
		}, []string{unauthenticated, "explained token-mismatch"}, false},
		{"token in URL", func(a *arena) (got []answer) {
			token := a.idp.of("ann", nil)
			a.issued = append(a.issued, token, a.jobToken)
			for _, name := range []string{"access_token", "token", "authorization", "id_token", "jwt", "bearer"} {
				got = append(got, a.fire(shot{path: "/decode?" + name + "=" + token}), a.fire(shot{path: "/decode?" + name + "=Bearer%20" + a.jobToken}))
			}
			return append(got, a.fire(shot{path: "/" + token + "/decode"}))
		}, []string{unauthenticated}, false},
		{"token in a cookie, or as a password", func(a *arena) []answer {
			token := a.idp.of("ann", nil)
			a.issued = append(a.issued, token)
			return a.all(
				shot{header: map[string][]string{"Cookie": {"Authorization=" + token + "; access_token=" + token + "; __Host-session=" + token}}},
				shot{header: map[string][]string{"Authorization": {"Basic " + token}}},
				shot{header: map[string][]string{"Authorization": {token}}},
				shot{header: map[string][]string{"Proxy-Authorization": {"Bearer " + token}}},
			)
		}, []string{unauthenticated}, false},
	}
}

func programAttacks() []attack {
	handshake := func(name string, certificate func(a *arena) *tls.Certificate) attack {
		return attack{name, func(a *arena) []answer { return []answer{a.fire(shot{client: a.client(certificate(a))})} }, []string{"closed"}, false}
	}
	refused := func(name, want string, certificate func(a *arena) *tls.Certificate) attack {
		return attack{name, func(a *arena) []answer { return []answer{a.fire(shot{client: a.client(certificate(a))})} }, []string{want}, false}
	}
	return []attack{
		handshake("a certificate of another authority", func(a *arena) *tls.Certificate { return newCertifier(a.t).worker(nil) }),
		handshake("a certificate of the server's authority", func(a *arena) *tls.Certificate { return a.ours.worker(nil) }),
		handshake("a certificate for servers", func(a *arena) *tls.Certificate {
			return a.authority.worker(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
		}),
		handshake("a certificate that has expired", func(a *arena) *tls.Certificate {
			return a.authority.worker(func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
			})
		}),
		refused("a certificate with a second name", unauthenticated, func(a *arena) *tls.Certificate {
			return a.authority.worker(func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "other.example.com") })
		}),
		refused("a certificate with the worker as its common name", unauthenticated, func(a *arena) *tls.Certificate {
			return a.authority.worker(func(c *x509.Certificate) { c.DNSNames, c.Subject = nil, pkix.Name{CommonName: "worker.example.com"} })
		}),
		refused("a certificate of another program", denied, func(a *arena) *tls.Certificate {
			return a.authority.worker(func(c *x509.Certificate) { c.DNSNames = []string{"other.example.com"} })
		}),
		{"a good certificate in a browser, and beside a bad token", func(a *arena) []answer {
			certified := a.client(a.authority.worker(nil))
			return a.all(
				shot{client: certified, header: map[string][]string{"Origin": {arenaUI}}},
				shot{client: certified, token: a.idp.of("ann", fields{"aud": "vault"})},
				shot{client: certified, token: a.idp.of("ann", fields{"aud": "vault"}), header: map[string][]string{"Origin": {arenaUI}}},
				shot{client: certified, header: map[string][]string{"Authorization": {"Basic x"}}},
			)
		}, []string{unauthenticated}, false},
		{"a static token that is not quite one", func(a *arena) []answer {
			a.issued = append(a.issued, a.jobToken)
			last := byte('A')
			if a.jobToken[len(a.jobToken)-1] == last {
				last = 'E'
			}
			return slices.Concat(
				a.all(shot{token: a.jobToken[:len(a.jobToken)-1] + string(last)}, shot{token: a.jobToken + "x"}, shot{header: map[string][]string{"Authorization": {"Basic " + a.jobToken}}}),
				a.all(shot{header: map[string][]string{"Authorization": {"Bearer " + a.jobToken + "x"}, "Origin": {arenaUI}}}),
			)
		}, []string{unauthenticated}, false},
		{"a program that asks for explanations", func(a *arena) []answer {
			return a.all(shot{token: a.jobToken, body: bodyOf(a.t, a.sealed("orders")), header: map[string][]string{"Origin": {arenaUI}, "X-Namespace": nil}})
		}, []string{denied}, false},
	}
}

func browserAttacks() []attack {
	from := func(origins ...string) func(a *arena) []answer {
		return func(a *arena) (got []answer) {
			for _, method := range []string{http.MethodPost, http.MethodOptions} {
				for _, origin := range origins {
					x := a.fire(shot{method: method, token: a.idp.of("ann", nil), header: map[string][]string{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}}})
					for name := range x.header {
						if strings.HasPrefix(name, "Access-Control-") {
							a.t.Errorf("%s from %s is answered with %s", method, origin, name)
						}
					}
					got = append(got, x)
				}
			}
			return got
		}
	}
	const noOrigin = "403 origin-not-allowed"
	return []attack{
		{"evil origin", from("https://evil.example", arenaUI+".evil.example", "https://eviltemporal.example.com", arenaUI+"/", arenaUI+":8443", "http://temporal.example.com", "HTTPS://TEMPORAL.EXAMPLE.COM", "*", ""), []string{noOrigin}, false},
		{"null origin", from("null"), []string{noOrigin}, false},
		{"two origins", func(a *arena) []answer {
			return a.all(shot{token: a.idp.of("ann", nil), header: map[string][]string{"Origin": {arenaUI, "https://evil.example"}}},
				shot{token: a.idp.of("ann", nil), header: map[string][]string{"Origin": {arenaUI + " https://evil.example"}}})
		}, []string{noOrigin}, false},
		{"text/plain CSRF", func(a *arena) (got []answer) {
			for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain; application/json", "text/plain, application/json", "", "application/jsonx"} {
				got = append(got, a.fire(shot{token: a.idp.of("ann", nil), header: map[string][]string{"Content-Type": {kind}, "Origin": {arenaUI}}}))
				got = append(got, a.fire(shot{client: a.client(a.authority.worker(nil)), header: map[string][]string{"Content-Type": {kind}}}))
			}
			return append(got, a.fire(shot{token: a.idp.of("ann", nil), header: map[string][]string{"Content-Type": nil}}))
		}, []string{"415 unsupported-media-type"}, false},
		{"reading with a link", func(a *arena) []answer {
			return a.all(shot{method: http.MethodGet, token: a.idp.of("ann", nil)}, shot{method: http.MethodPut, token: a.idp.of("ann", nil)},
				shot{method: http.MethodGet, token: a.idp.of("ann", nil), header: map[string][]string{"X-Http-Method-Override": {"POST"}}})
		}, []string{"405 method-not-allowed"}, false},
		{"an explanation as input", func(a *arena) []answer {
			// Whoever may encode nothing gets no further than this either; with the right to encode, codecserver tests it.
			return a.all(shot{path: "/encode", token: a.idp.of("ann", nil), body: bodyOf(a.t, &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`{"signet-explanation":"v1"}`)})})
		}, []string{badBody}, false},
	}
}

func namespaceAttacks() []attack {
	return []attack{
		{"missing X-Namespace", func(a *arena) []answer {
			orders := bodyOf(a.t, a.sealed("orders"))
			return a.all(
				shot{token: a.idp.of("ann", nil), body: orders, header: map[string][]string{"X-Namespace": nil}},
				shot{token: a.idp.of("ann", nil), body: orders, header: map[string][]string{"X-Namespace": {"undefined"}}},
				shot{token: a.idp.of("ann", nil), body: orders, header: map[string][]string{"X-Namespace": {""}}},
				shot{token: a.idp.of("ann", nil), body: orders, header: map[string][]string{"X-Namespace": nil, "Origin": {arenaUI}}},
				shot{token: a.idp.of("ann", nil), path: "/encode", header: map[string][]string{"X-Namespace": nil}},
			)
		}, []string{denied, "explained not-granted", badBody}, false},
		{"lying X-Namespace", func(a *arena) []answer {
			orders := bodyOf(a.t, a.sealed("orders"))
			return slices.Concat(
				a.both(shot{token: a.idp.of("ann", nil), body: orders}),                                                      // a namespace that she may read
				a.both(shot{token: a.idp.of("ann", nil), header: map[string][]string{"X-Namespace": {"orders"}}}),            // and the reverse
				a.both(shot{token: a.idp.of("ann", nil), body: orders, header: map[string][]string{"X-Namespace": {"o*"}}}),  // not a pattern
				a.both(shot{token: a.jobToken, body: bodyOf(a.t, a.sealed("payments"), a.sealed("orders"))})[:1],             // half of it good
				a.all(shot{token: a.idp.of("ann", nil), header: map[string][]string{"X-Namespace": {"orders", "payments"}}}), // two
			)
		}, []string{denied, "explained namespace-mismatch", badBody}, false},
		{"a payload that lies about itself", func(a *arena) []answer {
			moved := a.sealed("orders")
			moved.Metadata["encryption-context"] = []byte(`{"v":1,"ns":"payments","wf":"order-17"}`)
			other := a.sealed("payments")
			other.Metadata["encryption-context"] = []byte(`{"v":1,"ns":"payments","wf":"order-18"}`)
			changed := a.sealed("payments")
			changed.Data[len(changed.Data)-1] ^= 1
			again := proto.CloneOf(a.sealed("payments"))
			again.Metadata["encryption-key-id"] = a.sealed("orders").Metadata["encryption-key-id"]
			var got []answer
			for _, p := range []*commonpb.Payload{moved, other, changed, again} {
				got = append(got, a.fire(shot{token: a.idp.of("ann", nil), body: bodyOf(a.t, p)}))
			}
			return got
		}, []string{"422 unreadable"}, false},
	}
}

// floods need time, or many requests.
func floods() []attack {
	return []attack{
		{"kid flood", func(a *arena) []answer {
			good := a.idp.of("ann", nil)
			a.fire(shot{token: good}) // its keys are known
			fetched, began := a.idp.fetches.Load(), time.Now()
			seen := make([]answer, 8)
			var all sync.WaitGroup
			body := bodyOf(a.t, a.sealed("payments"))
			for n := range seen {
				all.Go(func() {
					for i := range 10_000 / len(seen) {
						r, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, "https://"+a.addr+"/decode", strings.NewReader(body))
						if err != nil {
							seen[n] = answer{says: err.Error()}
							return
						}
						r.Header.Set("Content-Type", "application/json")
						r.Header.Set("Authorization", "Bearer "+rewritten(good, fmt.Sprintf(`{"alg":"RS256","typ":"JWT","kid":"k-%d-%d-%s"}`, n, i, rand.Text())))
						if seen[n] = answerOf(a.https.Do(r)); seen[n].says != unauthenticated {
							return
						}
					}
				})
			}
			all.Wait()
			// Two a minute: one for the first of these ids, and one in each thirty seconds more.
			if n, most := a.idp.fetches.Load()-fetched, 1+int32(time.Since(began)/(30*time.Second)); n > most {
				a.t.Errorf("10,000 key ids in %v made the server fetch keys %d times, want at most %d", time.Since(began), n, most)
			}
			return append(seen, a.fire(shot{token: a.idp.of("bob", nil)})) // who is known is judged all the same
		}, []string{unauthenticated, denied}, true},
		{"slowloris", func(a *arena) (got []answer) {
			begin := time.Now()
			var slow []*tls.Conn
			for _, text := range []string{"", "POST /decode HTTP/1.1\r\nHost: codec\r\nX-Slow: ", "PRI * HTTP/2.0\r\n\r\nSM"} {
				for range 20 {
					conn, err := tls.Dial("tcp", a.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) // #nosec G402 -- an attacker does not care
					if err == nil {
						_, err = io.WriteString(conn, text)
					}
					if err != nil {
						a.t.Fatal(err)
					}
					slow = append(slow, conn)
				}
			}
			got = a.all(shot{}, shot{token: a.idp.of("bob", nil)}) // others are served meanwhile
			for _, conn := range slow {
				_ = conn.SetReadDeadline(begin.Add(4 * readHeaderTimeout))
				if _, err := io.ReadAll(conn); isTimeout(err) {
					a.t.Errorf("a connection that says nothing is open after %v", time.Since(begin))
				}
				_ = conn.Close()
			}
			return got
		}, []string{unauthenticated, denied}, false},
	}
}

// fullDisk is what systems without /dev/full have in place of it.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestAttacksOnTheAuditLog: a server whose records go to a disk that is full.
func TestAttacksOnTheAuditLog(t *testing.T) {
	var full io.Writer = fullDisk{}
	if device, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil { // where there is one
		defer device.Close()
		full = device
	}
	a := newArena(t, "stdout: true", full)
	attack{"audit disk full", func(a *arena) []answer {
		return slices.Concat(a.both(shot{token: a.idp.of("ann", nil)}), a.all(shot{token: a.jobToken}, shot{client: a.client(a.authority.worker(nil))}))
	}, []string{"503 unavailable", "explained audit-unavailable"}, true}.try(t, a)
	if !strings.Contains(a.log.String(), "no space left on device") {
		t.Errorf("the log does not say why: %s", a.log)
	}
}
