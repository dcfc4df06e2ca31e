package audit

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// Records are written here, member by member, because encoding/json took a tenth of the time of a whole decode. The bytes
// are those of encoding/json without its escapes for HTML, after [escape]: TestRecordsAreWrittenAsByEncodingJSON holds
// the two together, so a member that is added to [Record] and forgotten here is found.

// bodies are records as JSON objects, one behind the other in one piece of memory.
type bodies struct {
	text []byte
	ends []int
}

// add writes records that were judged at now.
func (b *bodies) add(records []Record, now time.Time) {
	var stamp [len(time.RFC3339Nano)]byte
	when := now.UTC().AppendFormat(stamp[:0], time.RFC3339Nano)
	text, ends := b.text, b.ends
	for i := range records {
		text = appendRecord(text, when, &records[i])
		ends = append(ends, len(text))
	}
	b.text, b.ends = text, ends
}

// appendRecord writes r, with when in the place of its time.
func appendRecord(dst, when []byte, r *Record) []byte {
	dst = append(append(append(dst, `{"time":"`...), when...), '"')
	dst = appendText(append(dst, `,"requestId":`...), r.RequestID)
	dst = appendText(append(dst, `,"action":`...), r.Action)
	dst = appendText(append(dst, `,"decision":`...), string(r.Decision))
	dst = appendMember(dst, `,"reason":`, r.Reason)
	dst = appendMember(dst, `,"rule":`, r.Rule)
	dst = appendMember(dst, `,"breakGlass":`, r.BreakGlass)
	dst = appendMember(dst, `,"issuer":`, r.Issuer)
	dst = appendMember(dst, `,"subject":`, r.Subject)
	dst = appendMember(dst, `,"email":`, r.Email)
	dst = appendCount(dst, `,"payload":`, r.Payload)
	dst = appendCount(dst, `,"payloads":`, r.Payloads)
	dst = appendItem(dst, &r.Item)
	dst = appendList(dst, `,"labelsShown":`, r.LabelsShown)
	dst = appendList(dst, `,"labelsMasked":`, r.LabelsMasked)
	dst = appendMember(dst, `,"attribute":`, r.Attribute)
	dst = appendMember(dst, `,"tenant":`, r.Tenant)
	if r.Claimed != nil {
		dst = append(dst, `,"claimed":{`...)
		begin := len(dst)
		if dst = appendItem(dst, r.Claimed); len(dst) > begin {
			dst = append(dst[:begin], dst[begin+1:]...) // the first member has no comma before it
		}
		dst = append(dst, '}')
	}
	dst = appendText(append(dst, `,"client":`...), r.Client)
	dst = appendText(append(dst, `,"agent":`...), r.Agent)
	return append(dst, '}')
}

func appendItem(dst []byte, it *Item) []byte {
	dst = appendMember(dst, `,"namespace":`, it.Namespace)
	dst = appendMember(dst, `,"workflow":`, it.Workflow)
	return appendMember(dst, `,"key":`, it.Key)
}

// appendMember leaves out what is empty, and so do the two below.
func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendText(append(dst, name...), value)
}

func appendCount(dst []byte, name string, n int) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, name...), int64(n), 10)
}

func appendList(dst []byte, name string, list []string) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(append(dst, name...), '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, s)
	}
	return append(dst, ']')
}

// appendText writes s as a JSON string: most of them as they are.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return append(dst, quote(s)...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// quote is [appendText] for what is not plain ASCII.
func quote(s string) []byte {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be written
	return escape(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}
