package main

import (
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/internal/keyconfig"
)

// config is the configuration file of signet-server, and these comments are its manual. The smallest useful one:
//
//	listen: 127.0.0.1:8234
//	issuers:
//	  - issuer: https://login.example.com
//	    audiences: [temporal-codec]
//	    idTokenAudiences: [temporal-ui]
//	namespaces:
//	  - name: payments
//	keys:
//	  vault: {address: "https://vault.example.com:8200", auth: {method: kubernetes, role: signet-server}}
//	cors:
//	  origins: ["https://temporal.example.com"]
//	audit: {file: /var/log/signet/audit.jsonl}
//	policy: {file: policy.yaml}
//
// A field that does not exist, or stands there twice, is an error. Paths are relative to the working directory. There
// are no secrets in the file.
type config struct {
	// Listen is the address and port to serve on. Required. An address that other machines can reach needs tls.
	Listen string `yaml:"listen"`
	// TLS is the server's certificate. Without it the server speaks plain HTTP, on loopback addresses only.
	TLS tlsConfig `yaml:"tls"`
	// InsecureAllowPlaintextHTTP serves plain HTTP on any address: tokens and plaintext then cross the network as they
	// are, unless a proxy on the same machine or a service mesh encrypts it.
	InsecureAllowPlaintextHTTP bool `yaml:"insecureAllowPlaintextHTTP"`

	// Issuers vouch for callers. At least one is required, or machines.
	Issuers []issuerConfig `yaml:"issuers"`
	// Machines are programs that say who they are without an issuer. Default: none.
	Machines machinesConfig `yaml:"machines"`
	// Login lets people log in to this server with their browser, for the Web UI's "include cross-origin credentials".
	// Default: nobody; the Web UI passes its own token.
	Login loginConfig `yaml:"login"`
	// Policy says who may decode and encode what. Required; what it does not grant is denied.
	Policy policyConfig `yaml:"policy"`
	// Namespaces that the server decodes and encodes for. At least one is required.
	Namespaces []namespaceConfig `yaml:"namespaces"`

	// Keys is where the keysets are. Required. The section is the same for all programs of signet.
	Keys keyconfig.Config `yaml:"keys"`
	// RefreshInterval is how often keysets are read again, such as 30s. Default: 1m. Keep it well below the keysets'
	// propagation delay.
	RefreshInterval string `yaml:"refreshInterval"`

	// CORS says which Web UIs may use the server from a browser. Default: none.
	CORS corsConfig `yaml:"cors"`
	// Mode is explain (default) or strict: whether a person in a Web UI sees an explanation in place of a payload that
	// is denied or unreadable, or the request fails. Machines always get the failure.
	Mode string `yaml:"mode"`
	// Contact is a sentence for explanations: whom to ask for access.
	Contact string `yaml:"contact"`
	// Audit is where the record of who decoded what goes. Required.
	Audit auditConfig `yaml:"audit"`
	// StopDelay is how long the server goes on taking requests when it is told to stop, while /readyz says 503 already,
	// so that what stands before it sends them elsewhere. Default: 0s. Behind a load balancer, give it a little more time
	// than that needs to notice, such as 10s.
	StopDelay string `yaml:"stopDelay"`
	// Limits bound a request, and what a caller may have.
	Limits limitsConfig `yaml:"limits"`
	// Storage is where workers keep what is too large for a history. Default: nowhere, and there is no /download.
	Storage []storageConfig `yaml:"storage"`
	// Metrics is where Prometheus finds them. Default: nowhere.
	Metrics metricsConfig `yaml:"metrics"`
	// Traces is where OpenTelemetry spans go. Default: nowhere.
	Traces tracesConfig `yaml:"traces"`
}

// metricsConfig is an address of its own, so that the metrics need no login and the codec protocol's address does not
// show them. They name namespaces, keysets and rules, and no caller.
type metricsConfig struct {
	Listen string `yaml:"listen"` // address and port of http://…/metrics, such as 127.0.0.1:9464
}

