package fibstream

import (
	"context"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"dvr/controller/fibpb"
)

// scripted is a stream that delivers given messages and swallows what is sent.
type scripted struct {
	ctx      context.Context
	messages []*fibpb.DataPlaneMessage
}

func (s *scripted) Recv() (*fibpb.DataPlaneMessage, error) {
	if len(s.messages) == 0 {
		return nil, io.EOF
	}
	m := s.messages[0]
	s.messages = s.messages[1:]
	return m, nil
}
func (s *scripted) Send(m *fibpb.ControllerMessage) error {
	_, err := proto.Marshal(m)
	return err
}
func (s *scripted) Context() context.Context     { return s.ctx }
func (s *scripted) SetHeader(metadata.MD) error  { return nil }
func (s *scripted) SendHeader(metadata.MD) error { return nil }
func (s *scripted) SetTrailer(metadata.MD)       {}
func (s *scripted) SendMsg(any) error            { return nil }
func (s *scripted) RecvMsg(any) error            { return io.EOF }

// FuzzStream sends what is malformed: a Hello and two messages, each as any
// bytes that protobuf decodes. The server must end the stream, not panic, and
// leave nothing behind.
func FuzzStream(f *testing.F) {
	hello := func(edit func(*fibpb.Hello)) []byte {
		h := &fibpb.Hello{Protocol: 1, Router: "r1", Instance: "i", DigestVersions: []uint32{1}, Credit: 4, Sinks: []string{"memory"}}
		edit(h)
		b, _ := proto.Marshal(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Hello{Hello: h}})
		return b
	}
	message := func(m *fibpb.DataPlaneMessage) []byte { b, _ := proto.Marshal(m); return b }
	ack := message(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Ack{Ack: &fibpb.Ack{Delta: 1, Digest: make([]byte, 16),
		Sinks: []*fibpb.SinkStatus{{Name: "memory", Failed: 1, Failures: []*fibpb.Failure{{Prefix: "x"}}}}}}})
	f.Add(hello(func(*fibpb.Hello) {}), ack, []byte{})
	f.Add(hello(func(h *fibpb.Hello) {
		h.Position = &fibpb.Position{LogId: logA, Epoch: 1, Revision: 1}
		h.Buckets = make([]byte, 16384)
		h.Partial = true
	}), ack, message(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Credit{Credit: &fibpb.Credit{Chunks: 1<<32 - 1}}}))
	f.Add(hello(func(h *fibpb.Hello) { h.Router = "" }), []byte{}, []byte{})
	f.Add([]byte{}, []byte{}, []byte{})
	f.Add(hello(func(h *fibpb.Hello) { h.Adopt, h.Position = true, &fibpb.Position{LogId: "x", Epoch: 1 << 63} }),
		message(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Sink{}}),
		message(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Lookup{}}))
	s := newSource(f, logA, 1)
	s.commit(f, manyRoutes(10)...)
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var messages []*fibpb.DataPlaneMessage
		for _, raw := range [][]byte{a, b, c} {
			m := &fibpb.DataPlaneMessage{}
			if proto.Unmarshal(raw, m) == nil {
				messages = append(messages, m)
			}
		}
		server := New(s, Options{CatchUp: time.Millisecond})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		_ = server.Subscribe(&scripted{ctx: ctx, messages: messages})
		for _, p := range server.List() {
			if p.Connected {
				t.Fatal("still connected after the stream has ended")
			}
			if len(p.Sinks) > 2*maxSinks || len(p.Counters) > maxCounters {
				t.Fatalf("kept %d sinks, %d counters", len(p.Sinks), len(p.Counters))
			}
		}
		if len(server.tables.of) != 0 {
			t.Fatal("a table is left behind")
		}
	})
}
