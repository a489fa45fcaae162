package node

import (
	"context"
	"time"

	"go.uber.org/zap"

	"dvr/controller/appender"
	"dvr/controller/auth"
	"dvr/eventlog"
	"dvr/projector"
)

// makeAdmin makes the admin that `dvr auth recover` left in DATA_DIR, trying until
// it is done or ctx ends.
func (n *Node) makeAdmin(ctx context.Context) {
	dir := n.settings.DataDir
	events, err := auth.ReadRecovery(dir)
	if err != nil {
		n.log.Error("the new admin that DATA_DIR names is not made", zap.Error(err))
		return
	}
	if events == nil {
		return
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		res, err := n.appender.Append(ctx, appender.Request{
			Generated: true, Actor: eventlog.SystemActor, Reason: "an admin was made in the data directory of " + n.settings.NodeID,
			Prepare: func(*projector.State) ([]eventlog.Event, error) { return events, nil },
		})
		if err == nil {
			n.log.Warn("a new admin was made, as DATA_DIR asked for", zap.String("actor", events[0].(*eventlog.TokenSet).Actor), zap.Uint64("revision", uint64(res.Revision)))
			if err := auth.EndRecovery(dir); err != nil {
				n.log.Error("what asked for it stays, and asks again at the next start", zap.Error(err))
			}
			return
		}
		n.log.Warn("the new admin that DATA_DIR names is not made yet", zap.Error(err))
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}
