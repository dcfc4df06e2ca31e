package converter

import (
	"errors"
	"fmt"
	"reflect"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

// failureText is what the SDK seals of a failure, and encodedMessage what it leaves in its place
// (sdk converter/failure_converter.go): the Web UI and other SDKs know both.
type failureText struct {
	Message    string `json:"message"`
	StackTrace string `json:"stack_trace"`
}

const encodedMessage = "Encoded failure"

// FailureConverter seals the text, stack trace and details of failures that another failure converter makes. It
// implements the SDK's FailureConverter and FailureConverterWithSerializationContext.
//
// What stays clear is what the server acts on or the SDK has no field for: types, retry flags, activity and workflow
// names and ids.
type FailureConverter struct {
	parent sdk.FailureConverter
	plain  sdk.DataConverter // for the SDK's own envelope of message and stack trace
	codec  *Codec
}

var (
	_ sdk.FailureConverter                         = (*FailureConverter)(nil)
	_ sdk.FailureConverterWithSerializationContext = (*FailureConverter)(nil)
)

// NewFailureConverter makes a failure converter that seals what parent makes. A nil parent is the SDK's default one,
// with details converted by the data converter that dc seals for. Keys and scope are those of dc: set the two together.
func NewFailureConverter(parent sdk.FailureConverter, dc *DataConverter) (*FailureConverter, error) {
	if dc == nil {
		return nil, errors.New("converter: no data converter: a failure converter alone leaves payloads in clear")
	}
	if _, twice := parent.(*FailureConverter); twice {
		return nil, errors.New("converter: the failure converter seals already: configure signet once")
	}
	if parent == nil {
		parent = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: dc.parent})
	}
	return &FailureConverter{parent: parent, plain: sdk.GetDefaultDataConverter(), codec: dc.codec}, nil
}

// WithSerializationContext implements the SDK's interface. It does not change f.
func (f *FailureConverter) WithSerializationContext(sc sdk.SerializationContext) sdk.FailureConverter {
	n := *f
	n.parent = sdk.WithFailureConverterSerializationContext(f.parent, sc)
	n.codec = f.codec.forWorkflow(workflowOf(sc))
	return &n
}

// ErrorToFailure never panics: what cannot be sealed is withheld, and the failure says so. An error of this package that
// a retry cannot mend becomes a failure that is not retried.
func (f *FailureConverter) ErrorToFailure(err error) *failurepb.Failure {
	if err == nil {
		return nil
	}
	failure := f.convert(err)
	if f.codec.core.options.InsecureSealNothing {
		return failure // as the parent made it, with what others know how to read
	}
	for node := failure; node != nil; node = node.GetCause() {
		if err := f.sealNode(node); err != nil {
			withhold(failure, err)
			if observer := f.codec.core.options.Observer; observer != nil {
				observer.Withheld(reason(err))
			}
			break
		}
	}
	return failure
}

// convert has the parent make the failure. The parent panics over details that do not marshal, and whatever the
// application's own errors do in their methods gets through it; in an activity the SDK answers nothing then, and the
// activity stalls until its timeout.
func (f *FailureConverter) convert(err error) (failure *failurepb.Failure) {
	defer func() {
		if p := recover(); p != nil {
			failure = unconverted(err, p)
		}
	}()
	// The parent may return a failure that it keeps in the error for good: work on a copy.
	failure = proto.Clone(f.parent.ErrorToFailure(err)).(*failurepb.Failure)
	markPermanent(err, failure)
	return failure
}

// unconverted is the failure of an error that could not be converted, and why.
func unconverted(err error, why any) *failurepb.Failure {
	info := &failurepb.ApplicationFailureInfo{Type: reflect.TypeOf(err).String()}
	text := fmt.Sprintf("the failure cannot be converted: %v", why)
	if app, ok := err.(*temporal.ApplicationError); ok && app != nil {
		info.Type, info.NonRetryable = app.Type(), app.NonRetryable()
		text = app.Message() + ": " + text
	}
	return &failurepb.Failure{Message: text, FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: info}}
}

// FailureToError opens what was sealed. A failure that cannot be opened is an error that says why in place of its text;
// in a workflow task it fails the task, because code may branch on the text.
func (f *FailureConverter) FailureToError(failure *failurepb.Failure) error {
	if failure == nil {
		return nil
	}
	opened := proto.Clone(failure).(*failurepb.Failure) // the SDK keeps the history it gave us
	for node := opened; node != nil; node = node.GetCause() {
		if err := (place{}).raise(f.openNode(node)); err != nil {
			blank(node, "failure text withheld: "+err.Error())
		}
	}
	return f.parent.FailureToError(opened)
}

