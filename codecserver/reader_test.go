package codecserver_test

import (
	"net/http"
	"testing"
)

func TestAPersonAtThePromptIsExplainedWhatAMachineIsRefused(t *testing.T) {
	w := newWorld(t)
	const reader = "Signet-Reader"
	sealed := body(t, w.sealed("payments"))
	explained(t, w.send(fromMachine("bob", "decode", sealed, reader, "person")).payloads(1)[0], "not-granted")
	explained(t, w.send(fromMachine("expired-token", "decode", sealed, reader, "person")).payloads(1)[0], "expired-token")
	w.audited()
	// Only that value, only to decode, and not in strict mode.
	w.send(fromMachine("bob", "decode", sealed, reader, "worker")).want(http.StatusForbidden)
	w.send(fromMachine("bob", "encode", body(t, plain("1")), reader, "person", "X-Namespace", "payments")).want(http.StatusForbidden)
	newWorld(t, strict).send(fromMachine("bob", "decode", sealed, reader, "person")).want(http.StatusForbidden)
}
