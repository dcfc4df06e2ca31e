package wire

// Known are texts that payloads have on their outsides as a rule. Those of them that a payload has are not copied: the
// [Outer] is the same without, and takes memory for each.
type Known struct {
	Keyset   string   // that is looked for first; "" or one that [CheckName] accepts,
	Keysets  []string // and so are these
	Scopes   []string
	Workflow string
}

func (k *Known) keyset(name []byte) (keyset string, known bool) {
	if string(name) == k.Keyset {
		return k.Keyset, k.Keyset != ""
	}
	return find(k.Keysets, name)
}

func (k *Known) scope(text []byte) string {
	scope, _ := find(k.Scopes, text)
	return scope
}

func (k *Known) workflow(text []byte) string {
	if string(text) == k.Workflow {
		return k.Workflow
	}
	return string(text)
}

func find(known []string, text []byte) (string, bool) {
	for _, k := range known {
		if string(text) == k {
			return k, true
		}
	}
	return string(text), false
}
