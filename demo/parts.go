package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/signet-temporal/signet/principal/verify"
	"github.com/signet-temporal/signet/tools/parts"
)

// demo is everything that runs, and what the later acts need to know of it.
type demo struct {
	options  options
	out      *printer
	progress *os.File

	dir     string // temporary: database, configuration, audit log, keys
	paths   parts.Paths
	running []program
	closers []closer // in the order of their start

	temporal                 *parts.Temporal
	ui                       *parts.UI
	issuer                   string
	keys                     keyStore
	vaultAddress, vaultToken string
	cert                     parts.Cert
	codecURL                 string // as browsers reach signet-server
	auditFile                string
	alice, bob               *operator
	deskURL, insurerURL      string
	insurer                  insurer
	deskToken                string // alice's at the front desk, which nothing but the desk may see
	runID                    string
}

type program struct {
	name string
	done <-chan struct{}
}

type closer struct {
	what  string
	close func() error
}

func (d *demo) onClose(what string, f func() error) { d.closers = append(d.closers, closer{what, f}) }

// start brings everything up, in the order in which each needs the other, and runs the workflow.
func (d *demo) start(ctx context.Context) error {
	forgetVariables()
	began := time.Now()
	if err := d.provide(ctx); err != nil {
		return err
	}
	if err := d.prepare(); err != nil {
		return err
	}
	for _, s := range []struct {
		what string
		do   func(context.Context) (string, error)
	}{
		{"Temporal", d.startTemporal},
		{"OpenID provider", d.startOIDC},
		{"Web UI", d.startUI},
		{"key store", d.startKeys},
		{"signet-server", d.startServer},
		{"desk, worker, insurer", d.startClinic},
		{"alice admits a patient", d.runIntake},
		{"logins of alice and bob", d.logIn},
	} {
		if err := d.out.step(s.what, func() (string, error) { return s.do(ctx) }); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out.w, "  %-24s %s\n", "all of it", tenths(began))
	return nil
}

// forgetVariables: the demo speaks to its own Vault, whatever the user's shell is set up for.
func forgetVariables() {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "VAULT_") || strings.HasPrefix(name, "SIGNET_") {
			_ = os.Unsetenv(name) // fails for malformed names only
		}
	}
}

// provide builds the programs, or finds them built.
func (d *demo) provide(ctx context.Context) error {
	names := []parts.Name{parts.TemporalServer, parts.UI258, parts.OIDCProvider}
	what, minutes := "a Temporal server, its Web UI, an OpenID provider", "5 to 10"
	if d.options.vault {
		names, what, minutes = append(names, parts.VaultServer), what+", a Vault", "8 to 15"
	}
	fmt.Fprintf(d.out.w, "%s\n  Real programs: %s, signet and signet-server.\n", d.out.bold("Signet demo"), what)
	fmt.Fprintf(d.out.w, "  The first run downloads and builds them, which takes %s minutes; they stay in .parts/, and later runs start in seconds.\n\n", minutes)
	var err error
	if d.paths, err = parts.Ensure(ctx, d.progress, names...); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "signet-demo-"); err != nil {
		return fmt.Errorf("make a temporary directory: %w", err)
	}
	return d.out.step("signet, signet-server", func() (string, error) { return d.build(ctx) })
}

// build makes the two programs of this repository, as they are now.
func (d *demo) build(ctx context.Context) (string, error) {
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", d.dir+string(filepath.Separator), "./cmd/signet", "./cmd/signet-server")
	build.Dir = d.paths.Root
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return "built", nil
}

// binary is a program that provide has built.
func (d *demo) binary(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(d.dir, name)
}

// prepare settles the addresses that the programs are told of each other.
func (d *demo) prepare() error {
	notes, err := d.options.choosePorts(holdPort)
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(d.out.w, "  "+d.out.yellow(note))
	}
	d.codecURL = fmt.Sprintf("http://localhost:%d", d.options.server.number)
	d.auditFile = filepath.Join(d.dir, "audit.jsonl")
	d.cert, err = parts.WriteCert(filepath.Join(d.dir, "tls"), "localhost", "127.0.0.1")
	return err
}

