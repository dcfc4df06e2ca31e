// Package keyimport reads keys that were made elsewhere, so that a custodian can put them into a keyset: a Tink keyset,
// in clear or encrypted, and the raw AES key of a codec made after the encryption samples of Temporal's SDKs.
//
// What is read is in clear in this process until [Keys.Zero] overwrites it. Copies that Tink and the runtime make on the
// way are left to the garbage collector. Nothing here writes a key but wrapped, and no error quotes one.
package keyimport
