package s2s_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/hashicorp/vault/api"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/principal/s2s/assertion"
	downstreams "github.com/signet-temporal/signet/principal/s2s/downstream"
	"github.com/signet-temporal/signet/principal/s2s/vaulttoken"
	"github.com/signet-temporal/signet/principal/verify"
)

// The functions below are the code in docs/principal-s2s.md: TestTheDocumentationShowsThisCode compares them.

func newPaymentsClient(vault *api.Client) (*http.Client, error) {
	source, err := vaulttoken.New(vault, nil) // or an s2s.File, or oauthtoken.New
	if err != nil {
		return nil, err
	}
	tokens, err := s2s.NewCache(source, s2s.CacheOptions{Logger: slog.Default()})
	if err != nil {
		return nil, err
	}
	transport, err := s2s.NewTransport(
		s2s.Credentials{Tokens: tokens, Audience: "payments"},
		s2s.TransportOptions{Hosts: []string{"payments.internal"}},
	)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: transport}, nil
}

func newPaymentsHandler(ctx context.Context, entity string, next http.Handler) (http.Handler, error) {
	const vault = "https://vault.internal:8200/v1/identity/oidc"
	verifier, err := verify.New(ctx, verify.Issuer{Issuer: vault, Audiences: []string{"payments"}})
	if err != nil {
		return nil, err
	}
	gate, err := downstreams.New(downstreams.Options{
		Verifier:   verifier,
		Forwarders: []downstreams.Forwarder{{Issuer: vault, Subject: entity, Tenants: []string{"acme", "globex"}}},
		Logger:     slog.Default(),
	})
	if err != nil {
		return nil, err
	}
	return gate.Handler(next), nil
}

func newSigner(keys *keyset.Handle, entity string) (s2s.Asserter, http.Handler, error) {
	published, err := assertion.Handler(keys) // to be served at https://workflows.internal/keys
	if err != nil {
		return nil, nil, err
	}
	signer, err := assertion.NewSigner(keys, "https://workflows.internal", entity)
	return signer, published, err
}

func signingForwarder(issuer, entity string) (downstreams.Forwarder, error) {
	keys, err := assertion.Fetch("https://workflows.internal/keys", nil)
	if err != nil {
		return downstreams.Forwarder{}, err
	}
	assertions, err := assertion.NewVerifier(assertion.VerifierOptions{
		Issuer: "https://workflows.internal", Workload: entity, Audience: "payments", Keys: keys,
	})
	return downstreams.Forwarder{
		Issuer: issuer, Subject: entity, Tenants: []string{"acme", "globex"}, RequireAssertion: true, Assertions: assertions,
	}, err
}

// A worker makes one client for each service that its activities call. Requests made with the activity's context say for
// whom they are.
func ExampleNewTransport() {
	charge := func(ctx context.Context, payments *http.Client) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://payments.internal/charges", nil)
		if err != nil {
			return err
		}
		resp, err := payments.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	_, _ = newPaymentsClient, charge
}

// Work that no person started says so, and for which tenant it is.
func ExampleCredentials_service() {
	closeOfDay := func(ctx context.Context, payments *http.Client) error {
		ctx = principal.NewContext(ctx, principal.Service("nightly-billing", "acme"))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://payments.internal/close-of-day", nil)
		if err != nil {
			return err
		}
		resp, err := payments.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	_ = closeOfDay
}

// A Kubernetes service account's token, of a projected volume whose audience is payments, needs no Vault.
func ExampleFile() {
	tokens, err := s2s.NewCache(s2s.File{"payments": "/var/run/secrets/tokens/payments"}, s2s.CacheOptions{})
	if err != nil {
		panic(err)
	}
	_, err = tokens.Token(context.Background(), "payments")
	fmt.Println(err)
	// Output: s2s: no service token for "payments": token file: open /var/run/secrets/tokens/payments: no such file or directory
}
