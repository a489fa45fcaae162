package node

import (
	"context"
	"crypto/sha256"
	"fmt"

	"go.uber.org/zap"

	"dvr/controller/observe"
	"dvr/controller/service"
	"dvr/eventlog"
)

// observer appends what the data planes that are connected here see of their links.
func (n *Node) observer() *observe.Observer {
	log := n.peers.exchange.Appender()
	return observe.New(observe.Options{
		State: n.appender.State,
		Now:   n.now,
		Append: func(ctx context.Context, s observe.Sighting) error {
			e, hash := s.Event, eventlog.RequestHash{}
			sum := sha256.Sum256([]byte(s.ID))
			copy(hash[:], sum[:])
			out, err := log.Append(ctx, service.Change{
				Actor: "system", ID: s.ID, Request: hash,
				Reason: fmt.Sprintf("seen by the data plane of %s", e.Router), Events: []eventlog.Event{e},
			})
			if err == nil {
				err = log.Wait(ctx, out.Position.Revision)
			}
			if err == nil && !out.Replayed {
				n.log.Info("a link was observed", zap.String("router", string(e.Router)), zap.String("a", string(e.A)), zap.String("b", string(e.B)),
					zap.String("name", e.Name), zap.String("state", string(e.State)), zap.Uint64("revision", uint64(out.Position.Revision)))
			}
			return err
		},
		OnError: func(err error) {
			n.log.Warn("what a data plane observes was not appended; it is tried again", zap.Error(err))
		},
	})
}
