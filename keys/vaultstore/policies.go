package vaultstore

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed worker.hcl server.hcl custodian.hcl destroyer.hcl auditor.hcl
var policies embed.FS

// Role is what somebody does with keysets, and so what Vault has to let them do.
type Role string

// The roles. Nobody is given what only another one needs: who rotates keys cannot destroy one for good, and neither can
// read one.
const (
	RoleWorker    Role = "worker"    // reads keysets and unwraps their keys; writes nothing
	RoleServer    Role = "server"    // the same, for signet-server
	RoleCustodian Role = "custodian" // creates and changes keysets, wraps and rewraps keys; unwraps none
	RoleDestroyer Role = "destroyer" // carries out a scheduled destruction; adds no key and unwraps none
	RoleAuditor   Role = "auditor"   // looks at keysets; unwraps and writes nothing
)

// Roles returns all roles.
func Roles() []Role { return []Role{RoleWorker, RoleServer, RoleCustodian, RoleDestroyer, RoleAuditor} }

// Policy returns the Vault policy of a role, in HCL, with what it needs at the places of o and nothing more.
func (o Options) Policy(role Role) (string, error) {
	text, err := policies.ReadFile(string(role) + ".hcl")
	if err != nil {
		return "", fmt.Errorf("there is no role %q: use worker, server, custodian, destroyer or auditor", role)
	}
	return o.policy(string(text))
}

// WorkerPolicy returns the policy of [RoleWorker].
func (o Options) WorkerPolicy() (string, error) { return o.Policy(RoleWorker) }

// CustodianPolicy returns the policy of [RoleCustodian].
func (o Options) CustodianPolicy() (string, error) { return o.Policy(RoleCustodian) }

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
