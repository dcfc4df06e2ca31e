package main

import (
	"context"
	"fmt"
	"net/http"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/tools/parts"
)

// operator is a person who looks at workflows in the Web UI.
type operator struct {
	name, password, group string
	codec                 converter.PayloadCodec // signet-server, as the browser of this person reaches it
}

func (o *operator) String() string { return o.name + " (" + o.group + ")" }

// logIn gets each operator the tokens that the Web UI would get.
func (d *demo) logIn(ctx context.Context) (string, error) {
	client, err := parts.HTTPClient(d.cert.CAFile)
	if err != nil {
		return "", err
	}
	for _, o := range []*operator{d.alice, d.bob} {
		tokens, err := d.tokens(ctx, o, codecAudience)
		if err != nil {
			return "", fmt.Errorf("%s: %w", o.name, err)
		}
		o.codec = converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{
			Endpoint: d.codecURL,
			Client:   *client,
			ModifyRequest: func(r *http.Request) error {
				r.Header.Set("X-Namespace", namespace)
				r.Header.Set("Authorization", "Bearer "+tokens.Access)
				r.Header.Set("Authorization-Extras", tokens.ID)
				r.Header.Set("Origin", d.ui.URL) // a browser's; a program gets errors, never explanations
				return nil
			},
		})
	}
	return "at " + d.issuer, nil
}

// tokens are what the Web UI would get for this person, for a service called audience.
func (d *demo) tokens(ctx context.Context, o *operator, audience string) (parts.Tokens, error) {
	return parts.Login(ctx, parts.LoginRequest{
		Issuer: d.issuer, ClientID: uiClientID, ClientSecret: uiSecret, RedirectURI: d.uiURL() + parts.UICallback,
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
