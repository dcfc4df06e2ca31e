package verify_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/principaltest"
	"github.com/signet-temporal/signet/principal/verify"
)

// The functions protect, startOrder and newServer are the code in docs/principal-edge.md: TestTheDocumentationShowsThisCode
// compares them.

func protect(ctx context.Context, issuer string, api http.Handler) (http.Handler, error) {
	verifier, err := verify.New(ctx, verify.Issuer{Issuer: issuer, Audiences: []string{"orders-api"}})
	if err != nil {
		return nil, err
	}
	edge, err := verify.NewEdge(verifier, verify.EdgeOptions{})
	if err != nil {
		return nil, err
	}
	return edge.Handler(api), nil
}

func startOrder(w http.ResponseWriter, r *http.Request) {
	p, err := principal.FromContext(r.Context())
	if err != nil {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(w, "an order for %s of %s", p.Subject, p.Tenant)
}

func newServer(edge *verify.Edge) *grpc.Server {
	return grpc.NewServer(
		grpc.ChainUnaryInterceptor(edge.Unary),
		grpc.ChainStreamInterceptor(edge.Stream),
	)
}

func ExampleEdge_Handler() {
	t := &exampleT{} // in a test, its *testing.T
	defer t.end()

	issuer := principaltest.NewIssuer(t) // in production, your OpenID provider
	api, err := protect(context.Background(), issuer.URL, http.HandlerFunc(startOrder))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, authorization := range []string{
		"Bearer " + issuer.Token(map[string]any{"aud": "orders-api"}),
		"Bearer " + issuer.Token(map[string]any{"aud": "another-api"}),
		"Bearer " + issuer.Token(map[string]any{"aud": "orders-api", "tenant_id": nil}),
		"",
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/orders", nil)
		r.Header.Set("Authorization", authorization)
		api.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 an order for ann of acme
	// 401 {"error":"wrong-audience"}
	// 403 {"error":"unfit-claims"}
	// 401 {"error":"missing-token"}
}

// exampleT is what an example has in place of a *testing.T.
type exampleT struct {
	testing.TB
	ends []func()
}

func (e *exampleT) Helper()           {}
func (e *exampleT) Cleanup(f func())  { e.ends = append(e.ends, f) }
func (e *exampleT) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
func (e *exampleT) end() {
	for _, f := range e.ends {
		f()
	}
}

func TestTheDocumentationShowsThisCode(t *testing.T) {
	documentation, err := os.ReadFile("../../docs/principal-edge.md")
	if err != nil {
		t.Fatal(err)
	}
	for file, names := range map[string][]string{"example_test.go": {"protect", "startOrder", "newServer"},
		"../principaltest/principaltest_test.go": {"TestAnActivityRunsForSomebodyWithoutAServer", "TestAWorkflowRunsForSomebodyWithoutAServer"}} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			_, code, _ := strings.Cut(string(source), "func "+name+"(")
			code, _, ok := strings.Cut(code, "\n}\n")
			if !ok || !strings.Contains(string(documentation), "func "+name+"("+code+"\n}\n") {
				t.Errorf("docs/principal-edge.md does not show func %s as it stands here", name)
			}
		}
	}
}
