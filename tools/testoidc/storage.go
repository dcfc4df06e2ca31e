package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// refreshLifetime is how long a refresh token can be used.
const refreshLifetime = 8 * time.Hour

// storage keeps everything the provider knows, in memory.
type storage struct {
	key signingKey

	mu       sync.Mutex
	users    []user
	clients  map[string]*clientConfig
	logins   map[string]*grant  // by id
	codes    map[string]string  // authorization code to login id
	access   map[string]issued  // by token id
	refresh  map[string]issued  // by refresh token
	devices  map[string]*device // by device code
	byUserID map[string]*user   // by subject
}

// issued is a token that was given out.
type issued struct {
	grant   *grant
	expires time.Time
}

var (
	_ op.Storage                        = (*storage)(nil)
	_ op.ClientCredentialsStorage       = (*storage)(nil)
	_ op.DeviceAuthorizationStorage     = (*storage)(nil)
	_ op.CanGetPrivateClaimsFromRequest = (*storage)(nil)
	_ op.CanSetUserinfoFromRequest      = (*storage)(nil)
)

func newStorage(cfg config) (*storage, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	s := &storage{
		key:      signingKey{id: rand.Text(), key: key},
		users:    cfg.Users,
		clients:  map[string]*clientConfig{},
		logins:   map[string]*grant{},
		codes:    map[string]string{},
		access:   map[string]issued{},
		refresh:  map[string]issued{},
		devices:  map[string]*device{},
		byUserID: map[string]*user{},
	}
	for i := range cfg.Clients {
		s.clients[cfg.Clients[i].ID] = &cfg.Clients[i]
	}
	for i := range s.users {
		s.byUserID[s.users[i].Subject] = &s.users[i]
	}
	return s, nil
}

// Health always succeeds: there is nothing that could be away.
func (s *storage) Health(context.Context) error { return nil }

// client returns a client's configuration; callers hold the lock.
func (s *storage) client(id string) (*clientConfig, error) {
	c, ok := s.clients[id]
	if !ok {
		return nil, fmt.Errorf("no client %q", id)
	}
	return c, nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.client(id)
	if err != nil {
		return nil, err
	}
	return client{c}, nil
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.client(id)
	if err != nil {
		return err
	}
	if c.Secret == "" || subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) != 1 {
		return fmt.Errorf("wrong secret for client %q", id)
	}
	return nil
}

// user returns who has this name and password; callers hold the lock.
func (s *storage) user(username, password string) (*user, error) {
	i := slices.IndexFunc(s.users, func(u user) bool { return u.Username == username })
	if i < 0 || subtle.ConstantTimeCompare([]byte(s.users[i].Password), []byte(password)) != 1 {
		return nil, errors.New("wrong username or password")
	}
	return &s.users[i], nil
}

// logIn completes the login with this id.
func (s *storage) logIn(id, username, password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.logins[id]
	if !ok {
		return errors.New("this login has ended: start again from the application")
	}
	u, err := s.user(username, password)
	if err != nil {
		return err
	}
	g.subject, g.authTime, g.amr = u.Subject, time.Now(), []string{"pwd"}
	return nil
}

func (s *storage) CreateAuthRequest(ctx context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if slices.Contains(r.Prompt, oidc.PromptNone) {
		return nil, oidc.ErrLoginRequired() // nobody stays logged in here
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.client(r.ClientID)
	if err != nil {
		return nil, err
	}
	audience, err := c.audience(askedAudience(ctx))
	if err != nil {
		return nil, err
	}
	g := &grant{id: rand.Text(), clientID: c.ID, audience: audience, scopes: r.Scopes, request: r}
	s.logins[g.id] = g
	return g.copied(), nil
}

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.logins[id]
	if !ok {
		return nil, errors.New("no such login")
	}
	return g.copied(), nil
}

func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id, ok := s.codes[code]
	s.mu.Unlock()
	if !ok {
		return nil, errors.New("no such code")
	}
	return s.AuthRequestByID(ctx, id)
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.logins, id)
	for code, login := range s.codes {
		if login == id {
			delete(s.codes, code)
		}
	}
	return nil
}

func (s *storage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := s.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return s.GetClientByClientID(ctx, id)
}

func (s *storage) ClientCredentialsTokenRequest(ctx context.Context, id string, scopes []string) (op.TokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.client(id)
	if err != nil {
		return nil, err
	}
	audience, err := c.audience(askedAudience(ctx))
	if err != nil {
		return nil, err
	}
	return clientGrant{&grant{clientID: id, subject: id, audience: audience, scopes: scopes}}, nil
}

// GetKeyByIDAndClientID refuses: no client signs its requests.
func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errors.New("clients have no keys")
}

// ValidateJWTProfileScopes refuses: no client signs its requests.
func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errors.New("clients have no keys")
}
