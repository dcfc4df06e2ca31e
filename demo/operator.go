package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/tools/parts"
)

// operator is a person who looks at workflows in the Web UI.
type operator struct {
	name, password, group string
	browser               *http.Client
	codec                 converter.PayloadCodec // signet-server, as the browser of this person reaches it
}

func (o *operator) String() string { return o.name + " (" + o.group + ")" }

// logIn has each operator log in to signet-server, as a person does with a browser.
func (d *demo) logIn(ctx context.Context) (string, error) {
	for _, o := range []*operator{d.alice, d.bob} {
		o.browser = &http.Client{Jar: &jar{}}
		if err := o.logIn(ctx, d.codecURL); err != nil {
			return "", fmt.Errorf("%s: %w", o.name, err)
		}
		o.codec = converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{
			Endpoint: d.codecURL,
			Client:   *o.browser,
			ModifyRequest: func(r *http.Request) error {
				r.Header.Set("X-Namespace", namespace)
				r.Header.Set("Origin", d.uiURL()) // a browser's; a program gets errors, never explanations
				return nil
			},
		})
	}
	return "at " + d.codecURL + "/login", nil
}

// logIn goes from signet-server to the OpenID provider, fills in its form, and comes back with a session.
func (o *operator) logIn(ctx context.Context, codecURL string) error {
	form, _, err := o.browse(ctx, http.MethodGet, codecURL+"/login/start", "", nil)
	if err != nil {
		return err
	}
	id := form.Query().Get("id")
	if id == "" {
		return fmt.Errorf("the login leads to %s, which is not the form of the OpenID provider", form)
	}
	typed := url.Values{"id": {id}, "username": {o.name}, "password": {o.password}}
	page, text, err := o.browse(ctx, http.MethodPost, form.String(), "", typed)
	if err == nil && (page.String() != codecURL+"/login" || !strings.Contains(text, "You are logged in")) {
		err = fmt.Errorf("the login ends at %s, and not logged in", page.Path)
	}
	return err
}

// logOut ends the session.
func (o *operator) logOut(ctx context.Context, codecURL string) error {
	_, text, err := o.browse(ctx, http.MethodPost, codecURL+"/login/logout", codecURL, url.Values{})
	if err == nil && strings.Contains(text, "You are logged in") {
		err = fmt.Errorf("%s is still logged in after logging out", o.name)
	}
	return err
}

var tag = regexp.MustCompile(`<[^>]*>`)

// browse opens a page, or sends a form from a page of origin, and returns where that ended and what a person reads there.
func (o *operator) browse(ctx context.Context, method, address, origin string, form url.Values) (*url.URL, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	res, err := o.browser.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, "", err
	}
	text := strings.Join(strings.Fields(tag.ReplaceAllString(string(said), " ")), " ")
	if res.StatusCode != http.StatusOK {
		return nil, "", &refused{res.StatusCode, fmt.Sprintf("%s answers %s: %s", res.Request.URL.Path, res.Status, text)}
	}
	return res.Request.URL, text, nil
}

// jar keeps cookies as browsers do on localhost, where they take Secure ones over http: net/http/cookiejar does not.
type jar struct {
	mu  sync.Mutex
	all map[string]map[string]string // by host and name
}

// SetCookies implements [http.CookieJar].
func (j *jar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.all == nil {
		j.all = map[string]map[string]string{}
	}
	if j.all[u.Host] == nil {
		j.all[u.Host] = map[string]string{}
	}
	for _, c := range cookies {
		if j.all[u.Host][c.Name] = c.Value; c.MaxAge < 0 {
			delete(j.all[u.Host], c.Name)
		}
	}
}

// Cookies implements [http.CookieJar].
func (j *jar) Cookies(u *url.URL) []*http.Cookie {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []*http.Cookie
	for name, value := range j.all[u.Host] {
		found = append(found, &http.Cookie{Name: name, Value: value})
	}
	return found
}

// tokens are what the app of the front desk would get for this person, for a service called audience.
func (d *demo) tokens(ctx context.Context, o *operator, audience string) (parts.Tokens, error) {
	return parts.Login(ctx, parts.LoginRequest{
		Issuer: d.issuer, ClientID: deskClientID, ClientSecret: deskSecret, RedirectURI: deskCallback,
		Username: o.name, Password: o.password, Audience: audience,
	})
}

// sees returns what signet-server answers this person for the payloads.
func (o *operator) sees(payloads ...*commonpb.Payload) ([]*commonpb.Payload, error) {
	answer, err := o.codec.Decode(payloads)
	if err != nil {
		return nil, fmt.Errorf("%s asks signet-server: %w", o.name, err)
	}
	return answer, nil
}
