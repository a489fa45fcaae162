package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"dvr/eventlog"
)

// Candidate is a node that wants to be admitted.
type Candidate struct {
	NodeID   string `json:"node_id"`
	Raft     string `json:"raft"`
	API      string `json:"api"`
	FIB      string `json:"fib"`
	Client   string `json:"client"`
	Observer bool   `json:"observer,omitempty"`
	// Attempt tells a repetition of one admission from a new one by a node that
	// was started again without data; empty: always new.
	Attempt string `json:"attempt,omitempty"`
	// Level is the highest that the node supports; 0: not known.
	Level uint32 `json:"level,omitempty"`
}

// Admission is what an admitted node starts with.
type Admission struct {
	ClusterID      string `json:"cluster_id"`
	MemberID       string `json:"member_id,omitempty"` // not of an observer
	LogID          string `json:"log_id"`
	InitialCluster string `json:"initial_cluster"` // as the setting, learners and this node included
	Members        []Node `json:"members"`
}

// Pauses of a joining node between two attempts.
const (
	joinLeast   = 50 * time.Millisecond
	joinMost    = 5 * time.Second
	joinTimeout = 10 * time.Second
)

// join asks the members one after the other until one admits this node.
func (c *Config) join(ctx context.Context) (*Plan, error) {
	id := &Identity{NodeID: c.NodeID, State: Joining}
	if err := id.Save(c.DataDir); err != nil {
		return nil, err
	}
	client := newHTTPClient(joinTimeout, c.TLS)
	ctx = WithCredential(ctx, c.JoinToken)
	candidate := Candidate{
		NodeID: c.NodeID, Raft: c.Addresses.Raft, API: c.Addresses.API, FIB: c.Addresses.FIB, Client: c.Addresses.Client,
		Observer: c.Observer, Attempt: c.Attempt, Level: eventlog.MaxLevel,
	}
	asked := append([]string(nil), c.Join...)
	for pause := joinLeast; ; pause = min(2*pause, joinMost) {
		var last error
		for _, address := range asked {
			var a Admission
			err := call(ctx, client, http.MethodPost, address, "/v1/cluster/members", candidate, &a)
			if err == nil {
				var p *Plan
				if p, err = c.admitted(id, &a); err == nil {
					err = c.known(ctx, client, p)
				}
				if err == nil {
					return p, nil
				}
			}
			if !errors.Is(err, eventlog.ErrUnavailable) && !errors.Is(err, ErrBusy) && !errors.Is(err, errStranger) {
				if errors.Is(err, ErrRefused) || errors.Is(err, ErrForeign) {
					return nil, err
				}
				return nil, fmt.Errorf("%w by %s: %w", ErrRefused, address, err)
			}
			last = err
		}
		c.await(fmt.Sprintf("joining a cluster: %v", last))
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("joining a cluster: %w: %w", last, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// admitted turns the answer into a plan.
func (c *Config) admitted(id *Identity, a *Admission) (*Plan, error) {
	if c.ClusterID != "" && a.ClusterID != c.ClusterID {
		return nil, fmt.Errorf("%w: JOIN leads to cluster %s, CLUSTER_ID says %s", ErrForeign, a.ClusterID, c.ClusterID)
	}
	id.ClusterID, id.MemberID, id.LogID = a.ClusterID, a.MemberID, a.LogID
	id.remember(a.Members)
	if c.Observer {
		id.State = Observer
		if len(id.Members) == 0 {
			return nil, fmt.Errorf("%w: the cluster names no member to read the log from", ErrRefused)
		}
		return &Plan{Identity: id, Observer: true, First: true}, id.Save(c.DataDir)
	}
	members, err := parseMembers(a.InitialCluster)
	if err != nil {
		return nil, fmt.Errorf("%w: the answer of the cluster: %w", ErrRefused, err)
	}
	if members[c.NodeID] != c.Addresses.Raft {
		return nil, fmt.Errorf("%w: the cluster admitted %q instead of %s=%s", ErrRefused, a.InitialCluster, c.NodeID, c.Addresses.Raft)
	}
	return &Plan{Identity: id, Members: members, Join: true, First: true}, id.Save(c.DataDir)
}

// known waits for every member that answers to have applied the admission: etcd
// takes its own id from any one of them, and one that lags may still have an
// earlier member at this node's address. Those that do not answer are passed
// over. It returns an error that passes where one lags for long.
func (c *Config) known(ctx context.Context, client *httpClient, p *Plan) error {
	for pause := joinLeast / 10; p.Join; pause *= 2 {
		behind := ""
		for name, address := range p.Members {
			if name == c.NodeID {
				continue
			}
			if list, err := listAt(ctx, client, address); err == nil && list[c.Addresses.Raft] != p.Identity.MemberID {
				behind = name
			}
		}
		if behind == "" {
			return nil
		}
		if pause > time.Second {
			return fmt.Errorf("%w: %s has not heard of this node's admission", eventlog.ErrUnavailable, behind)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
	return nil
}

// remember keeps how to reach the others.
func (i *Identity) remember(nodes []Node) {
	i.Members, i.APIs = nil, nil
	for _, n := range nodes {
		if n.NodeID == i.NodeID {
			continue
		}
		if n.Role == RoleVoter && n.Client != "" {
			i.Members = append(i.Members, n.Client)
		}
		if n.API != "" {
			i.APIs = append(i.APIs, n.API)
		}
	}
}
