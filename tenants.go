package signet

import (
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/signet-temporal/signet/converter"
)

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
