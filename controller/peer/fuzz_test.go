package peer

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"dvr/controller/peerpb"
	"dvr/controller/service"
	"dvr/eventlog"
)

// scripted is a link that delivers given frames and swallows what is sent.
type scripted struct {
	ctx    context.Context
	frames []*peerpb.Frame
}

func (s *scripted) Recv() (*peerpb.Frame, error) {
	if len(s.frames) == 0 {
		return nil, io.EOF
	}
	f := s.frames[0]
	s.frames = s.frames[1:]
	return f, nil
}
func (s *scripted) Send(f *peerpb.Frame) error {
	_, err := proto.Marshal(f)
	return err
}
func (s *scripted) Context() context.Context     { return s.ctx }
func (s *scripted) SetHeader(metadata.MD) error  { return nil }
func (s *scripted) SendHeader(metadata.MD) error { return nil }
func (s *scripted) SetTrailer(metadata.MD)       {}
func (s *scripted) SendMsg(any) error            { return nil }
func (s *scripted) RecvMsg(any) error            { return io.EOF }

// FuzzLink sends a node frames as any bytes that protobuf decodes, the first of
// them well introduced or not. The node ends the link, and nothing stays behind;
// what is not a whole change of a valid form changes nothing.
func FuzzLink(f *testing.F) {
	frame := func(m *peerpb.Frame) []byte { b, _ := proto.Marshal(m); return b }
	change, err := service.AppendChange(nil, &service.Change{ID: "a", Actor: "x", Events: []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: "v"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(true, frame(&peerpb.Frame{Records: appendRequest(nil, request{number: 1, change: change})}), []byte{})
	f.Add(true, frame(&peerpb.Frame{Records: []byte{0xff, 0xff, 0xff, 0xff, 0x7f}}), frame(&peerpb.Frame{ClockMs: 7}))
	f.Add(false, frame(&peerpb.Frame{Introduction: &peerpb.Introduction{Protocol: 1, Node: "n1", LogId: testLog}}), []byte{})
	f.Add(false, []byte{}, []byte{})
	n := newCluster(f, 1).node("n1")
	f.Fuzz(func(t *testing.T, introduced bool, a, b []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s := &scripted{ctx: ctx}
		if introduced {
			s.frames = append(s.frames, &peerpb.Frame{Introduction: &peerpb.Introduction{Protocol: protocol, Node: "n9", LogId: testLog}})
		}
		for _, raw := range [][]byte{a, b} {
			m := &peerpb.Frame{}
			if proto.Unmarshal(raw, m) != nil {
				return
			}
			s.frames = append(s.frames, m)
		}
		_ = server{x: n.exchange}.Link(s)
		if ctx.Err() != nil {
			t.Fatal("the link does not end")
		}
		n.exchange.links.mu.Lock()
		defer n.exchange.links.mu.Unlock()
		if len(n.exchange.links.list) > 0 || n.exchange.links.partial.Load() < 0 {
			t.Fatalf("%d links stay, %d bytes", len(n.exchange.links.list), n.exchange.links.partial.Load())
		}
	})
}

// FuzzDirectory: any value under a node's key is that node or none.
func FuzzDirectory(f *testing.F) {
	good, _ := json.Marshal(Node{ID: "n2", FIB: "192.0.2.1:9190", DataPlanes: []string{"r1"}, Level: 3})
	f.Add("n2", good)
	f.Add("n3", good)
	f.Add("", []byte(`{}`))
	f.Add("n2", []byte(`{"node":"n2","level":-1}`))
	f.Fuzz(func(t *testing.T, id string, value []byte) {
		d := NewDirectory(nil, "n1")
		got := d.put(&mvccpb.KeyValue{Key: []byte(nodesPrefix + id), Value: value, CreateRevision: 1})
		present, gone := d.Nodes()
		if len(gone) > 0 || len(present) > 1 || (got == "") != (len(present) == 0) {
			t.Fatalf("%q: %v, %v", got, present, gone)
		}
		if len(present) == 1 && (got != id || present[0].ID != id || id == "") {
			t.Fatalf("%q gives %+v", id, present[0])
		}
		_, _ = d.Leader()
		d.remove(id)
		if p, g := d.Nodes(); len(p) > 0 || slices.ContainsFunc(g, func(n Node) bool { return n.ID != id }) {
			t.Fatalf("after its end: %v %v", p, g)
		}
	})
}
