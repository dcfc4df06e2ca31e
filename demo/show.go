package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// view is one payload from three sides.
type view struct {
	title               string
	payload, alice, bob *commonpb.Payload
}

// show prints what Temporal stores beside what each operator sees, and the audit records of their looking.
func (d *demo) show(ctx context.Context) error {
	s, err := d.readStored(ctx)
	if err != nil {
		return err
	}
	views := s.views()
	var payloads []*commonpb.Payload
	for _, v := range views {
		payloads = append(payloads, v.payload)
	}
	forAlice, err := d.alice.sees(payloads...)
	if err != nil {
		return err
	}
	forBob, err := d.bob.sees(payloads...)
	if err != nil {
		return err
	}
	d.out.title("What Temporal stores, and who sees what (workflow " + workflowID + ", namespace " + namespace + ")")
	for i := range views {
		views[i].alice, views[i].bob = forAlice[i], forBob[i]
		d.out.view(views[i], d.alice, d.bob)
	}
	d.out.title("On whose behalf")
	d.out.behalf(s.header, d.insurer.called())
	d.out.title("What signet-server wrote down")
	records, err := readAudit(d.auditFile)
	if err != nil {
		return err
	}
	for _, r := range records {
		d.out.record(r)
	}
	return nil
}

// views picks the payloads worth looking at, those that are there.
func (s *stored) views() []view {
	input, failure, result := view{title: "Input"}, view{title: "Failed attempt of an activity"}, view{title: "Result"}
	for _, e := range s.events {
		if a := e.GetWorkflowExecutionStartedEventAttributes(); a != nil && input.payload == nil {
			input.payload = first(a.GetInput())
		}
		if a := e.GetActivityTaskStartedEventAttributes(); a.GetLastFailure() != nil {
			failure.payload = a.GetLastFailure().GetEncodedAttributes()
		}
		if a := e.GetWorkflowExecutionCompletedEventAttributes(); a != nil && result.payload == nil {
			result.payload = first(a.GetResult())
		}
	}
	views := []view{input, result, {title: "Memo", payload: s.memo}, failure}
	return slices.DeleteFunc(views, func(v view) bool { return v.payload == nil })
}

func first(p *commonpb.Payloads) *commonpb.Payload {
	if len(p.GetPayloads()) == 0 {
		return nil
	}
	return p.GetPayloads()[0]
}

// readAudit reads the records that signet-server has written.
func readAudit(file string) ([]audit.Record, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer f.Close()
	var records []audit.Record
	for dec := json.NewDecoder(bufio.NewReader(f)); ; {
		var r audit.Record
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		records = append(records, r)
	}
}

// invite says where to look and how to get in.
func (d *demo) invite() {
	p := d.out
	p.title("See it yourself")
	p.line("1. Look", "open "+p.bold(fmt.Sprintf("%s/namespaces/%s/workflows/%s/%s/history", d.uiURL(), namespace, workflowID, d.runID)))
	p.line("", "(in Chrome, Edge or Firefox: Safari keeps no login of an http server)")
	p.line("2. Log in", "open "+p.bold(d.codecURL+"/login")+", log in, and reload the page of the Web UI")
	p.line("", fmt.Sprintf("%s / %s  is an intake nurse, sees the patient", p.bold(d.alice.name), p.bold(d.alice.password)))
	p.line("", fmt.Sprintf("%s / %s      is from billing, sees why not (log out first)", p.bold(d.bob.name), p.bold(d.bob.password)))
	p.line("3. Or not", p.bold(d.codecURL+"/self-test")+" says why a Web UI does not decode")
	p.line("4. Audit", "tail -f "+d.auditFile)
	p.line("Desk", d.deskURL+"/intakes, where alice's request started the workflow; the activity called "+d.insurerURL)
	if d.vaultAddress != "" {
		p.line("Vault", d.vaultAddress+", root token \""+d.vaultToken+"\": the keyset is at secret/signet/keysets/"+keyset)
	}
	p.line("Temporal", d.temporal.Address+", namespace "+namespace+"; database "+d.temporal.DB)
	p.line("Server", "configuration and log of signet-server are beside that")
	fmt.Fprintln(p.w, "\nCtrl-C stops everything.")
}

func (p *printer) view(v view, alice, bob *operator) {
	field := func(label, name, value string) { fmt.Fprintf(p.w, "    %-26s %-19s %s\n", label, name, value) }
	fmt.Fprintln(p.w, "  "+p.bold(v.title))
	label := "Temporal stores"
	for _, name := range []string{"encoding", "encryption-key-id", "encryption-context"} {
		field(label, name, string(v.payload.GetMetadata()[name]))
		label = ""
	}
	field("", "data", p.red(start(v.payload.GetData())))
	fmt.Fprintf(p.w, "    %-26s %s\n", alice.String()+" sees", p.green(text(v.alice)))
	fmt.Fprintf(p.w, "    %-26s %s\n\n", bob.String()+" sees", p.yellow(text(v.bob)))
}

// behalf shows the header that carries for whom a workflow runs, and what the service at the other end makes of it.
func (p *printer) behalf(header *commonpb.Payload, calls []call) {
	field := func(label, name, value string) { fmt.Fprintf(p.w, "    %-26s %-19s %s\n", label, name, value) }
	label := "Temporal stores"
	for _, name := range []string{"encoding", "encryption-key-id"} {
		field(label, name, string(header.GetMetadata()[name]))
		label = ""
	}
	field("", "data", p.red(start(header.GetData())))
	for _, c := range calls {
		fmt.Fprintf(p.w, "    %-26s %s\n", "the insurer knows", p.green(fmt.Sprintf("called by %s, for %s of %s (transaction %s)",
			c.by.Subject, c.who.Subject, c.who.Tenant, c.who.Txn)))
	}
	fmt.Fprintln(p.w)
}

// start is the beginning of ciphertext, as hex.
func start(data []byte) string {
	const shown = 24
	if len(data) <= shown {
		return hex.EncodeToString(data)
	}
	return fmt.Sprintf("%s… %d bytes", hex.EncodeToString(data[:shown]), len(data))
}

// text is a decoded payload as the Web UI shows it; of an explanation, the sentence that it begins with.
func text(p *commonpb.Payload) string {
	if e, ok := explanationOf(p); ok {
		return e.Message + " " + e.Contact
	}
	return string(p.GetData())
}

// explanation is what signet-server puts in place of a payload that a person may not read.
type explanation struct{ Message, Reason, Contact string }

func explanationOf(p *commonpb.Payload) (explanation, bool) {
	var e explanation
	if _, marked := p.GetMetadata()["signet-explanation"]; !marked {
		return e, false
	}
	err := json.Unmarshal(p.GetData(), &e)
	return e, err == nil && e.Message != ""
}

func (p *printer) record(r audit.Record) {
	decision := p.green(fmt.Sprintf("%-6s", r.Decision))
	if r.Decision != audit.Allow {
		decision = p.yellow(fmt.Sprintf("%-6s", r.Decision))
	}
	item, because := r.Item, "rule "+r.Rule
	if r.Claimed != nil { // nothing was opened, so this is what the payload says of itself
		item = *r.Claimed
	}
	if r.Rule == "" {
		because = r.Reason
	}
	fmt.Fprintf(p.w, "  %s  %s %s %-6s  %s/%s  %s  %s\n", r.Time.Local().Format("15:04:05"), r.Action, decision, r.Subject,
		item.Namespace, item.Workflow, item.Key, p.dim(because))
}
