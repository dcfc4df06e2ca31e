// Package s2s is how one service calls another for somebody: with a token of its own, which proves the service, and with
// headers that say for whom it calls. The user's token is not needed, which is good, because by the time an activity runs
// it has expired and nobody has kept it.
//
// A [TokenSource] gets service tokens: [File] from a Kubernetes projected volume, package vaulttoken from Vault's identity
// engine, package oauthtoken from an OAuth2 server. A [Cache] in front of any of them keeps them fresh, so that a call
// costs no round trip.
package s2s
