package keyconfig

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// Opened is an open key store. It is safe for concurrent use until Close.
type Opened struct {
	Store keys.Store
	KEK   keys.KEK

	place string
	close func()
}

// String says where the keysets are, for people.
func (o *Opened) String() string { return o.place }

// Close ends what keeps the store open, such as the renewal of a Vault token. Close it after the last use.
func (o *Opened) Close() { o.close() }

// String says where the keysets are, for people.
func (c Config) String() string {
	switch {
	case c.File != nil:
		return "directory " + c.File.Dir
	case c.Vault != nil:
		return "Vault at " + c.Vault.address()
	}
	return "no key store"
}

// Open checks the section and opens the store it names: it logs in to Vault, or finds the directory. ctx bounds that
// alone. log, which may be nil, is told how the Vault token fares; no secret reaches it. The caller closes the result.
func (c Config) Open(ctx context.Context, log *slog.Logger) (*Opened, error) {
	return c.open(ctx, log, filestore.Open)
}

// OpenOrCreate is Open for the one command that begins a key store: a directory that does not exist is created.
// Nothing is ever created in Vault.
func (c Config) OpenOrCreate(ctx context.Context, log *slog.Logger) (*Opened, error) {
	return c.open(ctx, log, filestore.OpenOrCreate)
}

func (c Config) open(ctx context.Context, log *slog.Logger, file func(dir string) (*filestore.Store, error)) (*Opened, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.File != nil {
		store, err := file(c.File.Dir)
		if err != nil {
			return nil, err
		}
		return &Opened{Store: store, KEK: store, place: c.String(), close: func() {}}, nil
	}
	return c.Vault.open(ctx, log)
}

// Places returns where in Vault the keysets are, without a session.
func (v *Vault) Places() vaultstore.Options {
	return vaultstore.Options{
		KVMount:      cmp.Or(v.KVMount, DefaultKVMount),
		Prefix:       cmp.Or(v.Prefix, DefaultPrefix),
		TransitMount: cmp.Or(v.TransitMount, DefaultTransitMount),
		TransitKey:   cmp.Or(v.TransitKey, DefaultTransitKey),
		OwnKeysUnder: v.OwnKeysUnder,
	}
}

func (v *Vault) open(ctx context.Context, log *slog.Logger) (*Opened, error) {
	client, err := vaultstore.NewClient(vaultstore.ClientOptions{
		Address:           v.address(),
		CACert:            v.CACert,
		CAPath:            v.CAPath,
		ClientCert:        v.ClientCert,
		ClientKey:         v.ClientKey,
		TLSServerName:     v.TLSServerName,
		Namespace:         v.Namespace,
		InsecureAllowHTTP: v.InsecureAllowHTTP,
	})
	if err != nil {
		return nil, err
	}
	session, err := vaultstore.Login(ctx, client, v.Auth.vault(), log)
	if err != nil {
		return nil, err
	}
	places := v.Places()
	places.Session = session
	store, err := vaultstore.New(client, places)
	if err != nil {
		session.Close()
		return nil, err
	}
	return &Opened{Store: store, KEK: store, place: Config{Vault: v}.String(), close: session.Close}, nil
}