func (d *demo) startTemporal(ctx context.Context) (string, error) {
	err := d.options.frontend.release()
	if err != nil {
		return "", err
	}
	d.temporal, err = parts.StartTemporal(ctx, parts.TemporalOptions{
		Program: d.paths.Temporal, DB: filepath.Join(d.dir, "temporal.db"),
		Port: d.options.frontend.number, Namespaces: []string{namespace},
	})
	if err != nil {
		return "", err
	}
	d.onClose("stop Temporal", d.temporal.Stop)
	d.running = append(d.running, program{"Temporal", d.temporal.Done()})
	return d.temporal.Address, nil
}

// People log in at two programs: the codec server, for the Web UI, and the front desk.
const (
	codecClientID = "codec-server"
	codecSecret   = "demo-codec-server"
	deskClientID  = "front-desk-app"
	deskSecret    = "demo-front-desk"
	deskCallback  = "http://localhost/callback" // nobody listens there: the demo plays the browser
	sessionLife   = "12h"
)

func (d *demo) startOIDC(ctx context.Context) (string, error) {
	d.alice = &operator{name: "alice", password: "alice-pw", group: "intake-nurses"}
	d.bob = &operator{name: "bob", password: "bob-pw", group: "billing"}
	var users []parts.OIDCUser
	for _, o := range []*operator{d.alice, d.bob} {
		users = append(users, parts.OIDCUser{
			Username: o.name, Password: o.password, Email: o.name + "@clinic.example", Name: o.name, Groups: []string{o.group},
			Claims: map[string]any{"tenant_id": tenant},
		})
	}
	p, err := parts.StartOIDC(ctx, parts.OIDCOptions{Program: d.paths.OIDC, Config: parts.OIDCConfig{
		Users: users,
		Clients: []parts.OIDCClient{{
			ID: codecClientID, Secret: codecSecret, RedirectURIs: []string{d.codecURL + "/login/callback"}, IDTokenLifetime: sessionLife,
		}, {
			ID: deskClientID, Secret: deskSecret, Audience: []string{deskAudience}, RedirectURIs: []string{deskCallback},
		}, {
			ID: workerClientID, Secret: workerSecret, GrantTypes: []string{"client_credentials"}, Audience: []string{insurerAudience},
		}},
	}})
	if err != nil {
		return "", err
	}
	d.onClose("stop the OpenID provider", p.Stop)
	d.running = append(d.running, program{"the OpenID provider", p.Done()})
	d.issuer = p.Issuer
	return d.issuer, nil
}

// uiURL and codecURL have the same host, so that browsers send the codec server's cookie from the Web UI's pages.
func (d *demo) uiURL() string { return fmt.Sprintf("http://localhost:%d", d.options.ui.number) }

func (d *demo) startUI(ctx context.Context) (string, error) {
	err := d.options.ui.release()
	if err != nil {
		return "", err
	}
	d.ui, err = parts.StartUI(ctx, parts.UIOptions{Program: d.paths.Temporal, Config: parts.UIConfig{
		Temporal: d.temporal.Address, Port: d.options.ui.number, Assets: d.paths.UI258, DefaultNamespace: namespace,
		Codec: parts.UICodec{
			Endpoint: d.codecURL, IncludeCredentials: true,
			DefaultErrorMessage: "signet-server was not reached", DefaultErrorLink: d.codecURL + "/self-test",
		},
	}})
	if err != nil {
		return "", err
	}
	d.onClose("stop the Web UI", d.ui.Stop)
	d.running = append(d.running, program{"the Web UI", d.ui.Done()})
	return d.uiURL(), nil
}

