package strictyaml

import (
	"strings"
	"testing"
)

func TestErrorsAreOneLineThatSaysWhereAndShowsNoValue(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"unknown field": {"name: a\npasword: hunter2\n", `line 2: unknown field "pasword"`},
		"doubled":       {"name: a\nname: hunter2\n", "line 2: "},
		"wrong type":    {"name: a\nsize: hunter2\n", "line 2: "},
		"no YAML":       {"name: [hunter2\n", "line 1: "},
	} {
		var into struct {
			Name string `yaml:"name"`
			Size int    `yaml:"size"`
		}
		err := Unmarshal([]byte(tc.text), &into)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want one line that begins with %q", name, err, tc.want)
		}
	}
}

func TestWhatIsThereIsRead(t *testing.T) {
	var into struct {
		Name string `yaml:"name"`
	}
	if err := Unmarshal([]byte("name: a\n"), &into); err != nil || into.Name != "a" {
		t.Errorf("%+v, %v", into, err)
	}
	if err := Unmarshal(nil, &into); err != nil || into.Name != "" {
		t.Errorf("an empty document: %+v, %v", into, err)
	}
}
