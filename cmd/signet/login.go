package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/signet-temporal/signet/internal/codeclogin"
)

// codecPlace says where the codec server is, and where logins for codec servers are kept.
type codecPlace struct {
	CodecEndpoint string `group:"codec" env:"TEMPORAL_CODEC_ENDPOINT" placeholder:"URL" help:"Address of the codec server; {namespace} in it is replaced."`
	LoginDir      string `group:"codec" env:"SIGNET_LOGIN_DIR" placeholder:"FOLDER" help:"Where logins are kept, if not in signet/logins of this user's configuration folder."`
}

// find is the endpoint, and the Authorization header that stands beside it in the profile: for another server than the
// profile's it is none. TEMPORAL_CODEC_AUTH is not the profile's, and is --codec-auth.
func (f codecPlace) find(t temporalProfile) (endpoint, auth string, err error) {
	p, err := t.inFile()
	if err != nil {
		return "", "", err
	}
	var its string
	if p.Codec != nil {
		its, auth = p.Codec.Endpoint, p.Codec.Auth
	}
	if endpoint = cmp.Or(f.CodecEndpoint, its); endpoint == "" {
		return "", "", codedf(exitUsage, "no codec server was named: give --codec-endpoint, or set TEMPORAL_CODEC_ENDPOINT")
	}
	named, _ := codeclogin.ServerOf(endpoint) // what is no address is refused by whoever uses it
	if of, err := codeclogin.ServerOf(its); its != "" && (err != nil || of != named) {
		auth = ""
	}
	return endpoint, auth, nil
}

// store is where the login for the endpoint is kept, and the name of its server there.
func (f codecPlace) store(endpoint string) (codeclogin.Store, string, error) {
	server, err := codeclogin.ServerOf(endpoint)
	if err != nil {
		return codeclogin.Store{}, "", codedf(exitUsage, "--codec-endpoint: %s", err)
	}
	dir := f.LoginDir
	if dir == "" {
		if dir, err = codeclogin.DefaultDir(); err != nil {
			return codeclogin.Store{}, "", codedf(exitUsage, "%s with --login-dir", err)
		}
	}
	return codeclogin.Store{Dir: dir}, server, nil
}

// login is where the login for the codec server is kept, and the server's name there.
func (f codecPlace) login(t temporalProfile) (codeclogin.Store, string, error) {
	endpoint, _, err := f.find(t)
	if err != nil {
		return codeclogin.Store{}, "", err
	}
	return f.store(endpoint)
}

func issuerClient(caFile string) (*http.Client, error) {
	if caFile == "" {
		return nil, nil
	}
	client, err := trusting(caFile)
	if err != nil {
		return nil, codedf(exitUsage, "--issuer-ca-path: %s", err)
	}
	return client, nil
}

type loginCmd struct {
	Issuer       string   `group:"login" env:"SIGNET_ISSUER" placeholder:"URL" help:"OpenID provider whose tokens the codec server takes."`
	ClientID     string   `group:"login" name:"client-id" env:"SIGNET_CLIENT_ID" placeholder:"ID" help:"Client at the provider: a native one, without a secret."`
	Audience     string   `group:"login" env:"SIGNET_AUDIENCE" placeholder:"NAME" help:"Audience to ask for, where the provider wants to be asked."`
	Scopes       []string `group:"login" env:"SIGNET_SCOPES" placeholder:"SCOPE" help:"More scopes to ask for, such as api://codec/.default."`
	IDToken      bool     `group:"login" name:"id-token" env:"SIGNET_ID_TOKEN" help:"Send the ID token: the provider's access tokens are no JWTs."`
	IssuerCAPath string   `group:"login" name:"issuer-ca-path" env:"SIGNET_ISSUER_CA" placeholder:"FILE" help:"PEM file with the authority of the provider's certificate."`
	Device       bool     `group:"login" env:"SIGNET_LOGIN_DEVICE" help:"Show a code to type in a browser on any machine."`
	NoBrowser    bool     `group:"login" name:"no-browser" env:"SIGNET_LOGIN_NO_BROWSER" help:"Show the address and open no browser."`
	Port         int      `group:"login" env:"SIGNET_LOGIN_PORT" placeholder:"PORT" help:"Port of 127.0.0.1 for the browser to come back to; a free one if it is left away."`
	Again        bool     `group:"login" help:"Log in although there is a login."`
	codecPlace
	temporalProfile
}

