package converter_test

import (
	"fmt"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/labels"
)

func ExampleLabeller() {
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		panic(err)
	}
	labeller, err := converter.NewLabeller(nil, types) // the parent of a sealing data converter
	if err != nil {
		panic(err)
	}
	type Patient struct {
		SSN   string `json:"ssn" sensitive:"phi"`
		State string `json:"state"`
	}
	p, err := labeller.ToPayload(Patient{"078-05-1120", "waiting"})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n%s\n", p.GetData(), p.GetMetadata()[labels.Metadata])
	// Output:
	// {"ssn":"078-05-1120","state":"waiting"}
	// {"v":1,"labels":{"phi":["/ssn"]}}
}
