// Package policy decides who may do what with the payloads of which namespace. The default is no: a caller may do only
// what a grant says, and a grant that says something unclear does not load.
//
// A decision is a pure function of the rules, the caller, the action and the namespace: no I/O, no clock, no state. So
// a policy can be tested as a table, and the rule that decided can be named in the audit record.
//
// # File
//
//	grants:
//	  - name: payments-oncall                # unique; stands in audit records and explanations
//	    issuer: https://login.example.com    # exact; groups and subjects mean nothing without their issuer
//	    groups: [payments-oncall]            # exactly one of groups, subjects, emails: any entry is enough
//	    namespaces: [payments, "pay-*"]      # Temporal namespaces; * stands for any characters
//	    actions: [decode]                    # decode, encode
//
// Entries are compared exactly, with upper and lower case. insecureAnyone: true in place of groups, subjects and emails
// means every caller whom the issuer vouches for.
package policy
