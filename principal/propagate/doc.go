// Package propagate carries a [principal.Principal] through Temporal: from the context in which a workflow is started to
// every child workflow and activity, sealed in one header field. No token is carried, and nothing that is not sealed is
// believed.
//
// It comes with signet's plugin, see signet.Options.Principal. The way of a principal is short:
//
//	context → client interceptor (which hop is this?) → Inject (seal) → header → Extract (open, judge) → interceptor (enforce)
//
// A sealed header is bound to its place: the scope, the kind of the hop, the workflow it is for, and the name of the
// workflow type, activity type or message. Moved anywhere else it is refused. What is refused fails at once and never
// wedges a workflow: a start and an activity fail with a non-retryable error of type [TypeInvalid], an update is rejected,
// a query gets an error, and a signal is dropped, logged and counted.
//
// In workflows and activities, [principal.FromContext] is the owner: for whom the workflow runs. [Caller] is who sent the
// update, signal or query that is being handled. The owner's identity is never lent to a message that came without one.
//
// docs/principal.md has the policies, docs/spec/principal-v1.md the bytes.
package propagate
