package s2s_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/principal/s2s"
)

// unsigned is a JWT with these claims and a signature that nobody made.
func unsigned(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(claims)) + "." + part([]byte("canary"))
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestATokenFileIsReadAgainWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		first := unsigned(fmt.Sprintf(`{"aud":["payments"],"exp":%d}`, time.Now().Add(time.Hour).Unix()))
		second := unsigned(fmt.Sprintf(`{"aud":"payments","exp":%d}`, time.Now().Add(2*time.Hour).Unix()))
		writeFile(t, path, first+"\n")
		cache := newCache(t, s2s.File{"payments": path}, s2s.CacheOptions{})
		if got := wantToken(t, cache, first); !got.Expiry.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("it expires %s", got.Expiry)
		}
		writeFile(t, path, second)
		time.Sleep(59 * time.Second)
		wantToken(t, cache, first)
		time.Sleep(time.Second)
		wantToken(t, cache, first) // this call has the file read
		synctest.Wait()
		wantToken(t, cache, second)

		// The file is gone for a moment, as while somebody copies over it: the token that was read last is good.
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		wantToken(t, cache, second)
		synctest.Wait()
		wantToken(t, cache, second)
	})
}

func TestATokenFileThatIsWrongSaysWhatAndNotTheToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct{ content, want string }{
		{"", "JWT"},
		{"canary", "JWT"},
		{"a.canary!.b", "JWT"},
		{unsigned(`{"aud":"elsewhere","exp":9999999999}`), "elsewhere"},
		{unsigned(`{"exp":9999999999}`), "audience"},
		{unsigned(`{"aud":"payments"}`), "expires"},
		{strings.Repeat(" ", 64<<10) + unsigned(`{"aud":"payments","exp":9999999999}`), "JWT"},
	} {
		writeFile(t, path, c.content)
		_, err := s2s.File{"payments": path}.Token(t.Context(), "payments")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") || c.content != "" && strings.Contains(err.Error(), c.content) {
			t.Errorf("%q: %v", c.content, err)
		}
	}
	if _, err := (s2s.File{"payments": path + ".none"}).Token(t.Context(), "payments"); err == nil {
		t.Error("a file that is not there")
	}
	if _, err := (s2s.File{}).Token(t.Context(), "payments"); err == nil {
		t.Error("an audience without a file")
	}
}
