package strictyaml

import (
	"strings"
	"testing"
)

func TestErrorsAreOneLineThatSaysWhereAndShowsNoValue(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"unknown field": {"name: a\npasword: hunter2\n", `line 2: unknown field "pasword"`},
		"doubled":       {"name: a\nname: hunter2\n", "line 2: "},
		"wrong type":    {"name: a\nsize: hunter2\n", "line 2: string was used where number is expected"},
		"no boolean":    {"name: a\nbulk: yes\n", "line 2: string was used where true or false is expected"},
		"in a list":     {"name: a\nall:\n  - only: [{hunter2: 1}]\n", "line 3: mapping was used where string is expected"},
		"tab":           {"all:\n\t- only: [hunter2]\n", "line 2: a tab stands where"},
		"no YAML":       {"name: [hunter2\n", "line 1: "},
	} {
		var into struct {
			Name string `yaml:"name"`
			Size int    `yaml:"size"`
			Bulk bool   `yaml:"bulk"`
			All  []struct {
				Only []string `yaml:"only"`
			} `yaml:"all"`
		}
		err := Unmarshal([]byte(tc.text), &into)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want one line that begins with %q", name, err, tc.want)
		}
	}
}

// TestNothingBehindTheFirstDocumentIsPassedOver: a denial of a policy, say, in a file that was put together of several.
func TestNothingBehindTheFirstDocumentIsPassedOver(t *testing.T) {
	for text, want := range map[string]string{
		"name: a\n---\nsize: 1\n":             "line 3: another document",
		"name: a\n...\n---\nsize: 1\n":        "line 4: another document",
		"---\nname: a\n---\n# why\nsize: 1\n": "line 5: another document",
		"---\n---\nname: a\n":                 "line 3: another document",
		"name: a\n--- hunter2\n":              "line 2: another document",
		"---\nname: a\n":                      "",
		"name: a\n---\n":                      "",
		"name: a\n---\n# nothing\n":           "",
		"# why\n---\nname: a\n":               "",
	} {
		var into struct {
			Name string `yaml:"name"`
			Size int    `yaml:"size"`
		}
		err := Unmarshal([]byte(text), &into)
		switch {
		case want == "" && (err != nil || into.Name != "a"):
			t.Errorf("%q: %+v, %v", text, into, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestANameWithoutAValueIsNotAsGoodAsNone: the entries of the list were put behind a #, and whatever they allow is all
// that is left.
func TestANameWithoutAValueIsNotAsGoodAsNone(t *testing.T) {
	type inner struct {
		Only []string `yaml:"only"`
	}
	var into struct {
		Name  string  `yaml:"name"`
		All   []inner `yaml:"all"`
		Inner inner   `yaml:"inner"`
	}
	for text, want := range map[string]string{
		"name: a\nall:\n  - only:\n    # - x\n": `line 3: "only" has no value`,
		"name: a\nall: [{only: null}]\n":        `line 2: "only" has no value`,
		"inner: {only: ~}\n":                    `line 1: "only" has no value`,
		"inner:\nname: a\n":                     `line 1: "inner" has no value`,
		"name: a\nall:\n- only: [x]\n":          "",
		"name: ''\nall: []\ninner: {}\n":        "",
		"name: \"null\"\n":                      "",
	} {
		err := Unmarshal([]byte(text), &into)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
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
