package main

import (
	"encoding/json"
	"io"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// historyJSON writes {"events":[…]}, the proto JSON of temporal.api.history.v1.History, one event in a line. What the
// payloads of an event have become is in the event itself.
type historyJSON struct {
	w     io.Writer
	runID string
	some  bool
}

func (h *historyJSON) begin(_, runID string) error {
	h.runID = runID
	_, err := io.WriteString(h.w, `{"events":[`)
	return err
}

func (h *historyJSON) event(e *historypb.HistoryEvent, _ map[*commonpb.Payload]note) error {
	text, err := protojson.Marshal(e)
	if err != nil {
		return err
	}
	line := []byte(",\n")
	if !h.some {
		line = []byte("\n")
	}
	h.some = true
	_, err = h.w.Write(append(line, visible(string(text))...))
	return err
}

func (h *historyJSON) end() error {
	_, err := io.WriteString(h.w, "\n]}\n")
	return err
}

// openFailures puts the message and stack trace of each failure below m, which the SDK keeps in a payload of its own where
// failures are sealed, into their places. It is what the SDK does when it reads such a failure.
func openFailures(m protoreflect.Message) {
	if f, ok := m.Interface().(*failurepb.Failure); ok && f.GetEncodedAttributes() != nil {
		var sealed struct {
			Message    string `json:"message"`
			StackTrace string `json:"stack_trace"`
		}
		p := f.GetEncodedAttributes()
		if string(p.GetMetadata()["encoding"]) == "json/plain" && json.Unmarshal(p.GetData(), &sealed) == nil {
			f.Message, f.StackTrace, f.EncodedAttributes = sealed.Message, sealed.StackTrace, nil
		}
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range value.List().Len() {
				openFailures(value.List().Get(i).Message())
			}
		default:
			openFailures(value.Message())
		}
		return true
	})
}
