package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/simulation"
)

func simCommand(c *connection, in io.Reader, out io.Writer) *cobra.Command {
	o := simulation.Options{}
	var seed uint64
	var events, asJSON bool
	cmd := &cobra.Command{
		Use: "sim FILE|-|KIND:N", Short: "Simulate a network: what convergence takes, without nodes, network or data planes", Args: cobra.ExactArgs(1),
		Long: "Runs the projector alone on a topology and lets links go down, come back and change their costs.\n\n" +
			"KIND:N is grid:1024, ring:100, fattree:16 (ports of a switch), random:500 or isp:10000. A file has a line each,\n" +
			"    link A B [cost N] [back N] [name NAME]\n    router R [drained soft|hard]\n    prefix P router R [metric N]\n" +
			"or what `GET /v1/topology` and `dvr route export` give.",
		Example: "  dvr sim grid:1024 --prefixes 10 --events 100\n  dvr sim network.txt --verify",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			if err := o.Check(); err != nil {
				return usageError{err}
			}
			t, err := simulated(in, args[0], seed)
			if err != nil {
				return usageError{err}
			}
			if len(t.Routes) > 0 && !cmd.Flags().Changed("prefixes") {
				o.Prefixes = 0 // it has its own
			}
			o.Seed = seed
			r, err := simulation.Run(cmd.Context(), t, o) // with what was measured, also where it was interrupted
			if r != nil {
				switch {
				case asJSON || c.output == "json":
					e := json.NewEncoder(out)
					e.SetIndent("", "  ")
					if err := e.Encode(r); err != nil {
						return err
					}
				case c.output == "yaml":
					if err := c.printValue(r, nil); err != nil {
						return err
					}
				default:
					r.Print(out, events)
				}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Prefixes, "prefixes", 10, "made up for each router; where a file has some of its own: none but these, unless it is given")
	f.IntVar(&o.Vectors, "vectors", 1024, "follow the vectors of at most so many routers")
	f.IntVar(&o.DataPlanes, "dataplanes", 100, "follow the FIBs of at most so many routers")
	f.IntVar(&o.Events, "events", 100, "events of churn")
	f.Uint64Var(&seed, "seed", 1, "what is random follows from it")
	f.BoolVar(&o.Verify, "verify", false, "hold everything against the same from nothing, at the beginning and after every event")
	f.BoolVar(&events, "each", false, "list each event")
	f.BoolVar(&asJSON, "json", false, "the same as -o json; durations are in ns")
	return cmd
}

// simulated is the topology of a file, or one that is generated.
func simulated(in io.Reader, name string, seed uint64) (*simulation.Topology, error) {
	if name == "-" {
		return simulation.Read(in)
	}
	file, err := os.Open(name)
	if err == nil {
		defer file.Close()
		t, err := simulation.Read(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return t, nil
	}
	if !strings.Contains(name, ":") {
		return nil, err
	}
	return simulation.Generate(name, seed)
}
