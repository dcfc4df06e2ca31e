package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/rogpeppe/go-internal/testscript"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/rotate"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"signet-server": main})
}

// The scripts run signet-server as a process of its own. What stands around it (an identity provider, a client) runs in
// the test: see the commands below.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=10") // the race detector's own second of sleep, for each process
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"keyset": cmdKeyset, "sealed": cmdSealed, "idp": cmdIDP, "idplogin": cmdIDPLogin, "token": cmdToken, "expired": cmdExpired, "certificate": cmdCertificate,
			"port": cmdPort, "take": cmdTake, "waitready": cmdWaitReady, "post": cmdPost, "get": cmdGet,
			"envsubst": cmdEnvsubst, "change": cmdChange, "terminate": cmdTerminate,
			"hangup": cmdHangup, "getuntil": cmdGetUntil, "postuntil": cmdPostUntil,
			"taketoken": cmdTakeToken, "addexpired": cmdAddExpired, "smalldisk": cmdSmallDisk, "empty": cmdEmpty,
		},
		Condition: func(cond string) (bool, error) {
			return cond == "root" && runtime.GOOS == "linux" && os.Getuid() == 0, nil
		},
		RequireExplicitExec: true,
	})
}

// envsubst FILE replaces ${VAR} in the file.
func cmdEnvsubst(ts *testscript.TestScript, _ bool, args []string) {
	check(ts, os.WriteFile(ts.MkAbs(args[0]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

// change FROM TO OLD NEW writes a copy of FROM with every OLD replaced; there must be one.
func cmdChange(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[2]) {
		ts.Fatalf("%s does not hold %q", args[0], args[2])
	}
	check(ts, os.WriteFile(ts.MkAbs(args[1]), []byte(strings.ReplaceAll(text, args[2], args[3])), 0o600))
}

// terminate sends SIGTERM to what runs in the background.
func cmdTerminate(ts *testscript.TestScript, _ bool, _ []string) {
	for _, c := range ts.BackgroundCmds() {
		check(ts, c.Process.Signal(syscall.SIGTERM))
	}
}

// hangup sends SIGHUP to what runs in the background.
func cmdHangup(ts *testscript.TestScript, _ bool, _ []string) {
	for _, c := range ts.BackgroundCmds() {
		check(ts, c.Process.Signal(syscall.SIGHUP))
	}
}

func check(ts *testscript.TestScript, err error) {
	if err != nil {
		ts.Fatalf("%v", err)
	}
}

// keyset DIR NAME... makes a key store and keysets in it: of search keys where the name says search.
func cmdKeyset(ts *testscript.TestScript, _ bool, args []string) {
	store, err := filestore.OpenOrCreate(ts.MkAbs(args[0]))
	check(ts, err)
	for _, name := range args[1:] {
		o := rotate.Options{Type: keys.XAES256GCM, PropagationDelay: time.Minute}
		if strings.Contains(name, "search") {
			o.Type = keys.HMACSHA256PRF
		}
		_, err := rotate.Create(context.Background(), store, store, name, o)
		check(ts, err)
	}
}

// sealed FILE DIR KEYSET SCOPE TEXT [LABELS] writes the body of a decode request with the text, sealed.
func cmdSealed(ts *testscript.TestScript, _ bool, args []string) {
	store, err := filestore.Open(ts.MkAbs(args[1]))
	check(ts, err)
	ring, err := keys.NewRing(context.Background(), store, store, keys.RingOptions{Keysets: args[2:3]})
	check(ts, err)
	defer ring.Close()
	codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: args[2], Scope: args[3]})
	check(ts, err)
	metadata := map[string][]byte{"encoding": []byte("json/plain")}
	if len(args) > 5 {
		metadata["signet-labels"] = []byte(args[5])
	}
	sealed, err := codec.Seal(&commonpb.Payload{Metadata: metadata, Data: []byte(args[4])})
	check(ts, err)
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{sealed}})
	check(ts, err)
	check(ts, os.WriteFile(ts.MkAbs(args[0]), body, 0o600))
}

// idp starts an identity provider and sets $ISSUER.
func cmdIDP(ts *testscript.TestScript, _ bool, _ []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(ts, err)
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Use: "sig"}}})
			return
		}
		document := map[string]string{"issuer": issuer, "jwks_uri": issuer + "/keys"}
		if _, err := os.Stat(ts.MkAbs("idp.login")); err == nil {
			document["authorization_endpoint"], document["token_endpoint"] = issuer+"/authorize", issuer+"/token"
		}
		_ = json.NewEncoder(w).Encode(document)
	})
	server.Start()
	ts.Defer(server.Close)
	ts.Setenv("ISSUER", issuer)
	der, err := x509.MarshalECPrivateKey(key)
	check(ts, err)
	check(ts, os.WriteFile(ts.MkAbs("idp.key"), der, 0o600))
}

// idplogin has the identity provider say where people log in.
func cmdIDPLogin(ts *testscript.TestScript, _ bool, _ []string) {
	check(ts, os.WriteFile(ts.MkAbs("idp.login"), nil, 0o600))
}

// token VAR SUBJECT GROUP sets VAR to a token of the identity provider.
func cmdToken(ts *testscript.TestScript, _ bool, args []string) { setToken(ts, time.Hour, args) }

// expired VAR SUBJECT GROUP is token, an hour too late.
func cmdExpired(ts *testscript.TestScript, _ bool, args []string) { setToken(ts, -time.Hour, args) }

