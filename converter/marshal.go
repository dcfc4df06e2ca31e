package converter

import (
	"errors"
	"maps"
	"slices"
	"unicode/utf8"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/internal/wire"
)

// A temporal.api.common.v1.Payload is a map and a byte string, and most of the time it has nothing else. Marshalling
// that through reflection makes more allocations than the rest of sealing together, so the common form is written and
// read here with protowire, and every other form by package proto. FuzzPayloadForm holds the two together.

const (
	fieldMetadata protowire.Number = 1 // map<string, bytes>
	fieldData     protowire.Number = 2 // bytes
	fieldKey      protowire.Number = 1
	fieldValue    protowire.Number = 2
)

// appendPayload appends p in protobuf's wire form, metadata sorted by key.
func appendPayload(dst []byte, p *commonpb.Payload) ([]byte, error) {
	if len(p.GetExternalPayloads()) > 0 || len(p.ProtoReflect().GetUnknown()) > 0 {
		return proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, p)
	}
	var few [4]string
	for _, key := range sortedKeys(few[:0], p.GetMetadata()) {
		if !utf8.ValidString(key) {
			return nil, errors.New("a metadata key is not UTF-8")
		}
		value := p.GetMetadata()[key]
		dst = protowire.AppendTag(dst, fieldMetadata, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(entrySize(key, value))) // #nosec G115 -- a length
		dst = protowire.AppendTag(dst, fieldKey, protowire.BytesType)
		dst = protowire.AppendString(dst, key)
		dst = protowire.AppendTag(dst, fieldValue, protowire.BytesType)
		dst = protowire.AppendBytes(dst, value)
	}
	if len(p.GetData()) > 0 {
		dst = protowire.AppendTag(dst, fieldData, protowire.BytesType)
		dst = protowire.AppendBytes(dst, p.GetData())
	}
	return dst, nil
}

// payloadSize is an upper bound of what appendPayload appends in the common form.
func payloadSize(p *commonpb.Payload) int {
	size := 16 + len(p.GetData())
	for key, value := range p.GetMetadata() {
		size += 16 + entrySize(key, value)
	}
	return size
}

func entrySize(key string, value []byte) int {
	return 2 + protowire.SizeBytes(len(key)) + protowire.SizeBytes(len(value))
}

func sortedKeys(keys []string, m map[string][]byte) []string {
	keys = slices.AppendSeq(keys, maps.Keys(m))
	slices.Sort(keys)
	return keys
}

// parsePayload reads what appendPayload wrote. The payload's data is a part of body, which the caller gives away.
func parsePayload(body []byte) (*commonpb.Payload, bool) {
	p := new(commonpb.Payload)
	for rest := body; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, false
		}
		value, size := protowire.ConsumeBytes(rest[n:])
		if kind != protowire.BytesType || size < 0 {
			return parseAny(body)
		}
		rest = rest[n+size:]
		switch number {
		case fieldData:
			p.Data = value[:len(value):len(value)]
		case fieldMetadata:
			key, entry, ok := parseEntry(value)
			if !ok {
				return parseAny(body)
			}
			if p.Metadata == nil {
				p.Metadata = make(map[string][]byte, 1)
			}
			p.Metadata[key] = entry
		default:
			return parseAny(body)
		}
	}
	return p, true
}

// parseEntry reads a map entry that has its key and its value, once each and in this order.
func parseEntry(entry []byte) (key string, value []byte, ok bool) {
	number, kind, n := protowire.ConsumeTag(entry)
	if n < 0 || number != fieldKey || kind != protowire.BytesType {
		return "", nil, false
	}
	name, size := protowire.ConsumeBytes(entry[n:])
	if size < 0 {
		return "", nil, false
	}
	entry = entry[n+size:]
	number, kind, n = protowire.ConsumeTag(entry)
	if n < 0 || number != fieldValue || kind != protowire.BytesType {
		return "", nil, false
	}
	value, size = protowire.ConsumeBytes(entry[n:])
	if size < 0 || n+size != len(entry) || !utf8.Valid(name) {
		return "", nil, false
	}
	if string(name) == wire.MetadataEncoding { // which every payload has: it needs no memory
		key = wire.MetadataEncoding
	} else {
		key = string(name)
	}
	return key, value[:len(value):len(value)], true
}

func parseAny(body []byte) (*commonpb.Payload, bool) {
	p := new(commonpb.Payload)
	if err := proto.Unmarshal(body, p); err != nil {
		return nil, false
	}
	return p, true
}
