package cli

import (
	"encoding/json"
	"errors"
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
			err := c.act(cmd, http.MethodPost, membersPath+"/"+url.PathEscape(args[0])+"/promote", nil)
			return c.promoted(cmd, args[0], err)
		},
	}
	transfer := &cobra.Command{
		Use: "transfer-leader NODE", Short: "Make a voter the leader", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.act(cmd, http.MethodPost, "/v1/cluster/leader", map[string]string{"node_id": args[0]})
		},
	}
	recover := recoverCommand(c)
	withoutShared(recover, butOutput(shared))
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

// promoted looks at the list where a promotion was refused, and an attempt before
// that one may have made it: a node that votes was refused as such.
func (c *connection) promoted(cmd *cobra.Command, node string, err error) error {
	var p *client.Problem
	if !errors.As(err, &p) || !p.Doubt || p.Status != http.StatusConflict {
		return err
	}
	var body any
	if _, again := c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: membersPath}, &body); again != nil {
		return err
	}
	for _, m := range list(body, "members") {
		if (member(m, "node_id") == node || member(m, "member_id") == node) && member(m, "role") == "voter" {
			return c.printObject(map[string]any{"node_id": node, "status": "member promoted", "revision": member(body, "revision")}, members)
		}
	}
	return err
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
			switch {
			case candidate.Raft == "" && !candidate.Observer:
				return usageError{errors.New("--raft is needed: the address at which the others reach it, host:port")}
			case candidate.API == "" && candidate.Observer:
				return usageError{errors.New("--api is needed of an observer: the address of its API, host:port")}
			}
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
	t.head("NODE", "ROLE", "LEADER", "ONLINE", "LEVEL", "API", "RAFT", "DATA PLANES", "ETCD", "MEMBER")
	for _, m := range list(body, "members") {
		t.row(member(m, "node_id"), member(m, "role"), member(m, "leader"), member(m, "online"), member(m, "level"), member(m, "api"),
			member(m, "raft"), member(m, "fib"), member(m, "client"), member(m, "member_id"))
	}
}

// census sums the members up.
type census struct {
	voters, online, learners, observers int // online: voters that answer
	leader                              string
	away                                []string // members that do not answer
	alarms                              []told   // of members, in their order
}

// told is what a member told of itself: an alarm, with what to do.
type told struct{ node, alarm string }

func censusOf(body any) census {
	c := census{leader: "none"}
	for _, m := range list(body, "members") {
		answers := member(m, "online") == true
		switch member(m, "role") {
		case "voter":
			c.voters++
			if answers {
				c.online++
			}
		case "learner":
			c.learners++
		default:
			c.observers++
		}
		if !answers {
			c.away = append(c.away, text(member(m, "node_id")))
		}
		for _, a := range list(m, "alarms") {
			c.alarms = append(c.alarms, told{text(member(m, "node_id")), fmt.Sprintf("%s: %s", text(member(a, "detail")), text(member(a, "do")))})
		}
		if member(m, "leader") == true {
			c.leader = text(member(m, "node_id"))
		}
	}
	return c
}

// needed is how many voters are a majority, spare how many more may go.
func (c census) needed() int { return c.voters/2 + 1 }
func (c census) spare() int  { return max(c.online-c.needed(), 0) }

func clusterTable(t *table, body any) {
	c := censusOf(body)
	t.row("cluster_id", member(body, "cluster_id"))
	t.row("leader", c.leader)
	t.row("voters", fmt.Sprintf("%d, of which %d answer; %d are needed", c.voters, c.online, c.needed()))
	t.row("may lose", c.spare())
	t.row("learners", c.learners)
	t.row("observers", c.observers)
	t.row("away", strings.Join(c.away, ", "))
	if member(body, "stale") == true {
		t.row("stale", "there is no quorum: this is what the node knew last")
	}
	t.row("revision", member(body, "revision"))
}
