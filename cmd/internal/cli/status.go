package cli

import (
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

func statusCommand(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Is it fine? The node, the log, the table, the data planes", Args: cobra.NoArgs,
		Long: "What the node says of itself and of the data planes that it knows: in one line whether all is\n" +
			"well, else what is not, then the particulars. With -o json or yaml: GET /v1/status as it is.",
		RunE: func(cmd *cobra.Command, args []string) error {
			get := func(path string, out *any) (*client.Answer, error) {
				return c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: path}, out)
			}
			var status, planes, members, freezes any
			answer, err := get("/v1/status", &status)
			if err != nil {
				return err
			}
			if c.output == "table" {
				if _, err := get("/v1/dataplanes", &planes); err != nil {
					return err
				}
				var p *client.Problem // an external etcd (409) and older nodes (404) have no members to show
				if _, err := get(freezesPath, &freezes); err != nil && !errors.As(err, &p) {
					return err
				}
				if _, err := get(membersPath, &members); err != nil && !errors.As(err, &p) {
					return err
				}
			}
			return c.print(answer.Body, status, func(t *table, status any) {
				overview(t, status, list(planes, "dataplanes"), censusOf(members), inForce(freezes, time.Now()))
			})
		},
	}
}

// fullPercent is the share of the store's quota from which on it is worth a word.
const fullPercent = 70

// overview is the verdict and the particulars.
func overview(t *table, status any, planes []any, members census, freezes []any) {
	troubles := troublesOf(status, planes, members)
	name := text(member(status, "node_id"))
	switch {
	case len(troubles) > 0:
		t.line("%s needs attention:", name)
		for _, trouble := range troubles {
			t.line("  - %s", trouble)
		}
	case len(planes) == 0:
		t.line("%s is fine; no data plane is known to it.", name)
	default:
		t.line("%s is fine: %s in sync at revision %s.", name, planesInSync(planes), text(member(status, "revision")))
	}
	for _, f := range freezes {
		t.line("Frozen by %s: %s. `dvr freeze remove %s` lifts it.", text(member(f, "name")), frozenText(f), text(member(f, "name")))
	}

	t.section("NODE")
	role := strings.ToLower(text(member(status, "raft_state")))
	switch {
	case role == "external":
		role = "on an external etcd"
	case member(status, "leader") == nil:
		role += ", no leader is known"
	}
	if member(status, "quorum") != true {
		role += ", no quorum"
	}
	t.entry("role", role)
	t.entry("version", member(status, "version"))
	if security := member(status, "security"); member(security, "transport") == "tls" {
		t.entry("transport", "mutual TLS, its certificate ends "+text(member(security, "expires")))
	}
	t.entry("since", member(status, "since"))
	addresses, _ := member(status, "addresses").(map[string]any)
	for _, a := range []struct{ key, label string }{{"api", "API"}, {"fib", "data planes"}, {"raft", "Raft"}, {"etcd", "etcd clients"}} {
		if addresses[a.key] != nil {
			t.entry(a.label, addresses[a.key])
		}
	}
	store := member(status, "store")
	etcd := text(member(store, "etcd"))
	if etcd == "members" { // an observer has none of its own
		etcd = "the members'"
	}
	full := size(member(store, "bytes"))
	if count(member(store, "quota")) > 0 { // an external etcd before 3.6 does not tell it
		full += " of " + size(member(store, "quota"))
	}
	t.entry("store", fmt.Sprintf("%s etcd, %s", etcd, full))
	if a := member(status, "archive"); a != nil {
		held := "nothing yet"
		if count(member(a, "revision")) > 0 {
			held = fmt.Sprintf("revisions %s to %s", text(member(a, "first_revision")), text(member(a, "revision")))
		}
		t.entry("archive", fmt.Sprintf("%s in %s", held, text(member(a, "directory"))))
	}

	if b := member(status, "backup"); b != nil {
		newest := "none yet"
		if count(member(b, "good")) > 0 {
			newest = fmt.Sprintf("%s good, the newest of revision %s, %s", grouped(member(b, "good")), text(member(b, "revision")), text(member(b, "made")))
		}
		t.entry("backups", fmt.Sprintf("%s in %s", newest, text(member(b, "directory"))))
	}

	t.section("LOG")
	position := member(status, "position")
	t.entry("revision", member(status, "revision"))
	t.entry("newest commit", member(status, "time"))
	t.entry("epoch, level", text(member(position, "epoch"))+", "+text(member(status, "level")))
	t.entry("log", member(position, "log_id"))
	t.entry("state digest", member(status, "digest"))
	t.entry("log hash", member(status, "hash"))
	window := member(status, "idempotency_window")
	t.entry("idempotency", fmt.Sprintf("%s since %s", plural(member(window, "commits"), "commit"), text(member(window, "since"))))

	t.section("TABLE")
	state := member(status, "state")
	t.entry("destinations", fmt.Sprintf("%s IPv4, %s IPv6", grouped(member(state, "destinations4")), grouped(member(state, "destinations6"))))
	t.entry("routes", fmt.Sprintf("%s in %s", grouped(member(state, "routes")), strings.Replace(plural(member(state, "classes"), "class"), "classs", "classes", 1)))
	t.entry("topology", plural(member(state, "routers"), "router")+", "+plural(member(state, "links"), "link"))

	if len(planes) > 0 {
		t.section("DATA PLANES")
		planeRows(t, planes, "  ")
	}
}

