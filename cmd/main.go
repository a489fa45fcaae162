// Command cmd is the node with the seed's defaults: `go build -o
// dvr-control-plane ./cmd && ./dvr-control-plane` is `dvr node`. Its arguments
// are the flags of that command.
package main

import (
	"os"

	"dvr/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(append([]string{"node"}, os.Args[1:]...))) }
