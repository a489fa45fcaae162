package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"

	"dvr/dataplane/tables"
)

// printTable writes the full table as NDJSON routes to n next hops.
func printTable(args []string, w io.Writer) error {
	flags := flag.NewFlagSet("dvr-bench table", flag.ExitOnError)
	n := flags.Int("next-hops", 64, "number of next hops, 1 to 60,000")
	_ = flags.Parse(args) // ExitOnError
	if *n < 1 || *n > 60000 {
		return fmt.Errorf("-next-hops %d: want 1 to 60000", *n)
	}
	origins, err := tables.Full()
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(w, 1<<16)
	spread := tables.NewSpread(*n)
	for _, o := range origins {
		line(b, o, spread.Index(o), 0)
	}
	return b.Flush()
}

// line writes one route; the shift moves every prefix to another next hop.
func line(w io.Writer, o tables.Origin, index, metric int) {
	fmt.Fprintf(w, "{\"destination\":\"%s\",\"next_hop\":\"%s\",\"metric\":%d}\n", o.Prefix, tables.NextHop(index, o.Prefix), metric)
}

// ndjson is the full table over n next hops, rotated by shift.
func ndjson(n, shift int) ([]byte, error) {
	origins, err := tables.Full()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(90 << 20)
	spread := tables.NewSpread(n)
	for _, o := range origins {
		line(&b, o, (spread.Index(o)+shift)%n, 10)
	}
	return b.Bytes(), nil
}
