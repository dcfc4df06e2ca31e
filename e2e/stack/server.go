package stack

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signet-temporal/signet/tools/parts"
)

// ServerOptions of one signet-server. The zero value serves all namespaces of the stack in explain mode over TLS, to
// alice what is in payments and to bob what is in orders; see [Stack.Grants].
type ServerOptions struct {
	// Mode is "explain" or "strict"; empty leaves it out of the configuration, which means explain.
	Mode string
	// Origins of the Web UIs, exactly as browsers send them.
	Origins []string
	// AllowCredentials in CORS.
	AllowCredentials bool
	// Port on 127.0.0.1; 0 for a free one.
	Port int
	// Grants replaces [Stack.Grants]. One without an issuer is for the stack's.
	Grants []Grant
	// Namespaces replaces those of the stack.
	Namespaces []string
	// RefreshInterval of the keys; 0 leaves it out.
	RefreshInterval time.Duration
	// Contact stands in explanations.
	Contact string
	// StopDelay is how long the server goes on when it is told to stop; 0 leaves it out.
	StopDelay time.Duration
	// MaxFileBytes of the audit log; 0 is the default.
	MaxFileBytes int
	// PayloadBurst of a caller; 0 leaves it out.
	PayloadBurst int
	// LegacyKeys of every namespace.
	LegacyKeys bool
	// More lines of the configuration, such as machines.
	More string
	// TenantsUnder is what the names of tenants' keysets begin with, in every namespace.
	TenantsUnder string
	// SearchKeyset of every namespace; "" leaves it out.
	SearchKeyset string
	// Syslog is audit.syslog, as YAML; empty: the audit log is not sent on.
	Syslog string
	// Storage is where payloads of [Folder] are, which payments-oncall may download unless Grants say otherwise; empty: the
	// server has no storage.
	Storage Folder
	// Login lets people log in to the server, over plain HTTP; nil: nobody does, and it serves HTTPS.
	Login *Login
	// Released runs the program as it is released, without the race detector, on one core and with its own log level.
	Released bool
	// Profiled is [ServerOptions.Released], with a hook of the tests in it: see [Server.Profile].
	Profiled bool
}

// Login is that of [LoginClient], with the keyset [LoginKeyset].
type Login struct {
	URL    string // as browsers reach the server: http://localhost:<port>
	Ended  string // directory
	MaxAge time.Duration
}

// LoginKeyset seals cookies; a stack has it where its options name it.
const LoginKeyset = "login/codec"

// Grant is one rule of the policy, as the file spells it.
type Grant struct {
	Name       string   `json:"name"`
	Issuer     string   `json:"issuer"`
	Groups     []string `json:"groups,omitempty"`
	Subjects   []string `json:"subjects,omitempty"`
	Namespaces []string `json:"namespaces"`
	Actions    []string `json:"actions"`
	Labels     []string `json:"labels,omitempty"`
}

// Grants returns the default policy: the group payments-oncall decodes in payments and pay-*, the group orders decodes
// in orders and encodes there, the group ci encodes in payments.
func (s *Stack) Grants() []Grant {
	return []Grant{
		{Name: "payments-oncall", Issuer: s.OIDC.Issuer, Groups: []string{"payments-oncall"}, Namespaces: []string{"payments", "pay-*"}, Actions: []string{"decode"}},
		{Name: "orders-team", Issuer: s.OIDC.Issuer, Groups: []string{"orders"}, Namespaces: []string{"orders"}, Actions: []string{"decode", "encode"}},
		{Name: "ci-encodes", Issuer: s.OIDC.Issuer, Groups: []string{"ci"}, Namespaces: []string{"payments"}, Actions: []string{"encode"}},
	}
}

// Server is a running signet-server.
type Server struct {
	URL        string       // https://127.0.0.1:port
	HTTP       *http.Client // trusts its certificate
	Cert       parts.Cert
	ConfigFile string
	AuditFile  string
	Grants     []Grant

	options ServerOptions
	cmd     *exec.Cmd
	log     *lockedBuffer
	done    chan struct{}
}

// Server starts signet-server with the AppRole of the stack and waits until it listens.
func (s *Stack) Server(t *testing.T, o ServerOptions) *Server {
	t.Helper()
	config := s.ServerConfig(t, o)
	v := &Server{ConfigFile: config.file, AuditFile: config.audit, Grants: config.grants, Cert: config.cert, options: o, log: &lockedBuffer{}, done: make(chan struct{})}
	var err error
	if v.HTTP, err = parts.HTTPClient(v.Cert.CAFile); err != nil {
		t.Fatal(err)
	}
	v.HTTP.Timeout = 30 * time.Second
	t.Cleanup(v.HTTP.CloseIdleConnections)
	v.start(t)
	return v
}

