package verify_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/principal/principaltest"
	"github.com/signet-temporal/signet/principal/verify"
)

// FuzzAuthorization: whatever the header is, it is ann's token or it is refused, in one line.
func FuzzAuthorization(f *testing.F) {
	issuer := principaltest.NewIssuer(f)
	v, err := verify.New(context.Background(), trusting(issuer))
	if err != nil {
		f.Fatal(err)
	}
	good := issuer.Token(nil)
	_, rest, _ := strings.Cut(good, ".")
	encoded := base64.RawURLEncoding.EncodeToString
	for _, seed := range []string{"", "Bearer", "Bearer " + good, "bearer  " + good, good, "Basic YTpi", "Bearer a.b.c", "Bearer " + good + "." + good,
		"Bearer " + encoded([]byte(`{"alg":"none"}`)) + "." + rest,
		"Bearer " + encoded([]byte(`{"alg":"ES256","kid":"1","crit":["x"],"x":1}`)) + "." + rest,
		"Bearer " + encoded([]byte(`{"alg":"ES256","b64":false}`)) + "." + encoded([]byte(`{"iss":"`+issuer.URL+`","_claim_names":{"a":"b"}}`)) + ".AAAA",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authorization string) {
		caller, err := v.Authenticate(request(authorization, ""))
		var refused *verify.Error
		switch {
		case err == nil && caller.Subject == "ann" && caller.Issuer == issuer.URL:
		case caller != nil || !errors.As(err, &refused) || refused.Code == "" || strings.Contains(err.Error(), "\n"):
			t.Errorf("got %+v, %v", caller, err)
		}
	})
}
