package vaultstore

import (
	"fmt"
	"slices"
	"strings"
)

// ownPolicy is what a role needs of the Transit keys of keysets' own: of all that there may be, or with keysets of these
// alone.
//
// Vault knows no pattern for "any name that begins so, and /config behind it": a rule for all keys that begin so is one
// for everything below them as well. What it takes is therefore limited by parameters: a custodian makes derived keys and
// can set nothing else, a shredder allows the deletion and can set nothing else.
func (o Options) ownPolicy(role Role, keysets []string) string {
	var all strings.Builder
	add := func(path, capabilities, parameter string) {
		fmt.Fprintf(&all, "path %q {\n  capabilities = [%s]\n", o.TransitMount+"/"+path, capabilities)
		if parameter != "" {
			fmt.Fprintf(&all, "  allowed_parameters = {\n    %q = [true]\n  }\n", parameter)
		}
		all.WriteString("}\n")
	}
	each := func(name string, exact bool) {
		switch role {
		case RoleWorker, RoleServer:
			add("decrypt/"+name, `"update"`, "")
		case RoleCustodian:
			add("encrypt/"+name, `"update"`, "")
			add("rewrap/"+name, `"update"`, "")
			add("keys/"+name, `"read", "update"`, "derived")
		case RoleAuditor:
			add("keys/"+name, `"read"`, "")
		case RoleShredder:
			if exact {
				add("keys/"+name, `"read", "delete"`, "")
				add("keys/"+name+"/config", `"update"`, "deletion_allowed")
			} else {
				add("keys/"+name, `"read", "update", "delete"`, "deletion_allowed")
			}
		}
	}
	if len(keysets) == 0 {
		for _, under := range o.OwnKeysUnder {
			each(o.TransitKey+"__"+escaped.Replace(under)+"*", false)
		}
	} else {
		for _, name := range slices.DeleteFunc(slices.Clone(keysets), func(name string) bool { return !o.underOwn(name) }) {
			each(o.ownKey(name), true)
		}
	}
	if all.Len() == 0 {
		return ""
	}
	return "# Transit keys of keysets' own.\n" + all.String()
}
