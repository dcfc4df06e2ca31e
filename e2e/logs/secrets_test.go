// Package logs_test reads everything that is logged while sealed workflows run well and badly, and looks for what must
// not be there.
package logs_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/e2e/stack"
)

// secrets are what no log may show, by what they are.
type secrets map[string][]byte

// add keeps a secret by its first 16 bytes: a log that is cut short shows it, too.
func (s secrets) add(what string, secret []byte) {
	if len(secret) < 8 {
		panic("too short to be looked for: " + what)
	}
	s[what] = secret[:min(len(secret), 16)]
}

// addToken keeps the three parts of a JWT, or what is not one as it is. The first part is no secret.
func (s secrets) addToken(what, token string) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		s.add(what, []byte(token))
		return
	}
	s.add(what+": claims", []byte(parts[1]))
	if parts[2] != "" {
		s.add(what+": signature", []byte(parts[2]))
	}
}

// addKeys keeps the material of every key of a keyset, unwrapped as a worker does it.
func (s secrets) addKeys(t *testing.T, k *stack.Stack, keyset string) {
	t.Helper()
	store := k.Store(t, "", k.Roles.WorkerToken)
	doc, _, err := store.Fetch(t.Context(), keyset)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range doc.Keys {
		var wrapped tinkpb.EncryptedKeyset
		if err := proto.Unmarshal(key.Wrapped, &wrapped); err != nil {
			t.Fatal(err)
		}
		clear, err := store.DecryptWithContext(t.Context(), wrapped.GetEncryptedKeyset(), []byte(keyset))
		if err != nil {
			t.Fatal(err)
		}
		var handle tinkpb.Keyset
		if err := proto.Unmarshal(clear, &handle); err != nil {
			t.Fatal(err)
		}
		s.add("key "+key.ID.String(), material(t, handle.GetKey()[0].GetKeyData().GetValue()))
	}
}

// material finds the 32 bytes of an AES key in its protobuf.
func material(t *testing.T, key []byte) []byte {
	t.Helper()
	for rest := key; len(rest) > 0; {
		_, kind, n := protowire.ConsumeTag(rest)
		size := protowire.ConsumeFieldValue(1, kind, rest[n:])
		if n < 0 || size < 0 {
			break
		}
		if value, _ := protowire.ConsumeBytes(rest[n:]); kind == protowire.BytesType && len(value) == 32 {
			return value
		}
		rest = rest[n+size:]
	}
	t.Fatal("a key without 32 bytes of material")
	return nil
}

// shown returns what of the secrets a log shows: as it is, quoted, in hex, as a list of bytes, or in base64 at any
// alignment.
func (s secrets) shown(log []byte) (what []string) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		for _, form := range forms(s[name]) {
			if bytes.Contains(log, []byte(form)) {
				what = append(what, name)
				break
			}
		}
	}
	return what
}

func forms(secret []byte) []string {
	list := fmt.Sprint(secret)
	out := []string{
		string(secret), strings.Trim(fmt.Sprintf("%q", secret), `"`), list[1 : len(list)-1],
		hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)), strings.ReplaceAll(list[1:len(list)-1], " ", ","),
	}
	for before := range 3 {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, before), secret...))
			first, last := (before*8+5)/6, (before+len(secret))*8/6 // characters of the secret's bits alone
			out = append(out, text[first:last])
		}
	}
	return out
}

func TestASecretIsFoundInEveryForm(t *testing.T) {
	secret := []byte("canary\x00\xff?<>&%~~~ and more than sixteen bytes")
	s := secrets{}
	s.add("it", secret)
	for name, log := range map[string]string{
		"raw":                 "x" + string(secret) + "y",
		"quoted":              fmt.Sprintf("x=%q", secret),
		"list":                fmt.Sprint("bytes ", secret),
		"hex":                 fmt.Sprintf("%x", secret),
		"cut":                 string(secret[:20]),
		"base64, aligned":     base64.StdEncoding.EncodeToString(secret),
		"base64, one behind":  base64.StdEncoding.EncodeToString(append([]byte("a"), secret...)),
		"base64, two behind":  base64.URLEncoding.EncodeToString(append([]byte("ab"), secret...)),
		"base64, five behind": base64.RawURLEncoding.EncodeToString(append([]byte("abcde"), secret...)),
	} {
		if len(s.shown([]byte(log))) == 0 {
			t.Errorf("%s: not found in %q", name, log)
		}
	}
	if got := s.shown([]byte("nothing of it")); got != nil {
		t.Errorf("found %v", got)
	}
}

// capture is a log that several goroutines write to.
type capture struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.Write(p)
}

func (c *capture) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.b.Bytes())
}

// standard redirects what this process writes to its standard streams into a file, until the returned function is called.
func standard(t *testing.T) (restore func() []byte) {
	t.Helper()
	file, err := os.Create(t.TempDir() + "/standard")
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = file, file
	put := sync.OnceFunc(func() { os.Stdout, os.Stderr = stdout, stderr })
	t.Cleanup(put)
	return func() []byte {
		put()
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}
