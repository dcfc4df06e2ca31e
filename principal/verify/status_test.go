package verify_test

import (
	"testing"
	"time"
)

func TestTheStatusNamesEachIssuerAndTheAgeOfItsKeys(t *testing.T) {
	p := newIDP(t)
	v := newVerifier(t, p.issuer())
	if got := v.Status(); len(got) != 1 || got[0].Issuer != p.URL || !got[0].Fetched.IsZero() || got[0].Error != "" {
		t.Errorf("before the first token: %+v", got)
	}
	before := time.Now()
	if _, err := v.Verify(t.Context(), p.sign(p.claims())); err != nil {
		t.Fatal(err)
	}
	if got := v.Status(); got[0].Fetched.Before(before) || !got[0].Usable.After(got[0].Fetched.Add(time.Hour)) || got[0].Error != "" {
		t.Errorf("after the first token: %+v", got)
	}
}
