package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// historyText writes events for people, in the order in which the fields of their messages stand in Temporal's API.
type historyText struct {
	w        io.Writer
	workflow string

	notes map[*commonpb.Payload]note
	lines bytes.Buffer
}

func (h *historyText) begin(namespace, runID string) error {
	_, err := fmt.Fprintf(h.w, "%s  %s  run %s\n\n", printable(namespace), printable(h.workflow), printable(runID))
	return err
}

func (h *historyText) end() error { return nil }

// event writes such as
//
//	5  2026-10-05T12:00:00.123Z  ActivityTaskScheduled  charge
//	     input[0]  {"card":"…"}
func (h *historyText) event(e *historypb.HistoryEvent, notes map[*commonpb.Payload]note) error {
	h.notes = notes
	h.lines.Reset()
	fmt.Fprintf(&h.lines, "%5d  %s  %s", e.GetEventId(), e.GetEventTime().AsTime().UTC().Format("2006-01-02T15:04:05.000Z"), e.GetEventType())
	attributes := attributesOf(e)
	for _, name := range namesIn(attributes) {
		fmt.Fprintf(&h.lines, "  %s", printable(name))
	}
	h.lines.WriteByte('\n')
	h.message("", attributes)
	h.message("", e.GetUserMetadata().ProtoReflect())
	_, err := h.w.Write(h.lines.Bytes())
	return err
}

// attributesOf is the one message that says what the event is about; an invalid one if this version knows none.
func attributesOf(e *historypb.HistoryEvent) protoreflect.Message {
	m := e.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName("attributes"))
	if field == nil {
		return (*historypb.HistoryEvent)(nil).ProtoReflect()
	}
	return m.Get(field).Message()
}

// namesIn are the names by which people know an event's subject, in the order of the fields.
func namesIn(m protoreflect.Message) (names []string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) || field.IsList() || field.IsMap() {
			continue
		}
		switch field.Name() {
		case "workflow_type", "activity_type":
			inner := m.Get(field).Message()
			names = append(names, inner.Get(inner.Descriptor().Fields().ByName("name")).String())
		case "signal_name", "marker_name", "timer_id", "operation", "service":
			names = append(names, m.Get(field).String())
		case "scheduled_event_id", "initiated_event_id", "started_event_id", "accepted_event_id":
			if n := m.Get(field).Int(); n > 0 && !slices.ContainsFunc(names, func(s string) bool { return strings.HasPrefix(s, "of event") }) {
				names = append(names, fmt.Sprintf("of event %d", n))
			}
		}
	}
	return names
}

// message writes what the fields of m carry, under path.
func (h *historyText) message(path string, m protoreflect.Message) {
	if !m.IsValid() {
		return
	}
	switch v := m.Interface().(type) {
	case *commonpb.Payload:
		h.line(path, h.payload(v))
		return
	case *commonpb.Payloads:
		for i, p := range v.GetPayloads() {
			h.line(fmt.Sprintf("%s[%d]", path, i), h.payload(p))
		}
		return
	case *failurepb.Failure:
		h.failure(path, v)
		return
	case *commonpb.SearchAttributes:
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.Message() == nil || !m.Has(field) {
			continue
		}
		h.field(under(path, string(field.Name())), field, m.Get(field))
	}
}

func (h *historyText) field(path string, field protoreflect.FieldDescriptor, value protoreflect.Value) {
	switch {
	case field.IsMap():
		if field.MapValue().Message() == nil {
			return
		}
		h.entries(path, value.Map())
	case field.IsList():
		for i := range value.List().Len() {
			h.message(fmt.Sprintf("%s[%d]", path, i), value.List().Get(i).Message())
		}
	default:
		h.message(path, value.Message())
	}
}

func (h *historyText) entries(path string, m protoreflect.Map) {
	var keys []protoreflect.MapKey
	m.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range keys {
		h.message(under(path, printable(key.String())), m.Get(key).Message())
	}
}

// under joins names. "fields" and "indexed_fields" are the API's way to write a map, and mean nothing to anybody.
func under(path, name string) string {
	if name == "fields" {
		return path
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// failure writes the message, the stack trace, the details and the causes.
func (h *historyText) failure(path string, f *failurepb.Failure) {
	if sealed := f.GetEncodedAttributes(); sealed != nil {
		h.line(path, "message and stack trace are "+h.payload(sealed))
	} else {
		h.line(path, visible(f.GetMessage()))
		for line := range strings.SplitSeq(strings.TrimSpace(f.GetStackTrace()), "\n") {
			if line != "" {
				fmt.Fprintf(&h.lines, "         %s\n", visible(strings.ReplaceAll(line, "\t", "  ")))
			}
		}
	}
	m := f.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case field.Message() == nil || !m.Has(field) || field.Name() == "encoded_attributes":
		case field.Name() == "cause":
			h.message(under(path, "cause"), m.Get(field).Message())
		default:
			inner := m.Get(field).Message()
			if kind := inner.Descriptor().Fields().ByName("type"); kind != nil && kind.Kind() == protoreflect.StringKind && inner.Has(kind) {
				h.line(under(path, "type"), visible(inner.Get(kind).String()))
			}
			h.message(path, inner)
		}
	}
}

func (h *historyText) line(path, text string) {
	fmt.Fprintf(&h.lines, "       %s  %s\n", path, text)
}

// payload is one payload as text.
func (h *historyText) payload(p *commonpb.Payload) string {
	n := h.notes[p]
	if n.closed != "" {
		return fmt.Sprintf("(closed, %s: %s)", size(int64(len(p.GetData()))), n.closed)
	}
	text := content(p)
	if n.masked {
		return text + "  (masked)"
	}
	return text
}

func content(p *commonpb.Payload) string {
	encoding := string(p.GetMetadata()["encoding"])
	var compact bytes.Buffer
	switch {
	case encoding == "binary/null":
		return "null"
	case strings.HasPrefix(encoding, "json/") && json.Compact(&compact, p.GetData()) == nil:
		return visible(compact.String())
	case encoding == "binary/plain" && utf8.Valid(p.GetData()):
		return visible(string(p.GetData()))
	}
	return fmt.Sprintf("(%s of %s)", size(int64(len(p.GetData()))), dash(encoding))
}

// visible returns s in one line that steers no terminal: what is not printable is written as \uXXXX, which in the strings
// of JSON means the same.
func visible(s string) string {
	plain := func(r rune) bool { return unicode.IsPrint(r) && r != utf8.RuneError }
	if !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	var out strings.Builder
	for _, r := range s {
		switch {
		case plain(r):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// explanationIn is the sentence with which signet-server explains why it opens a payload for nobody, or not for this one.
func explanationIn(p *commonpb.Payload) string {
	var e struct{ Message, Reason, RequestID string }
	if json.Unmarshal(p.GetData(), &e) != nil || e.Message == "" {
		return "the codec server does not say why"
	}
	return visible(fmt.Sprintf("%s (%s, request %s)", e.Message, e.Reason, e.RequestID))
}
