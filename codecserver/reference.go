package codecserver

import (
	"context"
	"encoding/json"
	"errors"

	commonpb "go.temporal.io/api/common/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Storage fetches what the SDK has put into external storage; *storage.Store is one. It is safe for concurrent use.
type Storage interface {
	// Fetch returns the payload that r names and how many bytes were read for it, also with an error. It reads no more
	// than maxBytes. An error may have a method Reason() string (found by errors.As) that returns "reference-refused" (it
	// leads to no place that is configured), "not-stored" or "too-large"; any other error is one that passes by itself.
	Fetch(ctx context.Context, r Reference, maxBytes int64) (p *commonpb.Payload, read int64, err error)
}

// Reference is what stands in a history in place of a payload. Nothing of it is authenticated: whoever asks wrote it.
type Reference struct {
	Driver string            // name of the SDK's storage driver
	Claim  map[string]string // where the driver finds the payload, in words of its own
}

// Bounds of a reference.
const (
	maxClaim    = 16
	maxClaimLen = 4 << 10
)

// errReference: it quotes nothing.
var errReference = errors.New("a payload is no reference to external storage, or a malformed one")

// referenceOf reads a reference, in the form of today or in that of the SDK's first releases.
func referenceOf(p *commonpb.Payload) (Reference, error) {
	var r Reference
	switch string(p.GetMetadata()["encoding"]) {
	case "json/protobuf":
		if string(p.GetMetadata()["messageType"]) != "temporal.api.sdk.v1.ExternalStorageReference" {
			return r, errReference
		}
		var in sdkpb.ExternalStorageReference
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(p.GetData(), &in); err != nil {
			return r, errReference
		}
		r = Reference{in.GetDriverName(), in.GetClaimData()}
	case "json/external-storage-reference":
		var in struct {
			Driver string `json:"driver_name"`
			Claim  struct {
				Data map[string]string `json:"claim_data"`
			} `json:"driver_claim"`
		}
		if err := json.Unmarshal(p.GetData(), &in); err != nil {
			return r, errReference
		}
		r = Reference{in.Driver, in.Claim.Data}
	default:
		return r, errReference
	}
	if r.Driver == "" || len(r.Driver) > maxClaimLen || len(r.Claim) > maxClaim {
		return Reference{}, errReference
	}
	for name, value := range r.Claim {
		if len(name) > maxClaimLen || len(value) > maxClaimLen {
			return Reference{}, errReference
		}
	}
	return r, nil
}
