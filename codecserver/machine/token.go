package machine

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/signet-temporal/signet/principal"
)

// tokenPrefix makes a token known for what it is: to this server, which asks no issuer about it, and to scanners that
// look for secrets in repositories and logs.
const tokenPrefix = "signet_"

// tokenLength is that of a whole token: the prefix, and 32 random bytes in base64url.
const tokenLength = len(tokenPrefix) + 43

// maxTokens bounds the work of one request, which looks at all of them.
const maxTokens = 256

// NewToken makes a token of 256 random bits, and the hash of it that a configuration holds. SHA-256 and no slow hash: what
// nobody can guess needs none, and a slow one would be paid with every request.
func NewToken() (token, hash string) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(token))
	return token, hex.EncodeToString(sum[:])
}

// Token is one static token, as a configuration has it. All fields are required.
type Token struct {
	Name    string    // whose it is: the subject of the caller. Two tokens may have one name, while one replaces the other
	SHA256  string    // of the whole token, in hexadecimal
	Expires time.Time // the token is refused from then on
}

func (t Token) check() (hash [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(t.SHA256)
	switch {
	case !isName(t.Name):
		return hash, fmt.Errorf("name: %q is not 1 to 100 letters, digits and ._/-: it stands in audit records and policies", t.Name)
	case err != nil || len(raw) != sha256.Size:
		return hash, errors.New("sha256: it is not a hash of 64 hexadecimal digits: make token and hash with signet-server token new")
	case t.Expires.IsZero():
		return hash, errors.New("expires: the time is required, such as 2027-01-31T18:00:00Z")
	}
	return [sha256.Size]byte(raw), nil
}

func isName(s string) bool {
	ok := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-") == ""
	return ok && s != "" && len(s) <= 100
}

// Tokens knows programs by static tokens. It is immutable and safe for concurrent use.
type Tokens struct {
	known []known
	now   func() time.Time
}

type known struct {
	hash    [sha256.Size]byte
	name    string
	expires time.Time
}

// NewTokens checks the tokens; an error begins with "[<index>].<field>: ". One that has expired is no error: a server
// shall not stop because of it.
func NewTokens(tokens []Token) (*Tokens, error) {
	if len(tokens) > maxTokens {
		return nil, fmt.Errorf(": there are %d tokens, and %d are the most: use certificates for so many", len(tokens), maxTokens)
	}
	t := &Tokens{now: time.Now}
	seen := map[[sha256.Size]byte]bool{}
	for i, in := range tokens {
		hash, err := in.check()
		if err != nil {
			return nil, fmt.Errorf("[%d].%w", i, err)
		}
		if seen[hash] {
			return nil, fmt.Errorf("[%d].sha256: the hash stands twice: a token has one name", i)
		}
		seen[hash] = true
		t.known = append(t.known, known{hash, in.Name, in.Expires})
	}
	return t, nil
}

// Presented reports whether the request has a static token in its Authorization header, good or bad. It then speaks for
// itself alone: no issuer is asked about it, and no certificate stands in for it.
func (t *Tokens) Presented(r *http.Request) bool {
	token, ok := bearer(r.Header.Get("Authorization"))
	return ok && strings.HasPrefix(token, tokenPrefix)
}

func bearer(authorization string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(authorization, " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// Authenticate returns whose token the request has. The error is an [*Error]. The time it takes says nothing about how
// much of a token is right: hashes are compared, all of them, each in constant time.
func (t *Tokens) Authenticate(r *http.Request) (*principal.Caller, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return nil, &Error{"malformed-token", "not exactly one Authorization header"}
	}
	token, ok := bearer(headers[0])
	if !ok || len(token) != tokenLength || !strings.HasPrefix(token, tokenPrefix) {
		return nil, &Error{"malformed-token", "the Authorization header is not a bearer token of signet-server token new"}
	}
	hash := sha256.Sum256([]byte(token))
	var match *known
	for i := range t.known {
		if subtle.ConstantTimeCompare(hash[:], t.known[i].hash[:]) == 1 {
			match = &t.known[i]
		}
	}
	switch {
	case match == nil:
		return nil, &Error{"unknown-token", "no token in the configuration has its hash"}
	case !t.now().Before(match.expires):
		return nil, &Error{"expired-token", fmt.Sprintf("the token of %q expired at %s: make another with signet-server token new", match.name, match.expires.Format(time.RFC3339))}
	}
	return &principal.Caller{Issuer: TokenIssuer, Subject: match.name, Claims: map[string][]string{}, Machine: true}, nil
}
