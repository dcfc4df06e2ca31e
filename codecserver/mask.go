package codecserver

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/labels/mask"
)

// mask puts masks in the place of what the decision does not show of an opened payload, and returns how many bytes were
// held for it. What break-glass grants show beside it is shown where it makes a difference, and then it is their doing.
func (it *item) mask(q *request) int64 {
	if it.out == nil {
		return 0
	}
	opened := it.out
	seen := mask.Payload(opened, viewOf(it.labels))
	if len(seen.Masked) > 0 && it.glassRule != "" {
		more := mask.Payload(opened, viewOf(it.glassLabels))
		if !bytes.Equal(more.Payload.GetData(), seen.Payload.GetData()) {
			seen, it.glass, it.rule = more, true, it.glassRule
		}
	}
	it.out, it.shown, it.masked = seen.Payload, seen.Shown, seen.Masked
	held := sizeOf(opened)
	if it.out != opened {
		held = max(held, sizeOf(it.out))
	}
	if len(it.masked) > 0 && !q.masks {
		it.out = nil
		it.close(wouldBeMasked, "no grant shows label "+strings.Join(it.masked, ", ")+", and the client does not accept masks")
	}
	return held
}

func viewOf(l policy.Labels) mask.View { return mask.View{All: l.All, Labels: l.Names} }

// refuseMarks: nobody may seal what this server made in place of data, an explanation or a mask.
func refuseMarks(items []*item) error {
	for _, it := range items {
		if isExplanation(it.payload) {
			return badRequest("a payload is an explanation of this server, not data")
		}
		if mask.Found(it.payload) {
			return &problem{status: http.StatusBadRequest, code: "masked", detail: "a payload holds a mask, not data"}
		}
	}
	return nil
}
