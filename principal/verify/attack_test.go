package verify_test

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/verify"
)

// wantClosed tries all three doors, which must be closed with the same code.
func (d *doors) wantClosed(t *testing.T, path string, header http.Header, want verify.Code) {
	t.Helper()
	wantStatus, wantGRPC, wantChallenge := http.StatusUnauthorized, codes.Unauthenticated, `Bearer error="invalid_token", error_description="`+string(want)+`"`
	switch want {
	case verify.MissingToken:
		wantChallenge = "Bearer"
	case verify.UnfitClaims:
		wantStatus, wantGRPC, wantChallenge = http.StatusForbidden, codes.PermissionDenied, ""
	case verify.IssuerUnavailable:
		wantStatus, wantGRPC, wantChallenge = http.StatusServiceUnavailable, codes.Unavailable, ""
	}
	d.seen = nil
	resp, body := d.byHTTP(t, path, header)
	if resp.StatusCode != wantStatus || body != fmt.Sprintf("{\"error\":%q}\n", want) || resp.Header.Get("WWW-Authenticate") != wantChallenge ||
		(resp.Header.Get("Retry-After") != "") != (wantStatus == http.StatusServiceUnavailable) ||
		resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("HTTP: %s %q %v; want %s", resp.Status, body, resp.Header, want)
	}
	unary, stream := d.byGRPC(t, header)
	for _, err := range []error{unary, stream} {
		if s := status.Convert(err); s.Code() != wantGRPC || s.Message() != string(want) {
			t.Errorf("gRPC: %v; want %s", err, want)
		}
	}
	if len(d.seen) != 0 {
		t.Errorf("%d came through", len(d.seen))
	}
}

func TestAttacksOnTheEdge(t *testing.T) {
	p, other := newIDP(t), newIDP(t)
	public, err := x509.MarshalPKIXPublicKey(p.keys["rsa"].Public())
	if err != nil {
		t.Fatal(err)
	}
	good := p.claims().with(claims{"tenant_id": "acme"})
	token := p.sign(good)
	strict, open := newDoors(t, newEdge(t, verify.EdgeOptions{}, p.issuer())), newDoors(t, newEdge(t, verify.EdgeOptions{AllowAnonymous: true, AllowNoTenant: true}, p.issuer()))
	strict.enter(t, bearing(token)) // all that follows is refused for its own reason
	with := func(changes claims) http.Header { return bearing(p.sign(good.with(changes))) }

	for says, c := range map[string]struct {
		header http.Header
		want   verify.Code
		open   verify.Code // with AllowAnonymous and AllowNoTenant, where that is another; "-": it passes
	}{
		"no token":                            {http.Header{}, verify.MissingToken, "-"},
		"no token, but a forwarded user":      {http.Header{"X-Forwarded-User": {"ann"}, "X-Forwarded-Tenant": {"acme"}}, verify.MissingToken, "-"},
		"two Authorization headers":           {http.Header{"Authorization": {"Bearer " + token, "Bearer " + token}}, verify.MalformedToken, ""},
		"two of which one is empty":           {http.Header{"Authorization": {"", "Bearer " + token}}, verify.MalformedToken, ""},
		"two tokens in one header":            {bearing(token + ", Bearer " + token), verify.MalformedToken, ""},
		"a password":                          {http.Header{"Authorization": {"Basic YW5uOnNlc2FtZQ=="}}, verify.MalformedToken, ""},
		"an opaque token":                     {bearing("sesame"), verify.MalformedToken, ""},
		"the token as ID token":               {http.Header{"Authorization-Extras": {token}}, verify.MissingToken, "-"},
		"alg none":                            {bearing(unsigned(t, map[string]any{"alg": "none", "typ": "JWT"}, good)), verify.BadSignature, ""},
		"HS256 with the public key":           {bearing(p.signWith(good, jose.HS256, public, "rsa")), verify.BadSignature, ""},
		"a key of its own in the header":      {bearing(p.signBy(good, jose.ES256, other.keys["p256"], &jose.SignerOptions{EmbedJWK: true})), verify.BadSignature, ""},
		"a key URL of its own in the header":  {bearing(p.signBy(good, jose.ES256, other.keys["p256"], (&jose.SignerOptions{}).WithHeader("jku", other.URL+"/keys").WithHeader("kid", "p256"))), verify.BadSignature, ""},
		"signed by another issuer":            {bearing(other.sign(good)), verify.BadSignature, ""},
		"of another issuer":                   {bearing(other.sign(good.with(claims{"iss": other.URL}))), verify.UnknownIssuer, ""},
		"for another audience":                {with(claims{"aud": "vault"}), verify.WrongAudience, ""},
		"expired":                             {with(claims{"exp": time.Now().Add(-time.Minute).Unix()}), verify.ExpiredToken, ""},
		"expires never":                       {with(claims{"exp": nil}), verify.ExpiredToken, ""},
		"of tomorrow":                         {with(claims{"iat": time.Now().Add(24 * time.Hour).Unix()}), verify.NotYetValid, ""},
		"a logout token":                      {bearing(p.signTyped(good, "logout+jwt")), verify.MalformedToken, ""},
		"no subject":                          {with(claims{"sub": nil}), verify.MalformedToken, ""},
		"a subject beside another":            {with(claims{"Sub": "root"}), verify.MalformedToken, ""}, // encoding/json takes it for "sub"
		"an empty subject":                    {with(claims{"sub": ""}), verify.MalformedToken, ""},
		"a subject with a space":              {with(claims{"sub": "ann smith"}), verify.UnfitClaims, ""},
		"a subject with a line":               {with(claims{"sub": "ann\r\nX-Forwarded-Tenant: evil"}), verify.UnfitClaims, ""},
		"a subject that looks like another":   {with(claims{"sub": "аnn"}), verify.UnfitClaims, ""}, // a Cyrillic а
		"a subject that is too long":          {with(claims{"sub": strings.Repeat("a", 257)}), verify.UnfitClaims, ""},
		"no tenant":                           {with(claims{"tenant_id": nil}), verify.UnfitClaims, "-"},
		"an empty tenant":                     {with(claims{"tenant_id": ""}), verify.UnfitClaims, "-"},
		"a tenant that is a number":           {with(claims{"tenant_id": 7}), verify.UnfitClaims, ""},
		"a tenant that is a list":             {with(claims{"tenant_id": []string{"acme"}}), verify.UnfitClaims, ""},
		"a tenant that is an object":          {with(claims{"tenant_id": claims{"id": "acme"}}), verify.UnfitClaims, ""},
		"a tenant with a space":               {with(claims{"tenant_id": "acme corp"}), verify.UnfitClaims, ""},
		"a tenant with a zero byte":           {with(claims{"tenant_id": "acme\x00"}), verify.UnfitClaims, ""},
		"a tenant that is too long":           {with(claims{"tenant_id": strings.Repeat("a", 257)}), verify.UnfitClaims, ""},
		"a transaction that is a number":      {with(claims{"txn": 7}), verify.UnfitClaims, ""},
		"a transaction with a space":          {with(claims{"txn": "t 1"}), verify.UnfitClaims, ""},
		"a login in the future":               {with(claims{"auth_time": time.Now().Add(time.Hour).Unix()}), verify.UnfitClaims, ""},
		"a login before there were computers": {with(claims{"auth_time": -1}), verify.UnfitClaims, ""},
		"a login at no time":                  {with(claims{"auth_time": "yesterday"}), verify.UnfitClaims, ""},
		"a token of 9 KiB":                    {with(claims{"pad": strings.Repeat("x", 9<<10)}), verify.MalformedToken, ""},
	} {
		t.Run(says, func(t *testing.T) {
			strict.wantClosed(t, "/", c.header, c.want)
			switch c.open {
			case "-":
				open.enter(t, c.header)
			case "":
				open.wantClosed(t, "/", c.header, c.want)
			}
		})
	}
	t.Run("the token in the URL", func(t *testing.T) {
		strict.wantClosed(t, "/?access_token="+token+"&authorization=Bearer%20"+token, http.Header{}, verify.MissingToken)
	})
	t.Run("the token in a cookie", func(t *testing.T) {
		strict.wantClosed(t, "/", http.Header{"Cookie": {"Authorization=" + token}}, verify.MissingToken)
	})
	if n := other.fetches.Load(); n != 0 {
		t.Errorf("the other issuer was asked %d times", n)
	}
}

