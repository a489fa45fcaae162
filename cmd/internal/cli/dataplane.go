package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"dvr/cmd/internal/client"
	"dvr/controller/fibpb"
)

// ownService is where a data plane serves operators unless it is told otherwise.
const ownService = "127.0.0.1:9290"

// maxFailuresShown bounds the list of what a sink could not install; -o json has the first 100.
const maxFailuresShown = 10

// ownAddress is where this machine's data plane serves operators.
func ownAddress() string {
	if env := os.Getenv("DVR_LISTEN"); env != "" {
		return env
	}
	return ownService
}

func dataplaneCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "dataplane", Short: "The data planes: what they have installed", Args: cobra.NoArgs}
	all := &cobra.Command{
		Use: "list", Short: "All data planes of the node", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/dataplanes"}, func(t *table, body any) {
				planeRows(t, list(body, "dataplanes"), "")
				for _, d := range list(body, "dataplanes") {
					for _, u := range list(d, "undone") {
						t.line("%s undid unconfirmed commit %s by itself at %s: it heard no controller at the deadline", text(member(d, "router")), text(member(u, "revision")), text(member(u, "time")))
					}
				}
			})
		},
	}
	cmd.AddCommand(all, dataplaneLookup(c), dataplaneShow(c), dataplaneAudit(c), dataplaneCounters(c))
	return cmd
}

func dataplaneLookup(c *connection) *cobra.Command {
	var router string
	at := ownAddress()
	cmd := &cobra.Command{
		Use: "lookup ADDRESS", Short: "Ask a router's data plane itself", Args: cobra.ExactArgs(1),
		Long: "Ask a router's data plane which route an address takes: by --router through the node it is\n" +
			"connected to, else on the data plane's own loopback service (--at), which needs no node.",
		Example: "  dvr dataplane lookup 10.1.2.3\n  dvr dataplane lookup 10.1.2.3 --router r1\n  dvr dataplane lookup 10.1.2.3 --at " + ownService,
		RunE: func(cmd *cobra.Command, args []string) error {
			if router != "" {
				q := filters("address", args[0], "router", router, "source", "dataplane")
				return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/lookup", Query: q}, matched)
			}
			address, err := netip.ParseAddr(args[0])
			if err != nil || address.Zone() != "" {
				return usageError{fmt.Errorf("%q is not an IP address", args[0])}
			}
			return c.direct(cmd.Context(), at, matched, func(ctx context.Context, d fibpb.DataPlaneClient) (map[string]any, error) {
				answer, err := d.Lookup(ctx, &fibpb.LookupRequest{Address: address.AsSlice()})
				if err != nil {
					return nil, err
				}
				if !answer.Found {
					return nil, &client.Problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("the data plane at %s has no route to %s", at, address), Endpoint: at}
				}
				return found(address, answer)
			})
		},
	}
	bindPlane(cmd, &router, &at)
	return cmd
}

func dataplaneShow(c *connection) *cobra.Command {
	at := ownAddress()
	cmd := &cobra.Command{
		Use: "show", Short: "What a data plane says of itself: health, position, table, counters", Args: cobra.NoArgs,
		Long: "Ask a data plane on its own loopback service, which needs no node.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.direct(cmd.Context(), at, ownStatus, func(ctx context.Context, d fibpb.DataPlaneClient) (map[string]any, error) {
				stats, err := d.GetStats(ctx, &fibpb.StatsRequest{})
				if err != nil {
					return nil, err
				}
				health, err := d.HealthCheck(ctx, &fibpb.HealthRequest{})
				if err != nil {
					return nil, err
				}
				return described(stats, health), nil
			})
		},
	}
	cmd.Flags().StringVar(&at, "at", at, "address of the data plane's own service, its --listen (DVR_LISTEN)")
	return cmd
}

// dialPlane dials a data plane's own service: this machine's, with no proxy and no resolver.
func dialPlane(target string) (*grpc.ClientConn, error) {
	if !strings.HasPrefix(target, "unix:") {
		target = "passthrough:///" + target
	}
	return grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
}

