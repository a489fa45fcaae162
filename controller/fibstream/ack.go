package fibstream

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"dvr/controller/fibpb"
	"dvr/eventlog"
)

const maxReconcilePause = time.Minute

// ack takes in what the data plane has applied. An ack covers the deltas
// before it: they come in order.
func (x *session) ack(a *fibpb.Ack) error {
	x.mu.Lock()
	i := 0
	for i < len(x.inFlight) && x.inFlight[i].number < a.GetDelta() {
		i++
	}
	if i == len(x.inFlight) || x.inFlight[i].number != a.GetDelta() {
		late := a.GetDelta() != 0 && (len(x.inFlight) == 0 || a.GetDelta() < x.inFlight[0].number)
		x.mu.Unlock()
		if late {
			return x.server.registry.reported(x, a.GetSinks()) // acked before: only the sinks can be news
		}
		return invalid("ack of delta %d, which was not sent", a.GetDelta())
	}
	d := x.inFlight[i]
	awaited := len(x.inFlight) >= x.server.options.MaxInFlight || x.unsettled
	n := copy(x.inFlight, x.inFlight[i+1:])
	clear(x.inFlight[n:])
	x.inFlight = x.inFlight[:n]
	equal := bytes.Equal(a.GetDigest(), d.fib.Digest().Bytes())
	x.acknowledged(&d, equal)
	if equal {
		x.acked = d.fib
		if !x.repair.due {
			x.repair.pause = 0
		}
	} else if d.number > x.repair.after && !x.repair.due {
		x.repair.due = true
		x.server.measures.differ.Inc()
		now := x.server.options.Now()
		x.repair.next = now.Add(x.repair.pause)
		x.repair.pause = min(max(2*x.repair.pause, x.server.options.ReconcilePause), maxReconcilePause)
	}
	awaited = awaited || x.repair.due
	x.mu.Unlock()
	if awaited { // else there is nothing that the sender could do now
		x.poke()
	}
	return x.server.registry.acked(x, d.fib.Position(), equal, a)
}

// sinkState is what is kept of a SinkStatus.
type sinkState struct {
	status  Sink
	buckets [bucketCount / 8]byte // where something failed
}

// Bounds on what is kept of a sink's report.
const (
	maxFailures = 100
	maxReason   = 256
)

// takeSinks folds reports into the states of a plane's sinks.
func takeSinks(into map[string]*sinkState, list []*fibpb.SinkStatus) error {
	for _, s := range list {
		if !printable(s.GetName(), maxName) {
			return invalid("sink: a name must be 1 to %d printable characters", maxName)
		}
		if n := len(s.GetFailedBuckets()); n != 0 && n != bucketCount/8 {
			return invalid("sink %s: failed_buckets has %d bytes, must have %d", s.GetName(), n, bucketCount/8)
		}
		if n := len(s.GetInstalled()); n != 0 && n != digestBytes {
			return invalid("sink %s: installed has %d bytes, must have %d", s.GetName(), n, digestBytes)
		}
		if into[s.GetName()] == nil && len(into) >= maxSinks {
			return invalid("sink: more than %d", maxSinks)
		}
		x := &sinkState{status: Sink{
			Name: s.GetName(), Installed: bytes.Clone(s.GetInstalled()), Entries: s.GetEntries(),
			Failed: s.GetFailed(), Repaired: s.GetRepaired(), Deviates: s.GetDeviates(),
		}}
		copy(x.buckets[:], s.GetFailedBuckets())
		if s.GetFailed() > 0 && len(s.GetFailedBuckets()) == 0 {
			for i := range x.buckets {
				x.buckets[i] = 0xff // it does not say where: everywhere
			}
		}
		for i, f := range s.GetFailures() {
			if i == maxFailures {
				break
			}
			x.status.Failures = append(x.status.Failures, Failure{Prefix: cut(f.GetPrefix()), Reason: cut(f.GetReason())})
		}
		into[s.GetName()] = x
	}
	return nil
}

// cut bounds a text of a data plane. What it gives is valid UTF-8, whatever
// comes: protobuf takes nothing else, and one text that is not would keep what
// stands beside it, the node's other data planes included, from the other nodes.
func cut(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxReason {
		return s
	}
	end := maxReason
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// reaches reports that p is at rev or later of the epoch, or in a later epoch.
func reaches(p eventlog.Position, epoch uint64, rev eventlog.Revision) bool {
	return p.Epoch > epoch || p.Epoch == epoch && p.Revision >= rev
}