func TestAMapperCannotLendAnIdentityOfAnotherIssuer(t *testing.T) {
	p := newIDP(t)
	for says, o := range map[string]verify.EdgeOptions{
		"another issuer": {Map: func(_ verify.Claims, p principal.Principal) (principal.Principal, error) {
			p.Issuer, p.Tenant = "https://somebody.else", "acme"
			return p, nil
		}},
		"no tenant": {Map: func(_ verify.Claims, p principal.Principal) (principal.Principal, error) { return p, nil }},
		"nobody": {Map: func(verify.Claims, principal.Principal) (principal.Principal, error) {
			return principal.Principal{}, nil
		}, AllowNoTenant: true},
		"an error": {Map: func(_ verify.Claims, p principal.Principal) (principal.Principal, error) {
			p.Tenant = "acme"
			return p, errors.New("the account is closed")
		}},
	} {
		t.Run(says, func(t *testing.T) {
			newDoors(t, newEdge(t, o, p.issuer())).wantClosed(t, "/", bearing(p.sign(p.claims())), verify.UnfitClaims)
		})
	}
}

func TestAnIssuerThatIsAwayIsAnotherAnswerThanABadToken(t *testing.T) {
	p := newIDP(t)
	d := newDoors(t, newEdge(t, verify.EdgeOptions{AllowAnonymous: true}, p.issuer()))
	p.down.Store(true)
	d.wantClosed(t, "/", bearing(p.sign(p.claims().with(claims{"tenant_id": "acme"}))), verify.IssuerUnavailable)
}

func TestAFloodOfUnknownKeysDoesNotReachTheIssuer(t *testing.T) {
	p := newIDP(t)
	h := newEdge(t, verify.EdgeOptions{}, p.issuer()).Handler(http.NotFoundHandler())
	_, rest, _ := strings.Cut(p.sign(p.claims()), ".")
	start := time.Now()
	for n := range 2_000 { // package jwks has the test with ten thousand, over minutes
		header := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"RS256","typ":"JWT","kid":"k-%d"}`, n))
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header = bearing(header + "." + rest)
		if h.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
			t.Fatalf("got %d", w.Code)
		}
	}
	most := 2 + int32(time.Since(start)/(30*time.Second)) // the discovery document, the keys, and these again
	if n := p.fetches.Load(); n > most {
		t.Errorf("the issuer was asked %d times, want at most %d", n, most)
	}
}
