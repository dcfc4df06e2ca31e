// Package login lets people log in to the codec server with their browser, at an OpenID provider, so that a Web UI whose
// setting is "include cross-origin credentials" needs no token of its own: the browser sends a session cookie along.
//
// # The way of a login
//
//	GET  /login            a page that says who is logged in, and offers to log in or out
//	GET  /login/start      to the provider: authorization code with PKCE, a state and a nonce that this browser alone has
//	GET  /login/callback   from the provider: the ID token is verified, the session begins, and then GET /login
//	POST /login/logout     the session ends, everywhere, and then GET /login
//
// No parameter of a request says where to go next, so that there is nothing for an open redirect. A callback counts only
// in the browser that has begun the login: what stands in its cookie has to fit the state and the ID token's nonce.
//
// # Sessions
//
// A session is a cookie that is sealed with a keyset which all replicas of the server read from the key store as they
// read their other keysets: whichever replica gets a request knows whose it is, and nothing is kept in memory, which a
// restart would lose and a stranger could fill. It holds what the ID token says of its subject, and no token. It ends
// with the ID token, after [Options.MaxAge], or at logout: then a file that names it is put into [Options.Ended], a
// directory that the replicas share, and a cookie that is replayed afterwards is refused. Where that directory cannot be
// read no session counts.
//
// # What keeps other pages out
//
// The cookie is __Host-, Secure and HttpOnly, and SameSite=Lax: the browser sends it along with requests of pages on the
// same site alone, which is the same registrable domain, or the same loopback host whatever the port. A session counts
// only in a request that is JSON, which a page cannot send to another origin without a preflight, and has one of
// [Options.Origins]. Browsers take such a cookie from http://localhost as well, since they trust loopback addresses.
package login
