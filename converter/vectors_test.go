package converter

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/key"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/internal/wire"
)

const vectorDir = "../testdata/vectors"

// vector is one file of testdata/vectors; the README there documents the form.
type vector struct {
	about, expect      string
	keys               []vectorKey
	scopes             []string
	keysets            []string
	workflow           string
	plaintextAllowed   bool
	opensTo, presented *commonpb.Payload
}

type vectorKey struct {
	keyset string
	id     uint32
	typ    string
	raw    []byte
}

// expectations is every word that "expect:" may have, and the error it stands for.
var expectations = map[string]error{
	"payload":         nil,
	"not-authentic":   ErrNotAuthentic,
	"malformed":       ErrMalformed,
	"unknown-version": wire.ErrVersion,
	"not-sealed":      ErrNotSealed,
	"key-unavailable": ErrKeyUnavailable,
}

func TestVectors(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	if err != nil || len(files) < 25 {
		t.Fatalf("%d vectors found in %s, there must be at least 25: %v", len(files), vectorDir, err)
	}
	seen := map[string]int{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			v := readVector(t, file)
			seen[v.expect]++
			checkVector(t, v)
		})
	}
	for word := range expectations {
		if seen[word] == 0 {
			t.Errorf("no vector expects %q", word)
		}
	}
}

func checkVector(t *testing.T, v *vector) {
	codec := v.codec(t)
	before := proto.Clone(v.presented)
	opened, err := codec.Open(v.presented)
	if want := expectations[v.expect]; !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Fatalf("Open: %v, want %s", err, v.expect)
	}
	if !proto.Equal(before, v.presented) {
		t.Error("Open changed the payload it was given")
	}
	many, manyErr := codec.Decode([]*commonpb.Payload{v.presented, v.presented})
	if err != nil {
		if opened != nil || many != nil || manyErr == nil {
			t.Errorf("an error came with a payload: %v, %v, %v", opened, many, manyErr)
		}
		var e *Error
		if !errors.As(err, &e) || e.Permanent() != (v.expect != "key-unavailable") {
			t.Errorf("%v is not an *Error with the right answer to Permanent", err)
		}
		return
	}
	if !proto.Equal(opened, v.opensTo) {
		t.Errorf("opened\n got %v\nwant %v", opened, v.opensTo)
	}
	if manyErr != nil || len(many) != 2 || !proto.Equal(many[1], v.opensTo) {
		t.Errorf("Decode: %v, %v", many, manyErr)
	}
	if wire.Sealed(v.presented.GetMetadata()) {
		again, err := codec.Seal(v.presented)
		if err != nil || again != v.presented {
			t.Errorf("sealing what is sealed: %v, %v; want the same payload", again, err)
		}
	}
}

// codec is a decoder as the header of the vector describes it.
func (v *vector) codec(t testing.TB) *Codec {
	t.Helper()
	ring := &memKeys{primary: map[string]uint32{}, aeads: map[string]map[uint32]tink.AEAD{}}
	for _, k := range v.keys {
		if ring.aeads[k.keyset] == nil {
			ring.aeads[k.keyset] = map[uint32]tink.AEAD{}
		}
		ring.primary[k.keyset], ring.aeads[k.keyset][k.id] = k.id, k.aead(t)
	}
	c, err := NewCodec(ring, CodecOptions{
		Keyset: v.keysets[0], AcceptKeysets: v.keysets[1:], Scope: v.scopes[0], AcceptScopes: v.scopes[1:],
		AllowPlaintext: v.plaintextAllowed,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.WithSerializationContext(sdk.WorkflowSerializationContext{WorkflowID: v.workflow}).(*Codec)
}

func (k vectorKey) aead(t testing.TB) tink.AEAD {
	t.Helper()
	bytes := secretdata.NewBytesFromData(k.raw, insecuresecretdataaccess.Token{})
	var made key.Key
	var err error
	switch k.typ {
	case "XAES_256_GCM":
		params, perr := xaesgcm.NewParameters(xaesgcm.VariantTink, 12)
		if perr != nil {
			t.Fatal(perr)
		}
		made, err = xaesgcm.NewKey(bytes, k.id, params)
	case "AES256_GCM":
		params, perr := aesgcm.NewParameters(aesgcm.ParametersOpts{KeySizeInBytes: 32, IVSizeInBytes: 12, TagSizeInBytes: 16, Variant: aesgcm.VariantTink})
		if perr != nil {
			t.Fatal(perr)
		}
		made, err = aesgcm.NewKey(bytes, k.id, params)
	default:
		t.Fatalf("unknown key type %q", k.typ)
	}
	if err != nil {
		t.Fatal(err)
	}
	manager := keyset.NewManager()
	if _, err := manager.AddKey(made); err != nil {
		t.Fatal(err)
	}
	if err := manager.SetPrimary(k.id); err != nil {
		t.Fatal(err)
	}
	handle, err := manager.Handle()
	if err != nil {
		t.Fatal(err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return primitive
}

func parseVector(text []byte) (*vector, error) {
	header, body, ok := bytes.Cut(text, []byte("\n\n"))
	if !ok {
		return nil, errors.New("no empty line between header and body")
	}
	v := &vector{presented: new(commonpb.Payload)}
	for line := range strings.SplitSeq(string(header), "\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("header line %q is not «name: value»", line)
		}
		if err := v.set(name, value); err != nil {
			return nil, fmt.Errorf("header line %q: %w", line, err)
		}
	}
	if _, known := expectations[v.expect]; !known || v.about == "" || len(v.scopes) == 0 || len(v.keysets) == 0 {
		return nil, errors.New("the header lacks about, expect, scope or keyset")
	}
	return v, protojson.Unmarshal(body, v.presented)
}

func (v *vector) set(name, value string) (err error) {
	switch name {
	case "about":
		v.about = value
	case "expect":
		v.expect = value
	case "key":
		var k vectorKey
		k, err = parseVectorKey(value)
		v.keys = append(v.keys, k)
	case "keyset":
		v.keysets = append(v.keysets, value)
	case "scope":
		v.scopes = append(v.scopes, value)
	case "workflow":
		v.workflow = value
	case "plaintext":
		v.plaintextAllowed = value == "allowed"
	case "opens-to":
		v.opensTo = new(commonpb.Payload)
		err = protojson.Unmarshal([]byte(value), v.opensTo)
	default:
		err = errors.New("unknown name")
	}
	return err
}

func parseVectorKey(value string) (k vectorKey, err error) {
	f := strings.Fields(value)
	if len(f) != 3 {
		return k, errors.New("not «keyset/id type hex»")
	}
	slash := strings.LastIndexByte(f[0], '/')
	id, err := strconv.ParseUint(f[0][slash+1:], 16, 32)
	if err != nil {
		return k, err
	}
	raw, err := hex.DecodeString(f[2])
	return vectorKey{f[0][:slash], uint32(id), f[1], raw}, err
}
