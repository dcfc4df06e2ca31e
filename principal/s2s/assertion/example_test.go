package assertion_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/jwt"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s/assertion"
)

func Example() {
	// In the service that calls. A real keyset comes from wherever the service keeps its secrets.
	private, err := keyset.NewHandle(jwt.ES256Template())
	if err != nil {
		panic(err)
	}
	signer, err := assertion.NewSigner(private, "https://workflows.internal", "workflow-service")
	if err != nil {
		panic(err)
	}
	ann := principal.Principal{Kind: principal.KindUser, Issuer: "https://login.example.com", Subject: "ann-17", Tenant: "acme", IssuedAt: time.Now()}
	signed, err := signer.Assert(context.Background(), ann, "payments") // s2s.Credentials.Asserter does this
	if err != nil {
		panic(err)
	}

	// In the service that is called. There, assertion.Fetch gets the public keys.
	public, err := private.Public()
	if err != nil {
		panic(err)
	}
	verifier, err := assertion.NewVerifier(assertion.VerifierOptions{
		Issuer: "https://workflows.internal", Workload: "workflow-service", Audience: "payments", Keys: assertion.Fixed(public),
	})
	if err != nil {
		panic(err)
	}
	who, err := verifier.VerifyAssertion(context.Background(), signed) // downstream.Forwarder.Assertions does this
	fmt.Println(who.Subject, who.Tenant, err)
	// Output: ann-17 acme <nil>
}
