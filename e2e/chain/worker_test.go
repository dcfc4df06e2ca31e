package chain_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
	"github.com/signet-temporal/signet/principal/propagate"
	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/principal/s2s/vaulttoken"
)

// workerVariable, when set, makes the test program a worker: it holds the worker's configuration.
const workerVariable = "SIGNET_CHAIN_WORKER"

func TestMain(m *testing.M) {
	if config := os.Getenv(workerVariable); config != "" {
		if err := work(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type workerConfig struct {
	Temporal, Vault, RoleID, SecretID string
	BillingHost                       string // host and port
	BillingCert                       []byte // that it is certified by, DER
}

// work is a worker's main: its one login to Vault is for its keys and for its service tokens.
func work(text string) error {
	var c workerConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx := context.Background()
	vault, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: c.Vault})
	if err != nil {
		return err
	}
	session, err := vaultstore.Login(ctx, vault, vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: c.RoleID, SecretID: c.SecretID}}, nil)
	if err != nil {
		return err
	}
	defer session.Close()
	store, err := vaultstore.New(vault, vaultstore.Options{Session: session})
	if err != nil {
		return err
	}
	ring, err := keys.NewRing(ctx, store, store, keys.RingOptions{Keysets: keysets})
	if err != nil {
		return err
	}
	defer ring.Close()
	plugin, err := signet.NewPlugin(ring, signet.Options{Principal: &propagate.Options{}})
	if err != nil {
		return err
	}
	temporal, err := client.Dial(client.Options{HostPort: c.Temporal, Namespace: namespace, Plugins: []client.Plugin{plugin}})
	if err != nil {
		return err
	}
	defer temporal.Close()
	billing, err := c.billing(vault)
	if err != nil {
		return err
	}
	w := worker.New(temporal, queue, worker.Options{})
	w.RegisterWorkflow(Order)
	w.RegisterWorkflow(Payment)
	w.RegisterActivity(&Activities{billing, "https://" + c.BillingHost})
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	fmt.Println("ready")
	return dumpOnDemand(os.Stdin)
}

func (c workerConfig) billing(vault *vaultClient) (*http.Client, error) {
	certificate, err := x509.ParseCertificate(c.BillingCert)
	if err != nil {
		return nil, err
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.TLSClientConfig.RootCAs = x509.NewCertPool()
	base.TLSClientConfig.RootCAs.AddCert(certificate)
	source, err := vaulttoken.New(vault, nil)
	if err != nil {
		return nil, err
	}
	tokens, err := s2s.NewCache(source, s2s.CacheOptions{})
	if err != nil {
		return nil, err
	}
	transport, err := s2s.NewTransport(s2s.Credentials{Tokens: tokens, Audience: billingAudience}, s2s.TransportOptions{Hosts: []string{c.BillingHost}, Base: base})
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: transport}, nil
}

// dumpOnDemand writes the heap to each file that is named on a line, and says so, until there are no more.
func dumpOnDemand(files io.Reader) error {
	for lines := bufio.NewScanner(files); lines.Scan(); {
		f, err := os.Create(lines.Text())
		if err != nil {
			return err
		}
		debug.WriteHeapDump(f.Fd())
		if err := f.Close(); err != nil {
			return err
		}
		fmt.Println("dumped")
	}
	return nil
}

// Order is the workflow that the API starts.
func Order(ctx workflow.Context, item string) (receipt string, err error) {
	err = workflow.ExecuteChildWorkflow(ctx, Payment, item).Get(ctx, &receipt)
	return receipt, err
}

// Payment is its child.
func Payment(ctx workflow.Context, item string) (receipt string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var activities *Activities
	err = workflow.ExecuteActivity(ctx, activities.Charge, item).Get(ctx, &receipt)
	return receipt, err
}

// Activities call billing.
type Activities struct {
	billing *http.Client
	url     string
}

// Charge calls billing for whoever has ordered.
func (a *Activities) Charge(ctx context.Context, item string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, strings.NewReader(item))
	if err != nil {
		return "", err
	}
	res, err := a.billing.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return "", errors.Join(fmt.Errorf("billing answers %s", res.Status), err)
	}
	return string(body), nil
}

// workerProcess is a worker that runs for itself.
type workerProcess struct {
	stdin  io.Writer
	stdout *bufio.Scanner
	log    *bytes.Buffer // complete once it has ended
	end    func()
}

func startWorker(t *testing.T, c workerConfig) *workerProcess {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), workerVariable+"="+string(config))
	w := &workerProcess{log: &bytes.Buffer{}}
	cmd.Stderr = w.log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.stdin, w.stdout = stdin, bufio.NewScanner(stdout)
	w.end = func() {
		t.Helper()
		w.end = func() {}
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			t.Errorf("the worker: %v: %s", err, w.log)
		}
	}
	t.Cleanup(func() { w.end() })
	w.expect(t, "ready")
	return w
}

func (w *workerProcess) expect(t *testing.T, line string) {
	t.Helper()
	for w.stdout.Scan() {
		if w.stdout.Text() == line {
			return
		}
	}
	w.end()
	t.Fatalf("the worker ended before it was %s", line)
}

// dump returns what is in the worker's memory.
func (w *workerProcess) dump(t *testing.T) []byte {
	t.Helper()
	file := t.TempDir() + "/heap"
	if _, err := fmt.Fprintln(w.stdin, file); err != nil {
		t.Fatal(err)
	}
	w.expect(t, "dumped")
	heap, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return heap
}
