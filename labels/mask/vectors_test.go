package mask

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
)

// TestVectors runs testdata/labels, whose README.md says how to read them.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("../../testdata/labels/*.txt")
	if err != nil || len(files) < 19 {
		t.Fatalf("%d vectors, there must be at least 19: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			head, body, _ := bytes.Cut(text, []byte("\n\n"))
			data := bytes.TrimSuffix(body, []byte("\n"))
			of := map[string]string{}
			for line := range strings.SplitSeq(string(head), "\n") {
				name, value, ok := strings.Cut(line, ": ")
				if !ok {
					t.Fatalf("%q is not name: value", line)
				}
				of[name] = value
			}
			if len(of) != 7 || of["about"] == "" || of["shows"] == "" {
				t.Fatalf("the lines are %v", of)
			}
			view := View{All: of["view"] == "all", Labels: strings.Fields(of["view"])}
			p := &commonpb.Payload{Data: data, Metadata: map[string][]byte{
				"encoding": []byte(of["encoding"]), "signet-labels": []byte(of["labels"]), "messageType": []byte("m"),
			}}
			metadata := maps.Clone(p.Metadata)
			// A whole value that is masked by its pointer keeps its metadata; a payload that is not understood loses it.
			switch whole := strings.HasPrefix(of["shows"], `"•••`) && !strings.Contains(of["labels"], `""`); {
			case of["masked"] == "":
			case whole:
				metadata = map[string][]byte{"encoding": []byte("json/plain"), "signet-masked": []byte("v1")}
			default:
				metadata["signet-masked"] = []byte("v1")
			}
			r := Payload(p, view)
			if got := string(r.Payload.GetData()); got != of["shows"] {
				t.Errorf("it shows %s, want %s", got, of["shows"])
			}
			if !maps.EqualFunc(r.Payload.GetMetadata(), metadata, bytes.Equal) {
				t.Errorf("its metadata is %q, want %q", r.Payload.GetMetadata(), metadata)
			}
			if shown, masked := strings.Join(r.Shown, " "), strings.Join(r.Masked, " "); shown != of["shown"] || masked != of["masked"] {
				t.Errorf("shown %q, masked %q, want %q, %q", shown, masked, of["shown"], of["masked"])
			}
		})
	}
}
