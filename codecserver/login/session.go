package login

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signet-temporal/signet/principal"
)

const (
	sessionCookie = "__Host-signet-session"
	attemptCookie = "__Host-signet-login"

	// maxCookie is what browsers keep of one cookie, name and attributes included.
	maxCookie = 4096 - 128
	// maxOpened is what a cookie may hold; an ID token has 8 KiB.
	maxOpened = 64 << 10
)

// kind is what a cookie is for; one is never taken for another.
type kind string

const (
	kindSession kind = "session"
	kindAttempt kind = "attempt"
)

// attempt is what a browser keeps while its person is at the provider.
type attempt struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"` // of PKCE
	Expires  int64  `json:"exp"`
}

// session is what a browser keeps of a login: who it was, and no token.
type session struct {
	ID      string              `json:"id"`
	Expires int64               `json:"exp"`
	Subject string              `json:"sub"`
	Email   string              `json:"email,omitempty"`
	Groups  []string            `json:"groups,omitempty"`
	Claims  map[string][]string `json:"claims,omitempty"`
	issuer  string
}

// Error is the refusal of a session. Its text is for the log.
type Error struct{ code, detail string }

// Error returns one line.
func (e *Error) Error() string { return e.code + ": " + e.detail }

// Reason returns a code that is safe to show: "malformed-session", "expired-session", "ended-session",
// "session-not-usable-here", or "sessions-unavailable", which passes by itself.
func (e *Error) Reason() string { return e.code }

// Presented reports whether a request comes with a session.
func (l *Login) Presented(r *http.Request) bool { return len(r.CookiesNamed(sessionCookie)) > 0 }

// Authenticate returns whose session a request of a Web UI comes with: the same that a bearer token of that login would
// give. The error is an [*Error]. A session counts for nothing else than JSON from one of the origins.
func (l *Login) Authenticate(r *http.Request) (*principal.Caller, error) {
	origins := r.Header.Values("Origin")
	if len(origins) != 1 || !slices.Contains(l.o.Origins, origins[0]) {
		return nil, &Error{"session-not-usable-here", "the request is not from the page of a Web UI"}
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, &Error{"session-not-usable-here", "the request is not JSON"}
	}
	s, err := l.session(r)
	if err != nil {
		return nil, err
	}
	caller := s.caller()
	return &caller, nil
}

// session returns the session that a request comes with, if it counts. The error is an [*Error].
func (l *Login) session(r *http.Request) (*session, error) {
	s := &session{issuer: l.o.Issuer}
	if err := l.openCookie(r, sessionCookie, kindSession, s); err != nil {
		return nil, err
	}
	if s.ID == "" || s.Subject == "" {
		return nil, &Error{"malformed-session", "the session is nobody's"}
	}
	expires := time.Unix(s.Expires, 0)
	if !l.now().Before(expires) {
		return nil, &Error{"expired-session", "the session has expired"}
	}
	ended, err := l.ended.has(s.ID, expires)
	switch {
	case err != nil:
		return nil, &Error{"sessions-unavailable", "whether the session was ended cannot be read: " + err.Error()}
	case ended:
		return nil, &Error{"ended-session", "the session was ended by logging out"}
	}
	return s, nil
}

func (s *session) caller() principal.Caller {
	return principal.Caller{Issuer: s.issuer, Subject: s.Subject, Email: s.Email, Groups: s.Groups, Claims: s.Claims}
}

// begin gives the browser its session. One that it had before ends.
func (l *Login) begin(w http.ResponseWriter, r *http.Request, c *principal.Caller, expires time.Time) error {
	s := session{ID: rand.Text(), Expires: expires.Unix(), Subject: c.Subject, Email: c.Email, Groups: c.Groups, Claims: map[string][]string{}}
	for name, values := range c.Claims {
		switch name {
		case "nonce", "at_hash", "c_hash", "s_hash": // of this one login, and of no use to a policy
		default:
			s.Claims[name] = values
		}
	}
	value, err := l.seal(kindSession, s)
	if err != nil {
		return err
	}
	if len(value) > maxCookie {
		return fmt.Errorf("what the ID token says takes %d bytes in a cookie, and browsers keep %d: have the provider send this client the groups and claims alone that the policy asks for", len(value), maxCookie)
	}
	old, err := l.session(r)
	var no *Error
	switch {
	case err == nil:
		err = l.ended.add(old.ID, time.Unix(old.Expires, 0), l.now())
	case errors.As(err, &no) && no.code != "sessions-unavailable":
		err = nil // it has no session that would have to end
	}
	if err != nil {
		return fmt.Errorf("the session before: %w", err)
	}
	mode := http.SameSiteLaxMode
	if l.o.AllowCrossSite {
		mode = http.SameSiteNoneMode
	}
	setCookie(w, sessionCookie, value, mode)
	return nil
}

// setCookie sets what lives until the browser is closed: the end of a session stands inside, where it cannot be changed.
func setCookie(w http.ResponseWriter, name, value string, mode http.SameSite) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: mode})
}

func clearCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{Name: name, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1})
}

// bound is what a cookie is sealed for: a cookie of another kind, server, provider or client does not open.
func (l *Login) bound(k kind) []byte {
	return []byte(strings.Join([]string{"signet/login/v1", string(k), l.o.URL, l.o.Issuer, l.o.ClientID}, "\x00"))
}

// seal writes v as the value of a cookie: JSON, deflated, sealed with the primary key, in URL-safe base64.
func (l *Login) seal(k kind, v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var small bytes.Buffer
	deflate, err := flate.NewWriter(&small, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := deflate.Write(text); err != nil {
		return "", err
	}
	if err := deflate.Close(); err != nil {
		return "", err
	}
	_, aead, err := l.o.Keys.Primary(l.o.Keyset)
	if err != nil {
		return "", fmt.Errorf("keyset %s: %w", l.o.Keyset, err)
	}
	sealed, err := aead.Encrypt(small.Bytes(), l.bound(k))
	if err != nil {
		return "", fmt.Errorf("keyset %s: %w", l.o.Keyset, err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

var errCookie = errors.New("the cookie was not made by this server for this")

// openCookie reads the one cookie of that name into v. The error is an [*Error].
func (l *Login) openCookie(r *http.Request, name string, k kind, v any) error {
	found := r.CookiesNamed(name)
	if len(found) != 1 {
		return &Error{"malformed-session", fmt.Sprintf("there are %d cookies named %s", len(found), name)}
	}
	text, err := l.open(k, found[0].Value)
	if err != nil || json.Unmarshal(text, v) != nil {
		return &Error{"malformed-session", errCookie.Error()}
	}
	return nil
}

func (l *Login) open(k kind, value string) ([]byte, error) {
	if len(value) > maxCookie {
		return nil, errCookie
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(sealed) < 5 || sealed[0] != 1 { // 1 and the key's id: Tink's prefix
		return nil, errCookie
	}
	aead, err := l.o.Keys.Lookup(l.o.Keyset, binary.BigEndian.Uint32(sealed[1:5]))
	if err != nil { // a key that is gone, or never was
		return nil, errCookie
	}
	small, err := aead.Decrypt(sealed, l.bound(k))
	if err != nil {
		return nil, errCookie
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(small)), maxOpened))
	if err != nil {
		return nil, errCookie
	}
	return text, nil
}

func same(a, b string) bool { return b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
