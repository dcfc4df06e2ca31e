package policy_test

import (
	"testing"

	"github.com/signet-temporal/signet/codecserver/policy"
)

const files = `
deny:
  - {name: no-cards, namespaces: ["pci-*"], actions: [decode]}
  - {name: no-files, namespaces: [hr], actions: [download]}
  - {name: no-wards, workflows: ["ward-*"]}
  - {name: not-acme, tenants: [acme], actions: [decode]}
grants:
  - {name: readers, issuer: "https://login.example.com", groups: [staff], namespaces: ["*"], actions: [decode]}
  - {name: files, issuer: "https://login.example.com", groups: [files], namespaces: ["*"], workflows: ["order-*"], actions: [download], labels: [pii]}
  - {name: tenants, issuer: "https://login.example.com", groups: [tenants], namespaces: ["*"], tenants: [globex], actions: [download]}
`

func TestDownloads(t *testing.T) {
	r, err := policy.Parse([]byte(files))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says         string
		q            policy.Request
		rule, reason string
	}{
		{"a grant of decode is none of download", policy.Request{Caller: who("staff"), Namespace: "intake", Workflow: "order-1"}, "", policy.NotGranted},
		{"a grant", policy.Request{Caller: who("files"), Namespace: "intake", Workflow: "order-1"}, "files", policy.Granted},
		{"of another workflow", policy.Request{Caller: who("files"), Namespace: "intake", Workflow: "visit-1"}, "", policy.NotGranted},
		{"of a workflow that is not known", policy.Request{Caller: who("files"), Namespace: "intake"}, "no-wards", policy.Denied},
		{"a denial of decode", policy.Request{Caller: who("files"), Namespace: "pci-eu", Workflow: "order-1"}, "no-cards", policy.Denied},
		{"a denial of download", policy.Request{Caller: who("files"), Namespace: "hr", Workflow: "order-1"}, "no-files", policy.Denied},
		{"a denial of download is none of decode", policy.Request{Caller: who("staff"), Namespace: "hr", Workflow: "order-1", Action: policy.Decode}, "readers", policy.Granted},
		{"a denial by tenant", policy.Request{Caller: who("files"), Namespace: "intake", Workflow: "order-1", Tenant: "acme"}, "not-acme", policy.Denied},

		{"anywhere: a grant by workflow counts", policy.Request{Caller: who("files"), Namespace: "intake", Anywhere: true}, "files", policy.Granted},
		{"anywhere: a grant by tenant counts", policy.Request{Caller: who("tenants"), Namespace: "intake", Anywhere: true}, "tenants", policy.Granted},
		{"anywhere: a denial of the namespace counts", policy.Request{Caller: who("files"), Namespace: "pci-eu", Anywhere: true}, "no-cards", policy.Denied},
		{"anywhere is nowhere without a grant", policy.Request{Caller: who("staff"), Namespace: "intake", Anywhere: true}, "", policy.NotGranted},
	} {
		if c.q.Action == "" {
			c.q.Action = policy.Download
		}
		d := r.Decide(c.q)
		if d.Rule != c.rule || d.Reason != c.reason || d.Allowed != (c.reason == policy.Granted) {
			t.Errorf("%s: %+v", c.says, d)
		}
		if d.Rule == "files" && d.Labels.String() != "pii" {
			t.Errorf("%s: labels %s", c.says, d.Labels)
		}
	}
}