// loggedIn is the JSON output of `login`.
type loggedIn struct {
	CodecServer   string     `json:"codecServer" help:"the only server that gets the token"`
	Authorization string     `json:"authorization" help:"value of TEMPORAL_CODEC_AUTH: a secret"`
	Expires       *time.Time `json:"expires,omitempty" help:"when its token ends, if that is known"`
	Renewable     bool       `json:"renewable" help:"whether signet renews it"`
	Issuer        string     `json:"issuer" help:"who says who you are"`
	Subject       string     `json:"subject" help:"who you are there"`
	Email         string     `json:"email,omitempty" help:"your address, if the issuer tells it"`
	File          string     `json:"file" help:"where the login is kept"`
}

// Help is the long help of the command.
func (loginCmd) Help() string {
	return `What is printed is the whole value that the temporal CLI takes, and a secret. In a variable it stays out of the list of
processes, which everybody on this machine may read:

    TEMPORAL_CODEC_AUTH="$(signet login)" temporal workflow show -w order-1

signet history finds the login by itself. It belongs to one codec server, found by --codec-endpoint, TEMPORAL_CODEC_ENDPOINT
or the profile of the temporal CLI, and is sent to no other. A login that is still good, or can be renewed, is printed
without asking. Issuer, client and the rest are remembered from login to login, also after signet logout.

With a browser on this machine, the provider has to let the client redirect to http://127.0.0.1/callback, at any port or
at --port. Over SSH use --device.

` + jsonHelp[loggedIn]()
}

// Run logs in, unless there is a login.
func (c *loginCmd) Run(a *app) error {
	store, server, err := c.login(c.temporalProfile)
	if err != nil {
		return err
	}
	kept, err := store.Load(server)
	if err != nil {
		return err
	}
	settings, same, err := c.settings(kept)
	if err != nil {
		return err
	}
	client, err := issuerClient(settings.CAFile)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if same && kept.Tokens != nil && !c.Again {
		session := codeclogin.NewSession(store, kept, client)
		_, err := session.Authorization(ctx)
		if err == nil {
			return c.show(a, store, session.Login())
		}
		if !errors.Is(err, codeclogin.ErrEnded) {
			return err
		}
	}
	provider, err := codeclogin.Discover(ctx, settings, client)
	if err != nil {
		return err
	}
	tokens, err := c.ask(ctx, a, provider)
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted: nobody is logged in")
	}
	if err != nil {
		return err
	}
	login := &codeclogin.Login{Server: server, Settings: settings, Tokens: tokens}
	if err := store.Save(login); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "Logged in at %s as %s.\n", settings.Issuer, printable(cmp.Or(tokens.Email, tokens.Subject)))
	return c.show(a, store, login)
}

// settings are what was typed, and for the rest what is remembered. same: they are those of the login that is kept.
func (c *loginCmd) settings(kept *codeclogin.Login) (s codeclogin.Settings, same bool, err error) {
	s = codeclogin.Settings{Issuer: c.Issuer, ClientID: c.ClientID, Audience: c.Audience, Scopes: c.Scopes, IDToken: c.IDToken}
	if c.IssuerCAPath != "" {
		if s.CAFile, err = filepath.Abs(c.IssuerCAPath); err != nil { // the next command may run elsewhere
			return s, false, codedf(exitUsage, "--issuer-ca-path: %s", err)
		}
	}
	if kept != nil && (s.Issuer == "" || s.Issuer == kept.Issuer) {
		old := kept.Settings
		s.Issuer, s.ClientID, s.Audience, s.CAFile = old.Issuer, cmp.Or(s.ClientID, old.ClientID), cmp.Or(s.Audience, old.Audience), cmp.Or(s.CAFile, old.CAFile)
		if len(s.Scopes) == 0 {
			s.Scopes = old.Scopes
		}
		s.IDToken = s.IDToken || old.IDToken
		same = s.ClientID == old.ClientID && s.Audience == old.Audience && s.IDToken == old.IDToken && slices.Equal(s.Scopes, old.Scopes)
	}
	if s.Issuer == "" || s.ClientID == "" {
		return s, false, codedf(exitUsage, "where to log in is not known: give --issuer and --client-id, or set SIGNET_ISSUER and SIGNET_CLIENT_ID; whoever runs the codec server knows them")
	}
	return s, same, nil
}

