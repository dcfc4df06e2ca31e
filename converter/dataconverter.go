package converter

import (
	"context"
	"errors"

	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"
)

// DataConverter converts values with another data converter and seals the result. It implements the SDK's
// DataConverter, DataConverterWithSerializationContext and ContextAware.
type DataConverter struct {
	parent sdk.DataConverter
	codec  *Codec
	at     place
	ctx    Valuer // who may say for which tenant this is; nil where nobody does or nobody asks
}

var (
	_ sdk.DataConverter                         = (*DataConverter)(nil)
	_ sdk.DataConverterWithSerializationContext = (*DataConverter)(nil)
	_ sdk.ContextAware                          = (*DataConverter)(nil)
)

// NewDataConverter makes a data converter that seals what parent makes. A nil parent is the SDK's default. A parent that
// is or wraps a *DataConverter would seal twice and is refused, and so is one that encrypts, unless the codec seals
// nothing: what it has encrypted is for CodecOptions.Legacy. One that compresses is welcome.
func NewDataConverter(parent sdk.DataConverter, codec *Codec) (*DataConverter, error) {
	if codec == nil {
		return nil, errors.New("converter: no codec: make one with NewCodec")
	}
	if parent == nil {
		parent = sdk.GetDefaultDataConverter()
	}
	if _, twice := parent.(*DataConverter); twice {
		return nil, errors.New("converter: the data converter seals already: configure signet once")
	}
	if !codec.core.options.InsecureSealNothing && encrypts(parent) {
		return nil, errors.New("converter: the data converter encrypts already: take its codec out, and give a decoder for what it has encrypted in Options.Legacy")
	}
	return &DataConverter{parent: parent, codec: codec}, nil
}

// WithSerializationContext implements the SDK's interface. It does not change d.
func (d *DataConverter) WithSerializationContext(sc sdk.SerializationContext) sdk.DataConverter {
	n := &struct {
		DataConverter
		run run
	}{DataConverter: *d}
	n.parent = sdk.WithDataConverterSerializationContext(d.parent, sc)
	n.codec = d.codec.forWorkflow(workflowOf(sc))
	n.at.run = &n.run
	return &n.DataConverter
}

// WithWorkflowContext implements the SDK's ContextAware. It does not change d.
func (d *DataConverter) WithWorkflowContext(ctx sdk.WorkflowContext) sdk.DataConverter {
	n := *d
	if aware, ok := d.parent.(sdk.ContextAware); ok {
		n.parent = aware.WithWorkflowContext(ctx)
	}
	n.at.said, n.ctx = inWorkflow, d.asked(ctx)
	if n.at.run != nil && n.at.run.ctx == nil {
		n.at.run.ctx = ctx // the same for all that a run makes of this converter
	}
	return &n
}

// WithContext implements the SDK's ContextAware. It does not change d.
func (d *DataConverter) WithContext(ctx context.Context) sdk.DataConverter {
	n := *d
	if aware, ok := d.parent.(sdk.ContextAware); ok {
		n.parent = aware.WithContext(ctx)
	}
	n.at.said, n.ctx = elsewhere, d.asked(ctx)
	return &n
}

func (d *DataConverter) asked(ctx Valuer) Valuer {
	if !d.codec.core.options.Tenants.on() {
		return nil
	}
	return ctx
}

// ToPayload converts and seals one value. Where the SDK gives no context beside the serialization context, the payload
// is bound to the scope and not to a workflow: those are the memo and the summary of a child, which the SDK seals for
// the parent and reads for the child, and memo and summaries set inside a workflow.
func (d *DataConverter) ToPayload(value any) (*commonpb.Payload, error) {
	p, err := d.parent.ToPayload(value)
	if err != nil || p == nil {
		return nil, err
	}
	codec := d.codec.within(d.ctx)
	if d.at.said == unsaid {
		codec = codec.unbound()
	}
	sealed, err := codec.Seal(p)
	return sealed, d.at.raise(err)
}

// ToPayloads converts and seals values. No values give nil, as they do without sealing.
func (d *DataConverter) ToPayloads(values ...any) (*commonpb.Payloads, error) {
	ps, err := d.parent.ToPayloads(values...)
	if err != nil || ps == nil {
		return nil, err
	}
	sealed, err := d.codec.within(d.ctx).Encode(ps.GetPayloads())
	if err != nil {
		return nil, d.at.raise(err)
	}
	return &commonpb.Payloads{Payloads: sealed}, nil
}

// FromPayload opens one payload and converts it. A nil payload leaves the value alone, as the SDK's converters do.
func (d *DataConverter) FromPayload(p *commonpb.Payload, valuePtr any) error {
	if p == nil {
		return nil
	}
	opened, err := d.codec.Open(p)
	if err != nil {
		return d.at.raise(err)
	}
	return d.converted(d.parent.FromPayload(opened, valuePtr), opened)
}

// FromPayloads opens payloads and converts them.
func (d *DataConverter) FromPayloads(ps *commonpb.Payloads, valuePtrs ...any) error {
	if ps == nil {
		return d.parent.FromPayloads(nil, valuePtrs...)
	}
	opened, err := d.codec.Decode(ps.GetPayloads())
	if err != nil {
		return d.at.raise(err)
	}
	return d.converted(d.parent.FromPayloads(&commonpb.Payloads{Payloads: opened}, valuePtrs...), opened...)
}

// converted returns the parent's error as it is, unless the trouble is that another codec's ciphertext reached it.
func (d *DataConverter) converted(err error, opened ...*commonpb.Payload) error {
	if err == nil {
		return nil
	}
	if encrypted := stillEncrypted(opened); encrypted != nil {
		return d.at.raise(encrypted)
	}
	return err
}

// ToString opens one payload and returns it as text for people, or the text of the error. It never panics.
func (d *DataConverter) ToString(p *commonpb.Payload) string {
	if p == nil {
		return ""
	}
	opened, err := d.codec.Open(p)
	if err != nil {
		return err.Error()
	}
	return d.parent.ToString(opened)
}

// ToStrings is [DataConverter.ToString] for each payload.
func (d *DataConverter) ToStrings(ps *commonpb.Payloads) []string {
	if ps == nil {
		return nil
	}
	out := make([]string, len(ps.GetPayloads()))
	for i, p := range ps.GetPayloads() {
		out[i] = d.ToString(p)
	}
	return out
}
