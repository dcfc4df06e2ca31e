// Package devserver takes the place of the CLI's package of this name in our build: "temporal server start-dev" would link
// a whole Temporal server, an older one than the tests run, which costs minutes and 200 MB. All else of the CLI is its own.
package devserver

import (
	"errors"
	"log/slog"

	"go.temporal.io/api/enums/v1"
)

// StartOptions has the fields that the CLI sets.
type StartOptions struct {
	FrontendIP, UIIP, UIAssetPath, UICodecEndpoint, PublicPath, DatabaseFile string
	FrontendPort, UIPort, MetricsPort, FrontendHTTPPort, PProfPort           int
	Namespaces                                                               []string
	ClusterID, MasterClusterName, CurrentClusterName                         string
	InitialFailoverVersion                                                   int
	Logger                                                                   *slog.Logger
	LogLevel                                                                 slog.Level
	SqlitePragmas                                                            map[string]string
	DynamicConfigValues                                                      map[string]any
	SearchAttributes                                                         map[string]enums.IndexedValueType
	LogConfig                                                                func([]byte)
}

// Server is never made.
type Server struct{}

// Start refuses.
func Start(StartOptions) (*Server, error) {
	return nil, errors.New("this temporal CLI is built without a server: use testtemporal")
}

// Stop is never called.
func (*Server) Stop() {}
