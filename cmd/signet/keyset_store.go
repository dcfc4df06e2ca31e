package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/hashicorp/vault/api"
	"github.com/signet-temporal/signet/internal/keyconfig"
)

// withStore opens the key store, does do with it, and closes it. mayCreate allows a key store directory to be made.
// An interrupt ends the context that do is given; what was stored until then stays.
func (f storeFlags) withStore(a *app, parsed *kong.Context, mayCreate bool, do func(context.Context, *keyconfig.Opened) error) error {
	config, err := f.config(parsed)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer a.waiting("waiting for " + config.String())()
	err = openAnd(ctx, config, mayCreate, do)
	if err != nil && ctx.Err() != nil {
		return codedf(exitFailed, "interrupted: see what was done with \"signet keyset status\"")
	}
	return err
}

// chosen are the keysets that were named or, where none was, all there are.
func chosen(ctx context.Context, s *keyconfig.Opened, names []string) ([]string, error) {
	if len(names) > 0 {
		return names, nil
	}
	all, err := s.Store.List(ctx)
	var answer *api.ResponseError
	if errors.As(err, &answer) && answer.StatusCode == http.StatusForbidden {
		return nil, fmt.Errorf("%w; or, with a role for some keysets alone, name these", err)
	}
	return all, err
}

func openAnd(ctx context.Context, config keyconfig.Config, mayCreate bool, do func(context.Context, *keyconfig.Opened) error) error {
	open := config.Open
	if mayCreate {
		open = config.OpenOrCreate
	}
	store, err := open(ctx, slog.New(slog.DiscardHandler))
	if config.File != nil && errors.Is(err, fs.ErrNotExist) {
		if _, absent := os.Stat(config.File.Dir); absent != nil && !mayCreate {
			return fmt.Errorf("there is no key store in %s: name its directory, or begin one there with \"signet keyset create NAME\"", config.File.Dir)
		}
	}
	if err != nil {
		return err
	}
	defer store.Close()
	return do(ctx, store)
}
