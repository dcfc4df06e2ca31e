// Package converter seals what the Temporal SDK stores: a [Codec] for payloads, and a [DataConverter] and a
// [FailureConverter] built on it that belong together.
//
// Begin with signet.NewPlugin, which sets them in a client, its workers and a replayer. [NewDataConverter] is for what has
// no client: the example has it in one piece.
//
// # What is promised
//
//   - Every payload that leaves a DataConverter or a FailureConverter is sealed in the format of
//     docs/spec/payload-v1.md. On an error nothing but nil is returned.
//   - A payload is bound to its keyset's key, to its scope (the namespace) and, where the encoder knew one, to its
//     workflow. It does not open under any other.
//   - A payload that is not sealed does not decode, unless [CodecOptions].AllowPlaintext says so, or one of
//     [CodecOptions].Legacy opens it.
//   - No call does I/O or takes a lock while it seals or opens; what [Keys] and an [Observer] do is all that can wait.
//
// # What an error does
//
// In a workflow task (workflow code, markers, signals, replay) an error of this package is raised as a panic whose value
// is an *[Error]: the SDK then fails the workflow task and retries it, while a returned error would fail the workflow,
// drop the signal or take the wrong branch of GetVersion. Everywhere else (activities, client calls, queries) the *Error
// is returned. See fault.go for how the two are told apart, and docs/spec/outcomes.md for the whole table.
//
// Codec, DataConverter and FailureConverter are safe for concurrent use.
package converter
