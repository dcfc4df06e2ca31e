// Package verify proves who makes a request: it checks the JSON Web Tokens that come with it, of several issuers at
// once, and returns a [principal.Caller]. An [Edge] does so for HTTP and gRPC servers that start workflows: what comes
// after it finds a [principal.Principal] in the context, and no token anywhere.
//
// Begin with [New], which takes the issuers, and [NewEdge]: docs/principal-edge.md has both in place.
//
// # What is required of a token
//
// A signature by a key that its issuer publishes, with an algorithm of the issuer's list (never "none", never HMAC); an
// "iss" that is configured; an "aud" of the issuer's list; a "typ" that access tokens have; an "exp" that has not passed;
// an "iat" and "nbf" that are not in the future; a "sub"; at most 8 KiB. An [Issuer] can ask for more: to whom the token
// was issued, and how long ago. Clocks may differ by half a minute. The unverified "iss" is used for one thing: to choose which issuer's keys
// to try. Nothing is ever fetched because a token says so.
//
// # Keys
//
// An issuer's keys are fetched when its first token comes, and kept for as long as its Cache-Control says: at least one
// minute, at most an hour, ten minutes if it does not say. A key that the issuer withdraws verifies nothing after that.
// While the issuer cannot be reached the last keys are used for an hour more; then its tokens are refused with
// [IssuerUnavailable]. A token that names an unknown key is a reason to fetch early, but not twice within half a minute.
//
// What a token says is remembered for a minute at most, up to 1024 tokens, so that a page that sends one two hundred times
// has it verified once. It is as good as verifying again: memory ends with the token, is void after any fetch of keys, and
// a token counts as known if every byte of it is the same. Tokens are not kept, but their hashes are.
//
// # Two tokens
//
// The Temporal Web UI sends the access token in Authorization and the ID token in Authorization-Extras. The access
// token decides. If it is not a JWT, or of an issuer that is not configured, the ID token decides alone, with an
// audience list of its own (the UI's client id). If both verify they must name the same issuer and subject; only then
// are the groups of both taken together. An access token of a configured issuer that fails, for any reason, is
// refused, whatever the ID token says.
//
// # Errors
//
// A refusal is an [*Error] with a code that is safe to show. Its text holds nothing of the
// token but issuer, audience, type and party: nothing of the person.
package verify
