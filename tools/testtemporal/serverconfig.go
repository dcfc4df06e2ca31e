package main

import (
	"net"
	"strconv"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
)

const (
	clusterName = "active"
	storeName   = sqlite.PluginName
)

// serverConfig is the configuration of a one-process server on SQLite, with metrics and pprof off.
// It puts the port that was chosen into f.
func serverConfig(f *serverFlags) (*config.Config, error) {
	port, err := claimPort(f.ip, f.port)
	if err != nil {
		return nil, err
	}
	f.port = port
	free, err := claimPorts(f.ip, 4)
	if err != nil {
		return nil, err
	}
	frontend := net.JoinHostPort(f.ip, strconv.Itoa(port))
	cfg := &config.Config{
		Persistence:         persistence(f.db),
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			// The frontend's HTTP port is what Nexus callbacks of the server to itself use.
			"frontend": service(f.ip, port, free[0]),
			"history":  service(f.ip, free[1], 0),
			"matching": service(f.ip, free[2], 0),
			"worker":   service(f.ip, free[3], 0),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"},
		},
		PublicClient: config.PublicClient{HostPort: frontend},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
	}
	cfg.Global.Membership = config.Membership{BroadcastAddress: f.ip}
	return cfg, nil
}

// hosts names the one host of each service. The server's own membership would look for the hosts of its
// last start in the database, and be unusable for some ten seconds after a restart.
func hosts(f serverFlags, cfg *config.Config) map[primitives.ServiceName]static.Hosts {
	all := make(map[primitives.ServiceName]static.Hosts, len(cfg.Services))
	for name, service := range cfg.Services {
		all[primitives.ServiceName(name)] = static.SingleLocalHost(
			net.JoinHostPort(f.ip, strconv.Itoa(service.RPC.GRPCPort)))
	}
	return all
}

func persistence(file string) config.Persistence {
	return config.Persistence{
		DefaultStore:     storeName,
		VisibilityStore:  storeName,
		NumHistoryShards: 1,
		DataStores: map[string]config.DataStore{storeName: {SQL: &config.SQL{
			PluginName:   sqlite.PluginName,
			DatabaseName: file,
			ConnectAttributes: map[string]string{
				"mode": "rwc",
				// With a write-ahead log a test can read every table while the server writes.
				"journal_mode": "wal",
				"busy_timeout": "10000",
				// A crash of the machine may lose the last writes; a killed process loses nothing.
				"synchronous": "normal",
			},
		}}},
	}
}

func service(ip string, grpc, http int) config.Service {
	return config.Service{RPC: config.RPC{GRPCPort: grpc, HTTPPort: http, BindOnIP: ip}}
}
