package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/signet-temporal/signet/internal/wire"
)

// found is one payload in a JSON document, and where it stands there.
type found struct {
	path     string // JSONPath, such as $.events[0].input.payloads[0]
	metadata map[string][]byte
	data     []byte
	problem  string // why metadata or data could not be read; empty if they could
}

// findPayloads reads JSON documents from r, one or several, and returns every payload in them in the order of their
// paths. A payload is an object with "metadata" that has an "encoding" or an "encryption-context", as proto JSON writes
// it; everything else is walked through. limit bounds the bytes that are read.
func findPayloads(r io.Reader, limit int64) ([]found, error) {
	limited := &io.LimitedReader{R: r, N: limit + 1}
	dec := json.NewDecoder(limited)
	dec.UseNumber()
	var documents []any
	for {
		var doc any
		err := dec.Decode(&doc)
		if limited.N <= 0 {
			return nil, fmt.Errorf("more than %s of JSON: inspect a part of it", size(limit))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, jsonError(err)
		}
		documents = append(documents, doc)
	}
	if len(documents) == 1 {
		return walk("$", documents[0], nil), nil
	}
	var all []found
	for i, doc := range documents {
		all = walk(fmt.Sprintf("%d:$", i+1), doc, all)
	}
	return all, nil
}

// jsonError says where the JSON is broken and quotes none of it.
func jsonError(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("is not JSON from byte %d on: give it what `temporal workflow show -o json` or the Web UI shows", syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("ends in the middle of a JSON value: copy all of it")
	}
	return fmt.Errorf("%w: name a file with JSON", err)
}

func walk(path string, value any, all []found) []found {
	switch v := value.(type) {
	case map[string]any:
		if f, ok := payloadAt(path, v); ok {
			return append(all, f)
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = walk(path+member(name), v[name], all)
		}
	case []any:
		for i, element := range v {
			all = walk(fmt.Sprintf("%s[%d]", path, i), element, all)
		}
	}
	return all
}

func member(name string) string {
	if isIdentifier(name) {
		return "." + name
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return "[?]" // a string always marshals
	}
	return "[" + string(quoted) + "]"
}

func isIdentifier(s string) bool {
	for i, c := range s {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// payloadAt reads object as a Temporal Payload, if it is one: its metadata maps names to strings, and it has no member
// that a Payload has not.
func payloadAt(path string, object map[string]any) (found, bool) {
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return found{}, false
	}
	for name := range object {
		if name != "metadata" && name != "data" && name != "externalPayloads" {
			return found{}, false
		}
	}
	_, hasEncoding := metadata[wire.MetadataEncoding].(string)
	_, hasContext := metadata[wire.MetadataContext].(string)
	data, hasData := object["data"].(string)
	if !hasEncoding && !hasContext && !hasData {
		return found{}, false
	}
	f := found{path: path, metadata: make(map[string][]byte, len(metadata))}
	encoding, _ := metadata[wire.MetadataEncoding].(string)
	decoded := isClear(encoding)
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		text, ok := metadata[name].(string)
		if !ok {
			return found{}, false
		}
		if decoded {
			f.metadata[name] = []byte(text)
			continue
		}
		if f.metadata[name], ok = decodeBase64(text); !ok {
			f.metadata[name], f.problem = nil, fmt.Sprintf("metadata %q is not base64", name)
		}
	}
	if f.data, ok = decodeBase64(data); !ok {
		f.problem = "data is not base64"
	}
	return f, true
}

// isClear reports whether somebody has decoded the metadata from base64 already: the text of an encoding, such as
// json/plain, is no base64, or base64 of what no encoding looks like.
func isClear(encoding string) bool {
	raw, ok := decodeBase64(encoding)
	return !ok || strings.ContainsFunc(string(raw), func(c rune) bool { return c <= ' ' || c > '~' })
}

// decodeBase64 accepts what proto JSON accepts: both alphabets, padded or not. White space comes from copying.
func decodeBase64(text string) ([]byte, bool) {
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "", " ", "").Replace(text)
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	return raw, err == nil
}
