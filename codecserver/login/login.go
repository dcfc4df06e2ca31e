package login

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/tink-crypto/tink-go/v2/tink"
	"golang.org/x/oauth2"

	"github.com/signet-temporal/signet/internal/loopback"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/verify"
)

// Tokens verifies ID tokens; *verify.Verifier does, where the client id is one of the issuer's IDTokenAudiences.
type Tokens interface {
	IDToken(ctx context.Context, token string) (*principal.Caller, *verify.Claims, error)
}

// Keys has the keyset that seals the cookies; *keys.Ring does. All replicas must have the same.
type Keys interface {
	Primary(keyset string) (id uint32, aead tink.AEAD, err error)
	Lookup(keyset string, id uint32) (tink.AEAD, error)
}

// Options of a login. All but the last block are required.
type Options struct {
	URL      string   // of the server, as browsers reach it: https://codec.example.com. No path
	Issuer   string   // the OpenID provider's
	ClientID string   // of this server at the provider, with the redirect URI <URL>/login/callback
	Origins  []string // of the Web UIs that may use sessions
	Ended    string   // directory for the sessions that were ended; shared by all replicas, and by nothing else
	Tokens   Tokens
	Keys     Keys
	Keyset   string // in Keys, for nothing else than cookies

	ClientSecret string        // empty: a public client, with PKCE alone
	Scopes       []string      // besides openid, such as email and groups
	MaxAge       time.Duration // of a session; 0: as long as the ID token
	// AllowCrossSite sends the cookie along from other sites, too: SameSite=None. For Web UIs of another registrable
	// domain, and for browsers that send cookies to third parties at all.
	AllowCrossSite bool
	HTTPClient     *http.Client        // asks the provider; nil: one of ours
	Logger         *slog.Logger        // nil: none
	Observe        func(result string) // counts: "ok", "refused", "failed", "logout"; nil: nobody
}

const (
	prefix       = "/login"
	pathStart    = prefix + "/start"
	pathCallback = prefix + "/callback"
	pathLogout   = prefix + "/logout"

	// patience is how long a person has at the provider.
	patience = 15 * time.Minute
	// exchanges is how many codes are brought to the provider at the same time, and exchangeTimeout how long one takes.
	exchanges       = 16
	exchangeTimeout = 15 * time.Second
)

// Login is the handler of the pages, and knows who a session belongs to. It is safe for concurrent use.
type Login struct {
	o      Options
	oauth  oauth2.Config
	client *http.Client
	ended  *ended
	slots  chan struct{}
	now    func() time.Time
	log    *slog.Logger
}

// Check reports the first option that is wrong, as "<option in lower camel case>: <problem>", of those that can be
// checked without a network.
func (o Options) Check() error {
	u, err := url.Parse(o.URL)
	switch {
	case o.URL == "":
		return errors.New("url: the address of this server as browsers reach it is required, such as https://codec.example.com")
	case err != nil || u.Host == "" || u.Scheme+"://"+u.Host != o.URL || strings.ToLower(o.URL) != o.URL:
		return fmt.Errorf("url: %q is not an address without a path, as browsers show it, such as https://codec.example.com", o.URL)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())):
		return fmt.Errorf("url: %q must begin with https:// (http:// is for localhost alone): browsers keep no session otherwise", o.URL)
	case o.Issuer == "":
		return errors.New("issuer: the OpenID provider is required: at which one do people log in?")
	case o.ClientID == "":
		return errors.New("clientID: the id of this server at the OpenID provider is required")
	case o.Keyset == "":
		return errors.New(`keyset: a keyset for cookies alone is required: create one with "signet keyset create login/codec"`)
	case o.Ended == "":
		return errors.New("ended: a directory for the sessions that were ended is required; replicas share it")
	case o.MaxAge < 0:
		return fmt.Errorf("maxAge: %v is negative", o.MaxAge)
	case len(o.Origins) == 0:
		return errors.New("origins: there is no Web UI that could use a session: list its origin")
	}
	return nil
}

