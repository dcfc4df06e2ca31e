package converter_test

import (
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"

	"github.com/signet-temporal/signet/converter"
)

func ExampleSearchTokens() {
	// In production the keyset is read, encrypted, from where secrets are kept: see keyset.Read.
	handle, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		panic(err)
	}
	ring, err := converter.NewSearchKeyring(map[string]*keyset.Handle{"search/intake": handle})
	if err != nil {
		panic(err)
	}
	tokens, err := converter.NewSearchTokens(ring, converter.SearchTokenOptions{Keyset: "search/intake", Scope: "intake"})
	if err != nil {
		panic(err)
	}
	stored, err := tokens.SearchToken("PatientSSN", "078-05-1120") // what the workflow sets
	if err != nil {
		panic(err)
	}
	candidates, err := tokens.Candidates("PatientSSN", "078-05-1120") // what somebody searches for
	if err != nil {
		panic(err)
	}
	query := fmt.Sprintf("PatientSSN IN ('%s')", strings.Join(candidates, "','"))
	fmt.Println(len(stored), query == "PatientSSN IN ('"+stored+"')")
	// Output: 16 true
}
