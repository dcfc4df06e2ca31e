// Package audit keeps the record of who decoded and encoded what: one JSON object per line and per payload, for what
// was allowed and for what was refused.
//
// One record per payload, not per request, because the question an auditor asks is "who has seen the data of this
// workflow", and the answer must not depend on how a client batches. All records of a request go out in one write and
// one fsync, before any plaintext leaves; requests that wait for the disk at the same time share both. A [Log] that
// cannot write returns an error and its caller shows nothing.
//
// Every record carries its number, the hash of the record before it and its own: docs/spec/audit-v1.md has the format,
// and [Verifier] finds what was removed, changed, moved or cut. The chain goes on through rotation and restarts.
//
// A line that a full disk or a crash has cut short, and one of nothing but spaces, which [Log.Check] writes to see
// whether a disk has healed, is no record. Characters that would steer a terminal are escaped.
//
// A record never holds plaintext, key material, tokens or whole claims. What a payload claims about itself and nobody
// has authenticated stands under "claimed", so that a forged payload cannot put words into the log.
package audit