// planeHealth is what the data plane that serves at the address says of itself.
func planeHealth(ctx context.Context, address string) (string, error) {
	conn, err := dialPlane(address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	h, err := fibpb.NewDataPlaneClient(conn).HealthCheck(ctx, &fibpb.HealthRequest{})
	return h.GetStatus(), err
}

// direct asks the data plane that serves at the address and prints the object.
func (c *connection) direct(ctx context.Context, at string, fill func(*table, any), ask func(context.Context, fibpb.DataPlaneClient) (map[string]any, error)) error {
	if err := c.checkOutput(); err != nil {
		return err
	}
	target := at
	switch {
	case strings.HasPrefix(at, ":"):
		target = "127.0.0.1" + at
	case !strings.Contains(at, ":"):
		target = "127.0.0.1:" + at
	}
	conn, err := dialPlane(target)
	if err != nil {
		return usageError{fmt.Errorf("--at %q: %w", at, err)}
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	object, err := ask(ctx, fibpb.NewDataPlaneClient(conn))
	if err != nil {
		return directError(at, err)
	}
	return c.printObject(object, fill)
}

// printObject prints what was put together here as if a node had answered it.
func (c *connection) printObject(object any, fill func(*table, any)) error {
	raw, err := json.Marshal(object)
	if err != nil {
		return err
	}
	body, err := decode(raw)
	if err != nil {
		return err
	}
	return c.print(raw, body, fill)
}

func directError(at string, err error) error {
	var p *client.Problem
	if errors.As(err, &p) {
		return err
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded:
		return fmt.Errorf("data plane at %s: %w: %s\nIs one running there? --at names its --listen address.", at, client.ErrUnreachable, s.Message())
	case codes.Canceled:
		return context.Canceled
	}
	return fmt.Errorf("data plane at %s: %s", at, s.Message())
}

// found is a lookup's answer in the API's form.
func found(address netip.Addr, answer *fibpb.LookupAnswer) (map[string]any, error) {
	base, ok := netip.AddrFromSlice(answer.Prefix)
	if !ok {
		return nil, fmt.Errorf("the answer's prefix %x is no address", answer.Prefix)
	}
	hops := make([]any, len(answer.NextHops))
	for i, h := range answer.NextHops {
		hop := map[string]any{"weight": h.Weight}
		if a, ok := netip.AddrFromSlice(h.Address); ok {
			hop["next_hop"] = a.String()
		}
		if h.Type != fibpb.NextHop_UNICAST {
			hop["type"] = strings.ToLower(h.Type.String())
		}
		for k, v := range map[string]string{"interface": h.Interface, "via": h.Via} {
			if v != "" {
				hop[k] = v
			}
		}
		hops[i] = hop
	}
	return map[string]any{
		"address": address.String(), "destination": netip.PrefixFrom(base, int(answer.Length)).String(),
		"class": hex.EncodeToString(answer.ClassId), "next_hops": hops, "revision": answer.Position.GetRevision(), "source": "dataplane",
	}, nil
}

// described is what a data plane says of itself.
func described(s *fibpb.Stats, h *fibpb.Health) map[string]any {
	sinks := make([]any, len(s.Sinks))
	for i, k := range s.Sinks {
		failures := make([]any, len(k.Failures))
		for j, f := range k.Failures {
			failures[j] = map[string]any{"prefix": f.Prefix, "reason": f.Reason}
		}
		sinks[i] = map[string]any{"name": k.Name, "entries": k.Entries, "failed": k.Failed, "repaired": k.Repaired, "deviates": k.Deviates, "failures": failures}
	}
	object := map[string]any{
		"router": s.Router, "instance": s.Instance, "healthy": h.Healthy, "status": h.Status,
		"connected": s.Connected, "controller": s.Controller,
		"log_id": s.Position.GetLogId(), "epoch": s.Position.GetEpoch(), "revision": s.Position.GetRevision(), "digest": hex.EncodeToString(s.Digest),
		"prefixes4": s.Prefixes4, "prefixes6": s.Prefixes6, "classes": s.Classes, "engine_bytes": s.EngineBytes,
		"lookups": s.Counters.GetLookups(), "resident_bytes": s.Counters.GetResidentBytes(), "sinks": sinks,
	}
	if s.SinceMs > 0 {
		object["since"] = time.UnixMilli(int64(s.SinceMs)).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return object
}

// ownStatus prints what described gives.
func ownStatus(t *table, s any) {
	verdict := "is fine"
	if member(s, "healthy") != true {
		verdict = "needs attention"
	}
	t.line("The data plane of %s %s: %s.", text(member(s, "router")), verdict, text(member(s, "status")))
	t.section("SESSION")
	connected := "not connected"
	if member(s, "connected") == true {
		connected = text(member(s, "controller"))
	}
	t.entry("controller", connected)
	t.entry("since", member(s, "since"))
	t.entry("instance", member(s, "instance"))
	t.section("TABLE")
	t.entry("revision", member(s, "revision"))
	t.entry("epoch", member(s, "epoch"))
	t.entry("log", member(s, "log_id"))
	t.entry("FIB digest", member(s, "digest"))
	t.entry("prefixes", fmt.Sprintf("%s IPv4, %s IPv6", grouped(member(s, "prefixes4")), grouped(member(s, "prefixes6"))))
	t.entry("classes", grouped(member(s, "classes")))
	t.entry("lookups", grouped(member(s, "lookups")))
	t.entry("memory", fmt.Sprintf("%s resident, of it the lookup engine %s", size(member(s, "resident_bytes")), size(member(s, "engine_bytes"))))
	t.section("SINKS")
	t.head("  NAME", "ENTRIES", "FAILED", "REPAIRED")
	for _, k := range list(s, "sinks") {
		t.row("  "+text(member(k, "name")), grouped(member(k, "entries")), member(k, "failed"), member(k, "repaired"))
	}
	for _, k := range list(s, "sinks") {
		if member(k, "deviates") == true {
			t.line("%s forwards without a next hop that cannot be used for now.", text(member(k, "name")))
		}
		failures := list(k, "failures")
		for _, f := range failures[:min(len(failures), maxFailuresShown)] {
			t.line("%s could not install %s: %s", text(member(k, "name")), text(member(f, "prefix")), text(member(f, "reason")))
		}
	}
}
