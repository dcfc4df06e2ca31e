package vaultstore

import (
	_ "embed"
	"strings"
)

var (
	//go:embed worker.hcl
	workerPolicy string
	//go:embed custodian.hcl
	custodianPolicy string
)

// WorkerPolicy returns the Vault policy, in HCL, of a worker or codec server: it reads keyset documents and unwraps
// keys. It can neither change a document nor wrap a key.
func (o Options) WorkerPolicy() (string, error) { return o.policy(workerPolicy) }

// CustodianPolicy returns the Vault policy, in HCL, of a key custodian: it creates, changes and lists keyset documents,
// removes their earlier versions, and wraps and rewraps keys. It cannot unwrap one.
func (o Options) CustodianPolicy() (string, error) { return o.policy(custodianPolicy) }

// policy puts the places of o into text, which is written for the default ones.
func (o Options) policy(text string) (string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return "", err
	}
	return strings.NewReplacer(
		`"secret/data/signet/keysets/`, `"`+o.KVMount+`/data/`+o.Prefix+`/`,
		`"secret/destroy/signet/keysets/`, `"`+o.KVMount+`/destroy/`+o.Prefix+`/`,
		`"secret/metadata/signet/keysets/`, `"`+o.KVMount+`/metadata/`+o.Prefix+`/`,
		`"transit/decrypt/signet"`, `"`+o.TransitMount+`/decrypt/`+o.TransitKey+`"`,
		`"transit/encrypt/signet"`, `"`+o.TransitMount+`/encrypt/`+o.TransitKey+`"`,
		`"transit/rewrap/signet"`, `"`+o.TransitMount+`/rewrap/`+o.TransitKey+`"`,
		`"transit/keys/signet"`, `"`+o.TransitMount+`/keys/`+o.TransitKey+`"`,
	).Replace(text), nil
}
