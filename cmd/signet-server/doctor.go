package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/signet-temporal/signet/internal/loopback"
)

type doctorCmd struct {
	URL       string `arg:"" name:"url" help:"The address of the codec server, exactly as it stands in the Web UI or after --codec-endpoint."`
	Origin    string `placeholder:"ORIGIN" help:"The address of the Web UI, such as https://temporal.example.com: tries what a browser does on its pages. Without it only what the CLI does is tried."`
	Token     string `env:"SIGNET_TOKEN" placeholder:"JWT" help:"The access token, without Bearer. Better in the environment than on the command line, where others can read it."`
	IDToken   string `env:"SIGNET_ID_TOKEN" placeholder:"JWT" help:"The ID token that the Web UI sends in Authorization-Extras."`
	Namespace string `default:"default" help:"The Temporal namespace of the page."`
	Scope     string `help:"What is sealed into the namespace's payloads, where that is not its name."`
	Payload   string `placeholder:"FILE" type:"existingfile" help:"A sealed payload as JSON, to be decoded for real. What it holds is not shown. Without it a made-up payload is sent, which nobody can open: it shows who may decode, but not by grants for workflows or tenants, since it is of none."`
	CACert    string `placeholder:"FILE" type:"existingfile" help:"A PEM file with the authority of the server's certificate. Browsers must trust it, too."`
}

// Help is shown below the usage.
func (d *doctorCmd) Help() string {
	return `Plays what the Temporal Web UI and the temporal CLI do, and says of each step whether it works and, if not, why and what to do:
the address, the certificate, readiness, whether people log in at the server, the token, the browser's preflight, and a decode as a browser and as the CLI.

Each decode leaves an audit record. Exits with 1 when a step fails.`
}

// Run examines.
func (d *doctorCmd) Run(a *app) error {
	x := &examination{doctorCmd: d, out: a.stdout}
	if err := x.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	x.address()
	x.token()
	if x.readiness(ctx) { // else nothing answers
		x.login(ctx)
		if d.Origin != "" {
			x.preflight(ctx)
			x.decode(ctx, true)
		}
		x.decode(ctx, false)
	}
	if x.failed > 0 {
		return fmt.Errorf("%d of %d steps fail: the lines that begin with FAIL say what to do", x.failed, x.steps)
	}
	return nil
}

// examination is one run of the doctor.
type examination struct {
	*doctorCmd
	out    io.Writer
	base   *url.URL
	client *http.Client
	body   string // of the decode requests
	made   bool   // the payload is made up

	ready         bool
	steps, failed int
}

func (x *examination) prepare() error {
	base, err := url.Parse(x.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return fmt.Errorf("%q is not an address such as https://codec.example.com", x.URL)
	}
	x.base = base
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if x.CACert != "" {
		pem, err := os.ReadFile(x.CACert)
		if err != nil {
			return fmt.Errorf("reading the authority: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--ca-cert %s holds no certificate in PEM form", x.CACert)
		}
	}
	x.client = &http.Client{
		Transport:     transport,
		Timeout:       15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	x.body, x.made, err = x.payload()
	return err
}

func (x *examination) ok(step, format string, args ...any) {
	x.steps++
	fmt.Fprintf(x.out, "ok    %-10s %s\n", step, harmless(fmt.Sprintf(format, args...)))
}

func (x *examination) fail(step, format string, args ...any) {
	x.steps++
	x.failed++
	fmt.Fprintf(x.out, "FAIL  %-10s %s\n", step, harmless(fmt.Sprintf(format, args...)))
}

// harmless keeps what somebody at the other end has written in its line and from steering the terminal.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// address: the Web UI sends tokens to https alone, and to http nothing at all; then it stores in clear what it should
// have had encoded.
func (x *examination) address() {
	switch {
	case x.base.RawQuery != "" || x.base.Fragment != "":
		x.fail("address", "it has a query or fragment, behind which the Web UI would write /decode: leave it out")
	case strings.HasSuffix(x.base.Path, "/decode") || strings.HasSuffix(x.base.Path, "/encode"):
		x.fail("address", "it ends with the action, which clients add themselves: leave it out")
	case x.base.Scheme == "http" && x.Origin != "" && x.Token == "" && loopback.Is(x.base.Hostname()):
		x.ok("address", "http on this machine: the Web UI sends the cookie of a login, and no token")
	case x.base.Scheme == "http" && x.Origin != "":
		x.fail("address", "the Web UI passes tokens to https only, also on localhost, and sends what people start workflows with to Temporal in clear instead of having it encoded: serve https")
	case x.base.Scheme == "http":
		x.ok("address", "http is enough for the CLI; the Web UI needs https to pass tokens")
	default:
		x.ok("address", "https")
	}
}

func (x *examination) readiness(ctx context.Context) bool {
	resp, text, err := x.send(ctx, http.MethodGet, "/readyz", "", nil)
	switch {
	case err != nil:
		x.fail("connection", "%s", connectionAdvice(err))
		return false
	case resp.TLS != nil:
		x.ok("connection", "%s, certificate trusted", resp.Proto)
	default:
		x.ok("connection", "%s, not encrypted", resp.Proto)
	}
	switch {
	case resp.StatusCode == http.StatusOK && strings.Contains(text, `"ready":true`):
		x.ready = true
		x.ok("readiness", "keys are loaded and the audit log can be written")
		if strings.Contains(text, `"configurationStale":true`) {
			x.fail("readiness", "the server's configuration was changed to something wrong and is not in use: its log says what")
		}
	case strings.Contains(text, `"audit":false`):
		x.fail("readiness", "the audit log cannot be written, so nothing is decoded: its disk is full or gone, see the server's log")
	case strings.Contains(text, `"stopping":true`):
		x.fail("readiness", "the server is stopping: try again when it has started")
	default:
		x.ok("readiness", "not known: /readyz is not passed on by what stands in between (status %d)", resp.StatusCode)
		x.ready = true
	}
	return true
}

func connectionAdvice(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	text := strings.Join(strings.Fields(err.Error()), " ")
	switch {
	case errors.As(err, &unknown):
		return "the certificate is from an authority that this computer does not trust: install the authority (--ca-cert tries one); the browser calls this a network error and says nothing more"
	case errors.As(err, &name):
		return "the certificate is for another name: " + name.Error()
	case errors.As(err, &invalid):
		return "the certificate is not valid: " + invalid.Error()
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "there is no TLS on this port: write http, or give the server a certificate"
	case strings.Contains(text, "connection refused"):
		return "nothing listens there: is the server running, and is the port right?"
	case strings.Contains(text, "no such host"):
		return "there is no such host: is the name right, and are you in the network that knows it?"
	case strings.Contains(text, "Timeout") || strings.Contains(text, "deadline exceeded"):
		return "no answer in 15 s: a firewall, or a VPN that is off?"
	}
	return text
}