// planeRows is a table of data planes, each line after the indent.
func planeRows(t *table, planes []any, indent string) {
	t.head(indent+"ROUTER", "STATE", "REVISION", "LAG", "DIGEST", "FAILED", "SINK", "NODE", "SINCE")
	for _, d := range planes {
		digest := "differs"
		if member(d, "digest_equal") == true {
			digest = "equal"
		}
		sinks := member(d, "sinks")
		if sinks == nil {
			sinks = member(d, "sink")
		}
		t.row(indent+text(member(d, "router")), planeState(d), member(member(d, "position"), "revision"), member(d, "lag"), digest, member(d, "failed"), sinks, member(d, "node"), member(d, "since"))
	}
}

// planeState is a data plane's state in words; "in sync" is the good one.
func planeState(d any) string {
	switch {
	case member(d, "connected") != true:
		return "disconnected"
	case count(member(d, "failed")) > 0:
		return "failing"
	case member(d, "deviates") == true:
		return "deviates"
	case count(member(member(d, "position"), "revision")) == 0:
		return "connecting" // it has acknowledged nothing yet: there is nothing to compare
	case count(member(d, "lag")) > 0:
		return "behind"
	case member(d, "digest_equal") != true:
		return "differs"
	}
	return "in sync"
}

// planesInSync counts them for the verdict.
func planesInSync(planes []any) string {
	good := 0
	for _, d := range planes {
		if planeState(d) == "in sync" {
			good++
		}
	}
	if good == len(planes) {
		return strings.Replace(fmt.Sprintf("all %d data planes are", good), "all 1 data planes are", "its data plane is", 1)
	}
	return fmt.Sprintf("%d of %d data planes are", good, len(planes))
}

// troublesOf names what is not as it should be, the worst first.
func troublesOf(status any, planes []any, members census) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if fault := member(status, "fault"); fault != nil {
		say("the log cannot be folded on, what is shown is old: %s", text(fault))
	}
	if member(status, "quorum") != true {
		say("no quorum: changes are refused until most members of etcd answer; reading and forwarding go on")
	}
	if len(members.away) > 0 {
		verb := "is"
		if len(members.away) > 1 {
			verb = "are"
		}
		say("%s %s away; the cluster may lose %d more of its %s", strings.Join(members.away, ", "), verb, members.spare(), plural(members.voters, "voter"))
	}
	security := member(status, "security")
	if member(security, "transport") == "insecure" {
		say("it is INSECURE: whoever reaches its addresses controls the routes")
	}
	if alarm := member(security, "alarm"); alarm != nil {
		say("%s", text(alarm))
	}
	for _, a := range list(status, "alarms") {
		if name := text(member(a, "alarm")); name != "certificate" { // which is told above, of older nodes too
			say("%s: %s", text(member(a, "detail")), text(member(a, "do")))
		}
	}
	for _, a := range members.alarms {
		if a.node != text(member(status, "node_id")) { // its own are fresher
			say("%s: %s", a.node, a.alarm)
		}
	}
	if member(status, "alarms") == nil { // a node of before
		if problem := member(member(status, "archive"), "problem"); problem != nil {
			say("the archive: %s", text(problem))
		}
		store := member(status, "store")
		if bytes, quota := count(member(store, "bytes")), count(member(store, "quota")); quota > 0 && bytes >= quota/100*fullPercent {
			say("the store is %d %% full: shorten the retention or raise its quota", bytes*100/quota)
		}
	}
	for _, d := range planes {
		router := text(member(d, "router"))
		switch planeState(d) {
		case "disconnected":
			say("the data plane of %s is disconnected since %s: it forwards what it has", router, text(member(d, "since")))
		case "failing":
			say("the data plane of %s could not install %s (its log names them)", router, strings.Replace(plural(member(d, "failed"), "prefix"), "prefixs", "prefixes", 1))
		case "deviates":
			say("the data plane of %s deviates from what it was sent: it sees a next hop or link down", router)
		case "connecting":
			say("the data plane of %s has just connected, and not acknowledged anything yet", router)
		case "behind":
			say("the data plane of %s is %s behind", router, plural(member(d, "lag"), "revision"))
		case "differs":
			say("the data plane of %s holds another table than the node computes (digests differ)", router)
		}
	}
	return out
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
