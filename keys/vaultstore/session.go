package vaultstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	firstPause    = 500 * time.Millisecond // between two tries to log in; doubles up to longestPause
	longestPause  = 30 * time.Second
	filePoll      = 10 * time.Second // between two looks at a token file
	invalidPause  = 5 * time.Second  // between two logins that calls with a refused token may ask for
	deniedPause   = time.Minute      // likewise, for calls that lack a permission, which a new token may have
	loginMinSpace = time.Second      // between two logins, whatever asks for them
)

// Session keeps the token of one Vault client alive: it renews it, and logs in again when it can no longer be renewed
// or Vault no longer knows it. It is safe for concurrent use.
type Session struct {
	client *api.Client
	method method
	log    *slog.Logger
	stop   context.CancelFunc
	done   chan struct{} // closed when run has ended
	fresh  chan struct{} // capacity 1: there is a new secret to watch

	// turn is a mutex that a context can give up on. It guards what follows.
	turn      chan struct{}
	secret    *api.Secret
	lastLogin time.Time // of the last try
	lastAsked time.Time // of the last try that a refused call asked for
}

// Login gets a token as auth says, gives it to client and keeps it alive until [Session.Close]. ctx ends this first
// login only. log may be nil; neither it nor an error is told a token, a secret id or a JWT.
func Login(ctx context.Context, client *api.Client, auth Auth, log *slog.Logger) (*Session, error) {
	if client == nil {
		return nil, errors.New("vaultstore.Login: no Vault client: make one with vaultstore.NewClient")
	}
	m, err := auth.method()
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	background, stop := context.WithCancel(context.Background())
	s := &Session{
		client: client, method: m, log: log, stop: stop,
		done: make(chan struct{}), fresh: make(chan struct{}, 1), turn: make(chan struct{}, 1),
	}
	if err := s.login(ctx); err != nil {
		stop()
		return nil, err
	}
	go s.run(background)
	return s, nil
}

// Close stops renewing and waits until that has stopped: at once, or when a call that Vault does not answer has met
// the client's timeout. The client keeps its token, which Vault lets expire. Close can be called more than once.
func (s *Session) Close() {
	s.stop()
	<-s.done
}

// login tries once. The caller has the turn, or is the only one.
func (s *Session) login(ctx context.Context) error {
	s.lastLogin = time.Now()
	// A client of its own, because a login must not carry the old token, and unwrapping changes the client's.
	anonymous, err := clone(s.client)
	if err != nil {
		return fmt.Errorf("logging in to Vault: %w", err)
	}
	ctx, cancel := bounded(ctx, s.client)
	defer cancel()
	secret, err := s.method.Login(ctx, anonymous)
	if err != nil {
		return s.explainLogin(err)
	}
	if secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "" {
		return fmt.Errorf("logging in to Vault with %s: Vault answered without a token: check that the role asks for no second factor", s.method)
	}
	s.install(secret)
	s.log.Info("logged in to Vault", "method", s.method.String(), "lease", lease(secret), "renewable", secret.Auth.Renewable)
	return nil
}

func (s *Session) closed() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *Session) install(secret *api.Secret) {
	s.secret = secret
	s.client.SetToken(secret.Auth.ClientToken)
}

func lease(secret *api.Secret) time.Duration {
	return time.Duration(secret.Auth.LeaseDuration) * time.Second
}

// explainLogin turns a failed login into one line. What Vault names as its reason is quoted; the credential is not.
func (s *Session) explainLogin(err error) error {
	failed := func(format string, args ...any) error {
		return say(err, "logging in to Vault with %s: %s", s.method, fmt.Sprintf(format, args...))
	}
	var answer *api.ResponseError
	var own *problem
	at := authMount(s.method)
	switch {
	case errors.As(err, &own):
		return failed("%s", own.text)
	case explainState(s.client.Address(), err) != nil:
		return failed("%v", explainState(s.client.Address(), err))
	case !errors.As(err, &answer):
		return failed("%v", err) // such as a file that cannot be read
	case at == "" && isStatus(err, http.StatusForbidden):
		return failed("Vault refuses the token as invalid, expired or revoked: set a new one")
	case at == "":
		return failed("Vault answered a lookup of the token with %d: %s", answer.StatusCode, reasons(answer))
	}
	// Without a token, Vault answers "permission denied" also where no auth method is mounted.
	return failed("Vault refused it at %q (%d: %s): check the mount, the role and the credential", "auth/"+at, answer.StatusCode, reasons(answer))
}

// run watches one secret after the other until ctx ends.
func (s *Session) run(ctx context.Context) {
	defer close(s.done)
	for ctx.Err() == nil {
		if s.take(ctx) != nil {
			return
		}
		secret := s.secret
		s.give()
		if end := s.watch(ctx, secret); end != errReplaced && ctx.Err() == nil {
			s.regain(ctx, secret, end)
		}
	}
}

func (s *Session) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Session) give() { <-s.turn }

var (
	errReplaced    = errors.New("the token was replaced")
	errFileChanged = errors.New("the token file changed")
	errLeaseEnds   = errors.New("the lease cannot be extended any more")
)

