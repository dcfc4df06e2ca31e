// Package deploy has what runs signet-server in containers: an image, a Helm chart, alerts and a dashboard. It is a module
// of its own for the sake of its tests, which render the chart with Helm's own packages and try the alerts with
// Prometheus's own engine.
package deploy
