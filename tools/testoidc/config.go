package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// config is the configuration file.
type config struct {
	Users   []user         `json:"users"`
	Clients []clientConfig `json:"clients"`
}

// user is a person who can log in.
type user struct {
	Username string         `json:"username"`
	Password string         `json:"password"`
	Subject  string         `json:"sub"` // the username when empty
	Email    string         `json:"email"`
	Name     string         `json:"name"`
	Groups   []string       `json:"groups"`
	Claims   map[string]any `json:"claims"` // more claims for ID tokens and access tokens
}

// clientConfig is a program that may ask for tokens.
type clientConfig struct {
	ID                  string           `json:"id"`
	Secret              string           `json:"secret"`
	Type                string           `json:"type"`         // "web", when empty, or "native"
	RedirectURIs        []string         `json:"redirectUris"` // a * stands for anything but a slash
	GrantTypes          []oidc.GrantType `json:"grantTypes"`   // authorization_code, refresh_token when empty
	Audience            []string         `json:"audience"`     // what it may ask for, and gets if it does not ask
	AccessTokenLifetime duration         `json:"accessTokenLifetime"`
	IDTokenLifetime     duration         `json:"idTokenLifetime"`
	OpaqueAccessToken   bool             `json:"opaqueAccessToken"`
	Groups              []string         `json:"groups"` // in the tokens of client_credentials
	Claims              map[string]any   `json:"claims"` // in the tokens of client_credentials
}

// duration is a time.Duration written as "90s" in JSON.
type duration time.Duration

// UnmarshalJSON reads a Go duration, which must be at least a second: tokens carry whole seconds.
func (d *duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("a duration is text such as \"90s\": %w", err)
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	if v < time.Second {
		return fmt.Errorf("duration %s is too short: use \"1s\" or more", text)
	}
	*d = duration(v)
	return nil
}

// readConfig reads one JSON document. What follows it on standard input is left for -exit-with-stdin.
func readConfig(file string, stdin io.Reader) (config, error) {
	var cfg config
	if file == "" {
		return cfg, errors.New("no configuration: give a file with -config")
	}
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return cfg, fmt.Errorf("read configuration: %w", err)
		}
		defer f.Close()
		in = f
	}
	dec := json.NewDecoder(in)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cfg); err != nil {
		return cfg, fmt.Errorf("read configuration: %w", err)
	}
	return cfg, cfg.complete()
}

// complete sets defaults and refuses what could not work.
func (cfg *config) complete() error {
	for i := range cfg.Users {
		u := &cfg.Users[i]
		if u.Username == "" || u.Password == "" {
			return fmt.Errorf("user %d: set username and password", i)
		}
		if u.Subject == "" {
			u.Subject = u.Username
		}
	}
	for i := range cfg.Clients {
		if err := cfg.Clients[i].complete(); err != nil {
			return fmt.Errorf("client %q: %w", cfg.Clients[i].ID, err)
		}
	}
	return nil
}

func (c *clientConfig) complete() error {
	if c.ID == "" {
		return errors.New("set an id")
	}
	if c.Type == "" {
		c.Type = "web"
	}
	if c.Type != "web" && c.Type != "native" {
		return fmt.Errorf("type %q: use \"web\" or \"native\"", c.Type)
	}
	if c.Type == "web" && c.Secret == "" {
		return errors.New("a web client has a secret: set it, or make the client native")
	}
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
	}
	for _, grant := range c.GrantTypes {
		if !slices.Contains(grants(), grant) {
			return fmt.Errorf("grant type %q: use some of %v", grant, grants())
		}
	}
	if c.AccessTokenLifetime == 0 {
		c.AccessTokenLifetime = duration(5 * time.Minute)
	}
	if c.IDTokenLifetime == 0 {
		c.IDTokenLifetime = duration(time.Hour)
	}
	return nil
}

func grants() []oidc.GrantType {
	return []oidc.GrantType{
		oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeClientCredentials, oidc.GrantTypeDeviceCode,
	}
}

// audience returns what a token is for when asked names what the client wants.
func (c *clientConfig) audience(asked []string) ([]string, error) {
	if len(asked) == 0 {
		return slices.Clone(c.Audience), nil
	}
	for _, a := range asked {
		if len(c.Audience) > 0 && !slices.Contains(c.Audience, a) {
			return nil, oidc.ErrInvalidRequest().WithDescription(
				"client %s may not ask for audience %q, only for %s", c.ID, a, strings.Join(c.Audience, ", "))
		}
	}
	return slices.Clone(asked), nil
}
