package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"dvr/controller/certs"
	"dvr/controller/cluster"
	"dvr/controller/etcdserver"
	"dvr/controller/httpapi"
	"dvr/eventlog"
)

func (n *Node) clusterConfig() *cluster.Config {
	s := n.settings
	return &cluster.Config{
		NodeID: s.NodeID, DataDir: s.DataDir, RaftListen: s.Raft.Listen, Addresses: n.addresses(),
		InitialCluster: s.InitialCluster, Join: s.Join, Observer: s.Observer, ClusterID: s.ClusterID,
		Attempt: cluster.NewAttempt(), JoinToken: s.JoinToken, Await: n.await, Logger: n.log, TLS: n.tls,
	}
}

// addresses are what other nodes are told of this one.
func (n *Node) addresses() cluster.Addresses {
	s := n.settings
	return cluster.Addresses{API: n.advertised(s.API, n.api), Raft: s.Raft.Advertise, FIB: n.advertised(s.FIB, n.fib), Client: s.Client.Advertise}
}

// await is told what the start waits for; empty: for nothing any more.
func (n *Node) await(what string) {
	if what == "" {
		what = awaitsEtcd
	}
	n.startup.enter(what)
}

// observes tells whether this node reads the log at other nodes.
func (n *Node) observes() bool {
	return n.identity != nil && n.identity.State == cluster.Observer
}

// joinRetry is between two starts of etcd in a cluster whose list has changed
// since it admitted this node.
const joinRetry = 200 * time.Millisecond

// openMember finds out of which cluster this node is and starts its etcd, or,
// for an observer, connects to the members'.
func (n *Node) openMember(ctx context.Context) error {
	config := n.clusterConfig()
	for {
		plan, err := cluster.Prepare(ctx, config)
		if err != nil {
			return err
		}
		n.identity = plan.Identity
		if plan.Observer {
			return n.openObserver(plan)
		}
		err = n.startEtcd(ctx, config, plan)
		switch {
		case err == nil:
			return n.waitReady(ctx)
		case !plan.Join || n.etcd != nil || ctx.Err() != nil:
			return err
		}
		n.log.Info("the cluster has changed since it admitted this node; asking again", zap.Error(err))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(joinRetry):
		}
	}
}

func (n *Node) startEtcd(ctx context.Context, config *cluster.Config, plan *cluster.Plan) error {
	s := n.settings
	etcd := etcdserver.Config{
		Name: s.NodeID, DataDir: s.DataDir,
		PeerListen: s.Raft.Listen, PeerAdvertise: s.Raft.Advertise,
		ClientListen: s.Client.Listen, ClientAdvertise: s.Client.Advertise,
		Members: plan.Members, Token: plan.Token, Join: plan.Join,
		Quota: s.EtcdQuota, Writable: s.EtcdWritable, Hosts: hostsOf(s.Client), TLS: n.tls,
		Logger: n.log.Named("etcd").WithOptions(zap.IncreaseLevel(zap.WarnLevel)),
	}
	e, err := etcdserver.Start(ctx, etcd)
	if err != nil && strings.Contains(err.Error(), "has already been bootstrapped") {
		return fmt.Errorf("%w: %w", cluster.ErrDataLost, err)
	}
	if err != nil {
		return storeError(s, err)
	}
	if got := cluster.FormatID(e.MemberID()); plan.Join && got != n.identity.MemberID {
		e.Close()
		return errors.Join(fmt.Errorf("etcd took the id %s, which is that of an earlier member at this address, instead of %s", got, n.identity.MemberID), etcd.Discard())
	}
	n.etcd, n.client = e, e.Client()
	go n.watchBreak(e) // ends with etcd
	n.startup.etcd.Store(e)
	n.startup.enter(awaitsQuorum)
	if err := config.Started(n.identity, e.MemberID(), e.ClusterID()); err != nil {
		return err
	}
	n.cluster = cluster.NewManager(cluster.Options{
		NodeID: s.NodeID, Addresses: n.addresses(), Client: n.client, Server: e, TLS: n.tls,
		LogID: n.logID, Level: n.levels.inForce, Alarms: func() map[string][]cluster.Alarm { return n.alarms.everywhere(s.NodeID) }, Logger: n.log.Named("cluster"),
	})
	if plan.First {
		n.tellFirst(plan)
	}
	return nil
}

