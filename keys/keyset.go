package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/signet-temporal/signet/internal/wire"
)

// State is where a key stands in its life. The zero value is no state and never valid in a document.
type State string

// The states of a key, in the order of its life.
const (
	Pending   State = "pending"   // opens; waits until every reader has it
	Primary   State = "primary"   // seals and opens; at most one in a keyset
	Retired   State = "retired"   // opens only
	Disabled  State = "disabled"  // neither; the key material is kept and can be enabled again
	Destroyed State = "destroyed" // neither; the key material is gone for good
)

// Opens reports whether a key in this state may open payloads.
func (s State) Opens() bool { return s == Pending || s == Primary || s == Retired }

// Type names what a keyset's keys are, as Tink names it: an AEAD, or the function that makes search tokens.
type Type string

// The key types of format v1 (docs/spec/payload-v1.md, "Key types").
const (
	// XAES256GCM has a 192-bit nonce: no bound on the number of payloads under one key that matters in practice.
	XAES256GCM Type = "XAES_256_GCM"
	// AES256GCM has a 96-bit random nonce: rotate before 2^32 payloads. For Tink in languages that lack XAES_256_GCM.
	AES256GCM Type = "AES256_GCM"
)

// HMACSHA256PRF is the type of a keyset that seals nothing: its keys make search tokens (docs/spec/search-token-v1.md).
// It is in a keyset from its creation on or never: a keyset has keys of one kind.
const HMACSHA256PRF Type = "HMAC_SHA256_PRF"

// Searches reports whether keys of type t make search tokens, and seal and open nothing.
func (t Type) Searches() bool { return t == HMACSHA256PRF }

// ID is the Tink key id, which also stands in the first five bytes of everything the key seals.
// Its text and JSON form is eight lower-case hex digits.
type ID uint32

// String returns the eight hex digits.
func (id ID) String() string { return fmt.Sprintf("%08x", uint32(id)) }

// MarshalText implements [encoding.TextMarshaler].
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText accepts exactly eight lower-case hex digits.
func (id *ID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 32)
	if err != nil || ID(n).String() != string(text) {
		return fmt.Errorf("key id %q is not eight lower-case hex digits", text)
	}
	*id = ID(n)
	return nil
}

// Key is one key of a keyset, wrapped. Times are UTC; a zero time means "not yet".
type Key struct {
	ID        ID        `json:"id"`
	State     State     `json:"state"`
	Created   time.Time `json:"created"`
	Promoted  time.Time `json:"promoted,omitzero"`
	Retired   time.Time `json:"retired,omitzero"`
	Disabled  time.Time `json:"disabled,omitzero"`
	Destroyed time.Time `json:"destroyed,omitzero"`
	// Compromised is when a custodian said that somebody else may have the key. It never seals again; it opens as its
	// state says, since what it sealed is still needed.
	Compromised time.Time `json:"compromised,omitzero"`
	// DestroyAfter is the end of the waiting period of a disabled key whose destruction is scheduled.
	DestroyAfter time.Time `json:"destroyAfter,omitzero"`
	// Rewrapped is when the key was last wrapped anew, under a newer version of the KEK.
	Rewrapped time.Time `json:"rewrapped,omitzero"`
	// Imported is set on a key that was not made by this project.
	Imported *Imported `json:"imported,omitempty"`
	// Wrapped is a Tink EncryptedKeyset (binary protobuf) that holds exactly this key, encrypted by the KEK with the
	// keyset's name as associated data. Empty once the key is destroyed.
	Wrapped []byte `json:"wrapped,omitempty"`
}

// Policy is what readers and custodians of one keyset have agreed on. It travels with the keyset.
type Policy struct {
	// PropagationDelay is how long a key stays pending before it may be promoted: longer than any reader's refresh
	// interval. JSON: a Go duration string.
	PropagationDelay Duration `json:"propagationDelay"`
	// RotateEvery is the age at which automatic rotation replaces the primary key; 0 means that only people rotate.
	RotateEvery Duration `json:"rotateEvery,omitzero"`
}

// Duration is a [time.Duration] whose text form is Go's ("5m0s").
type Duration time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. A negative duration is refused.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v < 0 {
		err = errors.New("negative duration")
	}
	*d = Duration(v)
	return err
}

