// Command dvr is the node and its command line.
package main

import (
	"os"

	"dvr/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