func (f *FailureConverter) sealNode(node *failurepb.Failure) error {
	if node.GetEncodedAttributes() == nil {
		text, err := f.plain.ToPayload(failureText{node.GetMessage(), node.GetStackTrace()})
		if err != nil {
			return &Error{kind: ErrMalformed, detail: "failure text cannot be marshalled", cause: err}
		}
		node.EncodedAttributes = text
	}
	sealed, err := f.codec.Seal(node.GetEncodedAttributes())
	if err != nil {
		return err
	}
	node.Message, node.StackTrace, node.EncodedAttributes = encodedMessage, "", sealed
	return convertDetails(node, f.codec.Encode)
}

// openNode accepts what was sealed for another workflow of the scope: a failure is handed on from child to parent, and
// from a workflow to whoever waits for it. Text and details that are not sealed are dropped, not refused: the server,
// Nexus handlers and workers elsewhere write failures of their own, and those must not block a workflow.
func (f *FailureConverter) openNode(node *failurepb.Failure) error {
	codec := f.codec.unbound()
	if err := f.openText(node, codec); err != nil {
		return err
	}
	return convertDetails(node, func(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
		out, err := codec.Decode(in)
		if errors.Is(err, ErrNotSealed) {
			return nil, nil
		}
		return out, err
	})
}

func (f *FailureConverter) openText(node *failurepb.Failure, codec *Codec) error {
	if node.GetEncodedAttributes() == nil {
		return nil
	}
	opened, err := codec.Open(node.GetEncodedAttributes())
	if errors.Is(err, ErrNotSealed) {
		node.Message, node.StackTrace, node.EncodedAttributes = "failure text withheld: it came unsealed", "", nil
		return nil
	}
	if err != nil {
		return err
	}
	node.EncodedAttributes = opened
	// What does not convert was written by a parent with a form of its own: it will read it.
	var text failureText
	if f.plain.FromPayload(opened, &text) == nil {
		node.Message, node.StackTrace, node.EncodedAttributes = text.Message, text.StackTrace, nil
	}
	return nil
}

// convertDetails passes every list of payloads of one node through convert and stops at the first error.
func convertDetails(node *failurepb.Failure, convert func([]*commonpb.Payload) ([]*commonpb.Payload, error)) (err error) {
	eachDetails(node, func(ps *commonpb.Payloads) *commonpb.Payloads {
		if err != nil || ps == nil {
			return ps
		}
		var out []*commonpb.Payload
		if out, err = convert(ps.GetPayloads()); out == nil {
			return nil
		}
		return &commonpb.Payloads{Payloads: out}
	})
	return err
}

// eachDetails replaces every list of payloads of one node, not of its cause.
func eachDetails(node *failurepb.Failure, replace func(*commonpb.Payloads) *commonpb.Payloads) {
	if i := node.GetApplicationFailureInfo(); i != nil {
		i.Details = replace(i.Details)
	}
	if i := node.GetCanceledFailureInfo(); i != nil {
		i.Details = replace(i.Details)
	}
	if i := node.GetTimeoutFailureInfo(); i != nil {
		i.LastHeartbeatDetails = replace(i.LastHeartbeatDetails)
	}
	if i := node.GetResetWorkflowFailureInfo(); i != nil {
		i.LastHeartbeatDetails = replace(i.LastHeartbeatDetails)
	}
}

// withhold takes everything that could be secret out of a failure, down to its last cause. Of why it keeps the kind alone:
// the text goes to Temporal in clear, and a cause may name addresses and paths of the key store.
func withhold(failure *failurepb.Failure, why error) {
	text := "failure text withheld: it cannot be sealed"
	if ours := (*Error)(nil); errors.As(why, &ours) {
		text += " (" + ours.Reason() + ")"
	}
	for node := failure; node != nil; node = node.GetCause() {
		blank(node, text)
	}
}

// blank leaves of one node what was never sealed, and text.
func blank(node *failurepb.Failure, text string) {
	node.Message, node.StackTrace, node.EncodedAttributes = text, "", nil
	eachDetails(node, func(*commonpb.Payloads) *commonpb.Payloads { return nil })
}

// markPermanent keeps Temporal from retrying what cannot get better. An ApplicationError of the user's own decides for
// itself.
func markPermanent(err error, failure *failurepb.Failure) {
	var ours *Error
	var theirs *temporal.ApplicationError
	if !errors.As(err, &ours) || !ours.Permanent() || errors.As(err, &theirs) {
		return
	}
	if info := failure.GetApplicationFailureInfo(); info != nil {
		info.Type, info.NonRetryable = "signet."+ours.Reason(), true
	}
}
