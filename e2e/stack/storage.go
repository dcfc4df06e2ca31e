package stack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet"
)

// Folder is a storage driver of the SDK that keeps payloads in a folder, under names and with claims as those of the
// SDK's S3 driver, whose bucket is "acme".
type Folder string

// Name implements the SDK's StorageDriver.
func (Folder) Name() string { return "aws.s3driver" }

// Type implements the SDK's StorageDriver.
func (Folder) Type() string { return "test.folder" }

// Store implements the SDK's StorageDriver.
func (f Folder) Store(_ sdk.StorageDriverStoreContext, payloads []*commonpb.Payload) ([]sdk.StorageDriverClaim, error) {
	var claims []sdk.StorageDriverClaim
	for _, p := range payloads {
		data, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		hash := hex.EncodeToString(sum[:])
		claim := map[string]string{"bucket": "acme", "key": "v0/d/sha256/" + hash, "hash_algorithm": "sha256", "hash_value": hash}
		file := filepath.Join(string(f), filepath.FromSlash(claim["key"]))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return nil, err
		}
		claims = append(claims, sdk.StorageDriverClaim{ClaimData: claim})
	}
	return claims, nil
}

// Retrieve implements the SDK's StorageDriver.
func (f Folder) Retrieve(_ sdk.StorageDriverRetrieveContext, claims []sdk.StorageDriverClaim) ([]*commonpb.Payload, error) {
	var payloads []*commonpb.Payload
	for _, claim := range claims {
		if claim.ClaimData["bucket"] != "acme" {
			return nil, errors.New("another bucket")
		}
		data, err := os.ReadFile(filepath.Join(string(f), filepath.FromSlash(claim.ClaimData["key"])))
		if err != nil {
			return nil, err
		}
		p := &commonpb.Payload{}
		if err := proto.Unmarshal(data, p); err != nil {
			return nil, err
		}
		payloads = append(payloads, p)
	}
	return payloads, nil
}

// StoringClient is [Stack.Client] for a client that puts into the folder what has more than threshold bytes.
func (s *Stack) StoringClient(t *testing.T, namespace string, folder Folder, threshold int) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: s.Temporal.Address, Namespace: namespace, Plugins: []client.Plugin{s.Plugin(t, nil, signet.Options{})}, Logger: sdkLog(t),
		ExternalStorage: sdk.ExternalStorage{Drivers: []sdk.StorageDriver{folder}, PayloadSizeThreshold: threshold},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