// ask has the person log in. What they have to do stands on stderr: stdout is for the result.
func (c *loginCmd) ask(ctx context.Context, a *app, p *codeclogin.Provider) (*codeclogin.Tokens, error) {
	if c.Device {
		return p.Device(ctx, func(address, code string) {
			fmt.Fprintf(a.stderr, "Open %s in a browser, and check or type the code %s.\n", printable(address), printable(code))
		})
	}
	return p.Loopback(ctx, c.Port, func(address string) {
		fmt.Fprintf(a.stderr, "Log in with a browser on this machine: %s\n", printable(address))
		if !c.NoBrowser {
			openBrowser(ctx, address)
		}
	})
}

// openBrowser tries to: the address is on the screen as well. Discover has checked that it is http or https.
func openBrowser(ctx context.Context, address string) {
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...) // #nosec G204 -- no shell, and the address is a URL
	if cmd.Start() == nil {
		go func() { _ = cmd.Wait() }()
	}
}

func (c *loginCmd) show(a *app, store codeclogin.Store, login *codeclogin.Login) error {
	l := loggedIn{CodecServer: login.Server, Authorization: login.Header(), Renewable: login.Tokens.Refresh != "", Issuer: login.Issuer,
		Subject: login.Tokens.Subject, Email: login.Tokens.Email, File: store.File(login.Server)}
	if ends := login.Ends(); !ends.IsZero() {
		ends = ends.UTC().Truncate(time.Second)
		l.Expires = &ends
	}
	return a.print(l, func(w io.Writer) { fmt.Fprintln(w, l.Authorization) })
}

type logoutCmd struct {
	codecPlace
	temporalProfile
}

// loggedOut is the JSON output of `logout`.
type loggedOut struct {
	CodecServer string `json:"codecServer" help:"the server that the login was for"`
	Forgotten   bool   `json:"forgotten" help:"whether there was a login"`
	Revoked     bool   `json:"revoked" help:"whether the issuer ended it as well"`
}

// Help is the long help of the command.
func (logoutCmd) Help() string {
	return `The tokens are removed from this machine, and the issuer is told, if it wants to be, to renew nothing more. An access
token that somebody has copied stays good until it ends, within minutes at most providers. Issuer and client stay
remembered for the next signet login.

` + jsonHelp[loggedOut]()
}

// Run forgets the login.
func (c *logoutCmd) Run(a *app) error {
	store, server, err := c.login(c.temporalProfile)
	if err != nil {
		return err
	}
	login, err := store.Forget(server)
	if err != nil {
		return err
	}
	out := loggedOut{CodecServer: server, Forgotten: login != nil && login.Tokens != nil}
	if out.Forgotten && login.Tokens.Refresh != "" {
		if out.Revoked, err = revoke(login); err != nil {
			return fmt.Errorf("the login is gone from this machine, and %s was not told: %w", login.Issuer, err)
		}
	}
	return a.print(out, func(w io.Writer) {
		switch {
		case !out.Forgotten:
			fmt.Fprintf(w, "not logged in for %s\n", printable(server))
		case out.Revoked:
			fmt.Fprintf(w, "logged out for %s, and at %s\n", printable(server), printable(login.Issuer))
		default:
			fmt.Fprintf(w, "logged out for %s\n", printable(server))
		}
	})
}

func revoke(login *codeclogin.Login) (bool, error) {
	client, err := issuerClient(login.CAFile)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	p, err := codeclogin.Discover(ctx, login.Settings, client)
	if err != nil {
		return false, err
	}
	return p.Revoke(ctx, login.Tokens)
}
