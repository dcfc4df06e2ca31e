package main

import (
	"errors"
	"fmt"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/storage"
)

// storageConfig is where a storage driver of the workers keeps payloads that are too large for a history: a folder that
// they share, or a bucket that is mounted. With it there is /download, for who has a grant of that action. The server
// reads and never writes.
type storageConfig struct {
	// Driver is the name that the workers' storage driver has in references, such as aws.s3driver. Required.
	Driver string `yaml:"driver"`
	// Folder is where its files are. Required.
	Folder string `yaml:"folder"`
	// Key is the member of a reference's claim with the path of the file in the folder. Default: key.
	Key string `yaml:"key"`
	// Match lists other members of the claim and the value that each must have, such as bucket: acme-payloads.
	Match map[string]string `yaml:"match"`
}

func (c *loaded) checkStorage() error {
	if len(c.Storage) == 0 {
		return nil
	}
	var folders []storage.Folder
	for _, s := range c.Storage {
		folders = append(folders, storage.Folder{Driver: s.Driver, Path: s.Folder, Key: s.Key, Match: s.Match})
	}
	store, err := storage.New(folders...)
	if err != nil {
		return fmt.Errorf("storage%w", err)
	}
	c.storage = store
	return nil
}

// DownloadLimits bound /download. Its name is exported because the YAML library embeds no other.
type DownloadLimits struct {
	MaxReferences    int   `yaml:"maxReferences"`    // in a request; default 10
	MaxDownloadBytes int64 `yaml:"maxDownloadBytes"` // fetched for a request; default 67108864 (64 MiB); maxOpenedBytes holds as well
	MaxDownloads     int   `yaml:"maxDownloads"`     // requests at the same time; default 8. Others wait for a second and get status 429
	// DownloadBurstBytes is how much is fetched for one caller at once, and DownloadBytesPerSecond how fast that comes
	// back. A reference costs 64 KiB at least. Beyond it, status 429. Defaults 268435456 (256 MiB) and 1048576 (1 MiB).
	DownloadBurstBytes     int64   `yaml:"downloadBurstBytes"`
	DownloadBytesPerSecond float64 `yaml:"downloadBytesPerSecond"` // see DownloadBurstBytes
}

func (l DownloadLimits) check() error {
	switch {
	case l.MaxReferences < 0:
		return errors.New("limits.maxReferences: it must be positive")
	case l.MaxDownloadBytes < 0:
		return errors.New("limits.maxDownloadBytes: it must be positive")
	case l.MaxDownloads < 0:
		return errors.New("limits.maxDownloads: it must be positive")
	case l.DownloadBurstBytes < 0:
		return errors.New("limits.downloadBurstBytes: it must be positive")
	case !(l.DownloadBytesPerSecond >= 0): // also .nan, which would be no limit
		return errors.New("limits.downloadBytesPerSecond: it must be positive")
	}
	return nil
}

func (l DownloadLimits) addTo(to *codecserver.Limits) {
	to.MaxReferences, to.MaxDownload, to.MaxDownloads = l.MaxReferences, l.MaxDownloadBytes, l.MaxDownloads
	to.DownloadBurst, to.DownloadPerSecond = l.DownloadBurstBytes, l.DownloadBytesPerSecond
}
