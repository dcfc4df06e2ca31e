package converter

import (
	"bytes"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
)

func TestWipedAlsoWhenMarshallingFails(t *testing.T) {
	c := new(core)
	s := &scratch{plaintext: make([]byte, 0, 4096)}
	p := &commonpb.Payload{Metadata: map[string][]byte{"a": []byte("secret"), "\xff": nil}}
	if err := c.write(s, p); err == nil {
		t.Fatal("no error")
	}
	memory := s.plaintext[:cap(s.plaintext)]
	c.release(s)
	if bytes.Contains(memory, []byte("secret")) {
		t.Error("a pooled buffer still holds plaintext")
	}
}
