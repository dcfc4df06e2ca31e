// Package oauthtoken gets service tokens from an OAuth2 server, with the client credentials grant.
package oauthtoken

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/signet-temporal/signet/internal/loopback"
	"github.com/signet-temporal/signet/principal/s2s"
)

const (
	unknownLife = time.Minute // of a token whose server does not say how long it lives
	maxAnswer   = 64 << 10    // bytes
)

// Options says where tokens come from. Config is required.
type Options struct {
	// Config names the server and the client. Its token URL must begin with https:// (http:// is for loopback alone). The
	// secret goes into the Authorization header, unless AuthStyle says otherwise.
	Config clientcredentials.Config
	// AudienceParam is the parameter that carries the audience to the server: "audience", or "resource" (RFC 8707).
	// Empty means "audience". Where the server knows audiences by scope, use one source for each and IgnoreAudience.
	AudienceParam string
	// IgnoreAudience sends no audience: the server decides by client or scope whom the token is for.
	IgnoreAudience bool
	// Transport makes the requests; nil means http.DefaultTransport.
	Transport http.RoundTripper
}

// Source is a token source. It asks the server at each call: put an [s2s.Cache] in front.
type Source struct {
	o      Options
	client *http.Client
}

// New returns a source. It makes no request.
func New(o Options) (*Source, error) {
	at, err := url.Parse(o.Config.TokenURL)
	switch {
	case err != nil || at.Host == "" || at.User != nil:
		return nil, errors.New("oauthtoken.New: Config.TokenURL is not a URL such as https://login.example.com/oauth2/token")
	case at.Scheme != "https" && (at.Scheme != "http" || !loopback.Is(at.Hostname())):
		return nil, errors.New("oauthtoken.New: Config.TokenURL must begin with https://: the client's secret goes there")
	case o.Config.ClientID == "" || o.Config.ClientSecret == "":
		return nil, errors.New("oauthtoken.New: Config needs ClientID and ClientSecret")
	}
	if o.Config.AuthStyle == oauth2.AuthStyleAutoDetect {
		o.Config.AuthStyle = oauth2.AuthStyleInHeader // finding out would send the secret twice
	}
	if o.AudienceParam == "" {
		o.AudienceParam = "audience"
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	return &Source{o: o, client: &http.Client{
		Transport: capped{o.Transport},
		// A redirect would carry the client's secret to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

type capped struct{ base http.RoundTripper }

func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	return resp, nil
}

// Token implements [s2s.TokenSource].
func (s *Source) Token(ctx context.Context, audience string) (s2s.Token, error) {
	config := s.o.Config
	if !s.o.IgnoreAudience {
		params := url.Values{s.o.AudienceParam: {audience}}
		for name, values := range s.o.Config.EndpointParams {
			if name != s.o.AudienceParam {
				params[name] = values
			}
		}
		config.EndpointParams = params
	}
	asked := time.Now()
	token, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, s.client))
	if err != nil {
		return s2s.Token{}, s.explain(err)
	}
	if !strings.EqualFold(token.Type(), "bearer") {
		return s2s.Token{}, fmt.Errorf("%s gave a token of type %.40q, which is not a bearer token", s.o.Config.TokenURL, token.Type())
	}
	expiry := token.Expiry
	if expiry.IsZero() {
		expiry = asked.Add(unknownLife)
	}
	return s2s.NewToken(token.AccessToken, expiry), nil
}

// explain makes one line of an error whose own text holds the server's whole answer, and cuts the chain to it.
func (s *Source) explain(err error) error {
	var refused *oauth2.RetrieveError
	var network *url.Error
	switch {
	case errors.As(err, &refused) && refused.Response != nil:
		reason := refused.ErrorCode
		if reason == "" {
			reason = http.StatusText(refused.Response.StatusCode)
		}
		return fmt.Errorf("%s answered %d (%.60q): check the client's id, its secret, and what it may ask for", s.o.Config.TokenURL, refused.Response.StatusCode, reason)
	case errors.As(err, &network):
		return fmt.Errorf("%s cannot be asked: %w", s.o.Config.TokenURL, network.Err)
	}
	return fmt.Errorf("%s did not answer with a token: check that it is an OAuth2 token endpoint", s.o.Config.TokenURL)
}
