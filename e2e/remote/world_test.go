// Package remote_test is about programs without keys, which have payloads sealed and opened by signet-server: workers and
// clients of other languages, played by the Go SDK's own remote codec. Server, Temporal and Vault are real.
package remote_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/e2e/stack"
)

const namespace = "payments"

// world is a stack whose codec server lets programs in, each with rights of its own: by certificate worker (decode and
// encode), reader (decode), writer (encode) and nobody; by token job (decode and encode).
type world struct {
	*stack.Stack
	server    *stack.Server
	authority *authority
	token     string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Stack: stack.Start(t, stack.Options{}), authority: newAuthority(t)}
	made := stack.Exec(t, nil, stack.Program(t, "signet-server"), "token", "new", "job")
	w.token = regexp.MustCompile(`(?m)^signet_\S+$`).FindString(made.Stdout)
	_, lines, ok := strings.Cut(made.Stdout, "tokens:\n")
	if made.Code != 0 || w.token == "" || !ok {
		t.Fatalf("token new: %d %s%s", made.Code, made.Stdout, made.Stderr)
	}
	may := func(name, issuer, subject string, actions ...string) stack.Grant {
		return stack.Grant{Name: name, Issuer: issuer, Subjects: []string{subject}, Namespaces: []string{namespace}, Actions: actions}
	}
	ca := w.WriteFile(t, "programs.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.authority.cert.Raw})))
	w.server = w.Server(t, stack.ServerOptions{
		Grants: []stack.Grant{
			may("by-certificate", "signet:certificate", "worker.example.com", "decode", "encode"), may("by-token", "signet:token", "job", "decode", "encode"),
			may("reads", "signet:certificate", "reader.example.com", "decode"), may("writes", "signet:certificate", "writer.example.com", "encode"),
		},
		More: fmt.Sprintf("machines:\n  certificates: {ca: %q, identity: dns}\n  tokens:\n%s", ca, lines),
	})
	return w
}

// program is one that has no keys: an HTTP client, and what it adds to a request.
type program struct {
	http  *http.Client
	token string
}

func (w *world) certified(t *testing.T, by *authority, name string) program {
	t.Helper()
	certificate := by.certify(&x509.Certificate{DNSNames: []string{name + ".example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	transport := w.server.HTTP.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	t.Cleanup(transport.CloseIdleConnections)
	return program{http: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
}

// dial returns a client of Temporal that has its payloads and failures sealed and opened by the codec server, as
// docs/other-sdks.md says.
func (w *world) dial(t *testing.T, p program) client.Client {
	t.Helper()
	remote := sdk.NewRemotePayloadCodec(sdk.RemotePayloadCodecOptions{Endpoint: w.server.URL, Client: *p.http, ModifyRequest: func(r *http.Request) error {
		r.Header.Set("X-Namespace", namespace)
		if p.token != "" {
			r.Header.Set("Authorization", "Bearer "+p.token)
		}
		return nil
	}})
	dc := sdk.NewCodecDataConverter(sdk.GetDefaultDataConverter(), remote)
	c, err := client.Dial(client.Options{
		HostPort: w.Temporal.Address, Namespace: namespace, Logger: stack.Quiet, DataConverter: dc,
		FailureConverter: temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: dc, EncodeCommonAttributes: true}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// nothingInClear fails the test if one of the texts stands in what Temporal holds of a workflow, or if that is nothing.
func (w *world) nothingInClear(t *testing.T, id string, texts ...string) {
	t.Helper()
	events := 0
	for history := w.ClientWith(t, namespace).GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); history.HasNext(); events++ {
		event, err := history.Next()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := proto.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if bytes.Contains(raw, []byte(text)) || bytes.Contains(raw, []byte(base64.StdEncoding.EncodeToString([]byte(text)))) {
				t.Errorf("%q stands in event %d of workflow %s: %v", text, event.GetEventId(), id, event)
			}
		}
	}
	if events < 5 {
		t.Errorf("the history of %s has %d events", id, events)
	}
}

// counts returns how many payloads the audit log says were allowed to a program, by action.
func (w *world) counts(t *testing.T, issuer, subject string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, r := range w.server.Audit(t) {
		if r.Issuer == issuer && r.Subject == subject {
			counts[r.Decision+" "+r.Action]++
		}
	}
	return counts
}

type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	own := a.certify(&x509.Certificate{Subject: pkix.Name{CommonName: "programs"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.cert, a.key = own.Leaf, own.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

func (a *authority) certify(template *x509.Certificate) *tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
