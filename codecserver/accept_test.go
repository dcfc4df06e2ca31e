package codecserver_test

import (
	"net/http"
	"testing"

	"github.com/signet-temporal/signet/codecserver"
)

func TestAPersonAtThePromptIsExplainedWhatAMachineIsRefused(t *testing.T) {
	w := newWorld(t)
	const reader = codecserver.AcceptHeader
	sealed := body(t, w.sealed("payments"))
	explained(t, w.send(fromMachine("bob", "decode", sealed, reader, "explanations")).payloads(1)[0], "not-granted")
	explained(t, w.send(fromMachine("expired-token", "decode", sealed, reader, "explanations")).payloads(1)[0], "expired-token")
	w.audited()
	// Only that value, only to decode, and not in strict mode.
	w.send(fromMachine("bob", "decode", sealed, reader, "everything")).want(http.StatusBadRequest)
	w.send(fromMachine("bob", "decode", sealed, reader, "masks")).want(http.StatusForbidden)
	w.send(fromMachine("bob", "encode", body(t, plain("1")), reader, "explanations", "X-Namespace", "payments")).want(http.StatusForbidden)
	newWorld(t, strict).send(fromMachine("bob", "decode", sealed, reader, "explanations")).want(http.StatusForbidden)
}
