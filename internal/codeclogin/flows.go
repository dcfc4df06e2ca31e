package codeclogin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Patience is how long a login in a browser may take.
const Patience = 10 * time.Minute

// answer is what a browser brings back.
type answer struct {
	code string
	err  error
}

// Loopback logs in with a browser on this machine: show gets the address that it has to open. Port 0 is a free one.
func (p *Provider) Loopback(ctx context.Context, port int, show func(address string)) (*Tokens, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, errors.New("nobody logged in for ten minutes"))
	defer cancel()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("waiting for the browser: %w: name another port", err)
	}
	config := p.oauth
	config.RedirectURL = "http://" + listener.Addr().String() + "/callback"
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()

	answers := make(chan answer, 1)
	server := &http.Server{Handler: p.callback(state, answers), ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends when it is closed
	defer func() {
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // the page has to reach the browser
		defer cancel()
		_ = server.Shutdown(soon)
		_ = server.Close()
	}()
	show(config.AuthCodeURL(state, append(p.audience(), oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))...))
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case a := <-answers:
		if a.err != nil {
			return nil, a.err
		}
		t, err := config.Exchange(p.with(ctx), a.code, oauth2.VerifierOption(verifier))
		if err != nil {
			return nil, fmt.Errorf("%s gives no token: %w", p.settings.Issuer, cause(err))
		}
		return p.read(ctx, t, nonce)
	}
}

// callback takes the first redirect that carries the state, and goes on waiting after any other: other pages in the
// browser can send requests here, too.
func (p *Provider) callback(state string, answers chan<- answer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", "text/plain; charset=utf-8")
		header.Set("Cache-Control", "no-store")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		q := r.URL.Query()
		if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
			http.Error(w, "This is not the login that signet waits for.", http.StatusBadRequest)
			return
		}
		a := p.judge(q)
		text := "Thank you. Go back to the terminal: signet has what it needs, and you may close this page.\n"
		if a.err != nil {
			w.WriteHeader(http.StatusBadRequest)
			text = "The login failed. Go back to the terminal, which says why.\n"
		}
		_, _ = w.Write([]byte(text)) // a browser that went away has brought its answer
		select {
		case answers <- a:
		default: // it came twice
		}
	})
	return mux
}

func (p *Provider) judge(q url.Values) answer {
	if iss := q.Get("iss"); iss != p.settings.Issuer && (iss != "" || p.namesSelf) {
		return answer{err: errors.New("another issuer answered than was asked: log in again")}
	}
	if code := q.Get("error"); code != "" {
		if !isCode(code) {
			code = "an error without a name"
		}
		return answer{err: fmt.Errorf("%s refuses the login: %s", p.settings.Issuer, code)}
	}
	if q.Get("code") == "" {
		return answer{err: fmt.Errorf("%s sent no code: log in again", p.settings.Issuer)}
	}
	return answer{code: q.Get("code")}
}

// Device logs in with a browser anywhere: show gets the address to open there, and the code to type.
func (p *Provider) Device(ctx context.Context, show func(address, code string)) (*Tokens, error) {
	if p.oauth.Endpoint.DeviceAuthURL == "" {
		return nil, fmt.Errorf("%s has no login with a device code: log in with a browser on this machine", p.settings.Issuer)
	}
	device, err := p.oauth.DeviceAuth(p.with(ctx), p.audience()...)
	if err != nil {
		return nil, fmt.Errorf("%s gives no device code: %w", p.settings.Issuer, cause(err))
	}
	address := device.VerificationURIComplete
	if address == "" {
		address = device.VerificationURI
	}
	if err := secure(address); err != nil {
		return nil, fmt.Errorf("%s names an address that %w", p.settings.Issuer, err)
	}
	show(address, device.UserCode)
	t, err := p.oauth.DeviceAccessToken(p.with(ctx), device)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s gives no token: %w", p.settings.Issuer, cause(err))
	}
	return p.read(ctx, t, "")
}
