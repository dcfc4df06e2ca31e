package downstream_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s/downstream"
	"github.com/signet-temporal/signet/principal/verify"
)

// The service "payments" lets two services call it: one that acts for users of two tenants, one that acts for any.
func ExampleGate_Handler() {
	payments := func(ctx context.Context) (http.Handler, error) {
		const vault = "https://vault.internal:8200/v1/identity/oidc"
		verifier, err := verify.New(ctx, verify.Issuer{Issuer: vault, Audiences: []string{"payments"}})
		if err != nil {
			return nil, err
		}
		gate, err := downstream.New(downstream.Options{
			Verifier: verifier,
			Forwarders: []downstream.Forwarder{
				{Issuer: vault, Subject: "8b1c7e0e-…", Tenants: []string{"acme", "globex"}}, // Vault's id of the entity
				{Issuer: vault, Subject: "f4aa12d3-…", AllowAllTenants: true},
			},
			Logger: slog.Default(),
		})
		if err != nil {
			return nil, err
		}
		return gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who, err := principal.FromContext(r.Context())
			if err != nil {
				http.Error(w, "for whom?", http.StatusForbidden)
				return
			}
			caller, _ := downstream.CallerFromContext(r.Context())
			fmt.Fprintf(w, "charged %s for %s, asked by %s\n", who.Tenant, who.Subject, caller.Subject)
		})), nil
	}
	_ = payments
}
