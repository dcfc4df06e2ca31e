// Package parts builds and starts the real programs that end-to-end tests and the demo run against: a
// Temporal server, its Web UI, HashiCorp Vault, an OpenID provider and Chromium.
//
// [Ensure] builds what is missing, once, into the .parts folder of the repository and says what it does:
// the first time takes minutes, every later time well under a second. [StartTemporal], [StartUI],
// [StartVault] and [StartOIDC] each start one program as a process of its own and return when it can be
// used. A process ends with [Proc.Stop], and with its parent even when that is killed.
//
//	paths, err := parts.Ensure(ctx, os.Stderr, parts.TemporalServer, parts.VaultServer)
//	temporal, err := parts.StartTemporal(ctx, parts.TemporalOptions{Program: paths.Temporal, DB: file})
//	defer temporal.Stop()
//
// The context of a Start function bounds the start alone; it does not end the process later.
package parts
