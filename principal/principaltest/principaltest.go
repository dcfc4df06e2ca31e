// Package principaltest is for unit tests of code that acts on behalf of somebody: activities, API handlers, and the
// services that activities call. No server, no provider and no key store is needed.
//
//	ctx := principaltest.Context(t, "ann", "acme")       // a context in which ann of acme is who it is done for
//	issuer := principaltest.NewIssuer(t)                 // an OpenID Connect issuer, and issuer.Token(nil) is from it
//	payments := principaltest.NewDownstream(t, nil)      // a service that knows for whom it was called
//
// An activity in the SDK's test environments gets such a context by the worker options, whether it is run alone or by a
// workflow:
//
//	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: principaltest.Context(t, "ann", "acme")})
//
// Workflow code that looks for the principal by itself gets one from a workflow around it:
//
//	env.ExecuteWorkflow(func(ctx workflow.Context) error {
//		return Order(workflow.WithValue(ctx, principal.Key{}, principaltest.User("ann", "acme")), "book")
//	})
package principaltest

import (
	"context"
	"testing"
	"time"

	"github.com/signet-temporal/signet/principal"
)

// UserIssuer is the issuer of the users that [User] makes.
const UserIssuer = "https://issuer.test"

// User returns a user who has just been let in at the edge.
func User(subject, tenant string) principal.Principal {
	now := time.Now().UTC().Truncate(time.Second)
	return principal.Principal{Kind: principal.KindUser, Issuer: UserIssuer, Subject: subject, Tenant: tenant, Txn: "test", AuthTime: now, IssuedAt: now}
}

// Context returns the test's context with [User] in it.
func Context(t testing.TB, subject, tenant string) context.Context {
	t.Helper()
	p := User(subject, tenant)
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return principal.NewContext(t.Context(), p)
}
