package codecserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	commonpb "go.temporal.io/api/common/v1"
)

// mark stands in the metadata of an explanation and as a member of its JSON. The second is what is left of it
// when the Web UI fills a form with a decoded payload and sends the form to /encode.
const mark = "signet-explanation"

// explanation is the JSON that a person sees in place of a payload. It holds nothing that the person did not send.
type explanation struct {
	Message   string `json:"message"` // first: the Web UI's one-line preview shows the beginning
	Reason    string `json:"reason"`
	Namespace string `json:"namespace,omitempty"`
	Caller    string `json:"caller,omitempty"`
	Contact   string `json:"contact,omitempty"`
	RequestID string `json:"requestId"`
	Mark      string `json:"signet-explanation"` // "v1"
}

func (h *Handler) explain(q *request, it *item) *commonpb.Payload {
	e := explanation{Mark: "v1", Reason: string(it.reason), Namespace: it.outer.Scope, RequestID: q.id}
	if it.reason.somebodyCanGrant() {
		e.Contact = h.contact
	}
	if it.ns != nil {
		e.Namespace = it.ns.Name
	}
	if q.caller != nil {
		e.Caller = q.caller.Name()
	}
	e.Message = it.reason.message(e.Namespace)
	if h.login != "" && it.reason.outcome().status == http.StatusUnauthorized {
		e.Message = it.reason.loginMessage(h.login)
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil { // strings always encode
		text.Reset()
		text.WriteString(`{"` + mark + `":"v1"}`)
	}
	return &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("json/plain"), mark: []byte("v1")},
		Data:     bytes.TrimSpace(text.Bytes()),
	}
}

// isExplanation reports whether p is an explanation or holds one, also after a form has wrapped or quoted its text.
func isExplanation(p *commonpb.Payload) bool {
	_, marked := p.GetMetadata()[mark]
	return marked || bytes.Contains(p.GetData(), []byte(mark))
}

// somebodyCanGrant: asking for access helps. Against an expired login or a damaged payload it does not.
func (r reason) somebodyCanGrant() bool {
	switch r {
	case notGranted, deniedByRule, rateLimited, unknownNamespace, "wrong-audience", "unknown-issuer", "unknown-account":
		return true
	}
	return false
}

// loginMessage is what a person reads where logging in at a page of the codec server's helps.
func (r reason) loginMessage(page string) string {
	why := "your login could not be verified."
	switch r {
	case "missing-token":
		why = "no login came with this request. If you have logged in there, turn on 'Include cross-origin credentials' in the Web UI's codec server settings."
	case "expired-token", "expired-session":
		why = "your login has expired."
	case "ended-session":
		why = "you have logged out."
	}
	return fmt.Sprintf("Log in at %s and reload this page: %s", page, why)
}

// message is what a person reads: what to do comes first, because the Web UI shows some fifty characters. One text for a payload that is not authentic, whatever the cause: a server that told
// them apart would answer questions about ciphertext.
func (r reason) message(namespace string) string {
	switch r {
	case "missing-token":
		return "Log in again: no login came with this request. If that does not help, turn on 'Pass access token' in the Web UI's codec server settings, and give the codec server an address that begins with https."
	case "expired-token":
		return "Reload the page and log in again: your login has expired."
	case "wrong-audience":
		return "Your login was not issued for this codec server: its administrator must add its audience."
	case "unknown-issuer":
		return "Ask for your login to be accepted: it is from an identity provider that this codec server does not know."
	case "unknown-account":
		return "Ask to be added to the Temporal Cloud account: this codec server does not know you as one of its users."
	case "token-mismatch":
		return "Log out and in again: the two tokens of this request name different users."
	case sessionsAway:
		return "Try again in a minute: the codec server cannot read which logins were ended. Its administrator must repair that."
	case idpUnavailable:
		return "Try again in a minute: the identity provider cannot be reached to check your login."
	case notGranted:
		return fmt.Sprintf("You may not decode payloads of namespace %s: no rule of the codec server's policy allows it.", namespace)
	case deniedByRule:
		return fmt.Sprintf("You may not decode this payload of namespace %s: a rule of the codec server's policy forbids it.", namespace)
	case breakGlassNeeded:
		return fmt.Sprintf("Use the temporal CLI with --codec-header '%s=<why>': you may decode this payload of namespace %s in an emergency only, and it will be noticed.", BreakGlassHeader, namespace)
	case rateLimited:
		return "Wait a minute and reload: you have decoded more payloads in a short time than one person reads. For exports, ask for a grant that says bulk."
	case unknownNamespace:
		return fmt.Sprintf("This codec server does not serve namespace '%s', for which this payload was sealed.", namespace)
	case namespaceMismatch:
		return fmt.Sprintf("Look at this payload in namespace %s: it was sealed for that one and is shown on a page of another.", namespace)
	case notAuthentic:
		return "This payload is not authentic: it was changed, moved, or sealed with another key. It cannot be decoded."
	case malformed:
		return "This payload is damaged: it is marked as sealed but does not have the format. It cannot be decoded."
	case unknownVersion:
		return "This payload was sealed by a later version of signet. The codec server must be upgraded."
	case keyDestroyed:
		return "The key of this payload was destroyed, alone or because everything of its tenant was erased. It can never be decoded again."
	case keyUnavailable:
		return "Try again in a minute: the key of this payload is not available at the moment."
	case tooLarge:
		return "Download fewer payloads at a time: the request holds more data than the codec server opens at once."
	case auditUnavailable:
		return "The audit log cannot be written, and without a record nothing is decoded. The administrator of the codec server must repair it."
	case internal:
		return "The codec server failed to decode this payload. Its log has the cause under the request id."
	}
	return "Reload the page and log in again: your login could not be verified."
}