// serverConfig is what [Stack.ServerConfig] wrote.
type serverConfig struct {
	file, audit string
	grants      []Grant
	cert        parts.Cert
}

// ServerConfig writes the configuration, policy and certificate of a server without starting it.
func (s *Stack) ServerConfig(t *testing.T, o ServerOptions) serverConfig {
	t.Helper()
	dir, err := os.MkdirTemp(s.Dir, "server-")
	if err != nil {
		t.Fatal(err)
	}
	c := serverConfig{audit: filepath.Join(dir, "audit.jsonl"), grants: o.Grants}
	if c.grants == nil {
		c.grants = s.Grants()
		if o.Storage != "" {
			c.grants = append(c.grants, Grant{Name: "files", Issuer: s.OIDC.Issuer, Groups: []string{"payments-oncall"}, Namespaces: []string{"payments"}, Actions: []string{"download"}})
		}
	}
	for i := range c.grants {
		c.grants[i].Issuer = cmp.Or(c.grants[i].Issuer, s.OIDC.Issuer)
	}
	if c.cert, err = parts.WriteCert(filepath.Join(s.Dir, "server-cert"), "127.0.0.1", "localhost"); err != nil {
		t.Fatal(err)
	}
	rel := func(name string) string { return filepath.Join(filepath.Base(dir), name) }
	policy := s.WriteFile(t, rel("policy.yaml"), "grants: "+asJSON(t, c.grants)+"\n")
	if o.Namespaces == nil {
		o.Namespaces = s.Options.Namespaces
	}
	var b strings.Builder
	fmt.Fprintf(&b, "listen: 127.0.0.1:%d\n", o.Port)
	if l := o.Login; l == nil {
		fmt.Fprintf(&b, "tls: {cert: %q, key: %q}\n", c.cert.CertFile, c.cert.KeyFile)
	} else {
		secret := s.WriteFile(t, rel("login-secret"), LoginSecret)
		fmt.Fprintf(&b, "login: {url: %q, issuer: %q, clientID: %q, clientSecretFile: %q, keyset: %q, ended: %q", l.URL, s.OIDC.Issuer, LoginClient, secret, LoginKeyset, l.Ended)
		if l.MaxAge != 0 {
			fmt.Fprintf(&b, ", maxAge: %s", l.MaxAge)
		}
		b.WriteString("}\n")
	}
	fmt.Fprintf(&b, "issuers:\n  - issuer: %q\n    audiences: [%q]\n    idTokenAudiences: [%q, %q]\n", s.OIDC.Issuer, Audience, UIClient, LoginClient)
	b.WriteString("namespaces:\n")
	tenants, search, own := "", "", ""
	if o.SearchKeyset != "" {
		search = fmt.Sprintf(", search: {keyset: %q}", o.SearchKeyset)
	}
	if o.TenantsUnder != "" {
		tenants = fmt.Sprintf(", tenants: {under: %q}", o.TenantsUnder)
	}
	if len(s.Options.OwnKeysUnder) > 0 {
		own = "    ownKeysUnder: " + asJSON(t, s.Options.OwnKeysUnder) + "\n"
	}
	for _, name := range o.Namespaces {
		fmt.Fprintf(&b, "  - {name: %q, legacyKeys: %t%s%s}\n", name, o.LegacyKeys, tenants, search)
	}
	fmt.Fprintf(&b, "keys:\n  vault:\n    address: %q\n%s    auth: {method: approle, roleID: %q, secretIDFile: %q}\n",
		s.Vault.Address, own, s.Roles.ServerRoleID, s.Roles.ServerSecretIDFile)
	fmt.Fprintf(&b, "cors:\n  origins: %s\n  allowCredentials: %t\n", asJSON(t, append([]string{}, o.Origins...)), o.AllowCredentials)
	fmt.Fprintf(&b, "policy: {file: %q}\naudit: {file: %q, maxFileBytes: %d, syslog: {%s}}\n", policy, c.audit, o.MaxFileBytes, o.Syslog)
	if o.Storage != "" {
		fmt.Fprintf(&b, "storage: [{driver: %q, folder: %q, match: {bucket: acme}}]\n", o.Storage.Name(), string(o.Storage))
	}
	if o.PayloadBurst != 0 {
		fmt.Fprintf(&b, "limits: {payloadBurst: %d}\n", o.PayloadBurst)
	}
	if o.StopDelay != 0 {
		fmt.Fprintf(&b, "stopDelay: %s\n", o.StopDelay)
	}
	if o.Mode != "" {
		fmt.Fprintf(&b, "mode: %s\n", o.Mode)
	}
	if o.Contact != "" {
		fmt.Fprintf(&b, "contact: %q\n", o.Contact)
	}
	if o.RefreshInterval != 0 {
		fmt.Fprintf(&b, "refreshInterval: %s\n", o.RefreshInterval)
	}
	c.file = s.WriteFile(t, rel("signet-server.yaml"), b.String()+o.More)
	return c
}

