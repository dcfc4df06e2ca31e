// Package wire is the bytes of a sealed payload, format v1: what stands outside the ciphertext, what is authenticated
// with it, and the one byte in front of the body inside. It knows no key, no SDK type and no policy.
//
// The format is specified in docs/spec/payload-v1.md; section numbers in this package's comments refer to it.
// The promise of the package: there is exactly one way to write an [Outer], so parsing and writing again gives the same
// bytes; nothing that is malformed parses; an error comes with the zero value.
package wire