func setToken(ts *testscript.TestScript, life time.Duration, args []string) {
	key, err := x509.ParseECPrivateKey([]byte(ts.ReadFile("idp.key")))
	check(ts, err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	check(ts, err)
	claims, err := json.Marshal(map[string]any{"iss": ts.Getenv("ISSUER"), "aud": "codec", "sub": args[1], "groups": args[2:], "exp": time.Now().Add(life).Unix()})
	check(ts, err)
	jws, err := signer.Sign(claims)
	check(ts, err)
	token, err := jws.CompactSerialize()
	check(ts, err)
	ts.Setenv(args[0], token)
}

// certificate CERT KEY writes a self-signed certificate for 127.0.0.1.
func cmdCertificate(ts *testscript.TestScript, _ bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(ts, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(ts, err)
	der, err := x509.MarshalECPrivateKey(key)
	check(ts, err)
	check(ts, os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	check(ts, os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600))
}

// port VAR sets VAR to an address of 127.0.0.1 that is free.
func cmdPort(ts *testscript.TestScript, _ bool, args []string) {
	address, err := freeAddress()
	check(ts, err)
	ts.Setenv(args[0], address)
}

// freeAddress is an address of 127.0.0.1 that is free. Its port is below those that the system gives to whoever asks for
// any (from 32768 on): tests beside this one do.
func freeAddress() (string, error) {
	var err error
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+mathrand.IntN(12000))
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", err
}

// take ADDRESS listens there until the script ends.
func cmdTake(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", args[0])
	check(ts, err)
	ts.Defer(func() { _ = l.Close() })
}

// client trusts cert.pem of the script, if there is one, and speaks HTTP/2 where the server does.
func client(ts *testscript.TestScript) *http.Client {
	transport := &http.Transport{ForceAttemptHTTP2: true, DisableKeepAlives: true}
	if cert, err := os.ReadFile(ts.MkAbs("cert.pem")); err == nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(cert)
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// waitready URL waits until URL/readyz answers 200.
func cmdWaitReady(ts *testscript.TestScript, _ bool, args []string) {
	var last error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		resp, err := client(ts).Get(args[0] + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		last = err
		<-time.After(20 * time.Millisecond)
	}
	ts.Fatalf("not ready after 20 s: %v", last)
}

// getuntil PATTERN URL gets until the reply matches.
func cmdGetUntil(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, args[0], func() (string, error) {
		resp, err := client(ts).Get(args[1])
		if err != nil {
			return "", err
		}
		return replyText(resp)
	})
}

// postuntil PATTERN URL FILE [HEADER=VALUE...] posts until the reply matches.
func cmdPostUntil(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, args[0], func() (string, error) {
		resp, err := client(ts).Do(postRequest(ts, args[1:]))
		if err != nil {
			return "", err
		}
		return replyText(resp)
	})
}

func until(ts *testscript.TestScript, pattern string, try func() (string, error)) {
	want := regexp.MustCompile(pattern)
	var last string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		text, err := try()
		if err == nil && want.MatchString(text) {
			return
		}
		last = fmt.Sprintf("%s, %v", text, err)
	}
	ts.Fatalf("no %q after 20 s: %s", pattern, last)
}

// get URL prints protocol, status and body.
func cmdGet(ts *testscript.TestScript, _ bool, args []string) {
	resp, err := client(ts).Get(args[0])
	check(ts, err)
	printReply(ts, resp)
}

// post URL FILE [HEADER=VALUE...] sends the file as JSON and prints protocol, status and body; payloads with their data
// in clear.
func cmdPost(ts *testscript.TestScript, _ bool, args []string) {
	resp, err := client(ts).Do(postRequest(ts, args))
	check(ts, err)
	printReply(ts, resp)
}

func postRequest(ts *testscript.TestScript, args []string) *http.Request {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, args[0], strings.NewReader(ts.ReadFile(args[1])))
	check(ts, err)
	r.Header.Set("Content-Type", "application/json")
	for _, h := range args[2:] {
		name, value, _ := strings.Cut(h, "=")
		r.Header.Set(name, value)
	}
	return r
}

func printReply(ts *testscript.TestScript, resp *http.Response) {
	text, err := replyText(resp)
	check(ts, err)
	_, err = ts.Stdout().Write([]byte(text))
	check(ts, err)
}

func replyText(resp *http.Response) (string, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s %d %s\n", resp.Proto, resp.StatusCode, strings.TrimSpace(string(body)))
	var payloads commonpb.Payloads
	if protojson.Unmarshal(body, &payloads) == nil {
		for _, p := range payloads.Payloads {
			fmt.Fprintf(&out, "payload %s %s\n", p.Metadata["encoding"], p.Data)
		}
	}
	return out.String(), nil
}

// smalldisk DIR makes a file system that is full but for one page of 4096 bytes.
func cmdSmallDisk(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	check(ts, os.Mkdir(dir, 0o700))
	check(ts, exec.Command("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", dir).Run())
	ts.Defer(func() { _ = exec.Command("umount", dir).Run() })
	check(ts, os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 12<<10), 0o600))
}

// empty DIR makes room in a disk of smalldisk.
func cmdEmpty(ts *testscript.TestScript, _ bool, args []string) {
	check(ts, os.Remove(filepath.Join(ts.MkAbs(args[0]), "filler")))
}
