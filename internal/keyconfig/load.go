package keyconfig

import (
	"bytes"
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/signet-temporal/signet/internal/strictyaml"
)

// Load reads the `keys:` section of a YAML file and checks it. The section is read strictly; what else stands in the
// file, such as the rest of the configuration of signet-server, is not looked at. Errors are one line, name the file
// and quote nothing of it.
func Load(file string) (Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w: name a YAML file that this user may read", err)
	}
	c, err := parseKeys(text)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", file, strictyaml.OneLine(err))
	}
	if err := c.Check(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

func parseKeys(text []byte) (Config, error) {
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return Config{}, err
	}
	if len(tree.Docs) != 1 {
		return Config{}, fmt.Errorf("has %d YAML documents: leave one", len(tree.Docs))
	}
	section, err := section(tree.Docs[0].Body, "keys")
	if err != nil {
		return Config{}, err
	}
	var c Config
	if err := yaml.NewDecoder(bytes.NewReader(nil), yaml.Strict()).DecodeFromNode(section, &c); err != nil {
		return Config{}, err
	}
	return c, nil
}

func section(document ast.Node, name string) (ast.Node, error) {
	mapping, ok := document.(*ast.MappingNode)
	if !ok {
		return nil, fmt.Errorf("is not a YAML mapping: begin it with %q", name+":")
	}
	for _, member := range mapping.Values {
		if member.Key.GetToken().Value != name {
			continue
		}
		if member.Value.Type() == ast.NullType {
			break
		}
		return member.Value, nil
	}
	return nil, fmt.Errorf("has no section %q, or an empty one: name the key store in it", name)
}
