package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// shot is one request of an attack. The zero value decodes the secret in payments, as a program that nobody knows does.
type shot struct {
	method, path, body, token string
	header                    map[string][]string // besides; an empty list takes one away
	client                    *http.Client
}

// answer is what came back.
type answer struct {
	says   string // "401 unauthenticated", "explained wrong-audience", "200 payloads", "closed"
	header http.Header
	whole  string // all of it, as text
}

// fire sends a shot.
func (a *arena) fire(s shot) answer {
	a.t.Helper()
	if s.method == "" {
		s.method = http.MethodPost
	}
	if s.path == "" {
		s.path = "/decode"
	}
	if s.body == "" {
		s.body = bodyOf(a.t, a.sealed("payments"))
	}
	if s.client == nil {
		s.client = a.https
	}
	r, err := http.NewRequestWithContext(a.t.Context(), s.method, "https://"+a.addr+s.path, strings.NewReader(s.body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Namespace", "payments")
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
		a.issued = append(a.issued, s.token)
	}
	for name, values := range s.header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	return answerOf(s.client.Do(r))
}

// both sends a shot as a program does and as the Web UI does.
func (a *arena) both(s shot) []answer {
	a.t.Helper()
	asUI := s
	asUI.header = map[string][]string{"Origin": {arenaUI}}
	for name, values := range s.header {
		asUI.header[name] = values
	}
	return []answer{a.fire(s), a.fire(asUI)}
}

// all sends each shot.
func (a *arena) all(shots ...shot) (answers []answer) {
	a.t.Helper()
	for _, s := range shots {
		answers = append(answers, a.fire(s))
	}
	return answers
}

func answerOf(resp *http.Response, err error) answer {
	if err != nil {
		return answer{says: "closed", whole: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{says: "closed", whole: err.Error() + string(body)}
	}
	got := answer{header: resp.Header, whole: fmt.Sprint(resp.Status, resp.Header, string(body))}
	var refused struct{ Error string }
	if resp.StatusCode != http.StatusOK {
		_ = json.Unmarshal(body, &refused) // else: nothing that the handler has written
		got.says = strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", refused.Error))
		return got
	}
	got.says = "200 payloads"
	var out commonpb.Payloads
	if err := protojson.Unmarshal(body, &out); err != nil {
		got.says = "200 of something else"
	}
	for _, p := range out.Payloads {
		var explained struct {
			Reason string
			Mark   string `json:"signet-explanation"`
		}
		if json.Unmarshal(p.Data, &explained) == nil && explained.Mark == "v1" {
			got.says = "explained " + explained.Reason
		}
	}
	return got
}

// raw writes a text to a TLS connection as it stands, and reads the answers until the server hangs up.
func (a *arena) raw(text string) (answers []answer) {
	a.t.Helper()
	conn, err := tls.Dial("tcp", a.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) // #nosec G402 -- an attacker does not care
	if err != nil {
		a.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		return []answer{{says: "closed", whole: err.Error()}}
	}
	for in := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(in, nil)
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			a.t.Errorf("no answer and no end to %q", text)
		}
		if err != nil {
			return answers
		}
		answers = append(answers, answerOf(resp, nil))
	}
}

// rawDecode is the text of a request to decode the secret in payments, with lines of the attacker's in its header, which
// the server is to close the connection after.
func (a *arena) rawDecode(target string, lines ...string) string {
	body := bodyOf(a.t, a.sealed("payments"))
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: codec\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
		target, len(body), strings.Join(append(lines, ""), "\r\n"), body)
}

// plaintext reports whether the secret stands in a text, in clear or as the data of a payload.
func plaintext(text string) bool {
	return strings.Contains(text, secret) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(`"` + secret + `"`))[:18])
}

// opened returns the lines of the audit log that say that a payload was opened or sealed: those that allow, and those
// whose namespace is known and not only claimed.
func opened(records string) (lines []string) {
	for line := range strings.Lines(records) {
		var r struct{ Decision, Namespace string }
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Decision == "allow" || r.Namespace != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
