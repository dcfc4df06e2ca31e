package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/codecserver/audit/forward"
	"github.com/signet-temporal/signet/internal/loopback"
)

// syslogConfig sends the records of audit.file on, to a syslog server (RFC 5424, counted as in RFC 5425, over TLS). The
// file stays the source of truth: nobody waits for this.
type syslogConfig struct {
	Address string `yaml:"address"` // host and port, such as logs.example.com:6514
	CACert  string `yaml:"caCert"`  // PEM file with the authorities of its certificate. Default: the system's
	Cert    string `yaml:"cert"`    // certificate to show it, and behind it those between it and the authority
	Key     string `yaml:"key"`     // its private key
	// Hostname in the messages. Default: as this machine calls itself.
	Hostname string `yaml:"hostname"`
	// Cursor is the file that says which record was sent last, and none that begins with audit.file and a dot. Default:
	// audit.file with -syslog behind it.
	Cursor string `yaml:"cursor"`
	// InsecureAllowPlaintextTCP sends the records unencrypted to a server that is not on this machine.
	InsecureAllowPlaintextTCP bool `yaml:"insecureAllowPlaintextTCP"`
	// PlaintextTCP sends them unencrypted to a collector on this machine.
	PlaintextTCP bool `yaml:"plaintextTCP"`
}

func (c auditConfig) checkSyslog() error {
	s := c.Syslog
	if s == (syslogConfig{}) {
		return nil
	}
	host, _, err := net.SplitHostPort(s.Address)
	plain := s.PlaintextTCP || s.InsecureAllowPlaintextTCP
	switch {
	case err != nil || host == "":
		return fmt.Errorf("audit.syslog.address: %q is not a host and port, such as logs.example.com:6514", s.Address)
	case c.File == "":
		return errors.New("audit.syslog: it sends on what stands in audit.file, which is required beside it")
	case s.Cursor != "" && filepath.Dir(s.Cursor) == filepath.Dir(c.File) && (filepath.Base(s.Cursor) == filepath.Base(c.File) || strings.HasPrefix(filepath.Base(s.Cursor), filepath.Base(c.File)+".")):
		return fmt.Errorf("audit.syslog.cursor: %s would be taken for a file of the audit log, which are called %s and %[2]s.<number>: give it another name", s.Cursor, c.File)
	case plain && s.PlaintextTCP == s.InsecureAllowPlaintextTCP:
		return errors.New("audit.syslog: plaintextTCP and insecureAllowPlaintextTCP exclude each other")
	case s.PlaintextTCP && !loopback.Is(host):
		return fmt.Errorf("audit.syslog.plaintextTCP: %s is another machine: leave it out, and the records are sent over TLS", s.Address)
	case plain && (s.CACert != "" || s.Cert != "" || s.Key != ""):
		return errors.New("audit.syslog: caCert, cert and key are for TLS, which is turned off")
	case (s.Cert == "") != (s.Key == ""):
		return errors.New("audit.syslog: cert and key belong together: give both, or neither")
	}
	_, err = s.tls()
	return err
}

// tls reads the files, which may have been replaced.
func (s syslogConfig) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CACert != "" {
		pem, err := os.ReadFile(s.CACert)
		if err != nil {
			return nil, fmt.Errorf("audit.syslog.caCert: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("audit.syslog.caCert: %s holds no certificate in PEM form", s.CACert)
		}
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, fmt.Errorf("audit.syslog: loading certificate and key: %w: give two PEM files that belong together", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (s syslogConfig) dial(ctx context.Context) (net.Conn, error) {
	d := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	if s.PlaintextTCP || s.InsecureAllowPlaintextTCP {
		return d.DialContext(ctx, "tcp", s.Address)
	}
	c, err := s.tls()
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{NetDialer: d, Config: c}).DialContext(ctx, "tcp", s.Address)
}

// openForwarder is nil where nothing is sent on.
func openForwarder(c auditConfig, log *slog.Logger) (*forward.Forwarder, error) {
	if c.Syslog.Address == "" {
		return nil, nil
	}
	cursor := c.Syslog.Cursor
	if cursor == "" {
		cursor = c.File + "-syslog"
	}
	f, err := forward.New(forward.Options{File: c.File, Cursor: cursor, Dial: c.Syslog.dial, Host: c.Syslog.Hostname, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("audit.syslog: %w", err)
	}
	if c.Syslog.InsecureAllowPlaintextTCP {
		log.Warn("audit.syslog.insecureAllowPlaintextTCP: records are not encrypted on their way", "address", c.Syslog.Address)
	}
	return f, nil
}

// forward sends records on until the function that it returns is called, and then what is left.
func (b *built) forward() (stop func()) {
	if b.forwarder == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.forwarder.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

// forwarding says how it stands.
type forwarding struct {
	*forward.Forwarder
	log *audit.Log
}

func (f forwarding) status() (s forward.Status, behind uint64) {
	head := f.log.Head()
	s = f.Status(head)
	if head.Seq > s.Delivered.Seq {
		behind = head.Seq - s.Delivered.Seq
	}
	return s, behind
}
