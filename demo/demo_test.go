package main

import (
	"encoding/base64"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/signet-temporal/signet/principal"
)

func TestASecretIsFoundWhereverItStandsAndHoweverItIsWritten(t *testing.T) {
	if got := leak([]byte("intake-4711 of nobody")); got != "" {
		t.Errorf("leak found %q in a text without secrets", got)
	}
	for _, secret := range secrets() {
		if got := leak([]byte("\x00\x12" + secret + "\xff")); got != secret {
			t.Errorf("leak = %q, want %q", got, secret)
		}
		for before := range 7 {
			text := strings.Repeat("x", before) + secret + strings.Repeat("y", 7-before)
			for name, encoding := range map[string]*base64.Encoding{"padded": base64.StdEncoding, "raw": base64.RawStdEncoding} {
				if got := leak([]byte(encoding.EncodeToString([]byte(text)))); !strings.HasPrefix(got, secret) {
					t.Errorf("leak = %q in %s base64 of %q, want %q", got, name, text, secret)
				}
			}
		}
	}
}

func sealed(data string) *commonpb.Payload {
	return &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte("ns/x/00000001"), "encryption-context": []byte(`{"v":1,"ns":"x"}`)},
		Data:     []byte(data),
	}
}

// historyOf is what readStored would give of one event with this input.
func historyOf(p *commonpb.Payload, workflowType string) *stored {
	event := &historypb.HistoryEvent{EventId: 1, Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
			Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{p}}, Identity: workflowType,
		},
	}}
	return &stored{events: []*historypb.HistoryEvent{event}, messages: []proto.Message{event}}
}

func TestAPayloadInClearIsALeakThatNamesItsPlace(t *testing.T) {
	foreign := sealed("x")
	delete(foreign.Metadata, "encryption-context")
	for name, c := range map[string]struct {
		s    *stored
		want string
	}{
		"sealed":                  {historyOf(sealed("x"), "a"), ""},
		"json":                    {historyOf(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`1`)}, "a"), `event 1 Unspecified, WorkflowExecutionStartedEventAttributes is not sealed: its encoding is "json/plain"`},
		"another codec's":         {historyOf(foreign, "a"), "is not sealed"},
		"secret under our label":  {historyOf(sealed(patient.SSN), "a"), "gives out"},
		"secret beside a payload": {historyOf(sealed("x"), patient.Name), "gives out"},
	} {
		payloads, _, err := c.s.payloads(t.Context())
		if err != nil || len(payloads) != 1 {
			t.Fatalf("%s: payloads = %d, %v, want 1", name, len(payloads), err)
		}
		_, err = checkSealed(c.s, payloads)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v, want none", name, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "leak: ") || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want a leak that says %q", name, err, c.want)
		}
	}
}

func TestTheDatabaseIsSearchedInFullAndMustBeTheRightOne(t *testing.T) {
	write := func(name, content string) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	clean, wal := write("db", "nothing"), write("db-wal", "… "+workflowID+" …")
	const token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	if _, err := checkFiles([]string{clean, wal}, token); err != nil {
		t.Errorf("clean files: %v", err)
	}
	for what, content := range map[string]string{
		"a secret": patient.Diagnosis, "a token": token, "a token's claims": "eyJzdWIiOiJhbGljZSJ9", "a token's signature": "c2lnbmF0dXJl",
	} {
		dirty := write("db-wal", workflowID+strings.Repeat("x", 1<<20)+content)
		if _, err := checkFiles([]string{clean, dirty}, token); err == nil || !strings.HasPrefix(err.Error(), "leak: ") || !strings.Contains(err.Error(), dirty) {
			t.Errorf("a file with %s: got %v, want a leak that names %s", what, err, dirty)
		}
	}
	if _, err := checkFiles([]string{clean, wal}, ""); err == nil {
		t.Error("nothing says that there was a token: no error, want one")
	}
	for name, files := range map[string][]string{"no files": nil, "files without the workflow": {clean}, "a file that is gone": {clean + "?", wal}} {
		if _, err := checkFiles(files, token); err == nil {
			t.Errorf("%s: no error, want one: the check proves nothing", name)
		}
	}
}

func TestTheInsurerMustBeCalledForAliceAndByTheWorker(t *testing.T) {
	right := call{principal.Caller{Subject: workerClientID}, principal.Principal{Subject: "alice", Tenant: tenant}}
	if _, err := checkInsurer([]call{right, right}, "alice"); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*call){
		"another user":   func(c *call) { c.who.Subject = "bob" },
		"another tenant": func(c *call) { c.who.Tenant = "" },
		"another caller": func(c *call) { c.by.Subject = "alice" },
	} {
		wrong := right
		change(&wrong)
		if _, err := checkInsurer([]call{right, wrong}, "alice"); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := checkInsurer(nil, "alice"); err == nil {
		t.Error("no call: no error")
	}
}

