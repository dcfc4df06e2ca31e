package signet

import (
	"testing"

	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/labels"
)

type labelled struct {
	SSN string `json:"ssn" sensitive:"phi"`
}

// TestLabelsGoInsideTheSeal, and with it only: what is not sealed gets none.
func TestLabelsGoInsideTheSeal(t *testing.T) {
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ring := keystest.NewRing(t, "ns/default")
	codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: "ns/default", Scope: "default", AllowPlaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		options Options
		want    string
	}{
		{Options{Labels: types}, `{"v":1,"labels":{"phi":["/ssn"]}}`},
		{Options{}, ""},
		{Options{Labels: types, InsecureSealNothing: true}, ""},
	} {
		p, err := NewPlugin(ring, test.options)
		if err != nil {
			t.Fatal(err)
		}
		var o client.Options
		if err := configure(p, &o); err != nil {
			t.Fatal(err)
		}
		ps, err := o.DataConverter.ToPayloads(labelled{"078-05-1120"})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := codec.Open(ps.GetPayloads()[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := string(opened.GetMetadata()[labels.Metadata]); got != test.want || len(ps.GetPayloads()[0].GetMetadata()[labels.Metadata]) > 0 {
			t.Errorf("labels are %q, want %q; outside stands %v", got, test.want, ps)
		}
	}
}
