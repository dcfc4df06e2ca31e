package codec_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// decodeAt asks at any address and returns the status, and the payload's data where there is one. Errors are part of what
// it returns, so that it can be called while servers come and go.
func decodeAt(client *http.Client, address, token string, p *commonpb.Payload) string {
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{p}})
	if err != nil {
		return err.Error()
	}
	r, err := http.NewRequest(http.MethodPost, address+"/decode", strings.NewReader(string(body)))
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	var out commonpb.Payloads
	if res.StatusCode != http.StatusOK || protojson.Unmarshal(text, &out) != nil || len(out.Payloads) != 1 {
		return fmt.Sprintf("%d ", res.StatusCode)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, out.Payloads[0].GetData())
}