// New makes a login. It asks the provider where people log in, and puts a file into the directory for ended sessions, so
// that what is wrong stops the start. An error begins with "<option in lower camel case>: ".
func New(ctx context.Context, o Options) (*Login, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Tokens == nil || o.Keys == nil {
		return nil, errors.New("login: Options.Tokens and Options.Keys are required")
	}
	if _, _, err := o.Keys.Primary(o.Keyset); err != nil {
		return nil, fmt.Errorf("keyset: %w", err)
	}
	l := &Login{o: o, client: o.HTTPClient, slots: make(chan struct{}, exchanges), now: time.Now, log: o.Logger}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.client == nil {
		l.client = &http.Client{Timeout: exchangeTimeout}
	}
	var err error
	if l.ended, err = openEnded(o.Ended); err != nil {
		return nil, fmt.Errorf("ended: %w", err)
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, l.client), o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer: OIDC discovery of %s failed: %.300s: check the URL", o.Issuer, strings.Join(strings.Fields(err.Error()), " "))
	}
	endpoint := provider.Endpoint()
	for _, where := range []string{endpoint.AuthURL, endpoint.TokenURL} {
		if u, err := url.Parse(where); err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())) {
			return nil, fmt.Errorf("issuer: OIDC discovery of %s names %q, which is not an https URL", o.Issuer, where)
		}
	}
	if o.ClientSecret == "" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	l.oauth = oauth2.Config{ClientID: o.ClientID, ClientSecret: o.ClientSecret, Endpoint: endpoint, RedirectURL: o.URL + pathCallback, Scopes: []string{oidc.ScopeOpenID}}
	for _, scope := range o.Scopes {
		if !slices.Contains(l.oauth.Scopes, scope) {
			l.oauth.Scopes = append(l.oauth.Scopes, scope)
		}
	}
	return l, nil
}

// Page is where people log in.
func (l *Login) Page() string { return l.o.URL + prefix }

// Handles reports whether a request is for [Login.ServeHTTP].
func Handles(r *http.Request) bool {
	return slices.Contains([]string{prefix, pathStart, pathCallback, pathLogout}, r.URL.Path)
}

// ServeHTTP implements [http.Handler].
func (l *Login) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case r.URL.Path == prefix && get:
		l.welcome(w, r)
	case r.URL.Path == pathStart && get:
		l.start(w, r)
	case r.URL.Path == pathCallback && get:
		l.callback(w, r)
	case r.URL.Path == pathLogout && r.Method == http.MethodPost:
		l.logout(w, r)
	default:
		l.failed(w, http.StatusNotFound, "There is no such page.")
	}
}

// start sends the browser to the provider, with a cookie by which the callback will know it again. It keeps nothing.
func (l *Login) start(w http.ResponseWriter, r *http.Request) {
	a := attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Expires: l.now().Add(patience).Unix()}
	value, err := l.seal(kindAttempt, a)
	if err != nil {
		l.log.ErrorContext(r.Context(), "login cannot begin", "error", err)
		l.observe("failed")
		l.failed(w, http.StatusServiceUnavailable, "Logging in does not work at the moment. Try again in a minute.")
		return
	}
	setCookie(w, attemptCookie, value, http.SameSiteLaxMode) // Lax: the provider sends the browser back from another site
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, l.oauth.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), http.StatusSeeOther)
}

// refusal is why a callback does not count: what the person reads, and what the log says.
type refusal struct {
	status     int
	says, why  string
	outOfReach bool // the fault is not the browser's
}

const again = "This login did not begin in this browser, or it took too long. Begin again."

// callback begins the session.
func (l *Login) callback(w http.ResponseWriter, r *http.Request) {
	clearCookie(w, attemptCookie)
	caller, expires, no := l.finish(r)
	if no == nil {
		if err := l.begin(w, r, caller, expires); err != nil {
			no = &refusal{http.StatusServiceUnavailable, "Your session could not be made. The administrator of this server finds the cause in its log.", err.Error(), true}
		}
	}
	if no != nil {
		result := "refused"
		if no.outOfReach {
			result = "failed"
		}
		l.observe(result)
		l.log.WarnContext(r.Context(), "login refused", "result", result, "reason", no.why, "client", r.RemoteAddr)
		l.failed(w, no.status, no.says)
		return
	}
	l.observe("ok")
	l.log.InfoContext(r.Context(), "login", "caller", *caller, "until", expires)
	l.toPage(w, r)
}

