package codeclogin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/signet-temporal/signet/internal/atomicfile"
)

// Login is what a file holds.
type Login struct {
	Server string `json:"codecServer"` // see [ServerOf]
	Settings
	Tokens *Tokens `json:"tokens,omitempty"` // nil: logged out
}

// ServerOf names the codec server of an endpoint: scheme, host and port. "{namespace}" in it stays one name, so that one
// login serves all namespaces of an address.
func ServerOf(endpoint string) (string, error) {
	u, err := url.Parse(strings.ReplaceAll(endpoint, "{namespace}", "_namespace_"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return "", errors.New("the codec server's address must be such as https://codec.example.com")
	}
	if port := map[string]string{"https": "443", "http": "80"}[u.Scheme]; u.Port() == port {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// Store is a folder with logins.
type Store struct{ Dir string }

// DefaultDir is signet/logins in the folder where programs of this user keep their configuration.
func DefaultDir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no folder for logins: %w: name one", err)
	}
	return filepath.Join(dir, "signet", "logins"), nil
}

// File is where the login for a server is kept.
func (s Store) File(server string) string {
	hash := sha256.Sum256([]byte(server))
	_, host, _ := strings.Cut(server, "://")
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, host)
	return filepath.Join(s.Dir, safe[:min(len(safe), 64)]+"-"+hex.EncodeToString(hash[:8])+".json")
}

// Load returns the login for a server, nil if there is none.
func (s Store) Load(server string) (*Login, error) {
	file := s.File(server)
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the login: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the login: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read the login in %s: its token may be known, so log out, and in again", file)
	}
	var login Login
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&login); err != nil || login.Server != server {
		return nil, fmt.Errorf("%s is no login for %s: remove it, and log in again", file, server)
	}
	return &login, nil
}

// Save writes a login in the place of the one before, at once.
func (s Store) Save(login *Login) error {
	if err := s.save(login); err != nil {
		return fmt.Errorf("keeping the login: %w", err)
	}
	return nil
}

func (s Store) save(login *Login) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	if err := enc.Encode(login); err != nil {
		return err
	}
	return atomicfile.Replace(s.File(login.Server), text.Bytes())
}

// Forget takes the tokens out of a file, whoever may read it, and returns the login as it was; nil if there was none. A
// file that cannot be read as a login is removed.
func (s Store) Forget(server string) (*Login, error) {
	text, err := os.ReadFile(s.File(server))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("forgetting the login: %w", err)
	}
	var login Login
	if json.Unmarshal(text, &login) != nil || login.Server != server {
		if err := os.Remove(s.File(server)); err != nil {
			return nil, fmt.Errorf("forgetting the login: %w", err)
		}
		return &Login{Server: server}, nil
	}
	bare := login
	bare.Tokens = nil
	return &login, s.Save(&bare)
}
