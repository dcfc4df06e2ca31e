package converter

import (
	"context"
	"errors"
	"maps"
	"slices"

	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/labels"
)

// Labeller is a data converter that writes the labels of values (package labels) into the metadata of what another one
// makes of them. It seals nothing: it is the parent of a [DataConverter], which seals labels and data together. With the
// plugin it goes into client.Options.DataConverter, or signet.Options.Labels does it.
//
// It implements the SDK's DataConverter, DataConverterWithSerializationContext and ContextAware.
type Labeller struct {
	sdk.DataConverter
	types *labels.Types
}

var (
	_ sdk.DataConverter                         = (*Labeller)(nil)
	_ sdk.DataConverterWithSerializationContext = (*Labeller)(nil)
	_ sdk.ContextAware                          = (*Labeller)(nil)
)

// NewLabeller makes a labeller. A nil parent is the SDK's default data converter. The parent writes JSON with the names
// of encoding/json and protojson, or there are labels by hand.
func NewLabeller(parent sdk.DataConverter, types *labels.Types) (*Labeller, error) {
	if types == nil {
		return nil, errors.New("converter: no types: make them with labels.NewTypes")
	}
	switch parent.(type) {
	case nil:
		parent = sdk.GetDefaultDataConverter()
	case *DataConverter:
		return nil, errors.New("converter: the data converter seals already, and labels go inside: configure signet once, and give the labeller to NewDataConverter")
	case *Labeller:
		return nil, errors.New("converter: the data converter writes labels already: configure them once")
	}
	return &Labeller{parent, types}, nil
}

// ToPayload converts one value. A payload that is given as it is (the SDK's RawValue) keeps the labels it has.
func (l *Labeller) ToPayload(value any) (*commonpb.Payload, error) {
	p, err := l.DataConverter.ToPayload(labels.Unwrap(value))
	if err != nil {
		return nil, err
	}
	return l.label(p, value), nil
}

// ToPayloads converts values. Where the parent makes more or fewer payloads than there are values, nobody knows what is
// where: if one of the values has labels, each payload is labelled as unknown.
func (l *Labeller) ToPayloads(values ...any) (*commonpb.Payloads, error) {
	inner := values
	for i, value := range values {
		if _, ok := value.(labels.Value); ok {
			inner = append(append(slices.Clone(inner[:i]), labels.Unwrap(value)), inner[i+1:]...)
		}
	}
	ps, err := l.DataConverter.ToPayloads(inner...)
	if err != nil || ps == nil {
		return nil, err
	}
	labelled := make([]*commonpb.Payload, len(ps.GetPayloads()))
	for i, p := range ps.GetPayloads() {
		if len(labelled) == len(values) {
			labelled[i] = l.label(p, values[i])
			continue
		}
		labelled[i] = p
		if slices.ContainsFunc(values, func(v any) bool { return l.types.Of(v) != nil }) {
			labelled[i] = l.label(p, labels.Whole(nil, labels.Unknown))
		}
	}
	return &commonpb.Payloads{Payloads: labelled}, nil
}

// label returns p with the labels of the value that it was made of: p itself where there are none, and otherwise a copy,
// because p may be the parent's to keep.
func (l *Labeller) label(p *commonpb.Payload, value any) *commonpb.Payload {
	if _, raw := value.(sdk.RawValue); raw || len(p.GetData()) == 0 {
		return p
	}
	encoded := l.types.Of(value)
	if encoded == nil {
		return p
	}
	metadata := make(map[string][]byte, len(p.GetMetadata())+1)
	maps.Copy(metadata, p.GetMetadata())
	metadata[labels.Metadata] = encoded
	return &commonpb.Payload{Metadata: metadata, Data: p.GetData(), ExternalPayloads: p.GetExternalPayloads()}
}

// WithSerializationContext implements the SDK's interface. It does not change l.
func (l *Labeller) WithSerializationContext(sc sdk.SerializationContext) sdk.DataConverter {
	return &Labeller{sdk.WithDataConverterSerializationContext(l.DataConverter, sc), l.types}
}

// WithWorkflowContext implements the SDK's ContextAware. It does not change l.
func (l *Labeller) WithWorkflowContext(ctx sdk.WorkflowContext) sdk.DataConverter {
	if aware, ok := l.DataConverter.(sdk.ContextAware); ok {
		return &Labeller{aware.WithWorkflowContext(ctx), l.types}
	}
	return l
}

// WithContext implements the SDK's ContextAware. It does not change l.
func (l *Labeller) WithContext(ctx context.Context) sdk.DataConverter {
	if aware, ok := l.DataConverter.(sdk.ContextAware); ok {
		return &Labeller{aware.WithContext(ctx), l.types}
	}
	return l
}
