package s2s_test

import (
	"context"
	"log"
	"log/slog"
	"net/http"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/principal/s2s/vaulttoken"
)

// A worker makes one client for each service that its activities call. The activity's context carries the principal.
func ExampleNewTransport() {
	payments := func(vault *api.Client) (*http.Client, error) {
		source, err := vaulttoken.New(vault, nil) // the role "payments" mints tokens for the audience "payments"
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
	_ = payments

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
	_ = charge
}

// Work that no person started says so, and for which tenant it is.
func ExampleCredentials_service() {
	nightly := func(ctx context.Context, payments *http.Client) {
		ctx = principal.NewContext(ctx, principal.Service("nightly-billing", "acme"))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://payments.internal/close-of-day", nil)
		if err != nil {
			log.Fatal(err)
		}
		resp, err := payments.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		defer resp.Body.Close()
	}
	_ = nightly
}
