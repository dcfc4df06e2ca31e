package keys

import (
	"context"
	"errors"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// Errors of a [Store]. Every other error of a Store is an outage or a misconfiguration and says which.
var (
	// ErrNotFound: there is no keyset of that name.
	ErrNotFound = errors.New("keyset not found")
	// ErrConflict: the keyset was changed since it was fetched (or, for a create, exists already). Fetch again.
	ErrConflict = errors.New("keyset was changed by somebody else")
)

// Version identifies one stored state of a document. It is opaque: compare only for equality. The empty Version is
// that of a keyset which does not exist.
type Version string

// Store keeps keyset documents. Implementations are safe for concurrent use, also by other processes, and pass
// keystest.TestStore.
type Store interface {
	// Fetch returns the keyset and the version it was read at. The caller owns the result. The error names the keyset;
	// it matches [ErrNotFound] when the store is sure that there is none, and has a method Misconfigured() bool that
	// returns true when a retry is pointless.
	Fetch(ctx context.Context, name string) (*Keyset, Version, error)
	// Replace stores k if the stored version is still old; with old "" it creates. It returns the new version, or an
	// error that matches [ErrConflict] and changes nothing. k is checked first and not retained.
	Replace(ctx context.Context, k *Keyset, old Version) (Version, error)
	// List returns the names of all keysets, sorted.
	List(ctx context.Context) ([]string, error)
	// Forget removes for good what the store keeps of earlier versions of the keyset, so that a destroyed key does not
	// come back from there. The present version stays. It may be repeated.
	Forget(ctx context.Context, name string) error
}

// KEK is a key-encryption key: it wraps the keys of keysets. The associated data is the keyset's name. Implementations
// are safe for concurrent use and refuse to open under another name than the one a key was wrapped with.
type KEK = tink.AEADWithContext
