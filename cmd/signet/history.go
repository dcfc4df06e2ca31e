package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/signet-temporal/signet/internal/codecclient"
	"github.com/signet-temporal/signet/internal/codeclogin"
)

type historyCmd struct {
	Show   historyShowCmd   `cmd:"" help:"Show the decoded history of a workflow."`
	Export historyExportCmd `cmd:"" help:"Write the decoded history of a workflow to a file, for replay."`
}

// codecFlags say where the codec server is, in the words of the temporal CLI.
type codecFlags struct {
	codecPlace
	CodecAuth   string            `group:"codec" env:"TEMPORAL_CODEC_AUTH" placeholder:"VALUE" help:"Authorization header for it, instead of the login of signet login."`
	CodecHeader map[string]string `group:"codec" mapsep:"none" placeholder:"KEY=VALUE" help:"Another header for it; may be given several times."`
	CodecCAPath string            `group:"codec" name:"codec-ca-path" env:"SIGNET_CODEC_CA" placeholder:"FILE" help:"PEM file with the authority of its certificate."`
	Batch       int               `group:"codec" default:"100" env:"SIGNET_HISTORY_BATCH" help:"Payloads in a request, at most."`
	Parallel    int               `group:"codec" default:"4" env:"SIGNET_HISTORY_PARALLEL" help:"Requests that are under way at a time, at most."`
}

// of is the client for a namespace. What is not set by flag or variable comes from the profile of the temporal CLI.
func (f codecFlags) of(t temporalFlags, namespace string) (*codecclient.Client, error) {
	endpoint, auth, err := f.find(t.temporalProfile)
	if err != nil {
		return nil, err
	}
	o := codecclient.Options{Endpoint: endpoint, Authorization: cmp.Or(f.CodecAuth, auth), Namespace: namespace, Batch: f.Batch, Parallel: f.Parallel, Header: http.Header{}}
	for name, value := range f.CodecHeader {
		o.Header.Set(name, value)
	}
	if f.Batch <= 0 || f.Parallel <= 0 {
		return nil, codedf(exitUsage, "--batch and --parallel must be more than 0: leave them away for their defaults")
	}
	if f.CodecCAPath != "" {
		if o.HTTP, err = trusting(f.CodecCAPath); err != nil {
			return nil, codedf(exitUsage, "--codec-ca-path: %s", err)
		}
	}
	if o.Authorization == "" && o.Header.Get("Authorization") == "" {
		if o.Authorize, err = f.login(endpoint); err != nil {
			return nil, err
		}
	}
	c, err := codecclient.New(o)
	if err != nil {
		return nil, codedf(exitUsage, "--codec-endpoint: %s", err)
	}
	return c, nil
}

// login gives the header of the kept login for the codec server, nil if there is none.
func (f codecFlags) login(endpoint string) (func(context.Context) (string, error), error) {
	store, server, err := f.store(endpoint)
	if err != nil {
		return nil, err
	}
	login, err := store.Load(server)
	if err != nil || login == nil || login.Tokens == nil {
		return nil, err
	}
	client, err := issuerClient(login.CAFile)
	if err != nil {
		return nil, err
	}
	return codeclogin.NewSession(store, login, client).Authorization, nil
}

// trusting is a client that trusts the authorities in a file, and no other.
func trusting(file string) (*http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate: give it PEM", file)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: t}, nil
}

// historyFlags are those of both commands.
type historyFlags struct {
	Workflow string `arg:"" help:"Workflow id."`
	RunID    string `name:"run-id" placeholder:"ID" help:"Run of the workflow; the current or last one if it is left away."`
	codecFlags
	temporalFlags
}

const historyHelp = `Payloads are decoded by the codec server, with its policy and its audit log, a hundred in a request. There is no way
around it: keys stay where they are. A payload that may not be seen, or does not open, stays closed, and the command ends
with exit code 5 when there is such a payload or one in which something is masked. What the server is too busy for is
asked for again, for two minutes.`

// read hands the decoded history to out. onScreen says that a person watches it arrive, and needs no progress bar.
func (f *historyFlags) read(a *app, out historyWriter, onScreen bool) (outcome, error) {
	options, err := f.options()
	if err != nil {
		return outcome{}, err
	}
	codec, err := f.of(f.temporalFlags, options.Namespace)
	if err != nil {
		return outcome{}, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	temporal, err := dial(ctx, options)
	if err != nil {
		return outcome{}, err
	}
	defer temporal.Close()
	r := &reader{service: temporal.WorkflowService(), codec: codec, namespace: options.Namespace, workflow: f.Workflow, runID: f.RunID, out: out}
	done := func() {}
	if !onScreen {
		done = a.progress(r.progress)
	}
	result, err := r.run(ctx)
	done()
	if err != nil && ctx.Err() != nil {
		return result, fmt.Errorf("interrupted after %s", count(int(r.done.Load()), "event", "events"))
	}
	return result, err
}

type historyShowCmd struct {
	historyFlags
}

// Help is the long help of the command.
func (historyShowCmd) Help() string {
	return `Each event with its number, time and type, and below it what it carries: input, result, memo, summary, failures with
their stack traces. Nothing in it moves the cursor of a terminal: what is not printable is escaped.

` + historyHelp + `

With --output json: the history as Temporal's proto JSON with decoded payloads, as "signet history export" writes it.`
}

// Run shows the history.
func (c *historyShowCmd) Run(a *app) error {
	var out historyWriter = &historyText{w: a.stdout, workflow: c.Workflow}
	if a.json {
		out = &historyJSON{w: a.stdout}
	}
	result, err := c.read(a, out, isTerminal(a.stdout))
	if err != nil {
		return err
	}
	return result.judge()
}

type historyExportCmd struct {
	historyFlags
	File string `required:"" placeholder:"FILE" help:"File to write, which must not exist yet."`
}

// exported is the JSON output of `history export`.
type exported struct {
	File     string   `json:"file" help:"the file that was written"`
	RunID    string   `json:"runId" help:"run of the workflow"`
	Readings readings `json:"payloads" help:"what became of the payloads"`
}

// Help is the long help of the command.
func (historyExportCmd) Help() string {
	return `The file is Temporal's proto JSON with decoded payloads, which a replayer of the SDK takes (client.HistoryFromJSON)
with the data converter that the workers would have without signet. It holds plaintext: only its owner may read it. It is
written when the whole history was read. With exit code 5 it holds payloads that are still sealed, or masked, and a
replay may go another way than the workflow did.

` + historyHelp + "\n\n" + jsonHelp[exported]()
}

// Run writes the file.
func (c *historyExportCmd) Run(a *app) error {
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return codedf(exitRefused, "%s exists already: name another file", c.File)
	}
	if err != nil {
		return fmt.Errorf("writing the history: %w: name a file in a folder that this user may write to", err)
	}
	out := &historyJSON{w: f}
	result, err := c.read(a, out, false)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		_ = os.Remove(c.File) // half a history
		return err
	}
	e := exported{File: c.File, RunID: out.runID, Readings: result.readings}
	if err := a.print(e, e.table); err != nil {
		return err
	}
	return result.judge()
}

func (e exported) table(w io.Writer) {
	fmt.Fprintf(w, "wrote %s: %s, %s, %d decoded\n", printable(e.File), count(e.Readings.Events, "event", "events"),
		count(e.Readings.Payloads, "payload", "payloads"), e.Readings.Decoded)
}
