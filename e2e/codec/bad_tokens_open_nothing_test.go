package codec_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/e2e/stack"
)

// badToken is a token that must not open anything, and what the server says of it.
type badToken struct {
	name, token, reason string
}

func badTokens(t *testing.T, s *stack.Stack) []badToken {
	t.Helper()
	good := s.Token(t, "alice")
	other := s.StartOIDC(t) // alice is known there, too, and in the same groups
	ops := s.Login(t, s.OIDC, "alice", stack.OpsClient, stack.Audience)
	parts, bob := strings.Split(good, "."), s.Token(t, "bob")
	header := func(h string) string { return base64.RawURLEncoding.EncodeToString([]byte(h)) }
	return []badToken{
		{"none", "", "missing-token"},
		{"of another audience", s.Login(t, s.OIDC, "alice", stack.OpsClient, "another-service").Access, "wrong-audience"},
		{"an ID token in place of an access token", ops.ID, "wrong-audience"},
		{"of another issuer", s.Login(t, other, "alice", stack.OpsClient, stack.Audience).Access, "unknown-issuer"},
		{"unsigned", header(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + ".", "bad-signature"},
		{"signed with no key of the issuer", header(`{"alg":"HS256","typ":"JWT"}`) + "." + parts[1] + "." + header("signature"), "bad-signature"},
		{"of bob with the signature of alice", strings.TrimSuffix(bob, lastPart(bob)) + parts[2], "bad-signature"},
		{"not a token", "let-me-in", "malformed-token"},
	}
}

func lastPart(token string) string { return token[strings.LastIndexByte(token, '.')+1:] }

// TestATokenThatIsNotGoodOpensNothing: in a browser the page still renders, with the reason in place of each payload; a
// machine, and anybody in strict mode, gets a 401. The attempt is one record that holds nothing a stranger said.
func TestATokenThatIsNotGoodOpensNothing(t *testing.T) {
	t.Parallel() // it waits most of its time
	s := startStack(t)
	brief, issued := s.Login(t, s.OIDC, "alice", stack.BriefClient, stack.Audience).Access, time.Now()
	tokens := append(badTokens(t, s), badToken{"expired", brief, "expired-token"})
	explain := s.Server(t, stack.ServerOptions{Origins: []string{origin}, Contact: "Ask the payments team."})
	strict := s.Server(t, stack.ServerOptions{Origins: []string{origin}, Mode: "strict"})
	p := sealed(t, s, "payments", "order-4711", "4711 euros")

	for _, bad := range tokens {
		if bad.name == "expired" {
			// It lives for a second, and the server grants another 30 for clocks that differ.
			time.Sleep(time.Until(issued.Add(33 * time.Second)))
		}
		t.Run(bad.name, func(t *testing.T) {
			person := explain.Codec(t, stack.CodecRequest{Token: bad.token, Namespace: "payments", Origin: origin, Payloads: []*commonpb.Payload{plain("before"), p, plain("after")}})
			if person.Status != http.StatusOK || len(person.Payloads) != 3 {
				t.Fatalf("a person gets %d %s", person.Status, person.Body)
			}
			shows(t, person.Payloads[0], "before")
			shows(t, person.Payloads[2], "after")
			said, ok := stack.ExplanationIn(person.Payloads[1])
			// Whom to ask is said only where asking helps: an expired login is the person's own to renew.
			contact := map[string]string{"wrong-audience": "Ask the payments team.", "unknown-issuer": "Ask the payments team."}[bad.reason]
			if !ok || said.Reason != bad.reason || said.Message == "" || said.RequestID != person.RequestID || said.Contact != contact {
				t.Errorf("the explanation is %+v, want the reason %s", said, bad.reason)
			}
			if got := person.Header.Get("Access-Control-Allow-Origin"); got != origin {
				t.Errorf("the page may not read the answer: Access-Control-Allow-Origin is %q", got)
			}
			stranger(t, explain, person, bad.reason, "browser")

			machine := explain.Decode(t, bad.token, "payments", p)
			refused(t, machine, http.StatusUnauthorized, "unauthenticated")
			stranger(t, explain, machine, bad.reason, "go")

			anybody := strict.Codec(t, stack.CodecRequest{Token: bad.token, Namespace: "payments", Origin: origin, Payloads: []*commonpb.Payload{p}})
			refused(t, anybody, http.StatusUnauthorized, "unauthenticated")
			stranger(t, strict, anybody, bad.reason, "browser")
		})
	}
	for _, server := range []*stack.Server{explain, strict} {
		for _, bad := range tokens {
			if bad.token != "" && strings.Contains(server.Log(), bad.token) {
				t.Errorf("the log holds the token %s", bad.name)
			}
		}
	}
}

// refused fails the test unless the answer is an error with one generic word and nothing else.
func refused(t *testing.T, a stack.CodecAnswer, status int, word string) {
	t.Helper()
	var body map[string]string
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil || a.Status != status || body["error"] != word || len(body) != 2 || body["requestId"] != a.RequestID || a.RequestID == "" {
		t.Errorf("the answer is %d %s, want %d %s", a.Status, a.Body, status, word)
	}
}

// stranger fails the test unless the audit file has exactly one record of a request, of somebody who is not known.
func stranger(t *testing.T, server *stack.Server, a stack.CodecAnswer, reason, agent string) {
	t.Helper()
	records := server.AuditOf(t, a.RequestID)
	if len(records) != 1 {
		t.Errorf("the audit file has %d records of the request", len(records))
		return
	}
	r := records[0]
	if r.Decision != "deny" || r.Reason != reason || r.Action != "decode" || r.Agent != agent || r.Client == "" || time.Since(r.Time) > time.Minute {
		t.Errorf("the record is %+v, want a denial for %s", r, reason)
	}
	if r.Subject != "" || r.Issuer != "" || r.Email != "" || r.Rule != "" || r.Namespace != "" || r.Workflow != "" || r.Claimed != nil {
		t.Errorf("the record of a stranger says more than is known: %+v", r)
	}
}
