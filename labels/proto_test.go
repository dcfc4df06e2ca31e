package labels

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The messages are Temporal's own, because they are there: maps, lists, messages that hold themselves, both names of a field.
func TestLabelsOfMessagesFollowTheNamesOfProtojson(t *testing.T) {
	types := newTypes(t, Options{Fields: map[protoreflect.FullName][]string{
		"temporal.api.common.v1.WorkflowExecution.workflow_id": {"phi"},
		"temporal.api.common.v1.Payload.data":                  {"pii"},
	}, Types: map[reflect.Type]Labels{
		reflect.TypeFor[commonpb.Header](): {"phi": {"/fields/tracer"}},
	}})
	for _, test := range []struct {
		value any
		want  Labels
	}{
		{&commonpb.WorkflowExecution{}, Labels{"phi": {"/workflowId", "/workflow_id"}}},
		{&commonpb.Memo{}, Labels{"pii": {"/fields/*/data"}}},
		{&commonpb.Payloads{}, Labels{"pii": {"/payloads/*/data"}}},
		{&commonpb.ActivityType{}, Labels{}},
		{&commonpb.Header{}, Labels{"phi": {"/fields/tracer"}}},
		// Within a Go struct encoding/json writes the generated struct, in another form.
		{struct{ E *commonpb.WorkflowExecution }{}, Labels{"phi": {"/E"}}},
		{struct{ H *commonpb.Header }{}, Labels{"phi": {"/H"}}},
		{commonpb.WorkflowExecution{}, Labels{"phi": {""}}},
		{struct{ A *commonpb.ActivityType }{}, Labels{}},
		// Whatever the well-known types of unknown shape hold.
		{&anypb.Any{}, Labels{"unknown": {""}}},
		{&structpb.Struct{}, Labels{"unknown": {""}}},
		{struct{ V []*structpb.Value }{}, Labels{"unknown": {"/V/*"}}},
		{&timestamppb.Timestamp{}, Labels{}},
		{&descriptorpb.FieldOptions{}, Labels{"unknown": {""}}}, // extensions
		{&wrapperspb.StringValue{}, Labels{}},
		// An interface that is embedded is a message whose kind nobody knows.
		{struct{ protoreflect.ProtoMessage }{}, Labels{"unknown": {""}}},
		{formerMessage{}, Labels{"unknown": {""}}},
	} {
		got := types.ForType(reflect.TypeOf(test.value))
		for _, pointers := range got {
			slices.Sort(pointers)
		}
		if !maps.EqualFunc(got, test.want, slices.Equal[[]string]) {
			t.Errorf("labels of %T:\n got %v\nwant %v", test.value, got, test.want)
		}
	}
}

type formerMessage struct { // of the API before protoreflect: its JSON has the names of jsonpb
	SSN string `json:"s_s_n" sensitive:"phi"`
}

func (*formerMessage) ProtoMessage() {}

func TestAMessageThatHoldsItselfEndsSomewhere(t *testing.T) {
	types := newTypes(t, Options{Fields: map[protoreflect.FullName][]string{"temporal.api.failure.v1.Failure.message": {"phi"}}})
	got := types.ForType(reflect.TypeFor[*failurepb.Failure]())["phi"]
	slices.Sort(got)
	if want := []string{"/cause", "/message"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
