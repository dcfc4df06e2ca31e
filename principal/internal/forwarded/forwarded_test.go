package forwarded

import (
	"maps"
	"slices"
	"testing"
)

func TestStripRemovesWhateverPassesForAForwardedHeader(t *testing.T) {
	h := map[string][]string{"Accept": {"a"}, "X-Forwarded-For": {"b"}, "X-Forwarded-User": {"c"}, "x-forwarded-tenant": {"d"},
		"X_forwarded-USER": {"e"}, "x_forwarded_assertion": {"f"}, "X-Forwarded-Issuer": {"g"}, "x-forwarded-txn": nil}
	Strip(h)
	if left := slices.Sorted(maps.Keys(h)); !slices.Equal(left, []string{"Accept", "X-Forwarded-For"}) {
		t.Fatalf("left: %q", left)
	}
}
