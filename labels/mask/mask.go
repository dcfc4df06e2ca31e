package mask

import (
	"bytes"
	"maps"
	"slices"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/internal/rawjson"
	"github.com/signet-temporal/signet/labels"
)

// Metadata is the metadata key of a payload in which something is masked; its value is "v1".
const Metadata = "signet-masked"

// text begins every mask; the labels that the viewer lacks follow.
const text = "••• masked: "

// View is what somebody may see of what is labelled. The zero value is: nothing.
type View struct {
	All    bool // every label, those that nobody knows yet included
	Labels []string
}

func (v View) may(label string) bool { return v.All || slices.Contains(v.Labels, label) }

// Result is a payload as it may be seen, and what the audit has to know about it.
type Result struct {
	Payload *commonpb.Payload // the one that was given, if nothing is masked
	Shown   []string          // labels of values that are there and not masked, sorted
	Masked  []string          // labels for want of which values are masked, sorted
}

// Payload masks p, an opened payload, for view. p is not changed. A payload without labels comes back as it is.
func Payload(p *commonpb.Payload, view View) Result {
	value, labelled := p.GetMetadata()[labels.Metadata]
	if !labelled || len(p.GetData()) == 0 {
		return Result{Payload: p}
	}
	names, pointers, err := read(value)
	if err != nil {
		return whole(p, []string{labels.Unknown}, View{All: view.All})
	}
	if !isJSON(p) {
		return whole(p, names, view)
	}
	m := newMasker(p.GetData(), names, pointers, view)
	data, ok := m.run()
	if !ok {
		return whole(p, names, view)
	}
	r := Result{Payload: p, Shown: m.pick(m.shown), Masked: m.pick(m.masked)}
	if len(r.Masked) > 0 {
		metadata := maps.Clone(p.GetMetadata())
		metadata[Metadata] = []byte("v1")
		r.Payload = &commonpb.Payload{Metadata: metadata, Data: data, ExternalPayloads: p.GetExternalPayloads()}
	}
	return r
}

// read returns the labels that have pointers, sorted, and the pointers.
func read(value []byte) (names []string, pointers []pointer, err error) {
	pointers = make([]pointer, 0, min(bytes.Count(value, []byte{','})+1, 256)) // enough, as a rule
	names = make([]string, 0, 4)
	err = labels.Each(value, func(label, rest string) {
		i := slices.Index(names, label)
		if i < 0 {
			i, names = len(names), append(names, label)
		}
		pointers = append(pointers, pointer{rest, i})
	})
	if err == nil && !slices.IsSorted(names) { // as some other writer has them
		sorted := slices.Sorted(slices.Values(names))
		for i, p := range pointers {
			pointers[i].label, _ = slices.BinarySearch(sorted, names[p.label])
		}
		names = sorted
	}
	return names, pointers, err
}

func isJSON(p *commonpb.Payload) bool {
	switch string(p.GetMetadata()["encoding"]) {
	case "json/plain", "json/protobuf":
		return rawjson.Valid(p.GetData())
	}
	return false
}

// whole shows all of p, to somebody who may see all of its labels, or nothing.
func whole(p *commonpb.Payload, names []string, view View) Result {
	lacking := slices.DeleteFunc(slices.Clone(names), view.may)
	if len(lacking) == 0 {
		return Result{Payload: p, Shown: names}
	}
	return Result{Masked: lacking, Payload: &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("json/plain"), Metadata: []byte("v1")},
		Data:     appendMask(nil, slices.Values(lacking)),
	}}
}

// Found reports whether p is masked, or holds a mask: a form may have been filled from one, and wrapped or quoted it.
// Whoever seals what people send refuses such a payload, because the mask would take the place of the data.
func Found(p *commonpb.Payload) bool {
	if _, marked := p.GetMetadata()[Metadata]; marked {
		return true
	}
	const bullets, label = 3, " masked: "
	data := p.GetData()
	for at := 0; ; at += len(label) {
		i := bytes.Index(data[at:], []byte(label))
		if i < 0 {
			return false
		}
		if at += i; endsInBullets(data[:at], bullets) {
			return true
		}
	}
}

// endsInBullets looks for n of them as they are, or as JSON escapes behind one backslash or more.
func endsInBullets(data []byte, n int) bool {
	for range n {
		if rest, ok := bytes.CutSuffix(data, []byte("•")); ok {
			data = rest
			continue
		}
		rest, ok := bytes.CutSuffix(data, []byte(`\u2022`))
		if !ok {
			return false
		}
		data = bytes.TrimRight(rest, `\`)
	}
	return true
}
