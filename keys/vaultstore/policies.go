package vaultstore

import (
	"embed"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/signet-temporal/signet/keys"
)

//go:embed worker.hcl server.hcl custodian.hcl destroyer.hcl shredder.hcl auditor.hcl
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
	RoleShredder  Role = "shredder"  // carries out a scheduled shredding, and deletes the keyset's own Transit key; unwraps none
	RoleAuditor   Role = "auditor"   // looks at keysets; unwraps and writes nothing
)

// Roles returns all roles.
func Roles() []Role {
	return []Role{RoleWorker, RoleServer, RoleCustodian, RoleDestroyer, RoleShredder, RoleAuditor}
}

// Policy returns the Vault policy of a role, in HCL, with what it needs at the places of o and nothing more. With
// keysets, it is for these alone: their documents, the Transit keys of their own, and the shared one under their names.
func (o Options) Policy(role Role, keysets ...string) (string, error) {
	content, err := policies.ReadFile(string(role) + ".hcl")
	if err != nil {
		return "", fmt.Errorf("there is no role %q: use worker, server, custodian, destroyer, shredder or auditor", role)
	}
	if o, err = o.withDefaults(); err != nil {
		return "", err
	}
	for _, name := range keysets {
		if err := keys.CheckName(name); err != nil {
			return "", err
		}
	}
	text := string(content)
	switch {
	case len(keysets) > 0:
		text = o.narrow(text, keysets)
	case role == RoleShredder && len(o.OwnKeysUnder) > 0:
		text = within(text, o.OwnKeysUnder)
	}
	return o.policy(text) + o.ownPolicy(role, keysets), nil
}

var withoutList = strings.NewReplacer(`"list", `, ``, `"list"`, ``)

var rule = regexp.MustCompile(`(?s)path "([^"]+)" \{(.*?)\n\}\n`)

// within limits a policy for all documents to those whose names begin in one of some ways.
func within(text string, under []string) string {
	return rule.ReplaceAllStringFunc(text, func(whole string) string {
		path, body := rule.FindStringSubmatch(whole)[1], rule.FindStringSubmatch(whole)[2]
		var each strings.Builder
		for _, u := range under {
			fmt.Fprintf(&each, "path %q {%s\n}\n", strings.TrimSuffix(path, "*")+u+"*", body)
		}
		return each.String()
	})
}

// narrow limits a policy to some keysets. A rule for all documents becomes one for each, without the right to list, which
// means nothing there; a rule for the shared Transit key takes the names of the keysets that it wraps as context and no
// other, and no batch, in which Vault would not look for a context.
func (o Options) narrow(text string, keysets []string) string {
	sharing := slices.DeleteFunc(slices.Clone(keysets), o.underOwn)
	var contexts []string
	for _, name := range sharing {
		contexts = append(contexts, encoded(name))
	}
	return rule.ReplaceAllStringFunc(text, func(whole string) string {
		path, body := rule.FindStringSubmatch(whole)[1], rule.FindStringSubmatch(whole)[2]
		if folder, all := strings.CutSuffix(path, "*"); all {
			var each strings.Builder
			if body = withoutList.Replace(body); strings.Contains(body, "[]") {
				return ""
			}
			for _, name := range keysets {
				fmt.Fprintf(&each, "path %q {%s\n}\n", folder+name, body)
			}
			return each.String()
		}
		if len(sharing) == 0 {
			return ""
		}
		operation := strings.Split(path, "/")[1]
		input, allowed := "ciphertext", slices.Clone(contexts)
		switch operation {
		case "decrypt": // a worker proves once that the key honours the name, by sending another
			for _, name := range sharing {
				allowed = append(allowed, encoded(probeName(name)))
			}
		case "encrypt":
			input = "plaintext"
		case "rewrap":
		default:
			return whole
		}
		return fmt.Sprintf("path %q {%s\n  allowed_parameters = {\n    %q = []\n    \"context\" = [\"%s\"]\n  }\n}\n", path, body, input, strings.Join(allowed, `", "`))
	})
}

func encoded(name string) string { return base64.StdEncoding.EncodeToString([]byte(name)) }

// WorkerPolicy returns the policy of [RoleWorker].
func (o Options) WorkerPolicy() (string, error) { return o.Policy(RoleWorker) }

// CustodianPolicy returns the policy of [RoleCustodian].
func (o Options) CustodianPolicy() (string, error) { return o.Policy(RoleCustodian) }

// policy puts the places of o into text, which is written for the default ones.
func (o Options) policy(text string) string {
	return strings.NewReplacer(
		`"secret/data/signet/keysets/`, `"`+o.KVMount+`/data/`+o.Prefix+`/`,
		`"secret/destroy/signet/keysets/`, `"`+o.KVMount+`/destroy/`+o.Prefix+`/`,
		`"secret/metadata/signet/keysets/`, `"`+o.KVMount+`/metadata/`+o.Prefix+`/`,
		`"transit/decrypt/signet"`, `"`+o.TransitMount+`/decrypt/`+o.TransitKey+`"`,
		`"transit/encrypt/signet"`, `"`+o.TransitMount+`/encrypt/`+o.TransitKey+`"`,
		`"transit/rewrap/signet"`, `"`+o.TransitMount+`/rewrap/`+o.TransitKey+`"`,
		`"transit/keys/signet"`, `"`+o.TransitMount+`/keys/`+o.TransitKey+`"`,
	).Replace(text)
}