// tellFirst says what this start has made of a blank node.
func (n *Node) tellFirst(plan *cluster.Plan) {
	id := zap.String("cluster_id", n.identity.ClusterID)
	switch {
	case plan.Join:
		n.log.Info("joined a cluster as learner", id, zap.String("member_id", n.identity.MemberID))
	case len(plan.Members) > 1:
		n.log.Info("formed a new cluster with the others of INITIAL_CLUSTER", id)
	default:
		n.log.Info("made a new cluster of this node alone; to join another one instead, empty DATA_DIR and set JOIN=<API address of a member>", id)
	}
}

// waitReady waits for a quorum, as long as it takes.
func (n *Node) waitReady(ctx context.Context) error {
	slow := time.AfterFunc(2*time.Second, func() { n.log.Info("waiting", zap.String("for", "a quorum of the cluster's members")) })
	defer slow.Stop()
	err := n.etcd.WaitReady(ctx)
	switch {
	case err == nil:
		return nil
	case n.etcd.Err() != nil:
		return n.etcdEnded(n.etcd.Err())
	}
	return fmt.Errorf("embedded etcd: %w", err)
}

// etcdEnded tells a removal, which it writes down, from other ends. What etcd
// itself says of its end depends on which of its parts notices first.
func (n *Node) etcdEnded(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if !n.cluster.WasRemoved(ctx) {
		return fmt.Errorf("etcd: %w", err)
	}
	return n.leave()
}

// leave marks the node as removed, so that it stays stopped.
func (n *Node) leave() error {
	gone := *n.identity
	gone.State = cluster.Removed
	err := fmt.Errorf("%w %s and stays stopped: to let it join anew, empty DATA_DIR %s and start it with JOIN=<API address of a member>", cluster.ErrRemoved, gone.ClusterID, n.settings.DataDir)
	return errors.Join(err, gone.Save(n.settings.DataDir))
}

func (n *Node) openObserver(plan *cluster.Plan) error {
	s := n.settings
	c, err := dialEtcd(plan.Identity.Members, n.tls.DialRPC(certs.Node), n.log)
	if err != nil {
		return err
	}
	n.client = c
	n.cluster = cluster.NewManager(cluster.Options{
		NodeID: s.NodeID, Addresses: n.addresses(), Client: c, ClusterID: plan.Identity.ClusterID, TLS: n.tls,
		LogID: n.logID, Level: n.levels.inForce, Alarms: func() map[string][]cluster.Alarm { return n.alarms.everywhere(s.NodeID) }, Logger: n.log.Named("cluster"),
	})
	if plan.First {
		n.log.Info("observing a cluster, without a vote", zap.String("cluster_id", plan.Identity.ClusterID), zap.Strings("members", plan.Identity.Members))
	}
	return nil
}

// logID is that of the log, empty before it is open.
func (n *Node) logID() string {
	if n.store == nil {
		return ""
	}
	return n.store.ID()
}

// logError adds to a foreign log whose it was.
func (n *Node) logError(err error) error {
	if errors.Is(err, eventlog.ErrForeignLog) {
		return fmt.Errorf("%w: %w. Nothing was changed", cluster.ErrForeign, err)
	}
	return err
}

// belong records the log that this node is of.
func (n *Node) belong() error {
	if n.identity == nil {
		return nil
	}
	return n.identity.Settle(n.settings.DataDir, n.store.ID())
}

// members is the API's view of the cluster; nil with an external etcd.
func (n *Node) members() httpapi.Cluster {
	if n.cluster == nil {
		return nil
	}
	return n.cluster
}

// runMembership keeps this node's part in the cluster until background ends.
func (n *Node) runMembership(background context.Context) {
	if n.cluster == nil {
		return
	}
	n.run(func() {
		n.cluster.Enrol(background)
		n.cluster.Rise(background)
	})
	if n.observes() {
		n.run(func() {
			if n.cluster.Observe(background, n.identity, n.settings.DataDir) {
				n.fail(n.leave())
			}
		})
	}
}

// watchBreak says when etcd gave up, which is the one end of it that may hold up
// what waits in it.
func (n *Node) watchBreak(e *etcdserver.Server) {
	<-e.Done()
	select {
	case <-e.GaveUp():
		if n.brokenBy = e.Err(); n.brokenBy == nil {
			n.brokenBy = errors.New("etcd gave up while it was closed")
		}
		close(n.broken)
	default:
	}
}

// watchEtcd ends the node when its etcd ends by itself.
func (n *Node) watchEtcd(background context.Context) {
	if n.etcd == nil {
		return
	}
	n.run(func() {
		select {
		case <-n.etcd.Done():
			if err := n.etcd.Err(); err != nil {
				n.fail(n.etcdEnded(err))
			}
		case <-background.Done():
		}
	})
}
