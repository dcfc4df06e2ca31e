package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/keys"
)

// maxInspect is far beyond Temporal's largest history, and small enough to hold in memory.
const maxInspect = 256 << 20

type payloadCmd struct {
	Inspect inspectCmd `cmd:"" help:"Show what the outside of sealed payloads says; needs no key."`
}

type inspectCmd struct {
	File string `arg:"" optional:"" default:"-" help:"File with JSON that contains payloads; - or none is standard input."`
}

// Help is the long help of the command.
func (inspectCmd) Help() string {
	return `The JSON is what the temporal CLI or the Web UI shows: one payload, a list of them, an event, or a whole history.
Every payload in it is found, wherever it stands:

    temporal workflow show -w order-17 -o json | signet payload inspect

What is printed is the outside of the payloads, which everybody who can write to Temporal can forge: it is authenticated
only when a payload is opened. Payloads that signet did not seal are listed with their encoding, never with their data. (The
temporal CLI writes plaintext payloads as bare values, which are not found here: add --no-json-shorthand-payloads.)

` + jsonHelp[inspection]()
}

// inspection is the JSON output of `payload inspect`.
type inspection struct {
	Authenticated bool          `json:"authenticated" help:"always false: nothing here is authenticated until a payload is opened"`
	Sealed        int           `json:"sealed" help:"how many payloads were sealed by signet"`
	Malformed     int           `json:"malformed" help:"how many of these are not well formed"`
	Foreign       int           `json:"foreign" help:"how many payloads were not sealed by signet"`
	Payloads      []payloadInfo `json:"payloads" help:"every payload that was found"`
}

type payloadInfo struct {
	Path          string `json:"path" help:"where it was found, as JSONPath; '2:$' is the second document of several"`
	Sealed        bool   `json:"sealed" help:"whether it says that signet sealed it"`
	WellFormed    bool   `json:"wellFormed" help:"whether it follows the format; false for a foreign payload"`
	Problem       string `json:"problem,omitempty" help:"why it is not well formed"`
	Encoding      string `json:"encoding" help:"its encoding, such as binary/encrypted"`
	Keyset        string `json:"keyset,omitempty" help:"name of the keyset"`
	KeyID         string `json:"keyId,omitempty" help:"key id, eight hex digits"`
	Scope         string `json:"scope,omitempty" help:"scope it was sealed for: the namespace, or what stands for it"`
	WorkflowID    string `json:"workflowId,omitempty" help:"workflow it was sealed for; absent if the encoder knew none"`
	TinkPrefix    string `json:"tinkPrefix,omitempty" help:"first five bytes of the ciphertext in hex: 01 and the key id"`
	DataBytes     int    `json:"dataBytes" help:"size of the ciphertext or data"`
	MetadataBytes int    `json:"metadataBytes" help:"size of the metadata, names and values"`
	RawKeyID      string `json:"rawKeyId,omitempty" help:"the encryption-key-id of a payload that is not well formed"`
	RawContext    string `json:"rawContext,omitempty" help:"the encryption-context of a payload that is not well formed"`
}

// Run inspects the file, or standard input.
func (c inspectCmd) Run(a *app) error {
	in, name := a.stdin, "standard input"
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("reading payloads: %w: name a file that this user may read, or - for standard input", err)
		}
		defer file.Close()
		in, name = file, c.File
	} else if isTerminal(a.stdin) {
		fmt.Fprintln(a.stderr, "signet: reading JSON from the terminal; end it with Ctrl-D")
	}
	done := func() {}
	if in != a.stdin || !isTerminal(a.stdin) {
		done = a.waiting("reading " + name)
	}
	payloads, err := findPayloads(in, maxInspect)
	done()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(payloads) == 0 {
		return fmt.Errorf("%s: found no payload: give it JSON with objects like {\"metadata\":{\"encoding\":…},\"data\":…}", name)
	}
	report := inspection{}
	for _, p := range payloads {
		info := inspect(p)
		report.Payloads = append(report.Payloads, info)
		switch {
		case !info.Sealed:
			report.Foreign++
		case !info.WellFormed:
			report.Malformed++
			fallthrough
		default:
			report.Sealed++
		}
	}
	if err := a.print(report, report.table); err != nil {
		return err
	}
	if report.Malformed > 0 {
		return fmt.Errorf("%s not well formed: see why above", count(report.Malformed, "sealed payload is", "sealed payloads are"))
	}
	return nil
}

