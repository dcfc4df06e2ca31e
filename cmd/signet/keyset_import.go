package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keyimport"
	"github.com/signet-temporal/signet/keys/rotate"
)

type importCmd struct {
	Name string `arg:"" help:"Name of the keyset."`
	File string `required:"" placeholder:"FILE" help:"File with the Tink keyset or the raw AES key; - is standard input."`

	InsecureCleartextKeys bool   `help:"The file holds keys in clear. Whoever can read it, or a copy, can read and forge what they sealed."`
	KEKTransit            string `name:"kek-transit" placeholder:"MOUNT/KEY" help:"The Tink keyset is encrypted by this Transit key of the same Vault, with no associated data."`
	KEKFile               string `name:"kek-file" placeholder:"FILE" help:"The Tink keyset is encrypted by the Tink keyset in this file, with no associated data."`

	As string `enum:"retired,pending,primary" default:"retired" help:"What becomes of the primary key of a Tink keyset: retired, pending, or primary in a keyset that does not exist yet. The others are retired."`

	AESKeyID    *string `name:"aes-key-id" placeholder:"ID" help:"The file is the raw AES key of a codec made after the samples of Temporal, whose payloads have this encryption-key-id."`
	AESEncoding string  `name:"aes-encoding" placeholder:"raw" help:"How the AES key is written: raw, hex or base64."`

	Encoding       string `placeholder:"ENCODING" help:"The Tink keyset is that of another codec, whose payloads have this encoding in their metadata."`
	KeyID          string `name:"key-id" placeholder:"ID" help:"With --encoding: the encryption-key-id that its payloads have besides."`
	AssociatedData string `placeholder:"METADATA" help:"With --encoding: the metadata whose value was authenticated with each payload."`
	planFlag
}

// Help is the long help of the command.
func (importCmd) Help() string {
	return `Takes keys in that were made elsewhere. They are wrapped at once, as all keys are, and never written in clear.

A Tink keyset of AES256_GCM or XAES_256_GCM keys with prefix TINK becomes keys of this keyset, with the key ids they have.

What opens the payloads of another codec, during a migration, becomes a legacy key: it opens these and nothing else, and never
seals. Such a key is the raw AES key of the encryption samples of Temporal's SDKs (--aes-key-id), or a Tink keyset of any AEAD
(--encoding). Workers use it through package keys/legacykeys, signet-server with legacyKeys: true.

The file must not be readable for others (mode 0600). An import may be repeated: what is there already stays as it is, and
another key under an id that is taken is refused. Destroy the file afterwards, and whatever it was made from.

    signet keyset import ns/payments --file=- --aes-key-id=payments-2023 --aes-encoding=base64 \
        --insecure-cleartext-keys
    signet keyset import ns/payments --file=keyset.json --kek-transit=transit/payments \
        --encoding=binary/tink

` + jsonHelp[importing]()
}

// importing is the JSON output of `keyset import`.
type importing struct {
	Keyset  string        `json:"keyset" help:"name of the keyset"`
	Created bool          `json:"created" help:"whether the keyset was made by it, or would be"`
	Planned bool          `json:"planned" help:"whether this is a plan, and nothing was done"`
	Keys    []importedKey `json:"keys" help:"each key of the file, in its order"`
	Skipped []keys.ID     `json:"skipped,omitempty" help:"ids of keys in the file that are destroyed"`
}

type importedKey struct {
	ID     *keys.ID   `json:"id,omitempty" help:"key id; none for a raw key that is only planned"`
	State  keys.State `json:"state" help:"its state"`
	Legacy string     `json:"legacy,omitempty" help:"of a key that opens what another codec sealed: in which format"`
	Check  string     `json:"check" help:"check value, eight hex digits: the same for the same key"`
	Does   string     `json:"does" help:"what was done, or would be: imported, or there already"`
}

