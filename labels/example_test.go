package labels_test

import (
	"fmt"
	"reflect"

	"github.com/signet-temporal/signet/labels"
)

type Visit struct {
	Day  int    `json:"day"`
	Note string `json:"note" sensitive:"phi"`
}

type Patient struct {
	Name   string  `json:"name" sensitive:"pii"`
	SSN    string  `json:"ssn" sensitive:"phi,pii"`
	Visits []Visit `json:"visits"`
	Extra  any     `json:"extra"`
}

func ExampleTypes_ForType() {
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(types.ForType(reflect.TypeFor[Patient]()))
	// Output: map[phi:[/ssn /visits/*/note] pii:[/name /ssn] unknown:[/extra]]
}