// startKeys makes the keysets with the custodian's tool.
func (d *demo) startKeys(ctx context.Context) (string, error) {
	if d.options.vault {
		var err error
		if d.keys, err = d.startVault(ctx); err != nil {
			return "", err
		}
	} else {
		d.keys = fileStore(filepath.Join(d.dir, "keys"))
	}
	for _, name := range []string{keyset, principals, cookieKeys} {
		var stderr strings.Builder
		create := exec.CommandContext(ctx, d.binary("signet"), append([]string{"keyset", "create", name}, d.keys.custodian...)...)
		create.Stderr = &stderr
		if err := create.Run(); err != nil {
			return "", fmt.Errorf("signet keyset create: %w: %s", err, &stderr)
		}
	}
	return fmt.Sprintf("%s, keysets %s, %s and %s", d.keys.place, keyset, principals, cookieKeys), nil
}

// startClinic starts what an application consists of: an API that starts workflows, a worker, and a service that the
// worker's activities call.
func (d *demo) startClinic(ctx context.Context) (string, error) {
	store, err := d.keys.worker(ctx)
	if err != nil {
		return "", err
	}
	c, ring, err := connect(ctx, store, store, d.temporal.Address)
	if err != nil {
		return "", err
	}
	d.onClose("close the key ring", ring.Close)
	d.onClose("close the client", func() error { c.Close(); return nil })
	if d.insurerURL, err = d.serveTo(ctx, insurerAudience, func(v *verify.Verifier) (http.Handler, error) {
		return d.insurer.handler(v, d.issuer)
	}); err != nil {
		return "", err
	}
	if d.deskURL, err = d.serveTo(ctx, deskAudience, func(v *verify.Verifier) (http.Handler, error) {
		return desk(v, c)
	}); err != nil {
		return "", err
	}
	trusting, err := parts.HTTPClient(d.cert.CAFile)
	if err != nil {
		return "", err
	}
	insurer, err := d.insurerClient(trusting.Transport)
	if err != nil {
		return "", err
	}
	w, err := startWorker(c, &Activities{Insurer: insurer, InsurerURL: d.insurerURL})
	if err != nil {
		return "", err
	}
	d.onClose("stop the worker", func() error { w.Stop(); return nil })
	return d.deskURL + ", " + d.insurerURL, nil
}

// serveTo starts a service for those whom the OpenID provider gives tokens with this audience.
func (d *demo) serveTo(ctx context.Context, audience string, make func(*verify.Verifier) (http.Handler, error)) (string, error) {
	v, err := verify.New(ctx, verify.Issuer{Issuer: d.issuer, Audiences: []string{audience}})
	if err != nil {
		return "", err
	}
	handler, err := make(v)
	if err != nil {
		return "", err
	}
	return d.serve("the "+audience, handler)
}

// runIntake has alice start the workflow, through the desk.
func (d *demo) runIntake(ctx context.Context) (_ string, err error) {
	d.runID, err = d.admit(ctx)
	return "workflow " + workflowID + " completed", err
}

// stay returns nil when the demo is told to stop, and an error when one of its programs ends by itself.
func (d *demo) stay(ctx context.Context) error {
	ended := make(chan string)
	for _, p := range d.running {
		go func() {
			<-p.done
			select {
			case ended <- p.name:
			case <-ctx.Done():
			}
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case name := <-ended:
		select {
		case <-ctx.Done(): // Ctrl-C goes to all of them at once
			return nil
		case <-time.After(time.Second):
			return fmt.Errorf("%s has ended by itself", name)
		}
	}
}

// close ends what was started, last first, and removes the temporary directory.
func (d *demo) close() error {
	var errs []error
	for len(d.closers) > 0 {
		c := d.closers[len(d.closers)-1]
		d.closers = d.closers[:len(d.closers)-1]
		if err := c.close(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.what, err))
		}
	}
	switch {
	case d.dir == "":
	case d.options.keep:
		fmt.Fprintln(d.out.w, "kept: "+d.dir)
	default:
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}
