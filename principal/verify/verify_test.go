package verify_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/verify"
)

func newVerifier(t *testing.T, issuers ...verify.Issuer) *verify.Verifier {
	t.Helper()
	v, err := verify.New(t.Context(), issuers...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (p *idp) issuer() verify.Issuer {
	return verify.Issuer{Issuer: p.URL, Audiences: []string{"codec"}, IDTokenAudiences: []string{"temporal-ui"}}
}

func request(access, id string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/decode", nil)
	if access != "" {
		r.Header.Set("Authorization", access)
	}
	if id != "" {
		r.Header.Set("Authorization-Extras", id)
	}
	return r
}

func wantCode(t *testing.T, caller *principal.Caller, err error, want verify.Code) {
	t.Helper()
	var refused *verify.Error
	if !errors.As(err, &refused) || refused.Code != want || refused.Reason() != string(want) || caller != nil {
		t.Errorf("got %+v, %v; want nil and code %s", caller, err, want)
	}
}

func unsigned(t *testing.T, header map[string]any, c claims) string {
	t.Helper()
	var parts []string
	for _, v := range []any{header, c} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(b))
	}
	return strings.Join(parts, ".") + "."
}

func TestATokenSaysWhoTheCallerIs(t *testing.T) {
	p := newIDP(t)
	v := newVerifier(t, p.issuer())
	got, err := v.Authenticate(request("Bearer "+p.sign(p.claims()), ""))
	if err != nil {
		t.Fatal(err)
	}
	if got.Issuer != p.URL || got.Subject != "u-1" || got.Email != "ann@example.com" || !slices.Equal(got.Groups, []string{"oncall", "staff"}) {
		t.Errorf("got %+v", got)
	}
}

