package principaltest_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/principaltest"
)

// charge calls the payments service for whom the activity runs. A real one has a client of package s2s do that.
func charge(ctx context.Context, client *http.Client, payments string) error {
	p, err := principal.FromContext(ctx)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, payments+"/charges", nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-Forwarded-User", p.Subject)
	r.Header.Set("X-Forwarded-Issuer", p.Issuer)
	r.Header.Set("X-Forwarded-Tenant", p.Tenant)
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func ExampleNewDownstream() {
	t := &exampleT{} // in a test, its *testing.T
	defer t.end()

	payments := principaltest.NewDownstream(t, nil)
	if err := charge(principaltest.Context(t, "ann", "acme"), payments.Client(), payments.URL); err != nil {
		fmt.Println(err)
	}
	for _, call := range payments.Calls() {
		fmt.Println(call.Method, call.Path, "for", call.For.Subject, "of", call.For.Tenant)
	}
	// Output: POST /charges for ann of acme
}

// exampleT is what an example has in place of a *testing.T.
type exampleT struct {
	testing.TB
	ends []func()
}

func (e *exampleT) Helper()                  {}
func (e *exampleT) Context() context.Context { return context.Background() }
func (e *exampleT) Cleanup(f func())         { e.ends = append(e.ends, f) }
func (e *exampleT) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
func (e *exampleT) end() {
	for _, f := range e.ends {
		f()
	}
}
