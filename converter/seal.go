package converter

import (
	"errors"
	"fmt"
	"slices"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/internal/wire"
)

// scratch is the memory of one seal or open: the associated data, and the plaintext that Tink reads.
type scratch struct {
	associated, plaintext []byte
	written               int // bytes of plaintext that hold, or held, something
}

const maxScratch = 4 << 20 // larger buffers are left to the collector; Temporal's own limit is 2 MB

// release wipes the plaintext before it goes back: a pooled buffer lives long, and in a heap dump.
func (c *core) release(s *scratch) {
	if cap(s.plaintext) > maxScratch {
		return
	}
	clear(s.plaintext[:s.written])
	s.associated, s.plaintext, s.written = s.associated[:0], s.plaintext[:0], 0
	c.scratch.Put(s)
}

// seal is [Codec.Seal], unobserved.
func (c *Codec) seal(p *commonpb.Payload) (*commonpb.Payload, error) {
	switch {
	case p == nil:
		return nil, &Error{kind: ErrMalformed, detail: "payload is nil"}
	case wire.Sealed(p.GetMetadata()):
		// Rare, so it may cost an opening: anybody can write the marks of a sealed payload around plaintext.
		if _, err := c.unbound().open(p, new(Operation)); err != nil {
			return nil, err
		}
		return p, nil
	case wire.Exempt(p.GetMetadata()), c.core.options.InsecureSealNothing:
		return p, nil
	}
	if c.owner.keyset == "" {
		return nil, c.unowned()
	}
	k := c.core
	id, aead, err := k.keys.Primary(c.owner.keyset)
	if err != nil {
		return nil, keyError(err)
	}
	header, err := c.header(id)
	if err != nil {
		return nil, &Error{kind: ErrMalformed, detail: "cannot seal", cause: err}
	}
	s := k.scratch.Get().(*scratch)
	defer k.release(s)
	if err := k.write(s, p); err != nil {
		return nil, err
	}
	s.associated = header.AppendAssociatedData(s.associated)
	data, err := aead.Encrypt(s.plaintext, s.associated)
	if err != nil {
		return nil, &Error{kind: ErrKeyUnavailable, detail: "the key refused to encrypt", cause: err}
	}
	return &commonpb.Payload{Metadata: header.Metadata(k.encoding), Data: data}, nil
}

// header joins what was written before: the context once per codec, the key id once per primary key, as long as one
// keyset seals.
func (c *Codec) header(id uint32) (wire.Header, error) {
	if c.context == nil {
		_, err := wire.NewContext(c.core.options.Scope, c.workflow)
		return wire.Header{}, err
	}
	last := c.core.keyID.Load()
	if last == nil || last.id != id || last.keyset != c.owner.keyset {
		written, err := wire.NewKeyID(c.owner.keyset, id)
		if err != nil {
			return wire.Header{}, err
		}
		last = &sealedID{c.owner.keyset, id, written}
		c.core.keyID.Store(last)
	}
	return wire.Join(last.written, c.context), nil
}

// write puts the flag and the body of p into s.plaintext.
func (c *core) write(s *scratch, p *commonpb.Payload) error {
	s.plaintext = append(slices.Grow(s.plaintext, 1+payloadSize(p)), byte(wire.Plain))
	plaintext, err := appendPayload(s.plaintext, p)
	if err != nil {
		s.written = cap(s.plaintext) // how far it came is not known
		return &Error{kind: ErrMalformed, detail: "payload cannot be marshalled", cause: err}
	}
	s.plaintext, s.written = plaintext, len(plaintext)
	if c.options.CompressMin > 0 && len(plaintext) > c.options.CompressMin {
		s.plaintext = c.zstd.compress(s.plaintext)
	}
	return nil
}

// open is [Codec.Open], unobserved: it notes in seen what only it knows.
func (c *Codec) open(p *commonpb.Payload, seen *Operation) (*commonpb.Payload, error) {
	k := c.core
	if p == nil {
		return nil, &Error{kind: ErrMalformed, detail: "payload is nil"}
	}
	outer, err := wire.ParseKnown(p.GetMetadata(), p.GetData(), wire.Known{
		Keyset: c.owner.keyset, Keysets: k.options.AcceptKeysets, Scopes: k.options.AcceptScopes, Workflow: c.workflow, // almost always
	})
	if errors.Is(err, wire.ErrForeign) {
		return k.foreign(p, seen)
	}
	if err != nil {
		return nil, &Error{kind: ErrMalformed, cause: err}
	}
	if len(p.GetExternalPayloads()) > 0 {
		return nil, &Error{kind: ErrMalformed, detail: "external payloads on the outside, which nothing authenticates"}
	}
	if err := c.check(outer); err != nil {
		return nil, err
	}
	seen.Format, seen.Keyset, seen.Sealed = FormatV1, outer.Keyset, len(p.GetData())
	aead, err := k.keys.Lookup(outer.Keyset, outer.KeyID)
	if err != nil {
		return nil, keyError(err)
	}
	s := k.scratch.Get().(*scratch)
	defer k.release(s)
	s.associated = wire.HeaderOf(p.GetMetadata()).AppendAssociatedData(s.associated)
	plaintext, err := aead.Decrypt(p.GetData(), s.associated)
	if err != nil {
		return nil, &Error{kind: ErrNotAuthentic} // no cause: there is only one answer
	}
	return k.read(plaintext)
}

// check refuses, before any key is asked for, what this codec does not accept. The outside says it in clear, so the
// error may repeat it: a person who mixed up two namespaces has to see which.
func (c *Codec) check(outer wire.Outer) error {
	o := &c.core.options
	if !slices.Contains(o.AcceptScopes, outer.Scope) {
		return &Error{kind: ErrNotAuthentic, detail: fmt.Sprintf("sealed for scope %q, accepted are %q", outer.Scope, o.AcceptScopes)}
	}
	if !c.accepts(outer.Keyset) {
		return &Error{kind: ErrNotAuthentic, detail: fmt.Sprintf("sealed under keyset %q, accepted are %q", outer.Keyset, c.accepted())}
	}
	if !sameWorkflow(outer.Workflow, c.workflow) {
		return &Error{kind: ErrNotAuthentic, detail: fmt.Sprintf("sealed for workflow %q, found in workflow %q", outer.Workflow, c.workflow)}
	}
	return nil
}

// read turns an authentic plaintext back into the payload. Trouble here is a defect or a later version, not an attack.
func (c *core) read(plaintext []byte) (*commonpb.Payload, error) {
	flag, body, err := wire.SplitBody(plaintext)
	if err != nil {
		return nil, &Error{kind: ErrMalformed, cause: err}
	}
	if flag == wire.Zstd {
		if body, err = c.zstd.expand(body); err != nil {
			return nil, &Error{kind: ErrMalformed, cause: err}
		}
	}
	inner, ok := parsePayload(body)
	if !ok {
		return nil, &Error{kind: ErrMalformed, detail: "the sealed bytes are not a payload"}
	}
	return inner, nil
}