// finish verifies what the provider sent the browser back with, and returns who that is.
func (l *Login) finish(r *http.Request) (*principal.Caller, time.Time, *refusal) {
	refuse := func(says, why string) (*principal.Caller, time.Time, *refusal) {
		return nil, time.Time{}, &refusal{http.StatusBadRequest, says, why, false}
	}
	q := r.URL.Query()
	var a attempt
	if err := l.openCookie(r, attemptCookie, kindAttempt, &a); err != nil {
		return refuse(again, err.Error())
	}
	if !l.now().Before(time.Unix(a.Expires, 0)) {
		return refuse(again, "the login began too long ago")
	}
	if len(q["state"]) != 1 || !same(q.Get("state"), a.State) {
		return refuse(again, "the state is not that of this browser")
	}
	if issuer := q["iss"]; len(issuer) > 0 && (len(issuer) != 1 || issuer[0] != l.o.Issuer) {
		return refuse("The answer came from another identity provider. Begin again.", "the parameter iss names another issuer")
	}
	if problem := q.Get("error"); problem != "" {
		return refuse("The identity provider did not log you in.", fmt.Sprintf("the provider answers %.100q", problem))
	}
	if len(q["code"]) != 1 || q.Get("code") == "" {
		return refuse(again, "there is no code")
	}
	raw, no := l.exchange(r.Context(), q.Get("code"), a.Verifier)
	if no != nil {
		return nil, time.Time{}, no
	}
	caller, claims, err := l.o.Tokens.IDToken(r.Context(), raw)
	if err != nil {
		return refuse("Your login was not accepted. The administrator of this server finds the cause in its log.", "ID token: "+err.Error())
	}
	expires, err := l.judge(claims, a.Nonce)
	if err != nil {
		return refuse("Your login was not accepted. The administrator of this server finds the cause in its log.", "ID token: "+err.Error())
	}
	return caller, expires, nil
}

// exchange brings the code to the provider and returns the ID token.
func (l *Login) exchange(ctx context.Context, code, verifier string) (string, *refusal) {
	away := func(why string) *refusal {
		return &refusal{http.StatusServiceUnavailable, "The identity provider did not answer as it should. Try again in a minute.", why, true}
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, l.client), exchangeTimeout)
	defer cancel()
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return "", away("too many logins are under way")
	}
	token, err := l.oauth.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	var said *oauth2.RetrieveError
	if errors.As(err, &said) && said.ErrorCode != "" { // not the description: it may quote anything
		return "", &refusal{http.StatusBadRequest, "The identity provider did not accept this login. Begin again.", fmt.Sprintf("the provider answers the code with %.100q", said.ErrorCode), false}
	}
	if err != nil {
		return "", away("the code could not be exchanged")
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return "", away("the provider sent no ID token")
	}
	return raw, nil
}

// judge compares what binds a verified ID token to this login, and says until when it counts.
func (l *Login) judge(c *verify.Claims, nonce string) (time.Time, error) {
	if c.Issuer != l.o.Issuer {
		return time.Time{}, errors.New("it is of another issuer")
	}
	var got, party string
	if err := c.Decode("nonce", &got); err != nil || !same(got, nonce) {
		return time.Time{}, errors.New("the nonce is not that of this login")
	}
	var audience []string
	if err := c.Decode("aud", &audience); err != nil {
		var one string
		if err := c.Decode("aud", &one); err != nil {
			return time.Time{}, err
		}
		audience = []string{one}
	}
	if err := c.Decode("azp", &party); err != nil {
		return time.Time{}, err
	}
	if !slices.Contains(audience, l.o.ClientID) || party != "" && party != l.o.ClientID || len(audience) > 1 && party == "" {
		return time.Time{}, errors.New("it was issued to another client")
	}
	var exp float64
	if err := c.Decode("exp", &exp); err != nil {
		return time.Time{}, err
	}
	expires := time.Unix(int64(exp), 0)
	if l.o.MaxAge > 0 {
		if latest := l.now().Add(l.o.MaxAge); latest.Before(expires) {
			expires = latest
		}
	}
	if !l.now().Before(expires) {
		return time.Time{}, errors.New("it has expired")
	}
	return expires, nil
}

// logout ends the session of the browser. A page of another origin cannot: its Origin says so.
func (l *Login) logout(w http.ResponseWriter, r *http.Request) {
	if origins := r.Header.Values("Origin"); len(origins) != 1 || origins[0] != l.o.URL {
		l.failed(w, http.StatusForbidden, "Log out on the page of this server.")
		return
	}
	s, err := l.session(r)
	var no *Error
	if err == nil {
		err = l.ended.add(s.ID, time.Unix(s.Expires, 0), l.now())
	} else if errors.As(err, &no) && no.code != "sessions-unavailable" {
		s, err = nil, nil // it has no session that would have to end
	}
	if err != nil { // the cookie stays, so that the person can try again
		l.observe("failed")
		l.log.ErrorContext(r.Context(), "logout cannot be kept: the session goes on", "error", err)
		l.failed(w, http.StatusServiceUnavailable, "Your session has not ended: that could not be written down. Try again, and tell the administrator of this server.")
		return
	}
	if s != nil {
		l.observe("logout")
		l.log.InfoContext(r.Context(), "logout", "caller", s.caller())
	}
	clearCookie(w, sessionCookie)
	l.toPage(w, r)
}

func (l *Login) toPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // the address that is left may hold a code
	http.Redirect(w, r, prefix, http.StatusSeeOther)
}

func (l *Login) observe(result string) {
	if l.o.Observe != nil {
		l.o.Observe(result)
	}
}
