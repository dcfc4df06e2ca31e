package codecserver

import (
	"bytes"
	"testing"
)

func TestWhatARequestLeavesIsWiped(t *testing.T) {
	h, q := &Handler{}, &request{}
	h.borrow(q)
	q.scratch.body = []byte(`{"payloads":[{"data":"c2VjcmV0"}]}`)
	items, ok := q.scratch.fastParse(10)
	if !ok || string(items[0].payload.Data) != "secret" {
		t.Fatal(items, ok)
	}
	body, values := q.scratch.body, q.scratch.values
	h.giveBack(q)
	if len(bytes.Trim(body, "\x00")) > 0 || len(bytes.Trim(values, "\x00")) > 0 {
		t.Errorf("%q and %q are left for the next request", body, values)
	}
}
