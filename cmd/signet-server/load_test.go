package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/codecserver"
)

const good = `
listen: 127.0.0.1:8234
issuers:
  - issuer: https://login.example.com
    audiences: [codec]
namespaces:
  - name: payments
keys:
  file: {dir: keys}
audit: {stdout: true}
policy: {grants: []}
`

func load(t *testing.T, text string) (*loaded, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("config.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loadConfig("config.yaml")
}

func TestTheSmallestConfigurationHasTheDocumentedDefaults(t *testing.T) {
	c, err := load(t, good)
	if err != nil {
		t.Fatal(err)
	}
	n := c.Namespaces[0]
	if n.Scope != "payments" || n.Keyset != "ns/payments" || c.mode != codecserver.Explain || c.certificate != nil || c.refresh != 0 {
		t.Errorf("loaded %+v", c)
	}
}

func TestTheExampleInTheManualLoads(t *testing.T) {
	source, err := os.ReadFile("config.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(source)) {
		if code, ok := strings.CutPrefix(line, "//\t"); ok {
			text.WriteString(code)
		}
	}
	_, err = load(t, text.String())
	if err == nil || !strings.HasPrefix(err.Error(), "config.yaml: policy.file: open policy.yaml") {
		t.Fatalf("the example without its policy file: %v", err)
	}
	if err := os.WriteFile("policy.yaml", []byte("grants: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadConfig("config.yaml"); err != nil {
		t.Errorf("the example: %v", err)
	}
}

func TestEveryFieldIsRead(t *testing.T) {
	c, err := load(t, `
listen: "[::1]:9000"
issuers:
  - {issuer: https://a, jwksURL: https://a/keys, audiences: [x], idTokenAudiences: [y], algorithms: [ES256], groupsClaim: g, emailClaim: e, allowUnverifiedEmail: true,
     tokenTypes: [at+jwt], authorizedParties: [ui], maxAge: 15m}
namespaces:
  - {name: payments, scope: s, keyset: k/p, acceptKeysets: [tenant/acme], tenants: {under: t/}}
keys:
  vault: {address: "https://vault:8200", ownKeysUnder: [t/], auth: {method: kubernetes, role: r}}
refreshInterval: 30s
cors: {origins: ["https://ui"], allowCredentials: true}
mode: strict
contact: Ask.
audit: {file: a.jsonl, maxFileBytes: 3000, syslog: {address: "logs:6514", hostname: h, cursor: c}}
policy:
  deny: [{name: d, namespaces: [x]}]
  grants: [{name: g, issuer: "https://a", groups: [x], namespaces: [payments], actions: [decode]}]
  permissions: [{name: p, issuer: "https://a", decode: [decode]}]
limits: {maxBodyBytes: 1000, maxPayloads: 10, maxOpenedBytes: 2000, maxConcurrent: 3, payloadBurst: 40, payloadsPerSecond: 0.5,
  maxReferences: 2, maxDownloadBytes: 5000, maxDownloads: 1, downloadBurstBytes: 6000, downloadBytesPerSecond: 7}
storage: [{driver: s3, folder: ., key: path, match: {bucket: acme}}]
metrics: {listen: ":9464"}
stopDelay: 5s
`)
	if err != nil {
		t.Fatal(err)
	}
	i := c.issuers[0]
	if i.JWKSURL != "https://a/keys" || i.IDTokenAudiences[0] != "y" || i.Algorithms[0] != "ES256" || i.GroupsClaim != "g" || i.EmailClaim != "e" || !i.AllowUnverifiedEmail ||
		i.TokenTypes[0] != "at+jwt" || i.AuthorizedParties[0] != "ui" || i.MaxAge != 15*time.Minute {
		t.Errorf("issuer %+v", i)
	}
	n := c.Namespaces[0]
	if n.Scope != "s" || n.Keyset != "k/p" || n.AcceptKeysets[0] != "tenant/acme" || n.Tenants.Under != "t/" || len(c.Keys.Vault.OwnKeysUnder) != 1 || c.refresh != 30*time.Second || c.mode != codecserver.Strict ||
		!c.CORS.AllowCredentials || c.Contact != "Ask." || c.Limits.MaxBodyBytes != 1000 || c.Limits.MaxPayloads != 10 || c.Limits.MaxOpenedBytes != 2000 || c.Audit.File != "a.jsonl" {
		t.Errorf("loaded %+v", c.config)
	}
	l := codecserver.Limits{MaxBody: 1000, MaxPayloads: 10, MaxOpened: 2000, MaxConcurrent: 3, PayloadBurst: 40, PayloadsPerSecond: 0.5,
		MaxReferences: 2, MaxDownload: 5000, MaxDownloads: 1, DownloadBurst: 6000, DownloadPerSecond: 7}
	if c.Limits.limits() != l || c.Audit.MaxFileBytes != 3000 || c.Metrics.Listen != ":9464" || c.stopDelay != 5*time.Second ||
		c.Audit.Syslog != (syslogConfig{Address: "logs:6514", Hostname: "h", Cursor: "c"}) || c.storage == nil || c.Storage[0].Key != "path" || c.Storage[0].Match["bucket"] != "acme" || c.Policy.Deny[0].Name != "d" || c.Policy.Permissions[0].Name != "p" {
		t.Errorf("loaded %+v", c.config)
	}
}

// replaced returns the good configuration with a part of it replaced.
func replaced(t *testing.T, old, new string) string {
	t.Helper()
	if !strings.Contains(good, old) {
		t.Fatalf("the good configuration does not hold %q", old)
	}
	return strings.Replace(good, old, new, 1)
}

func TestAConfigurationThatIsIncompleteOrUnsafeNamesTheField(t *testing.T) {
	replace := func(old, new string) string { return replaced(t, old, new) }
	const grants = "policy: {grants: []}"
	for says, c := range map[string]struct{ text, want string }{
		"empty":                    {"", "config.yaml: listen: the address is required"},
		"not YAML":                 {"listen: [", "config.yaml: line 1: "},
		"unknown field":            {good + "lisen: x\n", `config.yaml: line 12: unknown field "lisen"`},
		"unknown field inside":     {replace("audiences: [codec]", "audience: codec"), `config.yaml: line 5: unknown field "audience"`},
		"unknown field of keys":    {replace("{dir: keys}", "{dir: keys, key: x}"), `line 9: unknown field "key"`},
		"unknown field of a grant": {replace(grants, "policy: {grants: [{role: x}]}"), `unknown field "role"`},
		"twice":                    {good + "listen: 127.0.0.1:1\n", "config.yaml: line 12: "},
		"no listen":                {replace("listen: 127.0.0.1:8234", ""), "listen: the address is required"},
		"listen without port":      {replace("127.0.0.1:8234", "localhost"), "listen: "},
		"public without TLS":       {replace("127.0.0.1:8234", "0.0.0.0:8234"), "tls: 0.0.0.0:8234 can be reached"},
		"any address":              {replace("127.0.0.1:8234", ":8234"), "tls: :8234 can be reached"},
		"a name":                   {replace("127.0.0.1:8234", "codec.example.com:8234"), "tls: codec.example.com:8234 can be reached"},
		"looks local":              {replace("127.0.0.1:8234", "127.0.0.1.example.com:8234"), "tls: "},
		"certificate alone":        {good + "tls: {cert: c.pem}\n", "tls.key: "},
		"key alone":                {good + "tls: {key: k.pem}\n", "tls.cert: "},
		"certificate missing":      {good + "tls: {cert: c.pem, key: k.pem}\n", "tls: loading certificate and key: open c.pem"},
		"no issuers":               {replace("issuers:\n  - issuer: https://login.example.com\n    audiences: [codec]\n", ""), "issuers: at least one issuer is required"},
		"no issuer URL":            {replace("issuer: https://login.example.com", "jwksURL: https://x"), "issuers[0].issuer: the URL is required"},
		"plain http issuer":        {replace("https://login", "http://login"), "issuers[0].issuer: "},
		"no audience":              {replace("    audiences: [codec]\n", ""), "config.yaml: issuers[0].audiences: at least one audience is required"},
		"HS256":                    {replace("audiences: [codec]", "{audiences: [codec], algorithms: [HS256]}"), "line "},
		"age without unit":         {replace("audiences: [codec]", "audiences: [codec]\n    maxAge: 15"), `issuers[0].maxAge: "15" is not a time`},
		"negative age":             {replace("audiences: [codec]", "audiences: [codec]\n    maxAge: -15m"), "issuers[0].maxAge: "},
		"CA missing":               {replace("audiences: [codec]", "audiences: [codec]\n    caCert: ca.pem"), "issuers[0].caCert: "},
		"CA that is none":          {replace("audiences: [codec]", "audiences: [codec]\n    caCert: config.yaml"), "issuers[0].caCert: config.yaml holds no certificate"},
		"no policy":                {replace(grants, ""), "policy: policy.file or policy.grants is required"},
		"two policies":             {replace(grants, "policy: {grants: [], file: p}"), "policy: policy.file and rules beside it exclude"},
		"policy missing":           {replace(grants, "policy: {file: p.yaml}"), "policy.file: open p.yaml"},
		"policy that is none":      {replace(grants, "policy: {file: config.yaml}"), "policy.file: config.yaml: line "},
		"bad grant":                {replace(grants, "policy: {grants: [{name: a}]}"), "policy.grants[0].issuer: "},
		"grant of nobody's issuer": {replace(grants, "policy: {grants: [{name: a, issuer: 'https://x', groups: [g], namespaces: [n], actions: [decode]}]}"), `policy: a rule is for issuer "https://x"`},
		"no namespaces":            {replace("namespaces:\n  - name: payments\n", ""), "namespaces: at least one"},
		"no name":                  {replace("name: payments", "scope: x"), "namespaces[0].name: "},
		"same name":                {replace("- name: payments", "- name: payments\n  - name: payments"), "namespaces[1].name: "},
		"same scope":               {replace("- name: payments", "- name: payments\n  - {name: b, scope: payments}"), "namespaces[1].scope: "},
		"bad keyset":               {replace("name: payments", "name: payments\n    keyset: /x"), "namespaces[0].keyset: "},
		"bad accepted keyset":      {replace("name: payments", "name: payments\n    acceptKeysets: ['']"), "namespaces[0].acceptKeysets[0]: "},
		"bad tenants":              {replace("name: payments", "name: payments\n    tenants: {under: tenant}"), "namespaces[0].tenants.under: \"tenant\" is not the beginning"},
		"no keys":                  {replace("keys:\n  file: {dir: keys}\n", ""), "config.yaml: keys names no key store"},
		"two key stores":           {replace("file: {dir: keys}", "file: {dir: keys}\n  vault: {address: 'https://v'}"), "config.yaml: keys names two"},
		"denial without a name":    {replace(grants, "policy: {grants: [], deny: [{groups: [g]}]}"), "policy.deny[0].name: "},
		"policy file and denials":  {replace(grants, "policy: {file: p, deny: [{name: a}]}"), "policy: policy.file and rules beside it exclude"},
		"negative file size":       {replace("{stdout: true}", "{file: a, maxFileBytes: -1}"), "audit.maxFileBytes: "},
		"file size of stdout":      {replace("{stdout: true}", "{stdout: true, maxFileBytes: 1}"), "audit.maxFileBytes: "},
		"negative concurrency":     {good + "limits: {maxConcurrent: -1}\n", "limits.maxConcurrent: "},
		"negative burst":           {good + "limits: {payloadBurst: -1}\n", "limits.payloadBurst: "},
		"negative rate":            {good + "limits: {payloadsPerSecond: -1}\n", "limits.payloadsPerSecond: "},
		"a rate that is no number": {good + "limits: {payloadsPerSecond: .nan}\n", "limits.payloadsPerSecond: "},
		"download of no number":    {good + "limits: {downloadBytesPerSecond: .nan}\n", "limits.downloadBytesPerSecond: "},
		"a sample of no number":    {good + "traces: {endpoint: 'http://127.0.0.1:4318', sample: .nan}\n", "traces.sample: "},
		"negative references":      {good + "limits: {maxReferences: -1}\n", "limits.maxReferences: "},
		"negative download":        {good + "limits: {maxDownloadBytes: -1}\n", "limits.maxDownloadBytes: "},
		"negative downloads":       {good + "limits: {maxDownloads: -1}\n", "limits.maxDownloads: "},
		"negative download burst":  {good + "limits: {downloadBurstBytes: -1}\n", "limits.downloadBurstBytes: "},
		"negative download rate":   {good + "limits: {downloadBytesPerSecond: -1}\n", "limits.downloadBytesPerSecond: "},
		"storage without a driver": {good + "storage: [{folder: .}]\n", "storage[0].driver: "},
		"storage without a folder": {good + "storage: [{driver: s3}]\n", "storage[0].folder: "},
		"storage that is missing":  {good + "storage: [{driver: s3, folder: nowhere}]\n", "storage[0].folder: stat nowhere"},
		"syslog without port":      {replace("{stdout: true}", "{file: a, syslog: {address: logs}}"), "audit.syslog.address: \"logs\" is not a host and port"},
		"syslog without address":   {replace("{stdout: true}", "{file: a, syslog: {hostname: h}}"), "audit.syslog.address: "},
		"syslog of stdout":         {replace("{stdout: true}", "{stdout: true, syslog: {address: 'logs:1'}}"), "audit.syslog: it sends on what stands in audit.file"},
		"syslog in the clear":      {replace("{stdout: true}", "{file: a, syslog: {address: 'logs:1', plaintextTCP: true}}"), "audit.syslog.plaintextTCP: logs:1 is another machine"},
		"syslog twice in clear":    {replace("{stdout: true}", "{file: a, syslog: {address: '127.0.0.1:1', plaintextTCP: true, insecureAllowPlaintextTCP: true}}"), "exclude each other"},
		"syslog CA without TLS":    {replace("{stdout: true}", "{file: a, syslog: {address: '127.0.0.1:1', plaintextTCP: true, caCert: c}}"), "are for TLS, which is turned off"},
		"syslog with half a pair":  {replace("{stdout: true}", "{file: a, syslog: {address: 'logs:1', cert: c}}"), "cert and key belong together"},
		"syslog CA missing":        {replace("{stdout: true}", "{file: a, syslog: {address: 'logs:1', caCert: ca.pem}}"), "audit.syslog.caCert: open ca.pem"},
		"syslog CA that is none":   {replace("{stdout: true}", "{file: a, syslog: {address: 'logs:1', caCert: config.yaml}}"), "holds no certificate"},
		"syslog pair missing":      {replace("{stdout: true}", "{file: a, syslog: {address: 'logs:1', cert: c, key: k}}"), "audit.syslog: loading certificate and key"},
		"cursor in the audit log":  {replace("{stdout: true}", "{file: log/a, syslog: {address: 'logs:1', cursor: ./log//a}}"), "audit.syslog.cursor: "},
		"cursor beside it":         {replace("{stdout: true}", "{file: ./log/a, syslog: {address: 'logs:1', cursor: log/a.cursor}}"), "audit.syslog.cursor: "},
		"metrics without port":     {good + "metrics: {listen: localhost}\n", "metrics.listen: "},
		"metrics for everybody":    {good + "metrics: {listen: '127.0.0.1:8234'}\n", "metrics.listen: "},
		"traces without scheme":    {good + "traces: {endpoint: 'collector:4318'}\n", "traces.endpoint: "},
		"traces in the clear":      {good + "traces: {endpoint: 'http://collector:4318'}\n", "must begin with https"},
		"traces of nothing":        {good + "traces: {endpoint: 'http://127.0.0.1:4318', sample: 0}\n", "traces.sample: "},
		"a fraction of no traces":  {good + "traces: {sample: 0.5}\n", "traces.endpoint: "},
		"a long stop":              {good + "stopDelay: 1h\n", "stopDelay: "},
		"bad mode":                 {good + "mode: lenient\n", `mode: "lenient"`},
		"negative interval":        {good + "refreshInterval: -1s\n", "refreshInterval: "},
		"interval without unit":    {good + "refreshInterval: 60\n", `refreshInterval: "60" is not a time`},
		"no audit":                 {replace("audit: {stdout: true}", ""), "audit: audit.file or audit.stdout is required"},
		"two audits":               {replace("{stdout: true}", "{stdout: true, file: x}"), "audit: audit.file and audit.stdout exclude"},
		"any origin":               {good + "cors: {origins: ['*']}\n", `cors.origins[0]: "*" is not an origin`},
		"negative limit":           {good + "limits: {maxPayloads: -1}\n", "limits.maxPayloads: "},
		"negative limit of bytes":  {good + "limits: {maxOpenedBytes: -1}\n", "limits.maxOpenedBytes: "},
	} {
		t.Run(says, func(t *testing.T) {
			got, err := load(t, c.text)
			if err == nil || got != nil {
				t.Fatalf("loaded %+v, %v; want an error", got, err)
			}
			if !strings.HasPrefix(err.Error(), "config.yaml: ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with %q", err, c.want)
			}
		})
	}
}

func TestAPlainPublicAddressNeedsTheUglyWord(t *testing.T) {
	text := strings.Replace(good, "127.0.0.1:8234", "0.0.0.0:8234", 1) + "insecureAllowPlaintextHTTP: true\n"
	if _, err := load(t, text); err != nil {
		t.Error(err)
	}
}

func TestAMissingConfigurationIsNamed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := loadConfig(name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("loadConfig = %v, want an error that names the file", err)
	}
}