// tracesConfig names a collector that speaks OTLP over HTTP. Spans hold actions, statuses, counts and request ids, and
// neither callers nor payloads. OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_CERTIFICATE and OTEL_RESOURCE_ATTRIBUTES
// count, too.
type tracesConfig struct {
	// Endpoint is the collector's address, such as https://collector.example.com:4318; http:// is for loopback addresses
	// alone, where a collector runs beside each server.
	Endpoint string `yaml:"endpoint"`
	// Sample is which fraction of the requests is traced, more than 0 and at most 1. Default: 1.
	Sample *float64 `yaml:"sample"`
}

func (c tracesConfig) fraction() float64 {
	if c.Sample == nil {
		return 1
	}
	return *c.Sample
}

// tlsConfig names PEM files. Both or none are given. TLS 1.2 is the oldest version that is spoken.
type tlsConfig struct {
	Cert string `yaml:"cert"` // the certificate, and behind it those between it and the authority
	Key  string `yaml:"key"`  // its private key
}

// issuerConfig is one who vouches for callers by signing JSON Web Tokens.
type issuerConfig struct {
	// TemporalCloud in place of issuer, and of what follows but for idTokenAudiences, authorizedParties and maxAge.
	TemporalCloud *temporalCloudConfig `yaml:"temporalCloud"`
	// Issuer is the exact "iss" of its tokens: an https URL. Required. Its keys are found by OIDC discovery there, once,
	// when the server starts.
	Issuer string `yaml:"issuer"`
	// JWKSURL is where its keys are, for an issuer without discovery.
	JWKSURL string `yaml:"jwksURL"`
	// Audiences of access tokens (the Authorization header): the "aud" must hold one of them. Required, unless access
	// tokens are not JWTs and idTokenAudiences is given.
	Audiences []string `yaml:"audiences"`
	// IDTokenAudiences of ID tokens (the Authorization-Extras header): the client id of the Web UI.
	IDTokenAudiences []string `yaml:"idTokenAudiences"`
	// Algorithms that may sign. Default: RS256, PS256, ES256, ES384, EdDSA, and there are no others.
	Algorithms []string `yaml:"algorithms"`
	// TokenTypes are the "typ" of access tokens; one without "typ" counts as JWT. Default: at+jwt and JWT.
	TokenTypes []string `yaml:"tokenTypes"`
	// AuthorizedParties are the client ids to which tokens may have been issued ("azp" and "client_id"). Default: any.
	AuthorizedParties []string `yaml:"authorizedParties"`
	// MaxAge is how long after its "iat" a token is taken, such as 15m, even if it expires later. Default: until it
	// expires.
	MaxAge string `yaml:"maxAge"`
	// GroupsClaim is the claim with the caller's groups. Default: groups.
	GroupsClaim string `yaml:"groupsClaim"`
	// EmailClaim is the claim with the caller's e-mail address. Default: email. "email_verified" speaks about the claim
	// email alone: the address of another claim counts only where the claim email holds the same address and is
	// verified, or with allowUnverifiedEmail.
	EmailClaim string `yaml:"emailClaim"`
	// AllowUnverifiedEmail takes the address of a token that does not say "email_verified", and that of an emailClaim
	// which the claim email does not confirm; never one with "email_verified": false. For issuers where users cannot
	// choose their address.
	AllowUnverifiedEmail bool `yaml:"allowUnverifiedEmail"`
	// CACert is a PEM file with the authorities that may have signed the issuer's certificate. Default: the system's.
	CACert string `yaml:"caCert"`
}

// policyConfig names the policy file or holds the policy; exactly one of the two. The package documentation of
// codecserver/policy describes it.
type policyConfig struct {
	File            string           `yaml:"file"` // the policy in a file of its own, in place of what follows
	policy.Document `yaml:",inline"` // deny, grants, permissions
}

