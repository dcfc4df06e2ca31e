// Package vaultstore keeps keysets in HashiCorp Vault: documents in a KV v2 engine, the keys in them wrapped by a
// Transit key.
//
// One [Store] is both a keys.Store and a keys.KEK. [NewClient] makes a Vault client with bounded time and retries,
// [Login] gives it a token and keeps that token alive until the returned [Session] is closed.
//
// # What has to be in Vault
//
//	vault secrets enable -path=secret -version=2 kv
//	vault secrets enable transit
//	vault write -f transit/keys/signet derived=true
//
// The Transit key must be derived: only then does Vault bind a ciphertext to the context it is sent, which is the
// keyset's name. Transit ignores the context of any other key without a word, so such a key is refused. The policies
// of the roles are [Options.Policy]; [Store.PlanSetup] and [Store.Setup] do all of this.
//
// # Errors
//
// Every error is one line that says what to do next. Where Vault answered, errors.As finds the *api.ResponseError.
// No error and no log line holds a token, a secret id, a JWT or a key.
package vaultstore