func TestAHeaderInClearIsALeak(t *testing.T) {
	header := func(encoding string) []found {
		return []found{{"event 1", &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encoding), "encryption-key-id": []byte(principals + "/00000001")}}}}
	}
	if _, err := checkHeaders(header("binary/principal-v1")); err != nil {
		t.Error(err)
	}
	for _, headers := range [][]found{nil, header("json/plain")} {
		if _, err := checkHeaders(headers); err == nil {
			t.Errorf("%d headers in clear: no error", len(headers))
		}
	}
}

func TestADefaultPortMovesAndAnAskedOneDoesNot(t *testing.T) {
	taken := func(ports ...int) func(int) io.Closer {
		return func(p int) io.Closer {
			if slices.Contains(ports, p) {
				return nil
			}
			ports = append(ports, p)
			return io.NopCloser(nil)
		}
	}
	for name, c := range map[string]struct {
		args                 []string
		free                 func(int) io.Closer
		ui, frontend, server int
		notes                int
		err                  string
	}{
		"all free":                       {nil, taken(), 8080, 7233, 8081, 0, ""},
		"UI steps over the codec's port": {nil, taken(8080), 8082, 7233, 8081, 1, ""},
		"two move to different ports":    {nil, taken(8080, 8081, 8082), 8083, 7233, 8084, 2, ""},
		"asked and free":                 {[]string{"--ui-port=9000"}, taken(8080), 9000, 7233, 8081, 0, ""},
		"asked and taken":                {[]string{"--frontend-port=7233"}, taken(7233), 0, 0, 0, 0, "--frontend-port"},
	} {
		o, err := parseFlags(c.args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		notes, err := o.choosePorts(c.free)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got %v, want an error that names %s", name, err, c.err)
			}
			continue
		}
		for _, p := range o.ports() {
			if p.held == nil {
				t.Errorf("%s: port %d is not held", name, p.number)
			}
		}
		if err != nil || o.ui.number != c.ui || o.frontend.number != c.frontend || o.server.number != c.server || len(notes) != c.notes {
			t.Errorf("%s: ui %d, frontend %d, server %d, notes %q, error %v", name, o.ui.number, o.frontend.number, o.server.number, notes, err)
		}
	}
}

func TestAPortThatIsHeldIsTakenUntilItIsReleased(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	number := l.Addr().(*net.TCPAddr).Port
	if holdPort(number) != nil {
		t.Fatalf("port %d is held twice", number)
	}
	p := port{held: l}
	if err := p.release(); err != nil {
		t.Fatal(err)
	}
	again := holdPort(number)
	if again == nil {
		t.Fatalf("port %d is taken after its release", number)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoFlagIsRefused(t *testing.T) {
	for _, args := range [][]string{{"once"}, {"--twice"}, {"--ui-port=x"}} {
		var said strings.Builder
		if _, err := parseFlags(args, &said); err == nil || said.Len() == 0 {
			t.Errorf("%q: error %v, said %q, want both", args, err, said.String())
		}
	}
}

func TestOnlyAMarkedPayloadIsAnExplanation(t *testing.T) {
	body := []byte(`{"signet-explanation":"v1","message":"No.","reason":"not-granted","contact":"Ask."}`)
	marked := &commonpb.Payload{Metadata: map[string][]byte{"signet-explanation": []byte("v1")}, Data: body}
	if e, ok := explanationOf(marked); !ok || e != (explanation{"No.", "not-granted", "Ask."}) {
		t.Errorf("explanationOf = %+v, %v", e, ok)
	}
	if got, want := text(marked), "No. Ask."; got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
	if _, ok := explanationOf(&commonpb.Payload{Data: body}); ok {
		t.Error("data of a workflow passes for an explanation")
	}
}

func TestAStepThatFailsSaysWhichAndOneThatDoesNotSaysWhatCameOfIt(t *testing.T) {
	var out strings.Builder
	p := &printer{w: &out}
	if err := p.step("Temporal", func() (string, error) { return "", io.ErrUnexpectedEOF }); err == nil || err.Error() != "Temporal: unexpected EOF" || out.Len() > 0 {
		t.Errorf("a failing step: error %v, printed %q", err, out.String())
	}
	if err := p.step("Temporal", func() (string, error) { return "127.0.0.1:1", nil }); err != nil || !strings.Contains(out.String(), "Temporal                 127.0.0.1:1 (0.0 s)\n") {
		t.Errorf("a step: error %v, printed %q", err, out.String())
	}
}

func TestAStepThatTakesLongSaysThatItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &printer{w: &out}
		err := p.step("build", func() (string, error) { time.Sleep(25 * time.Second); return "built", nil })
		want := "  build                    … 10.0 s\n  build                    … 20.0 s\n  build                    built (25.0 s)\n"
		if err != nil || out.String() != want {
			t.Errorf("printed %q, error %v, want %q", out.String(), err, want)
		}
	})
}

func TestColourIsForTerminalsOnly(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := newPrinter(f).red("x"); got != "x" {
		t.Errorf("red in a file = %q, want it plain", got)
	}
	if got := (&printer{colour: true}).red("x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("red on a terminal = %q", got)
	}
}
