package fibstream

import (
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"dvr/controller/fibstream/fibtest"
	"dvr/eventlog"
)

// Each delta that is acknowledged is told of once, with the commits that it brought
// and moments in their order; the trace it is of is the exemplar of its ack.
func TestDeliveries(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	told := make(chan Delivery, 16)
	s := newSource(t, logA, 1)
	s.commit(t, manyRoutes(100)...)
	h := start(t, s, Options{Now: time.Now, OnDelivered: func(d Delivery) string {
		told <- d
		if d.Full {
			return ""
		}
		return trace
	}})
	next := func() Delivery {
		t.Helper()
		select {
		case d := <-told:
			return d
		case <-h.ctx.Done():
			t.Fatal("nothing is told")
			return Delivery{}
		}
	}
	p := fibtest.NewPlane("r1", "i")
	h.connect(t, p, nil)
	first := next()
	if first.Router != "r1" || !first.Full || !first.Equal || first.From != (eventlog.Position{}) || first.To != s.State().Position() {
		t.Errorf("the first table: %+v", first)
	}
	for i := range 3 {
		before := s.State().Position()
		s.commit(t, route("*", "172.16.0.0/12", "192.168.0.9", uint32(5+i)))
		d := next()
		if d.Full || d.From != before || d.To != s.State().Position() {
			t.Errorf("commit %d: %+v, want from %v", i, d, before)
		}
		if d.Compiled.Before(d.Began) || d.Sent.Before(d.Compiled) || d.Acked.Before(d.Sent) {
			t.Errorf("moments out of order: %+v", d)
		}
	}
	p.Spoil(true, false) // what it holds is not what it was sent
	s.commit(t, route("*", "172.17.0.0/16", "192.168.0.9", 5))
	if d := next(); d.Equal {
		t.Errorf("a digest that differs: %+v", d)
	}
	var m dto.Metric
	if err := h.server.measures.ack.Write(&m); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, b := range m.GetHistogram().GetBucket() {
		for _, l := range b.GetExemplar().GetLabel() {
			found = found || l.GetName() == "trace_id" && l.GetValue() == trace
		}
	}
	if !found {
		t.Error("no ack names its trace")
	}
}

// Nobody asks: nothing is noted.
func TestUntoldDeliveriesAreFree(t *testing.T) {
	x := &session{server: New(newSource(t, logA, 1), Options{})}
	if n := testing.AllocsPerRun(100, func() {
		if x.delivery(eventlog.Position{}, true) != nil {
			t.Fatal("noted")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