func inspect(p found) payloadInfo {
	info := payloadInfo{
		Path:      p.path,
		Sealed:    wire.Sealed(p.metadata),
		Encoding:  string(p.metadata[wire.MetadataEncoding]),
		DataBytes: len(p.data),
	}
	for name, value := range p.metadata {
		info.MetadataBytes += len(name) + len(value)
	}
	if !info.Sealed {
		return info
	}
	if prefix := p.data[:min(5, len(p.data))]; len(prefix) > 0 {
		info.TinkPrefix = hex.EncodeToString(prefix)
	}
	outer, err := wire.Parse(p.metadata, p.data)
	switch {
	case p.problem != "":
		info.Problem = p.problem
	case err != nil:
		info.Problem = strings.TrimPrefix(err.Error(), wire.ErrMalformed.Error()+": ")
	default:
		info.WellFormed = true
		info.Keyset, info.KeyID = outer.Keyset, keys.ID(outer.KeyID).String()
		info.Scope, info.WorkflowID = outer.Scope, outer.Workflow
		return info
	}
	info.RawKeyID = excerpt(p.metadata[wire.MetadataKeyID])
	info.RawContext = excerpt(p.metadata[wire.MetadataContext])
	return info
}

// excerpt is what is shown of a value that breaks the format and may be anything.
func excerpt(value []byte) string {
	const most = 300
	if len(value) > most {
		return strings.ToValidUTF8(string(value[:most]), "\uFFFD") + "…"
	}
	if !utf8.Valid(value) {
		return strings.ToValidUTF8(string(value), "\uFFFD")
	}
	return string(value)
}

const notAuthenticated = "Nothing of this is authenticated until a payload is opened: anybody who can write to Temporal can forge it."

func (r inspection) table(w io.Writer) {
	if len(r.Payloads) == 1 {
		r.Payloads[0].card(w)
	} else {
		r.rows(w)
	}
	if r.Sealed > 0 {
		fmt.Fprintf(w, "\n%s\n", notAuthenticated)
	}
}

// rows prints one line for each payload, the path last because it is long.
func (r inspection) rows(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "PAYLOAD\tKEYSET\tKEY\tSCOPE\tWORKFLOW\tSIZE\tTINK PREFIX\tFOUND AT")
	for _, p := range r.Payloads {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.kind(), dash(p.Keyset), dash(p.KeyID), dash(p.Scope), dash(p.WorkflowID),
			size(int64(p.DataBytes)), dash(p.TinkPrefix), printable(p.Path))
	}
	tw.Flush()
	for _, p := range r.Payloads {
		if p.Problem != "" {
			fmt.Fprintf(w, "\n%s: not well formed: %s\n", printable(p.Path), printable(p.Problem))
			p.raw(w)
		}
	}
	fmt.Fprintf(w, "\n%s: %d sealed by signet", count(len(r.Payloads), "payload", "payloads"), r.Sealed)
	if r.Malformed > 0 {
		fmt.Fprintf(w, " (%d not well formed)", r.Malformed)
	}
	fmt.Fprintf(w, ", %d not.\n", r.Foreign)
}

func (p payloadInfo) kind() string {
	switch {
	case p.WellFormed:
		return "sealed"
	case p.Problem == wire.ErrVersion.Error():
		return "unknown version"
	case p.Sealed:
		return "malformed"
	case p.Encoding == "":
		return "foreign (no encoding)"
	}
	return "foreign (" + printable(p.Encoding) + ")"
}

// card prints one payload, one fact in a line.
func (p payloadInfo) card(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) { fmt.Fprintf(tw, "%s\t%s\n", name, value) }
	line("payload", p.kind())
	if p.Problem != "" {
		line("problem", printable(p.Problem))
	}
	if p.WellFormed {
		line("keyset", printable(p.Keyset))
		line("key", p.KeyID)
		line("scope", printable(p.Scope))
		line("workflow", dash(p.WorkflowID))
	}
	if p.TinkPrefix != "" {
		line("tink prefix", p.TinkPrefix)
	}
	line("data", size(int64(p.DataBytes)))
	line("metadata", size(int64(p.MetadataBytes)))
	line("found at", printable(p.Path))
	tw.Flush()
	p.raw(w)
}

func (p payloadInfo) raw(w io.Writer) {
	if p.RawKeyID != "" {
		fmt.Fprintf(w, "  %s: %s\n", wire.MetadataKeyID, printable(p.RawKeyID))
	}
	if p.RawContext != "" {
		fmt.Fprintf(w, "  %s: %s\n", wire.MetadataContext, printable(p.RawContext))
	}
}
