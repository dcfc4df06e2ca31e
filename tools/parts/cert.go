package parts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Cert names the PEM files of a certificate for tests.
type Cert struct {
	CertFile string // the server's certificate
	KeyFile  string // its key
	CAFile   string // what a client trusts
}

// WriteCert writes a server certificate for hosts, names or IP addresses, and the CA that issued it into
// dir, created when missing: server.pem, server-key.pem and ca.pem. Files of an earlier call are used
// again, so that a restarted server keeps the trust of its clients; the CA's key is kept nowhere. The
// certificate lasts a day.
func WriteCert(dir string, hosts ...string) (Cert, error) {
	if dir == "" || len(hosts) == 0 {
		return Cert{}, errors.New("write certificate: give a folder and the hosts it is for")
	}
	c := Cert{
		CertFile: filepath.Join(dir, "server.pem"),
		KeyFile:  filepath.Join(dir, "server-key.pem"),
		CAFile:   filepath.Join(dir, "ca.pem"),
	}
	if isFile(c.CertFile) && isFile(c.KeyFile) && isFile(c.CAFile) {
		return c, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Cert{}, fmt.Errorf("write certificate: %w", err)
	}
	if err := c.write(hosts); err != nil {
		return Cert{}, fmt.Errorf("write certificate: %w", err)
	}
	return c, nil
}

func (c Cert) write(hosts []string) error {
	ca := template("Signet test CA")
	ca.IsCA, ca.BasicConstraintsValid = true, true
	ca.KeyUsage = x509.KeyUsageCertSign
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	server := template(hosts[0])
	server.KeyUsage = x509.KeyUsageDigitalSignature
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, host)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, server, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		writePEM(c.CAFile, "CERTIFICATE", caDER),
		writePEM(c.KeyFile, "EC PRIVATE KEY", keyDER),
		writePEM(c.CertFile, "CERTIFICATE", der),
	)
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