// File returns the path of the configuration file.
func (c serverConfig) File() string { return c.file }

var listening = regexp.MustCompile(`msg=listening .*\burl=(\S+)`)

func (v *Server) start(t *testing.T) {
	t.Helper()
	v.cmd = v.command(t)
	stderr, err := v.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := make(chan string, 1)
	go func() {
		defer close(v.done)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			fmt.Fprintln(v.log, lines.Text())
			if found := listening.FindStringSubmatch(lines.Text()); found != nil {
				url <- found[1]
			}
		}
		_, _ = io.Copy(v.log, stderr) // what the scanner could not take
		_ = v.cmd.Wait()              // the state is in v.cmd
	}()
	t.Cleanup(func() { v.end(t) })
	select {
	case v.URL = <-url:
	case <-v.done:
		t.Fatalf("signet-server did not start: %s", v.log)
	case <-time.After(time.Minute):
		t.Fatalf("signet-server does not listen: %s", v.log)
	}
}

// Stop sends SIGTERM and returns the exit code; -1 when it had to be killed.
func (v *Server) Stop() int {
	_ = v.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-v.done:
	case <-time.After(20 * time.Second):
		_ = v.cmd.Process.Kill()
		<-v.done
	}
	return v.cmd.ProcessState.ExitCode()
}

func (v *Server) end(t *testing.T) {
	if code := v.Stop(); code != 0 {
		t.Errorf("signet-server ended with code %d", code)
	}
	failOnRace(t, "signet-server", []byte(v.Log()))
	if t.Failed() {
		t.Logf("signet-server logged:\n%s", v.Log())
	}
}

// Kill ends the process as a crash does.
func (v *Server) Kill(t *testing.T) {
	t.Helper()
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-v.done
}

// Restart starts the server anew, with its configuration and files, after [Server.Stop] or [Server.Kill].
func (v *Server) Restart(t *testing.T) {
	t.Helper()
	v.done = make(chan struct{})
	v.start(t)
}

// Signal sends a signal to the process.
func (v *Server) Signal(signal os.Signal) error { return v.cmd.Process.Signal(signal) }

// Log returns what the server has written to its log, at level debug unless it is [ServerOptions.Released].
func (v *Server) Log() string { return v.log.String() }

// AuditRecord is one line of the audit file. The members' names are written out here and not taken from the program:
// the file is an interface.
type AuditRecord struct {
	Time      time.Time `json:"time"`
	RequestID string    `json:"requestId"`
	Action    string    `json:"action"`
	Decision  string    `json:"decision"`
	Reason    string    `json:"reason"`
	Rule      string    `json:"rule"`
	Issuer    string    `json:"issuer"`
	Subject   string    `json:"subject"`
	Email     string    `json:"email"`
	Payload   int       `json:"payload"`
	Payloads  int       `json:"payloads"`
	Namespace string    `json:"namespace"`
	Workflow  string    `json:"workflow"`
	Key       string    `json:"key"`
	Claimed   *struct {
		Namespace string `json:"namespace"`
		Workflow  string `json:"workflow"`
		Key       string `json:"key"`
	} `json:"claimed"`
	LabelsShown  []string `json:"labelsShown"`
	LabelsMasked []string `json:"labelsMasked"`
	Attribute    string   `json:"attribute"`
	Client       string   `json:"client"`
	Agent        string   `json:"agent"`
}

// Audit returns the records so far, in order. A record is on disk before its answer leaves, so there is nothing to wait for.
func (v *Server) Audit(t *testing.T) []AuditRecord {
	t.Helper()
	data, err := os.ReadFile(v.AuditFile)
	if err != nil {
		t.Fatal(err)
	}
	var records []AuditRecord
	for dec := json.NewDecoder(strings.NewReader(string(data))); ; {
		var r AuditRecord
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			t.Fatalf("audit line %d: %v", len(records)+1, err)
		}
		records = append(records, r)
	}
}

// AuditOf returns the records of one request.
func (v *Server) AuditOf(t *testing.T, requestID string) []AuditRecord {
	t.Helper()
	var records []AuditRecord
	for _, r := range v.Audit(t) {
		if r.RequestID == requestID {
			records = append(records, r)
		}
	}
	return records
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// get is for health checks.
func (v *Server) get(ctx context.Context, path string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL+path, nil)
	if err != nil {
		return 0, "", err
	}
	res, err := v.HTTP.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

// Get sends a GET request without a token and returns status and body.
func (v *Server) Get(t *testing.T, path string) (int, string) {
	t.Helper()
	status, body, err := v.get(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}
