// Package policy decides who may do what with the payloads of which namespace. The default is no: a caller may do only
// what a grant says, no denial may match, and a rule that says something unclear does not load.
//
// A decision is a pure function of the rules and a [Request]: no I/O, no clock, no state. So a policy can be tested as a
// table, and the rule that decided can be named in the audit record.
//
// # File
//
//	deny:                                    # optional; judged first: the first that matches decides
//	  - name: cards-stay-closed              # unique among all rules; stands in audit records
//	    namespaces: ["pci-*"]                # what is left out matches everything: here everybody, and every action
//	grants:                                  # then these: any that matches allows
//	  - name: payments-oncall
//	    issuer: https://login.example.com    # exact; groups and subjects mean nothing without their issuer
//	    groups: [payments-oncall]            # exactly one of groups, subjects, emails: any entry is enough
//	    acr: [mfa]                           # optional: any of these values of the claim acr
//	    claims: {department: [finance, it]}  # optional: of every claim named, any of the values
//	    namespaces: [payments, "pay-*"]      # Temporal namespaces; * stands for any characters
//	    workflows: ["order-*"]               # optional: workflow ids, in the same way
//	    tenants: [acme]                      # optional: sealed under the keyset tenant/acme
//	    actions: [decode]                    # decode, encode, download, search
//	    labels: [pii]                        # optional: labelled values that are shown; ["*"]: all of them
//	    until: 2027-01-31T18:00:00Z          # optional: when the grant ends
//	    bulk: true                           # optional: no limit on how much: for exports, and workers' remote codecs
//	  - name: emergency
//	    issuer: https://login.example.com
//	    groups: [sre]
//	    namespaces: ["*"]
//	    actions: [decode]
//	    breakGlass: true                     # only with a reason, and every use is marked in the audit log
//	permissions:                             # optional: the claim that Temporal's own authorizer reads
//	  - name: temporal
//	    issuer: https://login.example.com
//	    decode: [decode]                     # "<namespace>:decode" in the claim lets its bearer decode there
//
// A denial takes the fields of a grant but emails, labels, until, breakGlass and bulk; all are optional but the name. claims may
// stand in place of groups, subjects and emails. insecureAnyone: true in place of them means every caller whom the
// issuer vouches for. Entries are compared exactly, with upper and lower case.
//
// A denial of decode denies download as well. A grant of decode grants no download: what is in external storage is what
// was too large for a history.
//
// # Labels
//
// Whoever may decode sees what is not labelled. A labelled value is shown to a caller whose grants have all of its
// labels: those of every grant and of the permissions that match, and of break-glass grants where a reason is given. A
// grant without labels shows none, so that nobody sees a labelled value whom the policy does not name for it. It means
// what it meant before there were labels for every payload that has none.
//
// # What is not known
//
// Claims that the authenticator does not pass on, groups and claims of a token that says that some stand elsewhere
// ("_claim_names", "hasgroups": who has too many groups gets such a token), the workflow of a payload that was sealed without one, and workflow and
// tenant of what is yet to be sealed or was sealed by another codec, are not known. What is not known matches no grant that asks for it, and every denial that does.
package policy
