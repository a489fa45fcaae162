package fibtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/itemhash"
)

// Plane is a simulated data plane. What a restart keeps is in it, so that it
// can connect again. The mutex guards Table and what follows it; hooks run
// without it.
type Plane struct {
	Router, Instance string
	Sinks            []string
	Credit           uint32 // of Hello; each chunk received gives one back

	mu       sync.Mutex
	table    *Table
	position *fibpb.Position
	nonce    []byte
	partial  bool
	sinks    []*fibpb.SinkStatus // of the next acks
	audits   []*fibpb.SinkAudit
	acks     int
	fulls    int // full deltas received
	chunks   int
	changed  chan struct{}

	// OnAck, when set, sees the table at each ack, before it is sent.
	OnAck func(*Table, *fibpb.Position, itemhash.Digest)
}

// NewPlane is a data plane that holds nothing.
func NewPlane(router, instance string) *Plane {
	return &Plane{
		Router: router, Instance: instance, Sinks: []string{"memory"}, Credit: 64,
		table: NewTable(), changed: make(chan struct{}),
	}
}

// Hello is what the plane would say now.
func (p *Plane) Hello() *fibpb.Hello {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &fibpb.Hello{
		Protocol: 1, Router: p.Router, Instance: p.Instance, Sinks: p.Sinks, Version: "fibtest",
		Credit: p.Credit, DigestVersions: []uint32{1}, Partial: p.partial, Buckets: p.table.Buckets(),
	}
	if p.position != nil {
		h.Position, h.EpochNonce, h.Digest = p.position, p.nonce, p.table.Digest().Bytes()
	}
	return h
}

// Stream is one connection of a Plane.
type Stream struct {
	Welcome *fibpb.Welcome
	plane   *Plane
	stream  fibpb.Fib_SubscribeClient
	cancel  context.CancelFunc
	send    sync.Mutex
}

// Connect says Hello and waits for Welcome. edit, when set, changes the Hello.
func (p *Plane) Connect(ctx context.Context, conn grpc.ClientConnInterface, edit func(*fibpb.Hello)) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := fibpb.NewFibClient(conn).Subscribe(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &Stream{plane: p, stream: stream, cancel: cancel}
	h := p.Hello()
	if edit != nil {
		edit(h)
	}
	if err := s.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Hello{Hello: h}}); err != nil {
		cancel()
		return nil, err
	}
	m, err := stream.Recv()
	if err == nil && m.GetWelcome() == nil {
		err = fmt.Errorf("the first message is not Welcome: %v", m)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	s.Welcome = m.GetWelcome()
	p.mu.Lock()
	p.nonce = s.Welcome.GetEpochNonce()
	p.mu.Unlock()
	return s, nil
}

// Cut ends the connection without a word.
func (s *Stream) Cut() { s.cancel() }

// Send sends any message.
func (s *Stream) Send(m *fibpb.DataPlaneMessage) error {
	s.send.Lock()
	defer s.send.Unlock()
	return s.stream.Send(m)
}

// Grant grants chunks.
func (s *Stream) Grant(chunks uint32) error {
	return s.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Credit{Credit: &fibpb.Credit{Chunks: chunks}}})
}

// Pass takes one message and leaves the plane as it is.
func (s *Stream) Pass() (*fibpb.ControllerMessage, error) { return s.stream.Recv() }

// Receive takes one message and does what it asks but for acks and credit.
// The chunk is the last one of its delta where it has End.
func (s *Stream) Receive() (*fibpb.ControllerMessage, error) {
	m, err := s.stream.Recv()
	if err != nil {
		return nil, err
	}
	p := s.plane
	switch k := m.GetKind().(type) {
	case *fibpb.ControllerMessage_Delta:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.chunks++
		p.partial = true
		ended, err := p.table.Apply(k.Delta)
		if err != nil {
			return nil, fmt.Errorf("delta %d: %w", k.Delta.GetDelta(), err)
		}
		if ended {
			p.partial = false
			p.position = k.Delta.GetPosition()
			if k.Delta.GetKind() == fibpb.DeltaChunk_FULL {
				p.fulls++
			}
		}
	case *fibpb.ControllerMessage_Lookup:
		return m, s.answer(k.Lookup)
	case *fibpb.ControllerMessage_Audit:
		return m, s.audit(k.Audit)
	}
	return m, nil
}

// Ack acknowledges the delta that c ended with what the table holds.
func (s *Stream) Ack(c *fibpb.DeltaChunk) error {
	p := s.plane
	p.mu.Lock()
	digest := p.table.Digest()
	a := &fibpb.Ack{Delta: c.GetDelta(), Position: c.GetPosition(), Digest: digest.Bytes(), Sinks: p.sinks}
	if p.OnAck != nil {
		p.OnAck(p.table, c.GetPosition(), digest)
	}
	p.acks++
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	return s.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Ack{Ack: a}})
}

// Run receives, acks and grants one chunk for each received, until the stream
// ends; the error is why it ended.
func (s *Stream) Run() error {
	defer s.cancel()
	defer func() {
		s.plane.mu.Lock()
		s.plane.table.Abort()
		s.plane.mu.Unlock()
	}()
	for {
		m, err := s.Receive()
		if err != nil {
			return err
		}
		c := m.GetDelta()
		if c == nil {
			continue
		}
		if c.GetEnd() {
			err = s.Ack(c)
		}
		if err == nil {
			err = s.Grant(1)
		}
		if errors.Is(err, io.EOF) {
			// Sending tells only that it ended; what came before that is lost.
			for err = nil; err == nil; {
				_, err = s.stream.Recv()
			}
		}
		if err != nil {
			return err
		}
	}
}

func (s *Stream) audit(q *fibpb.AuditRequest) error {
	s.plane.mu.Lock()
	r := &fibpb.AuditReport{Id: q.GetId(), Sinks: s.plane.audits}
	s.plane.mu.Unlock()
	return s.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Audit{Audit: r}})
}

func (s *Stream) answer(q *fibpb.LookupRequest) error {
	p := s.plane
	p.mu.Lock()
	a := &fibpb.LookupAnswer{Id: q.GetId(), Position: p.position}
	if address, ok := addressOf(q.GetAddress()); ok {
		if prefix, id, ok := p.table.Lookup(address); ok {
			a.Found, a.Prefix, a.Length, a.ClassId = true, prefix.Addr().AsSlice(), uint32(prefix.Bits()), id[:]
			for _, h := range p.table.Classes[id].Group {
				n := &fibpb.NextHop{Type: fibpb.NextHop_Type(h.Type), Interface: h.Interface, Weight: uint32(h.Weight), Via: h.Via}
				if h.Address.IsValid() {
					n.Address = h.Address.AsSlice()
				}
				a.NextHops = append(a.NextHops, n)
			}
		}
	}
	p.mu.Unlock()
	return s.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Lookup{Lookup: a}})
}
