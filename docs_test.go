package signet_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// TestEveryLinkLeadsSomewhere follows every relative link of every page of the repository, and the heading that it names.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	followed := 0
	for _, page := range pages(t) {
		for _, link := range linksIn(read(t, page)) {
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			followed++
			if err := follow(page, link); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if followed < 100 {
		t.Errorf("%d links were found, that cannot be all", followed)
	}
}

// pages are the repository's own Markdown files, those of its tools and test data included.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != "." && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	fenced = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	inCode = regexp.MustCompile("`[^`\n]+`")
	target = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	title  = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	linked = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

func linksIn(markdown string) []string {
	var all []string
	for _, found := range target.FindAllStringSubmatch(inCode.ReplaceAllString(fenced.ReplaceAllString(markdown, ""), ""), -1) {
		all = append(all, found[1])
	}
	return all
}

func follow(page, link string) error {
	file, anchor, _ := strings.Cut(link, "#")
	if file = filepath.Join(filepath.Dir(page), file); strings.HasPrefix(link, "#") {
		file = page
	}
	if strings.HasPrefix(file, "..") {
		return fmt.Errorf("the link %s leaves the repository", link)
	}
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("the link %s leads nowhere", link)
	}
	if anchor == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !anchorsOf(string(text))[anchor] {
		return fmt.Errorf("the link %s names no heading of %s", link, file)
	}
	return nil
}

// anchorsOf are the names that GitHub gives to headings: lower case, without punctuation, with hyphens for spaces, and
// with a number for each repetition.
func anchorsOf(markdown string) map[string]bool {
	anchors := map[string]bool{}
	for _, heading := range title.FindAllStringSubmatch(fenced.ReplaceAllString(markdown, ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, linked.ReplaceAllString(heading[1], "$1"))
		unique := name
		for n := 1; anchors[unique]; n++ {
			unique = fmt.Sprintf("%s-%d", name, n)
		}
		anchors[unique] = true
	}
	return anchors
}

// TestLinksAreFollowedAsTheyAreMeant holds the test above to what it must find.
func TestLinksAreFollowedAsTheyAreMeant(t *testing.T) {
	page := "# A page: `code`, and *more*\n```\n# no heading [no](link.md)\n```\n## Twice\n## Twice\n[one](docs/search.md) `[no](link.md)`\n"
	if anchors := anchorsOf(page); len(anchors) != 3 || !anchors["a-page-code-and-more"] || !anchors["twice"] || !anchors["twice-1"] {
		t.Errorf("the headings are %v", anchors)
	}
	if links := linksIn(page); len(links) != 1 || links[0] != "docs/search.md" {
		t.Errorf("the links are %v", links)
	}
	for _, link := range []string{"docs/gone.md", "docs/search.md#gone", "../outside", "#gone"} {
		if follow("README.md", link) == nil {
			t.Errorf("%s leads somewhere", link)
		}
	}
}
