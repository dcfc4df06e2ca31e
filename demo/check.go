package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/principal/propagate"
)

// check proves what the demo shows, one "ok:" line for each promise. The error says what leaked.
func (d *demo) check(ctx context.Context) error {
	d.out.title("Checks")
	s, err := d.readStored(ctx)
	if err != nil {
		return err
	}
	payloads, headers, err := s.payloads(ctx)
	if err != nil {
		return err
	}
	for _, promise := range []func() (string, error){
		func() (string, error) { return checkSealed(s, payloads) },
		func() (string, error) { return checkHeaders(headers) },
		func() (string, error) { return checkFiles(d.temporal.Files(), d.deskToken) },
		func() (string, error) { return checkInsurer(d.insurer.called(), d.alice.name) },
		func() (string, error) { return d.checkDoors(ctx) },
		func() (string, error) { return d.checkAlice(payloads) },
		func() (string, error) { return d.checkBob(payloads) },
		func() (string, error) { return d.checkAudit(len(payloads)) },
		func() (string, error) { return d.checkLogout(ctx, payloads[0]) },
	} {
		kept, err := promise()
		if err != nil {
			return err
		}
		fmt.Fprintln(d.out.w, d.out.green("ok:")+" "+kept)
	}
	return nil
}

// checkSealed: no payload that Temporal's API gives out is in clear, nor is a secret anywhere else in its answers.
func checkSealed(s *stored, payloads []found) (string, error) {
	for _, f := range payloads {
		m := f.payload.GetMetadata()
		if string(m["encoding"]) != "binary/encrypted" || len(m["encryption-context"]) == 0 {
			return "", fmt.Errorf("leak: a payload of %s is not sealed: its encoding is %q", f.where, m["encoding"])
		}
	}
	for _, message := range s.messages {
		b, err := proto.Marshal(message)
		if err != nil {
			return "", err
		}
		if secret := leak(b); secret != "" {
			return "", fmt.Errorf("leak: Temporal's API gives out %q in a %s", secret, message.ProtoReflect().Descriptor().Name())
		}
	}
	return fmt.Sprintf("all %d payloads in %d events, 2 descriptions and the list of workflows are sealed", len(payloads), len(s.events)), nil
}

// checkHeaders: every header says, sealed, for whom; and there are some.
func checkHeaders(headers []found) (string, error) {
	for _, f := range headers {
		if m := f.payload.GetMetadata(); string(m["encoding"]) != propagate.Encoding || !strings.HasPrefix(string(m["encryption-key-id"]), principals+"/") {
			return "", fmt.Errorf("leak: a header of %s is not sealed: its encoding is %q", f.where, m["encoding"])
		}
	}
	if len(headers) == 0 {
		return "", errors.New("no header says for whom the workflows run")
	}
	return fmt.Sprintf("for whom they run stands sealed in all %d headers", len(headers)), nil
}

// checkInsurer: the service that the activity called knows for whom, and by whom.
func checkInsurer(calls []call, name string) (string, error) {
	if len(calls) == 0 {
		return "", errors.New("the insurer was not called")
	}
	for _, c := range calls {
		if c.who.Subject != name || c.who.Tenant != tenant || c.by.Subject != workerClientID {
			return "", fmt.Errorf("the insurer was called by %q for %q of %q, and should be by %q for %q of %q",
				c.by.Subject, c.who.Subject, c.who.Tenant, workerClientID, name, tenant)
		}
	}
	return fmt.Sprintf("the insurer was called by %s, on behalf of %s of %s", workerClientID, name, tenant), nil
}

// checkDoors: neither service lets anybody in who does not show who they are.
func (d *demo) checkDoors(ctx context.Context) (string, error) {
	for _, url := range []string{d.deskURL + "/intakes", d.insurerURL + "/policies"} {
		var no *refused
		if err := d.post(ctx, url, "", []byte("{}"), nil); !errors.As(err, &no) || no.status != http.StatusUnauthorized {
			return "", fmt.Errorf("%s lets a request in that has no token: %w", url, err)
		}
	}
	if err := d.post(ctx, d.insurerURL+"/policies", d.deskToken, []byte("{}"), nil); err == nil {
		return "", errors.New("the insurer takes a user's token for a service's")
	}
	return "the desk and the insurer let nobody in without a token of the right kind", nil
}

// checkFiles: no secret and nothing of the token is in the files of Temporal's database, while what is not secret is.
func checkFiles(files []string, token string) (string, error) {
	_, body, _ := strings.Cut(token, ".") // the first part is the same in all tokens
	claims, signature, ok := strings.Cut(body, ".")
	if !ok {
		return "", errors.New("alice had no token at the front desk")
	}
	var size int
	complete := false
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read Temporal's database: %w", err)
		}
		if secret := leak(b); secret != "" {
			return "", fmt.Errorf("leak: Temporal's database file %s holds %q", file, secret)
		}
		if bytes.Contains(b, []byte(claims)) || bytes.Contains(b, []byte(signature)) {
			return "", fmt.Errorf("leak: Temporal's database file %s holds alice's token", file)
		}
		size += len(b)
		complete = complete || bytes.Contains(b, []byte(workflowID))
	}
	if !complete {
		return "", fmt.Errorf("the workflow id %s is not in Temporal's database files: these are the wrong files, or nothing was stored", workflowID)
	}
	return fmt.Sprintf("none of the %d planted secrets is in the %d bytes of Temporal's %d database files, in clear or as base64, and nothing of alice's token", len(secrets()), size, len(files)), nil
}

