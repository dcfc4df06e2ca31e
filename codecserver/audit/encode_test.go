package audit

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// parts are what random texts are made of: what is written as it is, and all that is not.
var parts = []string{"order-17", "a", " ", "/", `"`, `\`, "<", ">", "&", "'", "\x00", "\b", "\f", "\n", "\r", "\t", "\x1b[31m", "\x1f", "\x7e", "\x7f",
	"\u0080", "\u009b", "é", "\u061c", "✓", "\u2028", "\u2029", "\u202e", "\ufeff", "\ufffd", "😀", "\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80"}

// fill puts something random into v, and nothing into every other part of it.
func fill(t *testing.T, v reflect.Value, r *rand.Rand) {
	t.Helper()
	if v.Type() == reflect.TypeFor[time.Time]() || r.IntN(2) == 0 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		text := ""
		for range r.IntN(4) {
			text += parts[r.IntN(len(parts))]
		}
		v.SetString(text)
	case reflect.Int:
		v.SetInt(r.Int64() >> r.IntN(64) * int64(r.IntN(3)-1))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), r)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), r)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			fill(t, v.Index(i), r)
		}
	default:
		t.Fatalf("a record has a %s, of which this test and appendRecord know nothing", v.Type())
	}
}

// byEncodingJSON is what a record has to look like.
func byEncodingJSON(t *testing.T, r Record, now time.Time) string {
	t.Helper()
	r.Time = now
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		t.Fatal(err)
	}
	return string(escape(bytes.TrimSuffix(text.Bytes(), []byte("\n"))))
}

func TestRecordsAreWrittenAsByEncodingJSON(t *testing.T) {
	const rounds = 5000
	r := rand.New(rand.NewPCG(1, 2))
	var b bodies
	for round := range rounds {
		now := time.Unix(r.Int64N(1<<34), r.Int64N(1e9)/[]int64{1, 1000, 1e9}[round%3]*[]int64{1, 1000, 1e9}[round%3]).UTC()
		records := make([]Record, 1+r.IntN(3))
		for i := range records {
			fields := reflect.ValueOf(&records[i]).Elem()
			for j := range fields.NumField() {
				fill(t, fields.Field(j), r)
			}
		}
		b.text, b.ends = b.text[:0], b.ends[:0]
		b.add(records, now)
		begin := 0
		for i, end := range b.ends {
			if got, want := string(b.text[begin:end]), byEncodingJSON(t, records[i], now); got != want {
				t.Fatalf("record\n got %s\nwant %s", got, want)
			}
			begin = end
		}
		if begin != len(b.text) || len(b.ends) != len(records) {
			t.Fatalf("%d records make %d, with %d bytes behind them", len(records), len(b.ends), len(b.text)-begin)
		}
	}
}

// FuzzText: a text is written as by encoding/json and escape.
func FuzzText(f *testing.F) {
	for _, part := range parts {
		f.Add(part)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, want := string(appendText(nil, text)), byEncodingJSON(t, Record{Reason: text}, time.Time{})
		if text != "" && !bytes.Contains([]byte(want), []byte(`,"reason":`+got+`,"client"`)) {
			t.Fatalf("%q is written as %s, want it as in %s", text, got, want)
		}
	})
}