// watch renews secret until that is over and says why.
func (s *Session) watch(ctx context.Context, secret *api.Secret) error {
	poll := time.NewTicker(filePoll)
	defer poll.Stop()
	renewed, ended := make(<-chan *api.RenewOutput), make(<-chan error)
	if secret.Auth.LeaseDuration > 0 {
		// The watcher is to report a failed renewal, so that regain decides how to go on. It takes "permission
		// denied" for a token that may not renew itself all the same, and sits out the lease: a revoked token is
		// noticed when a call is refused, see replaceToken. A lease that is not renewable is only waited for.
		behavior := api.RenewBehavior(api.RenewBehaviorErrorOnErrors)
		if !secret.Auth.Renewable {
			behavior = api.RenewBehaviorRenewDisabled
		}
		client, err := clone(s.client)
		if err != nil {
			return err
		}
		client.SetMaxRetries(0) // regain tries again, and knows when that is of no use
		w, err := client.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: secret, RenewBehavior: behavior})
		if err != nil {
			return err
		}
		stopped := make(chan struct{})
		go func() { defer close(stopped); w.Start() }()
		defer func() { w.Stop(); <-stopped }()
		renewed, ended = w.RenewCh(), w.DoneCh()
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.fresh:
			return errReplaced
		case <-poll.C:
			if s.method.changed(secret.Auth.ClientToken) {
				return errFileChanged
			}
		case r := <-renewed:
			s.log.Debug("renewed the Vault token", "lease", lease(r.Secret))
			// A renewal that gives much less than before meets the token's maximum life. The watcher would try
			// to the last second, and with a short lease beyond it.
			if 2*lease(r.Secret) <= lease(secret) {
				return errLeaseEnds
			}
		case err := <-ended:
			if err == nil {
				err = errLeaseEnds
			}
			return err
		}
	}
}

// regain gets a token that works in place of secret, trying until it has one or ctx ends.
func (s *Session) regain(ctx context.Context, secret *api.Secret, reason error) {
	pause := firstPause
	for {
		if s.take(ctx) != nil {
			return
		}
		if s.secret != secret { // a call was faster
			s.drain()
			s.give()
			return
		}
		var err error
		wait := loginMinSpace - time.Since(s.lastLogin)
		if wait <= 0 {
			if err = s.renewOrLogin(ctx, secret, reason); err == nil {
				s.give()
				return
			}
			wait = pause/2 + rand.N(pause)
			pause = min(2*pause, longestPause)
		}
		s.give()
		if err != nil && ctx.Err() == nil {
			s.log.Warn("no new Vault token, trying again", "reason", oneLine(reason.Error()), "error", err, "in", wait.Round(time.Millisecond))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// drain forgets that there is a new secret: the caller looks at it anyway.
func (s *Session) drain() {
	select {
	case <-s.fresh:
	default:
	}
}

// renewOrLogin renews the token after an outage if Vault still knows it, which also serves a credential that logs in
// only once; otherwise it logs in.
func (s *Session) renewOrLogin(ctx context.Context, secret *api.Secret, reason error) error {
	outage := !errors.Is(reason, errLeaseEnds) && !errors.Is(reason, errFileChanged) && !isStatus(reason, http.StatusForbidden) &&
		!saysInAnswer(reason, "past the max TTL") // which comes with a 500, in the last second of a token's life
	if outage && secret.Auth.Renewable {
		s.lastLogin = time.Now()
		rctx, cancel := bounded(ctx, s.client)
		defer cancel()
		renewed, err := s.client.Auth().Token().RenewTokenAsSelfWithContext(rctx, secret.Auth.ClientToken, 0)
		if err == nil && renewed != nil && renewed.Auth != nil && renewed.Auth.ClientToken == secret.Auth.ClientToken && renewed.Auth.LeaseDuration > 0 {
			s.install(renewed)
			s.log.Info("Vault is back and renewed the token", "lease", lease(renewed))
			return nil
		}
		if e := explainState(s.client.Address(), err); e != nil && !saysInAnswer(err, "past the max TTL") {
			return e // still out: a login would meet the same
		}
	}
	return s.login(ctx)
}

// replaceToken gets another token after Vault refused bad, and reports whether the client now holds one. It asks for
// at most one login in a while: the rest of the calls fails fast with what Vault said.
func (s *Session) replaceToken(ctx context.Context, bad string, invalid bool) bool {
	if s.take(ctx) != nil {
		return false
	}
	defer s.give()
	if s.client.Token() != bad {
		return true // another call was faster
	}
	pause := deniedPause
	if invalid {
		pause = invalidPause
	}
	if time.Since(s.lastAsked) < pause || s.closed() {
		return false
	}
	s.lastAsked = time.Now()
	if err := s.login(ctx); err != nil {
		s.log.Warn("Vault refused the token and gives no other", "error", err)
		return false
	}
	select {
	case s.fresh <- struct{}{}:
	default:
	}
	return s.client.Token() != bad
}
