package fibstream

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dvr/eventlog"
)

// Delivery is a delta that a data plane has acknowledged: what became, at one
// router, of the commits after From, up to To.
type Delivery struct {
	Router   eventlog.RouterID
	From, To eventlog.Position // From is zero for the first delta of a stream
	Full     bool
	Equal    bool // the data plane holds what it was sent

	Began    time.Time // the table was begun to be compiled
	Compiled time.Time // the delta began to be encoded and sent
	Sent     time.Time // all of it was given to gRPC
	Acked    time.Time
}

// delivery is what is noted of a delta on its way; nil: nobody asks.
func (x *session) delivery(from eventlog.Position, full bool) *Delivery {
	if x.server.options.OnDelivered == nil {
		return nil
	}
	return &Delivery{Router: x.router, From: from, Full: full, Began: x.server.options.Now()}
}

// acknowledged tells of the delta d, and observes how long its ack took, with the
// trace that it is of as the exemplar.
func (x *session) acknowledged(d *sent, equal bool) {
	now := x.server.options.Now()
	took := now.Sub(d.at).Seconds()
	if d.delivery != nil {
		told := *d.delivery
		told.To, told.Equal, told.Acked = d.fib.Position(), equal, now
		if trace := x.server.options.OnDelivered(told); trace != "" {
			x.server.measures.ack.(prometheus.ExemplarObserver).ObserveWithExemplar(took, prometheus.Labels{"trace_id": trace})
			return
		}
	}
	x.server.measures.ack.Observe(took)
}