// leak returns the first secret that b holds, as it is or as base64, or "".
func leak(b []byte) string {
	for _, secret := range secrets() {
		if bytes.Contains(b, []byte(secret)) {
			return secret
		}
		for _, encoded := range base64Forms(secret) {
			if bytes.Contains(b, []byte(encoded)) {
				return secret + " (as base64)"
			}
		}
	}
	return ""
}

// base64Forms returns what secret looks like inside base64 text, wherever in that text it begins: three forms, less the
// characters at either end that its neighbours decide.
func base64Forms(secret string) []string {
	var forms []string
	for before := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), secret...))
		from := (before*8 + 5) / 6
		to := (before + len(secret)) * 8 / 6
		forms = append(forms, text[from:to])
	}
	return forms
}

// checkAlice: who may read gets every payload opened, and all secrets are there. That the payloads open says that they
// are sealed indeed, not only labelled; and that the secrets are found says that the other checks look for the right ones.
func (d *demo) checkAlice(payloads []found) (string, error) {
	opened, err := d.alice.sees(only(payloads)...)
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for i, p := range opened {
		e, explained := explanationOf(p)
		if explained || p.GetMetadata()["encryption-context"] != nil {
			return "", fmt.Errorf("%s may read and was not shown a payload of %s: %s", d.alice, payloads[i].where, e.Message)
		}
		all.Write(p.GetData())
	}
	for _, secret := range secrets() {
		if !strings.Contains(all.String(), secret) {
			return "", fmt.Errorf("%q was planted and %s does not see it in any payload", secret, d.alice)
		}
	}
	return fmt.Sprintf("%s, logged in, gets all %d payloads opened by signet-server, and every secret is there", d.alice, len(opened)), nil
}

// checkBob: who may not read gets an explanation for every payload and nothing of what is in it.
func (d *demo) checkBob(payloads []found) (string, error) {
	answers, err := d.bob.sees(only(payloads)...)
	if err != nil {
		return "", err
	}
	for i, p := range answers {
		if secret := leak(p.GetData()); secret != "" {
			return "", fmt.Errorf("leak: signet-server shows %s %q from %s", d.bob, secret, payloads[i].where)
		}
		if e, ok := explanationOf(p); !ok || e.Reason != "not-granted" {
			return "", fmt.Errorf("leak: %s may not read, and for a payload of %s gets something else than the explanation", d.bob, payloads[i].where)
		}
	}
	return fmt.Sprintf("%s, logged in, gets an explanation in place of each of them", d.bob), nil
}

// checkAudit: every look of either is on record, with who, what of which workflow, and by which rule.
func (d *demo) checkAudit(payloads int) (string, error) {
	records, err := readAudit(d.auditFile)
	if err != nil {
		return "", err
	}
	allowed, denied := 0, 0
	for _, r := range records {
		switch {
		case r.Decision == audit.Allow && r.Subject == d.alice.name && r.Rule != "" && r.Namespace == namespace && r.Key != "":
			allowed++
		case r.Decision == audit.Deny && r.Subject == d.bob.name && r.Rule == "" && r.Claimed != nil && r.Claimed.Namespace == namespace:
			denied++
		default:
			return "", fmt.Errorf("the audit log has a record that nobody caused: %s of %q, reason %q", r.Decision, r.Subject, r.Reason)
		}
	}
	if allowed < payloads || denied < payloads {
		return "", fmt.Errorf("the audit log is incomplete: %d allowed and %d denied for %d payloads each", allowed, denied, payloads)
	}
	b, err := os.ReadFile(d.auditFile)
	if err != nil {
		return "", err
	}
	if secret := leak(b); secret != "" {
		return "", errors.New("leak: the audit log holds " + secret)
	}
	return fmt.Sprintf("the audit log has %d records: %d allowed to %s, %d denied to %s", len(records), allowed, d.alice.name, denied, d.bob.name), nil
}

// checkLogout: whoever has kept a copy of a session gets nothing by it once its owner has logged out.
func (d *demo) checkLogout(ctx context.Context, f found) (string, error) {
	server, err := url.Parse(d.codecURL)
	if err != nil {
		return "", err
	}
	session := d.alice.browser.Jar.Cookies(server)
	if err := d.alice.logOut(ctx, d.codecURL); err != nil {
		return "", err
	}
	d.alice.browser.Jar.SetCookies(server, session)
	answers, err := d.alice.sees(f.payload)
	if err != nil {
		return "", err
	}
	if e, ok := explanationOf(answers[0]); !ok || e.Reason != "ended-session" {
		return "", fmt.Errorf("leak: the session that %s has ended still opens a payload of %s", d.alice, f.where)
	}
	return fmt.Sprintf("%s has logged out, and the same session, replayed, opens nothing", d.alice), nil
}

func only(all []found) []*commonpb.Payload {
	var payloads []*commonpb.Payload
	for _, f := range all {
		payloads = append(payloads, f.payload)
	}
	return payloads
}
