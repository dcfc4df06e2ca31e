package audit

import "time"

// Decision is how a request for one payload ended.
type Decision string

// The decisions of a record.
const (
	Allow      Decision = "allow"      // the caller gets the payload opened (or sealed)
	Deny       Decision = "deny"       // the caller may not, or is not known
	Unreadable Decision = "unreadable" // the caller may, but the payload does not open (or seal)
)

// Record is one line of the log. Members that are empty are left out, except those every record has.
type Record struct {
	Time      time.Time `json:"time"` // set by the [Log], UTC
	RequestID string    `json:"requestId"`
	Action    string    `json:"action"` // "decode", "encode", "download" or "search"
	Decision  Decision  `json:"decision"`
	Reason    string    `json:"reason,omitempty"` // code, such as "not-granted": codecserver has the list
	Rule      string    `json:"rule,omitempty"`   // name of the rule of the policy that decided
	// BreakGlass is the caller's reason, where only a break-glass grant allowed it, or showed labels that nothing else does.
	BreakGlass string `json:"breakGlass,omitempty"`

	Issuer  string `json:"issuer,omitempty"` // these three are empty for a caller who was not authenticated
	Subject string `json:"subject,omitempty"`
	Email   string `json:"email,omitempty"`

	Payload  int `json:"payload,omitempty"`  // position in the request, from 1; 0 for the request as a whole
	Payloads int `json:"payloads,omitempty"` // how many the request holds, foreign ones counted

	Item                  // authenticated: the payload was opened (or sealed) and says so
	LabelsShown  []string `json:"labelsShown,omitempty"`  // of labelled values in the answer, sorted
	LabelsMasked []string `json:"labelsMasked,omitempty"` // for want of which values are masked, sorted

	Attribute string `json:"attribute,omitempty"` // of a search: the search attribute,
	Tenant    string `json:"tenant,omitempty"`    // and the tenant whose workflows are searched

	Claimed *Item  `json:"claimed,omitempty"` // not authenticated: what the payload's outside says
	Client  string `json:"client"`            // network address of the peer
	Agent   string `json:"agent"`             // "browser", "go" or "other"
}

// Item says which payload it was.
type Item struct {
	Namespace string `json:"namespace,omitempty"`
	Workflow  string `json:"workflow,omitempty"` // workflow id; "" where the encoder did not know one
	Key       string `json:"key,omitempty"`      // <keyset name>/<8 hex digits>
}