// Keyset is the document of one keyset: format 1, stored as JSON. It holds no secret in clear.
type Keyset struct {
	Format int    `json:"format"` // always 1
	Name   string `json:"name"`
	Type   Type   `json:"type"` // of keys added from now on; a key knows its own
	Policy Policy `json:"policy"`
	Keys   []Key  `json:"keys"` // oldest first
	// OwnKEK says that the keys are wrapped by a KEK which wraps those of no other keyset, so that deleting that KEK ends
	// every copy of them. It is so from the keyset's creation on or never.
	OwnKEK bool `json:"ownKEK,omitempty"`
	// ShredAfter is the end of the waiting period of a keyset that is to be shredded. Until then it neither seals nor
	// opens, and everything comes back when the shredding is called off.
	ShredAfter time.Time `json:"shredAfter,omitzero"`
	// Shredded is when the material of all keys was destroyed. The document stays, so that the name is not given again
	// and readers can say what happened.
	Shredded time.Time `json:"shredded,omitzero"`
}

// CheckName reports whether name can name a keyset: 1 to 200 bytes, segments of letters, digits, '_', '-' and '.'
// separated by single slashes, none beginning with '.' or '-'. The name is part of every payload's "encryption-key-id",
// so the rule is the wire format's (docs/spec/payload-v1.md).
func CheckName(name string) error { return wire.CheckName(name) }

// Primary returns the primary key, or nil while there is none.
func (k *Keyset) Primary() *Key {
	for i := range k.Keys {
		if k.Keys[i].State == Primary {
			return &k.Keys[i]
		}
	}
	return nil
}

// Key returns the key with that id, or nil.
func (k *Keyset) Key(id ID) *Key {
	for i := range k.Keys {
		if k.Keys[i].ID == id {
			return &k.Keys[i]
		}
	}
	return nil
}

// Check reports the first thing that is wrong with the document: format, name, type, a doubled id, an unknown state,
// two primaries, material missing or left over.
func (k *Keyset) Check() error {
	if k.Format != 1 {
		return fmt.Errorf("keyset %q: format %d is not supported by this version (it knows format 1): upgrade signet", k.Name, k.Format)
	}
	if err := CheckName(k.Name); err != nil {
		return err
	}
	if _, err := k.Type.template(); err != nil {
		return fmt.Errorf("keyset %q: %w", k.Name, err)
	}
	seen, primaries := map[ID]bool{}, 0
	for _, key := range k.Keys {
		if seen[key.ID] {
			return fmt.Errorf("keyset %q: key %s stands in it twice", k.Name, key.ID)
		}
		seen[key.ID] = true
		switch key.State {
		case Primary:
			primaries++
		case Pending, Retired, Disabled, Destroyed:
		default:
			return fmt.Errorf("keyset %q: key %s has unknown state %q", k.Name, key.ID, key.State)
		}
		if (len(key.Wrapped) == 0) != (key.State == Destroyed) {
			return fmt.Errorf("keyset %q: key %s is %s but its material is %d bytes", k.Name, key.ID, key.State, len(key.Wrapped))
		}
		if err := key.checkImported(); err != nil {
			return fmt.Errorf("keyset %q: key %s: %w", k.Name, key.ID, err)
		}
	}
	if primaries > 1 {
		return fmt.Errorf("keyset %q: %d primary keys, at most one is allowed", k.Name, primaries)
	}
	return k.checkShredded()
}

// ParseKeyset reads a document and checks it. name is what the caller asked for: a document that names another keyset
// is refused, so that a document copied to another place in the store is never used.
func ParseKeyset(name string, doc []byte) (*Keyset, error) {
	var k Keyset
	if err := json.Unmarshal(doc, &k); err != nil {
		return nil, fmt.Errorf("keyset %q: document is not valid JSON: %w", name, err)
	}
	if k.Name != name {
		return nil, fmt.Errorf("keyset %q: the document stored there names keyset %q: restore the right one", name, k.Name)
	}
	if err := k.Check(); err != nil {
		return nil, err
	}
	return &k, nil
}
