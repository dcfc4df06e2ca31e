// Command testcli is the temporal CLI, for tests, without "temporal server start-dev".
package main

import (
	"context"

	"github.com/temporalio/cli/temporalcli"
)

func main() { temporalcli.Execute(context.Background(), temporalcli.CommandOptions{}) }
