// Package codecserver is the HTTP handler of Temporal's codec protocol: POST …/decode and …/encode, as the Web UI, the
// temporal CLI and the SDKs' remote codecs speak it. It adds what the protocol lacks: who asks, whether they may, and a
// record of it.
//
// Begin with the program signet-server, which makes a [Handler] from a configuration. [New] is for a program of one's own:
// the example has it in one piece.
//
// # The way of a request
//
//	HTTP (origin, method, type) → who (Authenticator) → payloads → may (Policy, Limits) → open → mask → audit → answer
//
// Who comes before the payloads, so that the body of a caller without a token is read only where an explanation is
// owed. Opening comes before the audit record, so that the record says what became of each payload, and nothing leaves
// this handler before the record is written: no record, no plaintext.
//
// # What is judged
//
// To decode, the policy judges the namespace that is sealed in each payload, never a header: the scope in the payload's
// context is authenticated with the ciphertext, so lying about it makes the payload unreadable. X-Namespace is optional
// then, and refused where it names another namespace than the payload. To encode, X-Namespace says what to seal for,
// and is required. The path says nothing but the action: only its last segment counts, whatever stands before.
//
// A payload that signet did not seal (plain JSON, search attributes, other codecs' ciphertext, storage references) is
// returned exactly as it came and needs no grant. A payload that claims to be ours and is malformed is never returned.
//
// # Masks
//
// Values whose labels (package labels) the decision does not show are masked in place before anything else sees the
// plaintext; what cannot be read is masked as a whole. The record names the labels that were shown and those that were not.
// Masks, too, are for people: a request of anything but a browser is refused where something would have to be masked, unless
// it says that it can tell masks from data ([AcceptHeader]). /encode refuses what holds a mask.
//
// # External storage
//
// What is too large for a history the SDK seals, puts into external storage, and leaves a reference, which /decode
// returns as it came. POST …/download, which the Web UI sends when somebody clicks on one, answers with the payload,
// opened, under the policy's action download; a denial of decode denies it as well. Nothing in a reference is
// authenticated, so nothing is fetched for who may download nothing of the namespace in X-Namespace, which is required
// here; what is not sealed is not returned; and the sealed namespace decides. References, bytes, and what a caller may
// have are bounded. It is all or nothing. Without [Config.Storage] there is no such path.
//
// # Search tokens
//
// POST …/search-token answers {"attribute":"PatientSSN","value":"078-05-1120"} with the tokens that stand for the value
// in that search attribute of the namespace in X-Namespace, and with the query that finds its workflows:
//
//	{"attribute":"PatientSSN","tokens":["t72bexrwz3qkiqxb"],"query":"PatientSSN IN ('t72bexrwz3qkiqxb')"}
//
// "tenant" names the tenant where tenants have keysets of their own. The action of the policy is search, and each
// question counts like a payload towards what a caller may have. The audit record names the attribute and holds neither
// value nor tokens. Without [Config.Search] there is no such path; for a namespace or tenant without a keyset it is a 404, too.
//
// # Explanations are for people
//
// In [Explain] mode a sealed payload that is denied or unreadable comes back as a json/plain payload that says why, which
// the Web UI shows in place; the rest of the page decodes. A person is recognised by an Origin header that the CORS list
// allows: browsers set it and pages cannot forge it, while SDKs, the CLI and server-side JavaScript do not send it. (A
// Sec-Fetch-Mode header proves nothing: Node's fetch sends it, too.) At a prompt, a person says so in an [AcceptHeader],
// which counts for nothing where the credential is a machine's. Every other client gets an error for the whole
// request, in any mode, so that a worker never takes an explanation for data. An explanation is marked in the metadata
// and in its JSON; a caller who is not known is explained requests of up to 256 KiB, and gets a 401 for larger ones.
// /encode refuses whatever carries either mark, and answers with errors only.
//
// # Errors
//
// The body of an error is a generic word and the request id; the log has the rest under that id. 401 who, 403 may,
// 4xx the request, 422 a payload that will never open, 429 a caller who has had too much. Only what a retry can mend is a 503, because the Web UI sends
// everything that is 5xx three times.
package codecserver
