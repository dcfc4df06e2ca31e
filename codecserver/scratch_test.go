package codecserver

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestWhatARequestLeavesIsWiped(t *testing.T) {
	h, q := &Handler{}, &request{}
	h.borrow(q)
	many := `"x":"c2VjcmV0",`
	for i := range keptNames {
		many += fmt.Sprintf(`"x%d":"c2VjcmV0",`, i)
	}
	q.scratch.body = []byte(`{"payloads":[{"metadata":{"encoding":"c2VjcmV0"},"data":"c2VjcmV0"},{"metadata":{` + strings.TrimSuffix(many, ",") + `}}]}`)
	items, ok := q.scratch.fastParse(10)
	if !ok || len(items) != 2 || string(items[0].payload.Data) != "secret" || len(items[1].payload.Metadata) != 1+keptNames {
		t.Fatal(items, ok)
	}
	for _, it := range items {
		it.out, it.outer.Workflow, it.shown, it.opened, it.reason = it.payload, "order-17", []string{"phi"}, true, internal
	}
	s, body, values, first := q.scratch, q.scratch.body, q.scratch.values, items[0].payload
	h.giveBack(q)
	if len(bytes.Trim(body, "\x00")) > 0 || len(bytes.Trim(values, "\x00")) > 0 {
		t.Errorf("%q and %q are left for the next request", body, values)
	}
	if first.Data != nil || first.Metadata != nil || s.used != 0 {
		t.Errorf("%v is left for the next request, %d slots are in use", first, s.used)
	}
	for i, n := range s.slots {
		if !reflect.DeepEqual(n.item, item{payload: &n.in}) || len(n.metadata) != 0 || n.in.Metadata != nil {
			t.Errorf("slot %d: %+v is left for the next request", i, n.item)
		}
	}
	s.body = []byte(`{"payloads":[` + strings.Repeat(`{},`, keptSlots) + `{}]}`)
	if items, ok = s.fastParse(keptSlots + 1); !ok || len(items) != keptSlots+1 {
		t.Fatal(len(items), ok)
	}
	if s.wipeSlots(); len(s.slots) > keptSlots || len(s.items) != len(s.slots) {
		t.Errorf("%d slots are kept", len(s.slots))
	}
}
