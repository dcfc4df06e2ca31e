// Package keys holds the keysets that seal and open payloads: what a keyset is, where it is kept, and the ring of
// unwrapped keys that a worker holds in memory.
//
// Begin with the command "signet keyset create", and with [NewRing] over a store: package vaultstore, or filestore on a
// laptop.
//
// A keyset is one document. Its primary key seals; every enabled key opens. Each key is a Tink keyset of exactly one
// key, encrypted on its own by a key-encryption key ([KEK]) with the keyset's name as associated data, so that a key
// copied into another keyset's document does not open, and one key can be destroyed without touching the others.
//
// A [Store] keeps documents and changes them by compare-and-swap only. A [Ring] loads the keysets a process needs when
// it starts, refreshes them in the background, and keeps the last good ones through an outage: sealing and opening
// make no call to the store. Keysets that are too many to name are loaded at their first use: [Tenants].
//
// # Key states
//
//	pending ──promote──▶ primary ──(another is promoted)──▶ retired ──disable──▶ disabled ──destroy──▶ destroyed
//	   └──────────────────retire────────────────────────────▶   ◀──────enable──────┘
//
// A pending key opens but does not seal: adding a key and promoting it are two steps, so that every reader has the key
// before the first payload is sealed with it. A disabled key keeps its material and can be enabled again; a destroyed
// one has none, and nothing that it sealed opens any more.
package keys
