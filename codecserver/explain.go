package codecserver

import (
	"bytes"
	"encoding/json"
	"fmt"

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
	e := explanation{Mark: "v1", Reason: string(it.reason), Namespace: it.outer.Scope, Contact: h.contact, RequestID: q.id}
	if it.ns != nil {
		e.Namespace = it.ns.Name
	}
	if q.caller != nil {
		e.Caller = q.caller.Name()
	}
	e.Message = it.reason.message(e.Namespace)
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

// message is what a person reads. One text for a payload that is not authentic, whatever the cause: a server that told
// them apart would answer questions about ciphertext.
func (r reason) message(namespace string) string {
	switch r {
	case "missing-token":
		return "No login came with the request, so this payload stays sealed. Log in again; if that does not help, 'Pass access token' must be on in the Web UI's codec server settings and the codec server's address must begin with https."
	case "expired-token":
		return "Your login has expired, so this payload stays sealed. Reload the page and log in again."
	case "wrong-audience":
		return "Your login is valid but was not issued for this codec server, so this payload stays sealed. The administrator of the codec server must add its audience."
	case "unknown-issuer":
		return "Your login is from an identity provider that this codec server does not know, so this payload stays sealed."
	case "token-mismatch":
		return "The two login tokens of the request name different users, so this payload stays sealed. Log out and in again."
	case idpUnavailable:
		return "The identity provider cannot be reached to check your login, so this payload stays sealed. Try again in a minute."
	case notGranted:
		return fmt.Sprintf("You may not decode payloads of namespace %q: no rule of the codec server's policy allows it.", namespace)
	case unknownNamespace:
		return fmt.Sprintf("This payload was sealed for %q, a namespace that this codec server does not serve.", namespace)
	case namespaceMismatch:
		return fmt.Sprintf("This payload was sealed for namespace %q and is shown on a page of another namespace, so it stays sealed.", namespace)
	case notAuthentic:
		return "This payload is not authentic: it was changed, moved, or sealed with another key. It cannot be decoded."
	case malformed:
		return "This payload is damaged: it is marked as sealed but does not have the format. It cannot be decoded."
	case unknownVersion:
		return "This payload was sealed by a later version of signet. The codec server must be upgraded."
	case keyDestroyed:
		return "The key of this payload was destroyed. It can never be decoded again."
	case keyUnavailable:
		return "The key of this payload is not available at the moment. Try again in a minute."
	case auditUnavailable:
		return "The audit log cannot be written, and without a record nothing is decoded. The administrator of the codec server must repair it."
	case internal:
		return "The codec server failed to decode this payload. Its log has the cause under the request id."
	}
	return "Your login could not be verified, so this payload stays sealed. Reload the page and log in again."
}
