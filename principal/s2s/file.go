package s2s

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	fileRefresh  = time.Minute // between two looks at a token file
	maxTokenFile = 64 << 10    // bytes
)

// File is a token source over files that somebody else keeps fresh: Kubernetes' projected service account tokens, a Vault
// Agent's templates. It maps audiences to paths. A file is read at each call; a [Cache] in front reads it once a minute.
//
// The token must be a JWT for that audience. Its claims are read to find a mistake in the configuration early and to learn
// when it expires; whether the token is genuine is for the service to find out that gets it.
type File map[string]string

// Token implements [TokenSource].
func (f File) Token(_ context.Context, audience string) (Token, error) {
	path, ok := f[audience]
	if !ok {
		return Token{}, errors.New("no token file is configured for this audience: add it to the s2s.File")
	}
	text, err := readToken(path)
	if err != nil {
		return Token{}, err
	}
	claims, err := peek(text)
	switch {
	case err != nil:
		return Token{}, fmt.Errorf("token file %s: %w", path, err)
	case !slices.Contains(claims.Audience, audience):
		return Token{}, fmt.Errorf("token file %s: its token is for the audience %.200q: set the audience of the projected volume", path, claims.Audience)
	}
	token := NewToken(text, time.Unix(int64(claims.Expiry), 0))
	token.Refresh = time.Now().Add(fileRefresh)
	return token, nil
}

func readToken(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxTokenFile))
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// claims are what can be read of a JWT without its issuer's keys. They prove nothing.
type claims struct {
	Audience list    `json:"aud"`
	Expiry   float64 `json:"exp"`
}

// list is a claim that is a string or a list of strings.
type list []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *list) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = list{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(l))
}

// peek reads the claims of a JWT. Its errors hold nothing of it.
func peek(token string) (claims, error) {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, errors.New("it does not hold a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return c, errors.New("it does not hold a JWT")
	}
	if c.Expiry <= 0 {
		return c, errors.New("its token does not say when it expires")
	}
	return c, nil
}
