package parts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// LoginRequest says who logs in where, and for which client.
type LoginRequest struct {
	Issuer       string // [OIDC].Issuer
	ClientID     string
	ClientSecret string // empty for a native client
	RedirectURI  string // one of the client's; nothing has to listen there
	Username     string
	Password     string
	Scopes       []string // openid, profile, email, offline_access when empty
	Audience     string   // of the access token; empty for the client's own
	CAFile       string   // PEM certificate of an https issuer
}

// Tokens is what a token endpoint answered.
type Tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
	// ExpiresIn is the access token's lifetime in seconds.
	ExpiresIn int `json:"expires_in"`
}

// Login gets tokens as a browser would: it walks the authorization code flow with PKCE through the
// provider's login form. Wrong names and passwords are errors.
func Login(ctx context.Context, r LoginRequest) (Tokens, error) {
	tokens, err := login(ctx, r)
	if err != nil {
		return Tokens{}, fmt.Errorf("log in as %s at %s: %w", r.Username, r.Issuer, err)
	}
	return tokens, nil
}

func login(ctx context.Context, r LoginRequest) (Tokens, error) {
	client, err := HTTPClient(r.CAFile)
	if err != nil {
		return Tokens{}, err
	}
	endpoints, err := discover(ctx, client, r.Issuer)
	if err != nil {
		return Tokens{}, err
	}
	verifier, state := rand.Text(), rand.Text()
	verifier += verifier // PKCE wants at least 43 characters
	challenge := sha256.Sum256([]byte(verifier))
	scopes := r.Scopes
	if len(scopes) == 0 {
		scopes = []string{"openid", "profile", "email", "offline_access"}
	}
	query := url.Values{
		"response_type":         {"code"},
		"client_id":             {r.ClientID},
		"redirect_uri":          {r.RedirectURI},
		"scope":                 {strings.Join(scopes, " ")},
		"state":                 {state},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	if r.Audience != "" {
		query.Set("audience", r.Audience)
	}
	answer, err := walk(ctx, client, endpoints.Authorization+"?"+query.Encode(), r)
	if err != nil {
		return Tokens{}, err
	}
	if answer.Get("state") != state {
		return Tokens{}, errors.New("the redirect has another state than the request")
	}
	return askToken(ctx, client, endpoints.Token, r.ClientID, r.ClientSecret, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {answer.Get("code")},
		"redirect_uri":  {r.RedirectURI},
		"code_verifier": {verifier},
	})
}

// walk follows the login from start through the form and returns the query of the redirect to the client.
func walk(ctx context.Context, client *http.Client, start string, r LoginRequest) (url.Values, error) {
	var answer url.Values
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if strings.HasPrefix(req.URL.String(), r.RedirectURI) {
			answer = req.URL.Query()
			return http.ErrUseLastResponse
		}
		return nil
	}
	res, err := SubmitLogin(ctx, client, start, r.Username, r.Password)
	// A request that the provider refuses goes back to the client without a form.
	if text := answer.Get("error"); text != "" {
		return nil, fmt.Errorf("refused: %s: %s", text, answer.Get("error_description"))
	}
	if err != nil {
		return nil, err
	}
	res.Body.Close()
	if answer == nil {
		return nil, fmt.Errorf("no redirect to %s: %s", r.RedirectURI, res.Status)
	}
	return answer, nil
}

// SubmitLogin opens start, a page that redirects to the provider's login form such as the Web UI's
// /auth/sso, fills the form in, and returns the page it ends at. The caller closes the answer's body. The
// client gets a cookie jar if it has none. A refused login is an error.
func SubmitLogin(ctx context.Context, client *http.Client, start, username, password string) (*http.Response, error) {
	if client.Jar == nil {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return nil, err
		}
		client.Jar = jar
	}
	page, body, err := fetch(ctx, client, http.MethodGet, start, nil)
	if err != nil {
		return nil, err
	}
	fields := hiddenFields(body)
	if page.StatusCode != http.StatusOK || fields == nil {
		return nil, fmt.Errorf("no login form at %s: %s: %.200s", page.Request.URL, page.Status, body)
	}
	fields.Set("username", username)
	fields.Set("password", password)
	res, body, err := fetch(ctx, client, http.MethodPost, page.Request.URL.String(), fields)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusUnauthorized {
		return nil, errors.New("the provider refused the username or the password")
	}
	res.Body = io.NopCloser(strings.NewReader(body))
	return res, nil
}

// hiddenFields reads the hidden fields of the provider's login form; nil when body is not that form.
func hiddenFields(body string) url.Values {
	if !strings.Contains(body, `id="login"`) {
		return nil
	}
	fields := url.Values{}
	hidden := regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	for _, match := range hidden.FindAllStringSubmatch(body, -1) {
		fields.Set(html.UnescapeString(match[1]), html.UnescapeString(match[2]))
	}
	return fields
}

// ClientCredentials gets an access token for a client itself, such as a service.
func ClientCredentials(ctx context.Context, r LoginRequest) (Tokens, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if r.Audience != "" {
		form.Set("audience", r.Audience)
	}
	if len(r.Scopes) > 0 {
		form.Set("scope", strings.Join(r.Scopes, " "))
	}
	return grant(ctx, r, form)
}

// Refresh gets new tokens for a refresh token, which it uses up.
func Refresh(ctx context.Context, r LoginRequest, refreshToken string) (Tokens, error) {
	return grant(ctx, r, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

func grant(ctx context.Context, r LoginRequest, form url.Values) (Tokens, error) {
	client, err := HTTPClient(r.CAFile)
	if err != nil {
		return Tokens{}, err
	}
	endpoints, err := discover(ctx, client, r.Issuer)
	if err != nil {
		return Tokens{}, err
	}
	return askToken(ctx, client, endpoints.Token, r.ClientID, r.ClientSecret, form)
}

type endpoints struct {
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
}

func discover(ctx context.Context, client *http.Client, issuer string) (endpoints, error) {
	var e endpoints
	res, body, err := fetch(ctx, client, http.MethodGet, strings.TrimRight(issuer, "/")+"/.well-known/openid-configuration", nil)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Token == "" {
		return e, fmt.Errorf("%s is no OpenID provider: %s", issuer, res.Status)
	}
	return e, nil
}

func askToken(ctx context.Context, client *http.Client, endpoint, id, secret string, form url.Values) (Tokens, error) {
	form.Set("client_id", id)
	if secret != "" {
		form.Set("client_secret", secret)
	}
	res, body, err := fetch(ctx, client, http.MethodPost, endpoint, form)
	if err != nil {
		return Tokens{}, err
	}
	if res.StatusCode != http.StatusOK {
		return Tokens{}, fmt.Errorf("token endpoint: %s: %.300s", res.Status, body)
	}
	var tokens Tokens
	if err := json.Unmarshal([]byte(body), &tokens); err != nil {
		return Tokens{}, fmt.Errorf("token endpoint: read answer: %w", err)
	}
	return tokens, nil
}

// fetch sends one request, with form as its body if it is not nil, and reads the whole answer.
func fetch(ctx context.Context, client *http.Client, method, url string, form url.Values) (*http.Response, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var in io.Reader
	if form != nil {
		in = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, url, in)
	if err != nil {
		return nil, "", err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", url, err)
	}
	return res, string(b), nil
}
