package signet

import (
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/principal"
)

// seals finds out by a probe whether two converters seal. With a keyset for each tenant and none for a probe, which is
// nobody's, they must be signet's own.
func seals(dc sdk.DataConverter, fc sdk.FailureConverter) error {
	probe, err := dc.ToPayload("probe")
	if errors.Is(err, converter.ErrNoTenant) {
		_, ours := dc.(*converter.DataConverter)
		if _, both := fc.(*converter.FailureConverter); ours && both {
			return nil
		}
		return errUndone
	}
	if err != nil {
		return fmt.Errorf("signet: the data converter cannot seal: %w", err)
	}
	failure := fc.ErrorToFailure(errors.New("probe"))
	if !wire.Sealed(probe.GetMetadata()) || !wire.Sealed(failure.GetEncodedAttributes().GetMetadata()) {
		return errUndone
	}
	return nil
}

// tenants are the options', and where principals are carried they decide as well: a principal of another tenant than the
// workflow's seals nothing.
func (p *Plugin) tenants() converter.Tenants {
	tenants := p.options.Tenants
	if tenants.Under != "" && tenants.FromContext == nil && p.options.Principal != nil {
		tenants.FromContext = func(ctx converter.Valuer) (string, bool) {
			who, err := principal.FromContext(ctx)
			return who.Tenant, err == nil
		}
	}
	return tenants
}

// replaying returns the plugin for a replayer. A replayer does not know whose workflow it replays, and what it seals goes
// nowhere: so it seals under a key that is thrown away with it, if tenants' keysets are all there is. What it opens names
// its keyset itself.
func (p *Plugin) replaying() (*Plugin, error) {
	if p.options.Tenants.Under == "" || p.options.Keyset != "" {
		return p, nil
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("signet: making a key for a replayer: %w", err)
	}
	key, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("signet: making a key for a replayer: %w", err)
	}
	options := p.options
	options.Keyset = thrownAway
	return &Plugin{keys: replayKeys{p.keys, handle.KeysetInfo().GetPrimaryKeyId(), key}, options: options}, nil
}

// thrownAway is the name of the keyset that a replayer seals under.
const thrownAway = "signet/replayer"

// replayKeys are somebody's keys, and one that is thrown away.
type replayKeys struct {
	converter.Keys
	id  uint32
	key tink.AEAD
}

func (k replayKeys) Primary(keyset string) (uint32, tink.AEAD, error) {
	if keyset == thrownAway {
		return k.id, k.key, nil
	}
	return k.Keys.Primary(keyset)
}

func (k replayKeys) Lookup(keyset string, id uint32) (tink.AEAD, error) {
	if keyset == thrownAway && id == k.id {
		return k.key, nil
	}
	return k.Keys.Lookup(keyset, id)
}
