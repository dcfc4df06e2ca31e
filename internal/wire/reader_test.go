package wire

import (
	"fmt"
	"testing"
)

func outside(encoding, keyID, context string) map[string][]byte {
	return map[string][]byte{MetadataEncoding: []byte(encoding), MetadataKeyID: []byte(keyID), MetadataContext: []byte(context)}
}

func TestAReaderKnowsWhatTheLastPayloadSaid(t *testing.T) {
	const a, b = `{"v":1,"ns":"a","wf":"w"}`, `{"v":1,"ns":"b"}`
	extra := outside(Encoding, "ns/a/000012ab", a)
	extra["x"] = nil
	var r Reader
	for i, step := range []struct {
		metadata map[string][]byte
		data     []byte
		same, ok bool
	}{
		{outside(Encoding, "ns/a/000012ab", a), nil, false, false}, // too short: nothing is remembered of it
		{outside(Encoding, "ns/a/000012ab", a), sealedData(0x12ab), false, true},
		{outside(Encoding, "ns/a/000012ab", a), sealedData(0x12ab), true, true},
		{outside("json/plain", "ns/a/000012ab", a), sealedData(0x12ab), false, false},
		{extra, sealedData(0x12ab), false, false},
		{outside(Encoding, "ns/a/000012ab", a), sealedData(0x12ac), false, false},
		{outside(Encoding, "ns/a/000012ab", a), sealedData(0x12ab)[:minData-1], false, false},
		{nil, sealedData(0x12ab), false, false},
		{outside(Encoding, "ns/a/000012ab", a), sealedData(0x12ab), true, true}, // trouble in between forgets nothing
		{outside(Encoding, "ns/b/000012ab", a), sealedData(0x12ab), false, true},
		{outside(Encoding, "ns/b/000012ab", b), sealedData(0x12ab), false, true},
		{outside(Encoding, "ns/b/000012ab", b), sealedData(0x12ab), true, true},
		{outside(Encoding, "ns/a/000012ab", a), sealedData(0x12ab), false, true}, // the last one counts, not all
	} {
		o, same, err := r.Parse(step.metadata, step.data)
		want, wantErr := Parse(step.metadata, step.data)
		if o != want || fmt.Sprint(err) != fmt.Sprint(wantErr) || same != step.same || (err == nil) != step.ok {
			t.Errorf("step %d: %+v, same %v, %v; Parse has %+v, %v", i, o, same, err, want, wantErr)
		}
	}
}

func TestWhatIsKnownTakesNoMemory(t *testing.T) {
	known := Known{Keysets: []string{"ns/other", "ns/payments"}, Scopes: []string{"other", "payments"}, Workflow: "order-17"}
	m, data := outside(Encoding, "ns/payments/000012ab", `{"v":1,"ns":"payments","wf":"order-17"}`), sealedData(0x12ab)
	var r Reader
	if _, _, err := r.Parse(m, data); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		_, err := ParseKnown(m, data, known)
		_, same, _ := r.Parse(m, data)
		if err != nil || !same {
			t.Error(err, same)
		}
	}); n > 0 {
		t.Errorf("what is known makes %v allocations", n)
	}
}

// FuzzReader: a Reader, and what is known, change nothing about what [Parse] says.
func FuzzReader(f *testing.F) {
	const context = `{"v":1,"ns":"a","wf":"w"}`
	f.Add(Encoding, "ns/a/000012ab", context, sealedData(0x12ab), Encoding, "ns/a/000012ab", context, sealedData(0x12ab), "ns/a", "a", "w")
	f.Add(Encoding, "ns/a/000012ab", context, sealedData(0x12ab), "json/plain", "ns/a/000012ab", context, sealedData(0x12ab), "", "", "")
	f.Add(Encoding, "ns/a/000012ab", context, sealedData(0x12ab), Encoding, "ns/b/000012ab", `{"v":1,"ns":"a","wf":"\n"}`, sealedData(0x12ab), "ns/b", "b", "\n")
	f.Add(Encoding, "ns/a/000012ab", context, sealedData(1), Encoding, "ns/a/000012ab", context, sealedData(0x12ab), "ns/a", "a", "w")
	f.Fuzz(func(t *testing.T, e1, k1, c1 string, d1 []byte, e2, k2, c2 string, d2 []byte, keyset, scope, workflow string) {
		known := Known{Scopes: []string{"x", scope}, Workflow: workflow}
		if CheckName(keyset) == nil {
			known.Keysets = []string{"x", keyset}
			if workflow == "" {
				known.Keyset, known.Keysets = keyset, nil
			}
		}
		first, second := outside(e1, k1, c1), outside(e2, k2, c2)
		var r Reader
		for i, step := range []struct {
			metadata map[string][]byte
			data     []byte
		}{{first, d1}, {second, d2}, {second, d2}, {second, d1}, {first, d2}, {first, d1}, {first, d1}} {
			want, wantErr := Parse(step.metadata, step.data)
			o, same, err := r.Parse(step.metadata, step.data)
			if o != want || fmt.Sprint(err) != fmt.Sprint(wantErr) || same && err != nil {
				t.Fatalf("step %d: a Reader has %+v, %v; Parse %+v, %v", i, o, err, want, wantErr)
			}
			o, err = ParseKnown(step.metadata, step.data, known)
			if o != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("step %d: with %+v there is %+v, %v; without %+v, %v", i, known, o, err, want, wantErr)
			}
		}
	})
}
