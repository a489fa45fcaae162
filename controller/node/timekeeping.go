package node

import (
	"net"
	"net/netip"

	"go.uber.org/zap"

	"dvr/controller/appender"
	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/projector"
)

// timekeeper does what is due where this node appends.
func (n *Node) timekeeper() *appender.Timekeeper {
	return appender.NewTimekeeper(n.appender, appender.TimekeeperOptions{
		Now:     n.now,
		Active:  func() bool { return n.levels.below() == nil && n.peers.leads() },
		Steady:  n.peers.exchange.Steady,
		OnError: func(err error) { n.log.Warn("what is due was not done; it is tried again", zap.Error(err)) },
		OnDone: func(d projector.Due, r appender.Result) {
			if d.Timer == "" {
				n.log.Info("a commit was not confirmed in time and is undone", zap.Uint64("commit", uint64(d.Revision)), zap.Uint64("revision", uint64(r.Revision)))
				return
			}
			n.log.Info("a timer has ended", zap.String("timer", d.Timer), zap.Uint64("revision", uint64(r.Revision)))
		},
	})
}

// observed takes in what a data plane reports.
func (n *Node) observed(router eventlog.RouterID, o *fibpb.Observation) {
	if u := o.GetUndone(); u != nil {
		n.log.Warn("a data plane that heard no controller undid an unconfirmed commit by itself; it is reconciled now",
			zap.String("router", string(router)), zap.Uint64("commit", u.GetRevision()))
	}
}

// management is the addresses of the cluster's nodes.
func (n *Node) management() []netip.Addr {
	present, _ := n.peers.directory.Nodes()
	var out []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, node := range present {
		for _, address := range []string{node.API, node.FIB, node.Raft} {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				continue
			}
			if a, err := netip.ParseAddr(host); err == nil && !a.IsLoopback() && !seen[a] {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	return out
}
