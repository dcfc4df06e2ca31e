package mask_test

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/labels/mask"
)

func ExamplePayload() {
	opened := &commonpb.Payload{
		Metadata: map[string][]byte{
			"encoding":      []byte("json/plain"),
			"signet-labels": []byte(`{"v":1,"labels":{"phi":["/ssn","/visits/*/note"],"pii":["/name"]}}`),
		},
		Data: []byte(`{"name": "Ann", "ssn": "078-05-1120", "visits": [{"day": 3, "note": "well"}]}`),
	}
	masked := mask.Payload(opened, mask.View{Labels: []string{"pii"}})
	fmt.Println(string(masked.Payload.GetData()))
	fmt.Println("shown", masked.Shown, "masked", masked.Masked)
	// Output:
	// {"name": "Ann", "ssn": "••• masked: phi", "visits": [{"day": 3, "note": "••• masked: phi"}]}
	// shown [pii] masked [phi]
}