// namespaceConfig is one Temporal namespace.
type namespaceConfig struct {
	// Name as Temporal calls it, in the Web UI and in the policy. Required.
	Name string `yaml:"name"`
	// Scope is what its workers seal into payloads. Default: the name.
	Scope string `yaml:"scope"`
	// Keyset that seals what is encoded here, and opens. Default: ns/<name>.
	Keyset string `yaml:"keyset"`
	// AcceptKeysets are other keysets whose payloads open: of tenants, of former names.
	AcceptKeysets []string `yaml:"acceptKeysets"`
	// Tenants opens what tenants' keysets sealed, each loaded at its first use. Default: none.
	Tenants tenantsConfig `yaml:"tenants"`
	// LegacyKeys opens what other codecs sealed as well, with the keys that "signet keyset import" put into these keysets
	// for it, for the time of a migration. Such payloads name no namespace: they count as those of the namespace that the
	// request names in X-Namespace, as the Web UI and the CLI do. Default: they pass as they are.
	LegacyKeys bool `yaml:"legacyKeys"`
	// Search turns values into search tokens, under the policy's action search. Default: there are none.
	Search searchConfig `yaml:"search"`
}

// tenantsConfig says which keysets are tenants'. What is encoded here is sealed under the namespace's keyset all the same.
type tenantsConfig struct {
	// Under is what the names of tenants' keysets begin with, up to a slash, such as tenant/ or ns/payments/tenants/: the
	// same as in the workers. The rest is the tenant, in the policy as well. Where their keysets have Transit keys of their
	// own, keys.vault.ownKeysUnder says so, too.
	Under string `yaml:"under"`
}

// corsConfig lists Web UIs by origin, exactly as browsers send it: https://temporal.example.com.
type corsConfig struct {
	Origins []string `yaml:"origins"` // of Web UIs, exactly as browsers send them: https://temporal.example.com
	// AllowCredentials lets browsers send cookies, for a proxy in front of this server that logs people in.
	AllowCredentials bool `yaml:"allowCredentials"`
}

// auditConfig is exactly one of file and stdout. When it cannot be written, nothing is decoded.
type auditConfig struct {
	// File is appended to, one JSON object per payload, with an fsync before the answer leaves. It has one writer: each
	// server needs a file of its own. It may be renamed while the server runs. docs/spec/audit-v1.md has the format.
	File string `yaml:"file"`
	// MaxFileBytes is the size above which the file is renamed, to <file>.<number of its last record>, and another one
	// begun. Nothing is ever deleted. Default 104857600 (100 MiB).
	MaxFileBytes int64 `yaml:"maxFileBytes"`
	// Stdout writes the same to standard output. Logs go to standard error.
	Stdout bool `yaml:"stdout"`
	// Syslog sends what stands in File on. Default: nowhere.
	Syslog syslogConfig `yaml:"syslog"`
}

// limitsConfig bounds a request; a body that is larger is refused with status 413.
type limitsConfig struct {
	MaxBodyBytes int64 `yaml:"maxBodyBytes"` // default 16777216 (16 MiB)
	MaxPayloads  int   `yaml:"maxPayloads"`  // default 1000
	// MaxOpenedBytes is how much plaintext one request opens: sealed payloads are compressed, and small ones may hold
	// much. A person sees an explanation in place of the payloads beyond it; machines get status 422. The server needs a
	// small multiple of it in memory for each request under way. Default 67108864 (64 MiB).
	MaxOpenedBytes int64 `yaml:"maxOpenedBytes"`
	// MaxConcurrent requests are worked on at the same time; others wait for a second and get status 429. Default 256.
	MaxConcurrent int `yaml:"maxConcurrent"`
	// PayloadBurst is how many payloads one caller may have at once, and PayloadsPerSecond how fast that comes back.
	// Beyond it, a person sees an explanation and machines get status 429. A page of the Web UI has some 200 payloads, the
	// download of a long history tens of thousands. Grants with bulk: true are not counted. Defaults 3000 and 10.
	PayloadBurst      int     `yaml:"payloadBurst"`
	PayloadsPerSecond float64 `yaml:"payloadsPerSecond"` // see PayloadBurst

	DownloadLimits `yaml:",inline"`
}
