package temporalcloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// APIAddress is that of the Cloud Ops API.
const APIAddress = "https://saas-api.tmprl.cloud"

// apiVersion is the version of that API by which the answers are read.
const apiVersion = "v0.4.0"

// maxAnswer is how many bytes of an answer are read.
const maxAnswer = 1 << 20

// API asks the Cloud Ops API for the users of the account that an API key belongs to: with the read role, and nothing
// else. What users may by groups it does not say. It was written by the API's published protobuf files and never run
// against the real service. It is safe for concurrent use.
type API struct {
	Address string       // empty: APIAddress
	KeyFile string       // a file with the API key, read anew for each question, so that it can be replaced
	Account string       // the account that the key must be of
	HTTP    *http.Client // nil: http.DefaultClient. Redirects are not followed
}

// User implements [Users].
func (a *API) User(ctx context.Context, email string) (*User, error) {
	key, err := os.ReadFile(a.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the API key: %w", err)
	}
	address := a.Address
	if address == "" {
		address = APIAddress
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/cloud/users?"+url.Values{"email": {email}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	r.Header.Set("temporal-cloud-api-version", apiVersion)
	client := http.Client{}
	if a.HTTP != nil {
		client = *a.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(r)
	if err != nil {
		return nil, withoutQuery(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the Cloud Ops API answers %s", resp.Status)
	}
	return a.read(body, email)
}

// withoutQuery keeps e-mail addresses out of logs.
func withoutQuery(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("the Cloud Ops API cannot be reached: %w", failed.Err)
	}
	return err
}

// apiUsers is what is read of the answer: a GetUsersResponse as JSON.
type apiUsers struct {
	Users []struct {
		Spec struct {
			Email  string
			Access struct {
				AccountAccess     struct{ Role string }
				NamespaceAccesses map[string]struct{ Permission string }
			}
		}
		State string
	}
}

func (a *API) read(body []byte, email string) (*User, error) {
	var answer apiUsers
	if json.Unmarshal(body, &answer) != nil {
		return nil, errors.New("the Cloud Ops API answers with something else than users")
	}
	var found *User
	for _, u := range answer.Users {
		// The filter is the service's. That it was heeded is looked at, and an address that two users have proves nothing.
		if !strings.EqualFold(u.Spec.Email, email) || u.State != "RESOURCE_STATE_ACTIVE" {
			continue
		}
		if found != nil {
			return nil, errors.New("two users of the account have the e-mail address")
		}
		found = &User{Role: plain(u.Spec.Access.AccountAccess.Role, "ROLE_"), Permissions: map[string]string{}}
		for namespace, access := range u.Spec.Access.NamespaceAccesses {
			if !strings.HasSuffix(namespace, "."+a.Account) {
				return nil, fmt.Errorf("the API key is of another account than %s: a user has access to namespaces elsewhere", a.Account)
			}
			found.Permissions[namespace] = plain(access.Permission, "PERMISSION_")
		}
	}
	return found, nil
}

// plain turns ROLE_FINANCE_ADMIN into finance-admin.
func plain(value, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value, prefix)), "_", "-")
}
