package fibtest

import (
	"context"
	"net/netip"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/itemhash"
)

func addressOf(b []byte) (netip.Addr, bool) { return netip.AddrFromSlice(b) }

// SetSinks is what the next acks report.
func (p *Plane) SetSinks(sinks ...*fibpb.SinkStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sinks = sinks
}

// SetAudits is what audits report from now on.
func (p *Plane) SetAudits(sinks ...*fibpb.SinkAudit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.audits = sinks
}

// Digest is the digest of the table as it stands.
func (p *Plane) Digest() itemhash.Digest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.table.Digest()
}

// Len is the number of prefixes held.
func (p *Plane) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.table.Prefixes)
}

// Holds reports whether the table has the prefix.
func (p *Plane) Holds(q netip.Prefix) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.table.Prefixes[q]
	return ok
}

// Spoil damages the table; see Table.Spoil.
func (p *Plane) Spoil(prefix, group bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.table.Spoil(prefix, group)
}

// Counts are the acks sent, the full deltas and the chunks received so far.
func (p *Plane) Counts() (acks, fulls, chunks int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acks, p.fulls, p.chunks
}

// Revision is the position received, 0 when nothing is held.
func (p *Plane) Revision() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.position.GetRevision()
}

// Await waits until ok is true, looking again at each ack.
func (p *Plane) Await(ctx context.Context, ok func() bool) error {
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
