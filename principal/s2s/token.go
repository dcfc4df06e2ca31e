package s2s

import (
	"context"
	"log/slog"
	"time"
)

// TokenSource gets the tokens with which this service proves who it is. Token returns one for audience that has not
// expired. It may take as long as ctx lets it: put a [Cache] in front. It must be safe for concurrent use, and its errors
// must not hold a token or another secret.
type TokenSource interface {
	Token(ctx context.Context, audience string) (Token, error)
}

// Token is a bearer token. No fmt verb, no encoder and no logger prints its value; [Token.Reveal] alone returns it.
type Token struct {
	value *string // behind a pointer, so that fmt does not reach it in somebody else's unexported field either

	// Expiry is when nobody accepts it any more.
	Expiry time.Time
	// Refresh is when the source may have a better one. Zero leaves that to the cache: after 80 % of its lifetime.
	Refresh time.Time
}

// NewToken returns a token that is valid until expiry.
func NewToken(value string, expiry time.Time) Token {
	return Token{value: &value, Expiry: expiry}
}

// Reveal returns the token itself, for the request that carries it and nothing else.
func (t Token) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// String implements fmt.Stringer without the token.
func (t Token) String() string { return "[token until " + t.Expiry.UTC().Format(time.RFC3339) + "]" }

// LogValue implements [slog.LogValuer] without the token.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
