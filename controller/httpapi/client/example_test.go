package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"dvr/controller/httpapi/client"
)

// A route is added, previewed, found, and refused where it is none.
func Example() {
	base, end := node() // such as http://127.0.0.1:9090
	defer end()
	ctx := context.Background()
	c := client.New(base, nil)

	route := client.RouteRequest{Destination: "10.1.0.0/16", NextHop: "192.168.1.1", Metric: 100}
	seen, err := c.AddRoute(ctx, route, client.AddRouteOptions{DryRun: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("would add", seen.Preview.Intent.Added)

	added, err := c.AddRoute(ctx, route, client.AddRouteOptions{Actor: "alice", Reason: "new uplink"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(added.Value.Status, "at revision", added.Value.Revision)

	match, err := c.Lookup(ctx, "10.1.2.3", client.LookupOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(match.Value.Destination, "by", match.Value.NextHops[0].NextHop)

	_, err = c.AddRoute(ctx, client.RouteRequest{Destination: "10.1.0.1/16", NextHop: "192.168.1.1"}, client.AddRouteOptions{})
	var p *client.Problem
	if errors.As(err, &p) {
		fmt.Println(p.Status, p.Field)
	}
	// Output:
	// would add 1
	// route added at revision 2
	// 10.1.0.0/16 by 192.168.1.1
	// 400 destination
}
