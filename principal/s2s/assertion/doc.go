// Package assertion signs for whom a service calls another, so that the one called need not take its word for it, nor that
// of everything the call passes through: a proxy that could change X-Forwarded-User cannot change this.
//
// An assertion is a JSON Web Token of sixty seconds, signed with ES256 by a key of the forwarding service. Its claims:
//
//	iss        the forwarding service, as the receiver has it configured
//	aud        the service that is called
//	sub        the principal's subject
//	sub_id     for a user, {"format": "iss_sub", "iss": the user's issuer, "sub": the same subject} (RFC 9493)
//	act        {"sub": the subject of the forwarding service's own token} (RFC 8693)
//	tenant     the principal's tenant, where there is one
//	txn        the request that started it all, where it is named
//	auth_time  when the user proved who they are, where that is known
//	iat, exp   now, and sixty seconds later
//
// Its header has "typ": "principal+jwt", so that it passes for no other token, and no other token for it. It proves nothing
// about who sends it: the service token beside it does, and the two have to name the same service.
//
// Keys are Tink keysets. The [Signer] holds the private one, [Handler] publishes the public one as a JWK set, and a
// [Verifier] has it as a keyset ([Fixed]) or fetches it ([Fetch]). To rotate: add a key, wait until every receiver has
// fetched it, make it primary.
package assertion