func TestEachAllowedAlgorithmVerifies(t *testing.T) {
	p := newIDP(t)
	v := newVerifier(t, p.issuer())
	for alg, kid := range map[jose.SignatureAlgorithm]string{jose.RS256: "rsa", jose.PS256: "rsa", jose.ES256: "p256", jose.ES384: "p384", jose.EdDSA: "ed"} {
		if _, err := v.Verify(t.Context(), p.signWith(p.claims(), alg, p.keys[kid], kid)); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestAnAlgorithmOutsideTheIssuersListIsRefused(t *testing.T) {
	p := newIDP(t)
	i := p.issuer()
	i.Algorithms = []string{"ES256"}
	v := newVerifier(t, i)
	if _, err := v.Verify(t.Context(), p.signWith(p.claims(), jose.ES256, p.keys["p256"], "p256")); err != nil {
		t.Errorf("ES256: %v", err)
	}
	caller, err := v.Verify(t.Context(), p.sign(p.claims()))
	wantCode(t, caller, err, verify.BadSignature)
}

func TestForgedAndUnfitTokensAreRefused(t *testing.T) {
	p, other := newIDP(t), newIDP(t)
	v := newVerifier(t, p.issuer())
	public, err := x509.MarshalPKIXPublicKey(p.keys["rsa"].Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	good := p.claims()
	now := time.Now()
	tampered := strings.Split(p.sign(good), ".")
	tampered[1] = strings.Split(p.sign(good.with(claims{"sub": "root"})), ".")[1]
	for says, c := range map[string]struct {
		token string
		want  verify.Code
	}{
		"nothing":                      {"", verify.MissingToken},
		"opaque":                       {"ya29.a0AfH6SMBx", verify.MalformedToken},
		"three words":                  {"a.b.c", verify.MalformedToken},
		"five parts, an encrypted one": {"a.b.c.d.e", verify.MalformedToken},
		"longer than 8 KiB":            {p.sign(good.with(claims{"pad": strings.Repeat("x", 8<<10)})), verify.MalformedToken},
		"alg none":                     {unsigned(t, map[string]any{"alg": "none"}, good), verify.BadSignature},
		"alg None":                     {unsigned(t, map[string]any{"alg": "None"}, good), verify.BadSignature},
		"no alg":                       {unsigned(t, map[string]any{}, good), verify.BadSignature},
		"HS256 with the public key":    {p.signWith(good, jose.HS256, publicPEM, "rsa"), verify.BadSignature},
		"HS256 with the key's DER":     {p.signWith(good, jose.HS256, public, "rsa"), verify.BadSignature},
		"key of another issuer":        {other.sign(good), verify.BadSignature},
		"unknown kid":                  {p.signWith(good, jose.RS256, p.keys["rsa"], "nobody"), verify.BadSignature},
		"kid of another key":           {p.signWith(good, jose.RS256, p.keys["rsa"], "p256"), verify.BadSignature},
		"claims changed":               {strings.Join(tampered, "."), verify.BadSignature},
		"another issuer":               {other.sign(other.claims()), verify.UnknownIssuer},
		"no issuer":                    {p.sign(good.with(claims{"iss": nil})), verify.UnknownIssuer},
		"issuer with a slash more":     {p.sign(good.with(claims{"iss": p.URL + "/"})), verify.UnknownIssuer},
		"expired":                      {p.sign(good.with(claims{"exp": now.Add(-time.Minute).Unix()})), verify.ExpiredToken},
		"no exp":                       {p.sign(good.with(claims{"exp": nil})), verify.ExpiredToken},
		"another audience":             {p.sign(good.with(claims{"aud": "vault"})), verify.WrongAudience},
		"no audience":                  {p.sign(good.with(claims{"aud": nil})), verify.WrongAudience},
		"empty audience":               {p.sign(good.with(claims{"aud": []string{""}})), verify.WrongAudience},
		"an ID token":                  {p.sign(p.idClaims()), verify.WrongAudience},
		"issued in the future":         {p.sign(good.with(claims{"iat": now.Add(5 * time.Minute).Unix()})), verify.NotYetValid},
		"not valid before the future":  {p.sign(good.with(claims{"nbf": now.Add(2 * time.Minute).Unix()})), verify.NotYetValid},
		"no subject":                   {p.sign(good.with(claims{"sub": nil})), verify.MalformedToken},
		"subject that is a number":     {p.sign(good.with(claims{"sub": 7})), verify.MalformedToken},
		"groups that are objects":      {p.sign(good.with(claims{"groups": []any{claims{"a": 1}}})), verify.MalformedToken},
	} {
		t.Run(says, func(t *testing.T) {
			caller, err := v.Verify(t.Context(), c.token)
			wantCode(t, caller, err, c.want)
			keepsToItself(t, err, c.token)
		})
	}
}

func keepsToItself(t *testing.T, err error, token string) {
	t.Helper()
	if err == nil {
		return
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has more than one line: %q", err)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 10 && strings.Contains(err.Error(), part) {
			t.Errorf("the error holds a part of the token: %q", err)
		}
	}
}

func TestClocksMayDifferByHalfAMinute(t *testing.T) {
	p := newIDP(t)
	v := newVerifier(t, p.issuer())
	late := p.claims().with(claims{"exp": time.Now().Add(-20 * time.Second).Unix(), "iat": time.Now().Add(20 * time.Second).Unix()})
	if _, err := v.Verify(t.Context(), p.sign(late)); err != nil {
		t.Errorf("20 seconds: %v", err)
	}
}

func TestOnlyAVerifiedEmailAddressCounts(t *testing.T) {
	p := newIDP(t)
	trusting := p.issuer()
	trusting.AllowUnverifiedEmail, trusting.EmailClaim = true, "https://x/email"
	strict, trustful := newVerifier(t, p.issuer()), newVerifier(t, trusting)
	other := p.issuer()
	other.EmailClaim = "upn"
	upn := newVerifier(t, other)
	for _, c := range []struct {
		says   string
		claims claims
		v      *verify.Verifier
		want   string
	}{
		{"verified", p.claims(), strict, "ann@example.com"},
		{"verified, as a string", p.claims().with(claims{"email_verified": "true"}), strict, "ann@example.com"},
		{"says nothing", p.claims().with(claims{"email_verified": nil}), strict, ""},
		{"not verified", p.claims().with(claims{"email_verified": false}), strict, ""},
		{"not a string", p.claims().with(claims{"email": 7}), strict, ""},
		{"says nothing, allowed, own claim", p.claims().with(claims{"email_verified": nil, "https://x/email": "b@x"}), trustful, "b@x"},
		{"not verified, allowed", p.claims().with(claims{"email_verified": false, "https://x/email": "b@x"}), trustful, ""},
		{"another address is verified, allowed, own claim", p.claims().with(claims{"https://x/email": "b@x"}), trustful, "b@x"},
		{"email_verified is about email alone", p.claims().with(claims{"upn": "boss@example.com"}), upn, ""},
		{"own claim without email", p.claims().with(claims{"upn": "boss@example.com", "email": nil}), upn, ""},
		{"own claim, email not a string", p.claims().with(claims{"upn": "boss@example.com", "email": 7}), upn, ""},
		{"own claim has the verified address", p.claims().with(claims{"upn": "ann@example.com"}), upn, "ann@example.com"},
		{"own claim has the address, not verified", p.claims().with(claims{"upn": "ann@example.com", "email_verified": false}), upn, ""},
		{"own claim is empty, as email is", p.claims().with(claims{"upn": "", "email": ""}), upn, ""},
	} {
		got, err := c.v.Verify(t.Context(), p.sign(c.claims))
		if err != nil || got.Email != c.want {
			t.Errorf("%s: %+v, %v; want address %q", c.says, got, err, c.want)
		}
	}
}

func TestGroupsComeFromTheConfiguredClaim(t *testing.T) {
	p := newIDP(t)
	i := p.issuer()
	i.GroupsClaim = "roles"
	v := newVerifier(t, i)
	for value, want := range map[any]string{nil: "", "one": "one"} {
		got, err := v.Verify(t.Context(), p.sign(p.claims().with(claims{"roles": value})))
		if err != nil || strings.Join(got.Groups, ",") != want {
			t.Errorf("roles %v: %+v, %v; want groups %q", value, got, err, want)
		}
	}
}

func TestSeveralIssuersAreKeptApart(t *testing.T) {
	p, q := newIDP(t), newIDP(t)
	second := q.issuer()
	second.Audiences, second.JWKSURL = []string{"codec-of-q"}, q.URL+"/keys"
	v := newVerifier(t, p.issuer(), second)
	if got, err := v.Verify(t.Context(), p.sign(p.claims())); err != nil || got.Issuer != p.URL {
		t.Errorf("first issuer: %+v, %v", got, err)
	}
	if got, err := v.Verify(t.Context(), q.sign(q.claims().with(claims{"aud": "codec-of-q"}))); err != nil || got.Issuer != q.URL {
		t.Errorf("second issuer: %+v, %v", got, err)
	}
	caller, err := v.Verify(t.Context(), q.sign(q.claims()))
	wantCode(t, caller, err, verify.WrongAudience) // the first one's audience
	caller, err = v.Verify(t.Context(), q.sign(p.claims()))
	wantCode(t, caller, err, verify.BadSignature) // the first one's name, the second one's key
}

func TestAccessTokenAndIDTokenTogether(t *testing.T) {
	p, unknown := newIDP(t), newIDP(t)
	v := newVerifier(t, p.issuer())
	access, id := p.sign(p.claims()), p.sign(p.idClaims())
	expired := claims{"exp": time.Now().Add(-time.Hour).Unix()}
	noEmail := p.claims().with(claims{"email": nil, "groups": nil})
	for _, c := range []struct {
		says, access, id string
		groups, email    string
		want             verify.Code
	}{
		{says: "both", access: "Bearer " + access, id: id, groups: "oncall,staff,payments", email: "ann@example.com"},
		{says: "what only the ID token has", access: "Bearer " + p.sign(noEmail), id: id, groups: "staff,payments", email: "ann@example.com"},
		{says: "bearer in any case", access: "bearer " + access, groups: "oncall,staff", email: "ann@example.com"},
		{says: "opaque access token", access: "Bearer ya29.opaque", id: id, groups: "staff,payments", email: "ann@example.com"},
		{says: "no access token", id: id, groups: "staff,payments", email: "ann@example.com"},
		{says: "empty access token", access: "Bearer ", id: id, groups: "staff,payments", email: "ann@example.com"},
		{says: "bearer of nothing", access: "Bearer", id: id, groups: "staff,payments", email: "ann@example.com"},
		{says: "access token of somebody unknown", access: "Bearer " + unknown.sign(unknown.claims()), id: id, groups: "staff,payments", email: "ann@example.com"},
		{says: "expired ID token adds nothing", access: "Bearer " + access, id: p.sign(p.idClaims().with(expired)), groups: "oncall,staff", email: "ann@example.com"},
		{says: "forged ID token adds nothing", access: "Bearer " + p.sign(noEmail), id: unknown.sign(p.idClaims())},
		{says: "another user's ID token", access: "Bearer " + access, id: p.sign(p.idClaims().with(claims{"sub": "u-2"})), want: verify.TokenMismatch},
		{says: "expired access token", access: "Bearer " + p.sign(p.claims().with(expired)), id: id, want: verify.ExpiredToken},
		{says: "access token for others", access: "Bearer " + p.sign(p.claims().with(claims{"aud": "vault"})), id: id, want: verify.WrongAudience},
		{says: "access token with a bad signature", access: "Bearer " + unknown.sign(p.claims()), id: id, want: verify.BadSignature},
		{says: "access token without subject", access: "Bearer " + p.sign(p.claims().with(claims{"sub": nil})), id: id, want: verify.MalformedToken},
		{says: "opaque and an access token as ID token", access: "Bearer opaque", id: access, want: verify.WrongAudience},
		{says: "opaque and an expired ID token", access: "Bearer opaque", id: p.sign(p.idClaims().with(expired)), want: verify.ExpiredToken},
		{says: "opaque alone", access: "Bearer opaque", want: verify.MalformedToken},
		{says: "nothing", want: verify.MissingToken},
		{says: "basic", access: "Basic YTpi", want: verify.MalformedToken},
		{says: "basic and an ID token", access: "Basic YTpi", id: id, want: verify.MalformedToken},
		{says: "no scheme", access: access, want: verify.MalformedToken},
	} {
		t.Run(c.says, func(t *testing.T) {
			got, err := v.Authenticate(request(c.access, c.id))
			if c.want != "" {
				wantCode(t, got, err, c.want)
				return
			}
			if err != nil || got.Subject != "u-1" || strings.Join(got.Groups, ",") != c.groups || got.Email != c.email {
				t.Errorf("got %+v, %v; want groups %q, address %q", got, err, c.groups, c.email)
			}
		})
	}
}

func TestTwoHeadersOfOneNameAreRefused(t *testing.T) {
	p := newIDP(t)
	v := newVerifier(t, p.issuer())
	for _, name := range []string{"Authorization", "Authorization-Extras"} {
		r := request("Bearer "+p.sign(p.claims()), p.sign(p.idClaims()))
		r.Header.Add(name, r.Header.Get(name))
		caller, err := v.Authenticate(r)
		wantCode(t, caller, err, verify.MalformedToken)
	}
}

func TestATokenInURLOrCookieIsNotLookedAt(t *testing.T) {
	p := newIDP(t)
	token := p.sign(p.claims())
	r := httptest.NewRequest(http.MethodPost, "/decode?access_token="+token, bytes.NewReader([]byte("access_token="+token)))
	r.AddCookie(&http.Cookie{Name: "token", Value: token})
	caller, err := newVerifier(t, p.issuer()).Authenticate(r)
	wantCode(t, caller, err, verify.MissingToken)
}

func TestAnIssuerThatIsAwayIsNotABadToken(t *testing.T) {
	p := newIDP(t)
	v := newVerifier(t, p.issuer())
	p.down.Store(true)
	caller, err := v.Verify(t.Context(), p.sign(p.claims()))
	wantCode(t, caller, err, verify.IssuerUnavailable)
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	p.down.Store(false)
	// The issuer is asked again after a second.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err = v.Verify(t.Context(), p.sign(p.claims())); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("after the issuer came back: %v", err)
	}
}

func TestAnAnswerWithKeysHasBoundsAndStaysWhereItIs(t *testing.T) {
	p := newIDP(t)
	good := p.sign(p.claims())
	for path, says := range map[string]string{"/large": "too large", "/elsewhere/keys": "redirected to another place", "/none": "404"} {
		i := p.issuer()
		i.JWKSURL = p.URL + path
		caller, err := newVerifier(t, i).Verify(t.Context(), good)
		wantCode(t, caller, err, verify.IssuerUnavailable)
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestNothingIsFetchedForAnUnknownIssuer(t *testing.T) {
	p, evil := newIDP(t), newIDP(t)
	v := newVerifier(t, p.issuer())
	caller, err := v.Verify(t.Context(), evil.sign(evil.claims()))
	wantCode(t, caller, err, verify.UnknownIssuer)
	if n := evil.fetches.Load(); n != 0 {
		t.Errorf("the unknown issuer got %d requests, want 0", n)
	}
}

func TestABadIssuerStopsTheStartWithOneLineThatNamesTheField(t *testing.T) {
	p, liar, plain := newIDP(t), newIDP(t), newIDP(t)
	liar.iss = "https://somebody.else"
	plain.jwksURI = "http://192.0.2.1/keys"
	down := newIDP(t)
	down.down.Store(true)
	for says, c := range map[string]struct {
		issuers []verify.Issuer
		want    string
	}{
		"none":                {nil, "issuers: at least one"},
		"no URL":              {[]verify.Issuer{{Audiences: []string{"a"}}}, "issuers[0].issuer: the URL is required"},
		"not a URL":           {[]verify.Issuer{{Issuer: "login", Audiences: []string{"a"}}}, "issuers[0].issuer: "},
		"plain http":          {[]verify.Issuer{{Issuer: "http://login.example.com", Audiences: []string{"a"}}}, "must begin with https://"},
		"http, looks local":   {[]verify.Issuer{{Issuer: "http://127.0.0.1.example.com", Audiences: []string{"a"}}}, "must begin with https://"},
		"keys by plain http":  {[]verify.Issuer{{Issuer: "https://i", JWKSURL: "http://i/keys", Audiences: []string{"a"}}}, "issuers[0].jwksURL: "},
		"no audience":         {[]verify.Issuer{{Issuer: p.URL}}, "issuers[0].audiences: at least one audience is required"},
		"empty audience":      {[]verify.Issuer{{Issuer: p.URL, Audiences: []string{""}}}, "issuers[0].audiences: "},
		"HMAC":                {[]verify.Issuer{{Issuer: p.URL, Audiences: []string{"a"}, Algorithms: []string{"HS256"}}}, `issuers[0].algorithms: "HS256"`},
		"none as algorithm":   {[]verify.Issuer{{Issuer: p.URL, Audiences: []string{"a"}, Algorithms: []string{"none"}}}, `issuers[0].algorithms: "none"`},
		"twice":               {[]verify.Issuer{p.issuer(), p.issuer()}, "issuers[1].issuer: "},
		"nobody there":        {[]verify.Issuer{{Issuer: "http://127.0.0.1:1", Audiences: []string{"a"}}}, "issuers[0].issuer: OIDC discovery of http://127.0.0.1:1 failed"},
		"down":                {[]verify.Issuer{p.issuer(), down.issuer()}, "issuers[1].issuer: OIDC discovery of " + down.URL},
		"no discovery there":  {[]verify.Issuer{{Issuer: p.URL + "/nowhere", Audiences: []string{"a"}}}, "issuers[0].issuer: OIDC discovery"},
		"another's document":  {[]verify.Issuer{liar.issuer()}, "did not match"},
		"empty type":          {[]verify.Issuer{{Issuer: p.URL, Audiences: []string{"a"}, TokenTypes: []string{""}}}, "issuers[0].tokenTypes: "},
		"empty party":         {[]verify.Issuer{{Issuer: p.URL, Audiences: []string{"a"}, AuthorizedParties: []string{""}}}, "issuers[0].authorizedParties: "},
		"negative age":        {[]verify.Issuer{{Issuer: p.URL, Audiences: []string{"a"}, MaxAge: -time.Second}}, "issuers[0].maxAge: "},
		"jwks_uri not safe":   {[]verify.Issuer{plain.issuer()}, "jwks_uri that cannot be used"},
		"redirected off host": {[]verify.Issuer{{Issuer: p.URL + "/elsewhere", Audiences: []string{"a"}}}, "redirected to another place"},
	} {
		t.Run(says, func(t *testing.T) {
			v, err := verify.New(t.Context(), c.issuers...)
			if err == nil || v != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("New = %v, %v; want one line with %q", v, err, c.want)
			}
		})
	}
}

func TestAnIssuerWithAPrivateAuthorityNeedsItsCertificate(t *testing.T) {
	p := newIDP(t)
	secure := httptest.NewTLSServer(p)
	defer secure.Close()
	p.iss, p.jwksURI = secure.URL, secure.URL+"/keys"
	i := verify.Issuer{Issuer: secure.URL, Audiences: []string{"codec"}}
	if _, err := verify.New(t.Context(), i); err == nil {
		t.Error("an unknown authority was accepted")
	}
	i.RootCAs = x509.NewCertPool()
	i.RootCAs.AddCert(secure.Certificate())
	if _, err := newVerifier(t, i).Verify(t.Context(), p.sign(p.claims().with(claims{"iss": secure.URL}))); err != nil {
		t.Errorf("with the authority's certificate: %v", err)
	}
}

func TestClaimsThatAreTextsReachPoliciesAndAddressesDoNot(t *testing.T) {
	p := newIDP(t)
	v := newVerifier(t, p.issuer())
	caller, err := v.Verify(t.Context(), p.sign(p.claims().with(claims{
		"acr": "mfa", "permissions": []string{"payments:decode", "orders:read"}, "level": 7, "contractor": true, "address": map[string]any{"city": "x"}, "mixed": []any{"a", 1},
		"email": "boss@example.com", "email_verified": false,
	})))
	if err != nil {
		t.Fatal(err)
	}
	if got := caller.Claims; !slices.Equal(got["acr"], []string{"mfa"}) || !slices.Equal(got["permissions"], []string{"payments:decode", "orders:read"}) {
		t.Errorf("got %v", got)
	}
	if got := caller.Claims; !slices.Equal(got["level"], []string{"7"}) || !slices.Equal(got["contractor"], []string{"true"}) {
		t.Errorf("got %v", got)
	}
	for _, name := range []string{"address", "mixed", "email"} {
		if got, ok := caller.Claims[name]; !ok || got != nil {
			t.Errorf("%s: %v, %v, and should be there without a value", name, got, ok)
		}
	}
}

func TestAnIDTokenAddsClaimsAndChangesNone(t *testing.T) {
	p := newIDP(t)
	v := newVerifier(t, p.issuer())
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "Bearer "+p.sign(p.claims().with(claims{"acr": "pwd", "department": "finance"})))
	r.Header.Set("Authorization-Extras", p.sign(p.claims().with(claims{"aud": "temporal-ui", "acr": "mfa", "amr": "otp", "office": "Oslo", "department": "it"})))
	caller, err := v.Authenticate(r)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"acr": {"pwd"}, "department": {"finance"}, "office": {"Oslo"}, "amr": nil} {
		if got := caller.Claims[name]; !slices.Equal(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
