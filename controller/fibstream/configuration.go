package fibstream

import (
	"slices"

	"dvr/controller/fibpb"
	"dvr/projector"
)

// config is what s says that the data plane watches. Without anything it is empty, not
// absent: the data plane keeps what it was told before.
func (x *session) config(s *projector.State) *fibpb.Config {
	r, _ := s.Router(x.router)
	x.probes = r.Probes
	out := &fibpb.Config{}
	for _, p := range r.Probes {
		out.Probes = append(out.Probes, &fibpb.Config_Probe{Address: p.NextHop.AsSlice(), Interface: p.Interface, IntervalMs: p.Interval})
	}
	return out
}

// configure tells the data plane what s says that it watches, where it was told
// otherwise on this stream. Cost: one lookup where it was not. Of the sending goroutine.
func (x *session) configure(s *projector.State) error {
	if r, _ := s.Router(x.router); slices.Equal(r.Probes, x.probes) {
		return nil
	}
	return x.stream.Send(&fibpb.ControllerMessage{Kind: &fibpb.ControllerMessage_Config{Config: x.config(s)}})
}
