package principal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Principal is for whom work is done: the person, or the service, that started a workflow. It is a record of who that
// was, not a credential: whoever acts on it has to prove by other means that they may. A plain value: copy it freely.
// The zero value is nobody and is refused everywhere.
type Principal struct {
	Kind    Kind
	Issuer  string // who vouched for a user at the edge: the exact "iss" of the token; "" for a service
	Subject string // the issuer's stable id of the user, or the service's name
	Tenant  string // whose data the work is about; "" where there are no tenants
	// Txn names the request that started it all, for logs and audit; it stays the same through every hop. May be "".
	Txn string
	// AuthTime is when the user proved who they are ("auth_time"); zero where the issuer does not say.
	AuthTime time.Time
	// IssuedAt is when this record was made, at the edge.
	IssuedAt time.Time
}

// Kind is what sort of principal it is.
type Kind string

// The kinds of principals.
const (
	KindUser    Kind = "user"    // a person, verified at the edge
	KindService Kind = "service" // work that no person started: schedules, batch jobs
)

// Service returns the principal of work that no person started, such as Service("nightly-billing", "acme"). It is made
// now: IssuedAt is the present time.
func Service(name, tenant string) Principal {
	return Principal{Kind: KindService, Subject: name, Tenant: tenant, IssuedAt: time.Now().UTC().Truncate(time.Second)}
}

// maxText is the longest issuer, subject, tenant and transaction, in bytes.
const maxText = 256

// Check says what of p is not as it must be, in one line that names the field and not its value: kind and subject are
// there, the issuer exactly for users, and every text is printable ASCII without spaces, of at most 256 bytes, so that it
// fits into an HTTP header and nobody takes one principal for another that looks alike.
func (p Principal) Check() error {
	switch {
	case p.Kind != KindUser && p.Kind != KindService:
		return errors.New("principal: the kind is neither user nor service")
	case p.Subject == "":
		return errors.New("principal: the subject is empty")
	case (p.Issuer == "") != (p.Kind == KindService):
		return errors.New("principal: a user needs an issuer, and a service has none")
	case p.IssuedAt.IsZero():
		return errors.New("principal: it does not say when it was issued")
	}
	for name, text := range map[string]string{"issuer": p.Issuer, "subject": p.Subject, "tenant": p.Tenant, "txn": p.Txn} {
		if len(text) > maxText {
			return fmt.Errorf("principal: the %s is longer than %d bytes", name, maxText)
		}
		for i := range len(text) {
			if text[i] <= ' ' || text[i] > '~' {
				return fmt.Errorf("principal: the %s has a character that is not printable ASCII, or a space", name)
			}
		}
	}
	return nil
}

// Same reports whether p and q are the same somebody: of the same kind, issuer, subject and tenant. When and in which
// transaction does not matter.
func (p Principal) Same(q Principal) bool {
	return p.Kind == q.Kind && p.Issuer == q.Issuer && p.Subject == q.Subject && p.Tenant == q.Tenant
}

// LogValue implements [slog.LogValuer]. A log tells one principal from another without naming a person: the subject of a
// user is there as a short hash over issuer and subject.
func (p Principal) LogValue() slog.Value {
	who := p.Subject
	if p.Kind != KindService {
		sum := sha256.Sum256([]byte(p.Issuer + "\x00" + p.Subject))
		who = hex.EncodeToString(sum[:6])
	}
	return slog.GroupValue(slog.String("kind", string(p.Kind)), slog.String("who", who), slog.String("tenant", p.Tenant), slog.String("txn", p.Txn))
}

// String is the text of [Principal.LogValue], so that no fmt verb prints a person either.
func (p Principal) String() string { return p.LogValue().String() }

// ErrNone: there is no principal. The work is anonymous, or the context was never given one.
var ErrNone = errors.New("principal: there is none")

// Valuer is a context.Context or a workflow.Context.
type Valuer interface{ Value(key any) any }

// Key is the key under which contexts carry a [Principal], or the error for which there is none. Use [NewContext] and
// [FromContext]; the key is exported for contexts that are not of package context, such as the SDK's workflow.Context.
type Key struct{}

// NewContext returns a context that carries p.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, Key{}, p)
}

// FromContext returns the principal that ctx carries: for whom the work is done. Without one the error is [ErrNone]; where
// one arrived and was refused, the error says why.
func FromContext(ctx Valuer) (Principal, error) {
	switch held := ctx.Value(Key{}).(type) {
	case Principal:
		return held, nil
	case error:
		return Principal{}, held
	}
	return Principal{}, ErrNone
}
