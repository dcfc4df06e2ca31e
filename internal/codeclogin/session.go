package codeclogin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Session gives the Authorization header of a kept login, and renews it when it ends. It is safe for concurrent use.
type Session struct {
	store  Store
	client *http.Client

	mu    sync.Mutex
	login *Login
}

// NewSession goes on with a login that has tokens. A nil client is one with the system's authorities.
func NewSession(s Store, login *Login, client *http.Client) *Session {
	return &Session{store: s, login: login, client: client}
}

// early is how long before its end a token is renewed: a request takes time, and clocks differ.
const early = 20 * time.Second

// Authorization is the value of the header. The error is [ErrEnded] when the person has to log in again.
func (s *Session) Authorization(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh(early) {
		return s.login.Header(), nil
	}
	err := s.renew(ctx)
	if errors.Is(err, ErrEnded) {
		// Another process may have used the refresh token up, and kept what it got.
		if kept, e := s.store.Load(s.login.Server); e == nil && kept != nil && kept.Tokens != nil && kept.Tokens.Access != s.login.Tokens.Access {
			s.login, err = kept, nil
		}
	}
	if err != nil && !s.fresh(0) {
		return "", err
	}
	return s.login.Header(), nil
}

// fresh: the token that is sent lives on for some time.
func (s *Session) fresh(margin time.Duration) bool {
	ends := s.login.Ends()
	return ends.IsZero() || time.Until(ends) > margin
}

func (s *Session) renew(ctx context.Context) error {
	if s.login.Tokens.Refresh == "" {
		return ErrEnded
	}
	p, err := Discover(ctx, s.login.Settings, s.client)
	if err != nil {
		return err
	}
	tokens, err := p.Refresh(ctx, s.login.Tokens)
	if err != nil {
		return err
	}
	if kept, err := s.store.Load(s.login.Server); err != nil || kept == nil || kept.Tokens == nil {
		return ErrEnded // logged out in the meantime
	}
	renewed := *s.login
	renewed.Tokens = tokens
	if err := s.store.Save(&renewed); err != nil {
		return fmt.Errorf("the login was renewed, and is lost: %w", err)
	}
	s.login = &renewed
	return nil
}

// Login is the login as it is now.
func (s *Session) Login() *Login {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.login
}

// Ends is when the token ends that is sent; zero if that is not known.
func (l *Login) Ends() time.Time {
	if l.IDToken {
		return l.Tokens.IDEnds
	}
	return l.Tokens.Expires
}

// Header is the value of the Authorization header.
func (l *Login) Header() string {
	if l.IDToken {
		return "Bearer " + l.Tokens.ID
	}
	return "Bearer " + l.Tokens.Access
}
