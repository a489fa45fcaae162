package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
	"dvr/controller/cluster"
)

const membersPath = "/v1/cluster/members"

func clusterCommand(c *connection, shared []string) *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "The members: show, admit, remove, promote, recover", Args: cobra.NoArgs}
	show := &cobra.Command{
		Use: "members", Aliases: []string{"list"}, Short: "Who votes, leads and answers", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: membersPath}, memberTable)
		},
	}
	status := &cobra.Command{
		Use: "status", Short: "Whether the cluster has its majority, and how many more it may lose", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: membersPath}, clusterTable)
		},
	}
	remove := &cobra.Command{
		Use: "remove NODE", Short: "Remove a node for ever, also one that is offline", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.act(cmd, http.MethodDelete, membersPath+"/"+url.PathEscape(args[0]), nil)
		},
	}
	promote := &cobra.Command{
		Use: "promote NODE", Short: "Make a learner that has caught up a voter (it does so by itself)", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.act(cmd, http.MethodPost, membersPath+"/"+url.PathEscape(args[0])+"/promote", nil)
		},
	}
	transfer := &cobra.Command{
		Use: "transfer-leader NODE", Short: "Make a voter the leader", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.act(cmd, http.MethodPost, "/v1/cluster/leader", map[string]string{"node_id": args[0]})
		},
	}
	recover := recoverCommand(c.out, c.errOut)
	withoutShared(recover, shared)
	cmd.AddCommand(show, status, c.addMember(), remove, promote, transfer, recover)
	return cmd
}

// act does a change of the cluster, which is its own idempotency key.
func (c *connection) act(cmd *cobra.Command, method, path string, body any) error {
	call := client.Call{Method: method, Path: path}
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		call.Body = raw
	}
	return c.show(cmd.Context(), call, members)
}

func (c *connection) addMember() *cobra.Command {
	var candidate cluster.Candidate
	cmd := &cobra.Command{
		Use: "add NODE", Short: "Admit a node, and print how to start it", Args: cobra.ExactArgs(1),
		Long: "Admit a node, and print how to start it. There is no need to: a node that is started with\n" +
			"JOIN=<API address of a member> asks to be admitted itself. An admission that is not used\n" +
			"within a minute gives way to the next node that joins.",
		RunE: func(cmd *cobra.Command, args []string) error {
			candidate.NodeID = args[0]
			raw, err := json.Marshal(candidate)
			if err != nil {
				return err
			}
			return c.show(cmd.Context(), client.Call{Method: http.MethodPost, Path: membersPath, Body: raw}, func(t *table, body any) {
				t.row("cluster_id", member(body, "cluster_id"))
				t.row("member_id", member(body, "member_id"))
				t.row("initial_cluster", member(body, "initial_cluster"))
				t.row("start it with", c.startLine(&candidate))
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&candidate.Raft, "raft", "", "its advertised Raft address, host:port")
	f.StringVar(&candidate.API, "api", "", "its advertised API address")
	f.StringVar(&candidate.FIB, "fib", "", "its advertised address for data planes")
	f.StringVar(&candidate.Client, "client", "", "its advertised etcd client address")
	f.BoolVar(&candidate.Observer, "observer", false, "without a vote")
	return cmd
}

// startLine is how the admitted node is started.
func (c *connection) startLine(candidate *cluster.Candidate) string {
	parts := []string{"NODE_ID=" + candidate.NodeID}
	for _, a := range []struct{ name, value string }{{"RAFT_ADDR", candidate.Raft}, {"API_ADDR", candidate.API}, {"FIB_ADDR", candidate.FIB}, {"CLIENT_ADDR", candidate.Client}} {
		if a.value != "" {
			parts = append(parts, a.name+"="+a.value)
		}
	}
	if candidate.Observer {
		parts = append(parts, "OBSERVER=true")
	}
	return strings.Join(append(parts, "JOIN="+strings.TrimPrefix(c.endpoints[0], "http://"), "dvr node"), " ")
}

func memberTable(t *table, body any) {
	t.head("NODE", "ROLE", "LEADER", "ONLINE", "API", "RAFT", "DATA PLANES", "ETCD", "MEMBER")
	for _, m := range list(body, "members") {
		t.row(member(m, "node_id"), member(m, "role"), member(m, "leader"), member(m, "online"), member(m, "api"),
			member(m, "raft"), member(m, "fib"), member(m, "client"), member(m, "member_id"))
	}
}

// clusterTable sums the members up.
func clusterTable(t *table, body any) {
	var voters, online, learners, observers int
	leader := "none"
	var away []string
	for _, m := range list(body, "members") {
		answers := member(m, "online") == true
		switch member(m, "role") {
		case "voter":
			voters++
			if answers {
				online++
			}
		case "learner":
			learners++
		default:
			observers++
		}
		if !answers {
			away = append(away, text(member(m, "node_id")))
		}
		if member(m, "leader") == true {
			leader = text(member(m, "node_id"))
		}
	}
	needed := voters/2 + 1
	t.row("cluster_id", member(body, "cluster_id"))
	t.row("leader", leader)
	t.row("voters", fmt.Sprintf("%d, of which %d answer; %d are needed", voters, online, needed))
	t.row("may lose", max(online-needed, 0))
	t.row("learners", learners)
	t.row("observers", observers)
	t.row("away", strings.Join(away, ", "))
	if member(body, "stale") == true {
		t.row("stale", "there is no quorum: this is what the node knew last")
	}
	t.row("revision", member(body, "revision"))
}
