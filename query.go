package signet

import (
	"context"
	"errors"

	"go.temporal.io/api/errordetails/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signet-temporal/signet/converter"
)

// queryErrors seals the text of a failed query, which the SDK hands to no converter: a worker's answer leaves with a fixed
// sentence in its place and the text in a sealed failure, and a client that asked reads the text again. The failure that
// the SDK may have made of the same error hangs beneath as the cause, and the client gets that one as it was.
//
// The text is bound to the scope and to no workflow: the answer of a query task does not name the workflow, and failures
// open wherever they are handed on to (docs/threat-model.md).
//
// It stands on the connection behind what the SDK puts there. So it runs again for every retry, and sees errors as the
// server sent them, before the SDK makes a *serviceerror.QueryFailed of them. It works on copies: the request is the
// SDK's, which may send it again or look into it while it is sent.
type queryErrors struct {
	// failures makes the converter of a namespace, for the few times that a query fails: clients of several namespaces
	// may share a connection.
	failures func(namespace string) (*converter.FailureConverter, error)
	// sealNothing leaves answers as they are: [Options].InsecureSealNothing. Sealed ones are opened all the same.
	sealNothing bool
}

// sealedQueryError is what stands in the place of the text, for whoever asks without the keys: in the Web UI, for example.
const sealedQueryError = "signet: the text of this query's error is sealed: query with a client that has signet's plugin and the keys"

// queryErrorType tells the failure that holds such a text from the SDK's own.
const queryErrorType = "signet.query-error"

func (q queryErrors) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if asked, ok := req.(*workflowservice.QueryWorkflowRequest); ok {
		return q.open(asked.GetNamespace(), invoke(ctx, method, req, reply, cc, opts...))
	}
	if q.sealNothing {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	switch r := req.(type) {
	case *workflowservice.RespondQueryTaskCompletedRequest:
		req = q.sealAnswer(r)
	case *workflowservice.RespondWorkflowTaskCompletedRequest:
		req = q.sealAnswers(r)
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

// sealAnswer seals the answer of a query that came as a task of its own.
func (q queryErrors) sealAnswer(r *workflowservice.RespondQueryTaskCompletedRequest) *workflowservice.RespondQueryTaskCompletedRequest {
	if !inClear(r.GetErrorMessage()) {
		return r
	}
	r = proto.CloneOf(r)
	r.Failure = q.seal(r.GetNamespace(), r.GetErrorMessage(), r.GetFailure())
	r.ErrorMessage = sealedQueryError
	return r
}

// sealAnswers seals the answers of queries that came with a workflow task.
func (q queryErrors) sealAnswers(r *workflowservice.RespondWorkflowTaskCompletedRequest) *workflowservice.RespondWorkflowTaskCompletedRequest {
	copied := false
	for id, result := range r.GetQueryResults() {
		if !inClear(result.GetErrorMessage()) {
			continue
		}
		if !copied {
			r, copied = proto.CloneOf(r), true
		}
		result = r.GetQueryResults()[id]
		result.Failure = q.seal(r.GetNamespace(), result.GetErrorMessage(), result.GetFailure())
		result.ErrorMessage = sealedQueryError
	}
	return r
}

func inClear(text string) bool { return text != "" && text != sealedQueryError }

// seal returns a failure that holds the text, or says why it does not, above the SDK's own.
func (q queryErrors) seal(namespace, text string, made *failurepb.Failure) *failurepb.Failure {
	failures, err := q.failures(namespace)
	if err != nil { // there is no such scope: the text goes nowhere
		return made
	}
	failure := failures.ErrorToFailure(temporal.NewApplicationError(text, queryErrorType))
	failure.Cause = made
	return failure
}

// open puts the text back into the error of a query. Any other error it returns as it is.
func (q queryErrors) open(namespace string, err error) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	answer := st.Proto()
	for i, detail := range answer.GetDetails() {
		var failed errordetails.QueryFailedFailure
		if detail.UnmarshalTo(&failed) != nil || failed.GetFailure().GetApplicationFailureInfo().GetType() != queryErrorType {
			continue
		}
		text, ok := q.text(namespace, failed.GetFailure())
		if !ok {
			return err
		}
		failed.Failure = failed.GetFailure().GetCause()
		made, packErr := anypb.New(&failed)
		if packErr != nil {
			return err
		}
		answer.Message, answer.Details[i] = text, made
		return status.ErrorProto(answer)
	}
	return err
}

// text reads a failure made by seal: its text, or why it cannot be read.
func (q queryErrors) text(namespace string, failure *failurepb.Failure) (string, bool) {
	failures, err := q.failures(namespace)
	if err != nil {
		return "", false
	}
	alone := proto.CloneOf(failure)
	alone.Cause = nil
	var held *temporal.ApplicationError
	if !errors.As(failures.FailureToError(alone), &held) {
		return "", false
	}
	return held.Message(), true
}