// Run imports the keys.
func (c *importCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := errors.Join(checkNames(c.Name), c.check()); err != nil {
		return err
	}
	text, err := c.read(a)
	if err != nil {
		return err
	}
	defer clear(text)
	result := importing{Keyset: c.Name, Planned: c.Plan, Keys: []importedKey{}}
	err = at.withStore(a, parsed, !c.Plan && c.As == string(keys.Primary), func(ctx context.Context, s *keyconfig.Opened) error {
		in, err := c.parse(ctx, s, text)
		if err != nil {
			return err
		}
		defer in.Zero()
		imports, err := in.Imports(ctx, s.KEK, c.Name, keys.State(c.As), c.legacy())
		if err != nil {
			return err
		}
		if c.Plan {
			for i := range imports {
				imports[i].Wrap = func() ([]byte, error) { return []byte("no key"), nil }
			}
		}
		result.Skipped = in.Gone
		return c.apply(ctx, s, imports, a.now(), &result)
	})
	if errors.Is(err, keyimport.ErrUnfit) {
		return codedf(exitRefused, "%s: %s", c.file(), err)
	}
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) { result.table(w, c.file()) })
}

// apply puts the keys into the keyset, and makes it if they bring its primary key.
func (c *importCmd) apply(ctx context.Context, s *keyconfig.Opened, imports []rotate.Import, now time.Time, result *importing) error {
	plan := punctual(s, func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanImport(k, imports, now) })
	r, err := apply(ctx, s, c.Name, c.Plan, plan)
	var notThere *coded
	if c.As == string(keys.Primary) && errors.As(err, &notThere) && notThere.code == exitNotFound {
		r, err = c.create(ctx, s, plan)
		result.Created = err == nil
	}
	if err != nil {
		return err
	}
	for _, in := range imports {
		result.Keys = append(result.Keys, describeImport(r, in, c.Plan))
	}
	return nil
}

func (c *importCmd) create(ctx context.Context, s *keyconfig.Opened, plan rotate.Plan) (rotate.Result, error) {
	var options rotate.Options
	if !c.Plan {
		if err := rotate.Prepare(ctx, s.Store, s.KEK, c.Name, &options); err != nil {
			return rotate.Result{}, err
		}
	}
	empty, err := rotate.PlanCreate(c.Name, options)
	if err != nil {
		return rotate.Result{}, err
	}
	next, err := plan(empty)
	if err != nil {
		return rotate.Result{}, err
	}
	if !c.Plan {
		_, err = s.Store.Replace(ctx, next, "")
	}
	if errors.Is(err, keys.ErrConflict) {
		return rotate.Result{}, codedf(exitRefused, "keyset %q was created by somebody else meanwhile: run the command again", c.Name)
	}
	return rotate.Result{Before: empty, After: next}, err
}

func describeImport(r rotate.Result, in rotate.Import, planned bool) importedKey {
	k := importedKey{State: in.State, Check: in.Imported.Check, Does: "imported"}
	key := rotate.FindImport(r.After, in)
	if before := rotate.FindImport(r.Before, in); before != nil {
		key, k.Does = before, "there already"
	}
	k.State = key.State
	if key.OpensLegacy() {
		k.Legacy = key.Imported.Legacy.String()
	}
	if !planned || k.Does != "imported" || in.Imported.Legacy == nil || in.Imported.Legacy.Codec != keys.LegacyAESGCM {
		k.ID = &key.ID
	}
	return k
}

func (r importing) table(w io.Writer, file string) {
	if r.Planned {
		fmt.Fprintf(w, "Plan for keyset %s, of which nothing was done:\n", r.Keyset)
	}
	if r.Created {
		fmt.Fprintf(w, "Keyset %s: created.\n", r.Keyset)
	}
	for _, key := range r.Keys {
		subject := "new key"
		if key.ID != nil {
			subject = "key " + key.ID.String()
		}
		about := fmt.Sprintf("%s; it opens, and does not seal", key.State)
		switch {
		case key.Legacy != "":
			about = fmt.Sprintf("%s, a legacy key: it opens what another codec sealed (%s), and nothing else", key.State, key.Legacy)
		case key.State == keys.Primary:
			about = "primary: it seals from now on"
		case !key.State.Opens():
			about = string(key.State)
		}
		fmt.Fprintf(w, "%s: %s, %s.\n", subject, key.Does, printable(about))
	}
	for _, id := range r.Skipped {
		fmt.Fprintf(w, "key %s: left out, it is destroyed in the file.\n", id)
	}
	if !r.Planned {
		fmt.Fprintf(w, "Whoever has had these keys in clear can go on reading and forging with them: destroy %s and all copies, and rotate.\n", printable(file))
	}
}
