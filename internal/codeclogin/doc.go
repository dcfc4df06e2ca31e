// Package codeclogin logs a person in at an OpenID provider, so that a codec server knows who asks, and keeps the login
// in a file of that person's.
//
// There are two ways: a browser on this machine (authorization code with PKCE, redirected to a port of 127.0.0.1, with
// state, nonce and, where the provider sends it, iss), and a browser anywhere (device code). Both want an ID token, which
// is verified, and give what the provider issued.
//
// A login belongs to one codec server, named by scheme, host and port: its token is never sent to another one. It is
// kept in <folder>/<host>-<hash>.json, written at once or not at all, for its owner alone (0600); a file that others may
// read is refused. When the login is forgotten, what is no secret stays, so that the next one needs no options.
//
// Providers are talked to over TLS, or on this machine. No error holds a token or what a provider wrote, but its error code.
package codeclogin
