package appender

import (
	"time"

	"dvr/eventlog"
)

// Trace is told where the time of a request went; nil: nobody asks, and it costs
// nothing. Its methods are called by the appender's goroutines and must be quick.
type Trace interface {
	// Stored tells once that the log has acknowledged the commit, before its caller
	// hears of it.
	Stored(*Stages)
	// TraceID names the trace.
	TraceID() string
}

// Stages are the moments of a commit on its way, in their order.
type Stages struct {
	Epoch    uint64
	Revision eventlog.Revision
	Commits  int // of its batch
	Bytes    int

	Queued time.Time // it came
	Judged time.Time // its turn came to be judged
	Folded time.Time // it was folded into the batch being built
	Left   time.Time // the batch was given to the log
	Landed time.Time // the log has acknowledged it
}

// arrive notes that p has come.
func (p *Pending) arrive() {
	if p.request.Trace != nil {
		p.stages = &Stages{Queued: time.Now()}
	}
}

// judged notes that p's turn has come, the last time where there are several.
func (p *Pending) judged() {
	if p.stages != nil {
		p.stages.Judged = time.Now()
	}
}

// folded notes that p is in b.
func (p *Pending) folded(b *batch) {
	if p.stages != nil {
		p.stages.Folded = time.Now()
		b.traced = true
	}
}

// trace tells those who asked about commits of b, which the log has acknowledged
// at landed, and gives the trace of one.
func (b *batch) trace(bytes int, landed time.Time) (id string) {
	if !b.traced {
		return ""
	}
	for _, p := range b.items {
		if s := p.stages; s != nil {
			s.Epoch, s.Revision, s.Commits, s.Bytes = p.commit.Epoch, p.commit.Revision, len(b.items), bytes
			s.Left, s.Landed = b.left, landed
			p.request.Trace.Stored(s)
			id = p.request.Trace.TraceID()
		}
	}
	return id
}
