package vaultstore

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	defaultTimeout = 10 * time.Second
	maxAnswer      = 16 << 20 // bytes; KV and Transit both stop far below
)

// call is one Vault path and the capability a policy must grant on it, for the error that says so.
type call struct{ path, capability string }

// bounded gives ctx the client's timeout (10 s if it has none) as its latest end. It covers all tries of one call.
func bounded(ctx context.Context, client *api.Client) (context.Context, context.CancelFunc) {
	timeout := client.ClientTimeout()
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return context.WithTimeout(ctx, timeout)
}

// get reads c and returns the "data" of the answer, also that of a 404: KV answers so for a deleted document, with
// its metadata. The error is as vault/api made it.
func (s *Store) get(ctx context.Context, c call, query url.Values) (data json.RawMessage, err error) {
	err = s.authenticated(ctx, func(ctx context.Context) error {
		resp, err := s.client.Logical().ReadRawWithDataWithContext(ctx, c.path, query)
		data = nil
		if resp == nil || (err != nil && resp.StatusCode != http.StatusNotFound) {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		s.clock.note(resp.Header.Get("Date"), time.Now())
		body, readErr := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if readErr != nil {
			return readErr
		}
		if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
			// vault/api follows one redirect, from a standby to the active node, and takes the next for an answer.
			return say(nil, "Vault at %s is a standby that redirects to no active node: check the cluster", s.client.Address())
		}
		var answer struct{ Data json.RawMessage }
		if jsonErr := json.Unmarshal(body, &answer); jsonErr != nil && err == nil {
			return fmt.Errorf("the answer is not JSON: %w", jsonErr)
		}
		if string(answer.Data) != "null" {
			data = answer.Data
		}
		return err
	})
	return data, err
}

// put writes body to c and returns the "data" of the answer, nil when there is none. vault/api may try more than once.
func (s *Store) put(ctx context.Context, c call, body map[string]any) (map[string]any, error) {
	return s.write(ctx, s.client, c, body)
}

// putOnce is put without another try: when the answer to a check-and-set write is lost, a second try would meet the
// first one's version and report a conflict for a write that was done.
func (s *Store) putOnce(ctx context.Context, c call, body map[string]any) (map[string]any, error) {
	once, err := clone(s.client)
	if err != nil {
		return nil, err
	}
	once.SetMaxRetries(0)
	return s.write(ctx, once, c, body)
}

func (s *Store) write(ctx context.Context, client *api.Client, c call, body map[string]any) (data map[string]any, err error) {
	err = s.authenticated(ctx, func(ctx context.Context) error {
		if client != s.client {
			client.SetToken(s.client.Token())
		}
		secret, err := client.Logical().WriteWithContext(ctx, c.path, body)
		data = nil
		if err == nil && secret != nil {
			data = secret.Data
		}
		return err
	})
	return data, err
}

// authenticated makes one call, and once more with a new token when Vault refused the present one and the session
// could get another.
func (s *Store) authenticated(ctx context.Context, do func(context.Context) error) error {
	try := func() error {
		ctx, cancel := bounded(ctx, s.client)
		defer cancel()
		return do(ctx)
	}
	token := s.client.Token()
	err := try()
	if s.opts.Session == nil || !isStatus(err, http.StatusForbidden) || saysInAnswer(err, "preflight capability check") {
		return err
	}
	if !s.opts.Session.replaceToken(ctx, token, invalidToken(err)) {
		return err
	}
	return try()
}

// remove deletes c.
func (s *Store) remove(ctx context.Context, c call) error {
	return s.authenticated(ctx, func(ctx context.Context) error {
		_, err := s.client.Logical().DeleteWithContext(ctx, c.path)
		return err
	})
}
