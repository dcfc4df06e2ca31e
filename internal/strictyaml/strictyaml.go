// Package strictyaml reads configuration: YAML in which an unknown field and a doubled one are errors, and an error is one
// line that says where and quotes nothing but names. The YAML library's own errors show lines of the file, in which a
// secret may stand by mistake.
package strictyaml

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml"
)

// Unmarshal reads data into the struct that into points to. An empty document is a struct of zeros.
func Unmarshal(data []byte, into any) error {
	err := yaml.UnmarshalWithOptions(data, into, yaml.Strict())
	if errors.Is(err, io.EOF) {
		return nil
	}
	return OneLine(err)
}

// OneLine keeps of an error of the YAML library the place and the message: "line 3: unknown field \"isuer\"". It returns
// nil for nil.
func OneLine(err error) error {
	if err == nil {
		return nil
	}
	var problem yaml.Error
	if !errors.As(err, &problem) {
		return errors.New(strings.Join(strings.Fields(err.Error()), " "))
	}
	message, _, _ := strings.Cut(problem.GetMessage(), "\n")
	if token := problem.GetToken(); token != nil {
		return fmt.Errorf("line %d: %s", token.Position.Line, message)
	}
	return errors.New(message)
}
