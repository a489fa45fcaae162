package fibstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
	"dvr/eventlog"
)

func routers(names ...string) []eventlog.RouterID {
	var list []eventlog.RouterID
	for _, n := range names {
		list = append(list, eventlog.RouterID(n))
	}
	return list
}

func expectInstalled(t testing.TB, got InstalledResult, installed, disconnected, pending, failed []eventlog.RouterID) {
	t.Helper()
	for _, c := range []struct {
		name      string
		got, want []eventlog.RouterID
	}{
		{"installed", got.Installed, installed}, {"disconnected", got.Disconnected, disconnected},
		{"pending", got.Pending, pending}, {"failed", got.Failed, failed},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestWaitInstalled(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, manyRoutes(100)...)
	h := start(t, s, Options{})
	planes := map[string]*fibtest.Plane{}
	cuts := map[string]func(){}
	for _, r := range []string{"r1", "r2", "r3"} {
		planes[r] = fibtest.NewPlane(r, "i")
		cuts[r] = h.connect(t, planes[r], nil)
		h.synced(t, planes[r])
		h.acked(t, r)
	}
	wait := func(rev eventlog.Revision, prefixes []netip.Prefix, require ...string) InstalledResult {
		t.Helper()
		result, err := h.server.WaitInstalled(h.ctx, rev, prefixes, routers(require...))
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	// All routers' route: all are concerned.
	p := prefix("172.16.0.0/12")
	rev := s.commit(t, route("*", p.String(), "192.168.0.9", 5))
	expectInstalled(t, wait(rev, []netip.Prefix{p}), routers("r1", "r2", "r3"), nil, nil, nil)
	// One router's own: the others are not; a required one is waited for anyway.
	rev = s.commit(t, route("r1", "172.20.0.0/16", "192.168.0.9", 5))
	own := []netip.Prefix{prefix("172.20.0.0/16")}
	expectInstalled(t, wait(rev, own), routers("r1"), nil, nil, nil)
	expectInstalled(t, wait(rev, own, "r2"), routers("r1", "r2"), nil, nil, nil)
	// Nothing in any FIB.
	rev = s.commit(t, &eventlog.KeyPut{Key: "k", Value: "v"})
	expectInstalled(t, wait(rev, nil), nil, nil, nil, nil)
	// A failure elsewhere does not touch the commit; one among its prefixes does.
	var bits [128]byte
	other := bucketOf(prefix("10.9.9.0/24"))
	bits[other/8] |= 1 << (other % 8)
	planes["r3"].SetSinks(&fibpb.SinkStatus{Name: "memory", Failed: 1, FailedBuckets: bits[:],
		Failures: []*fibpb.Failure{{Prefix: "10.9.9.0/24", Reason: "no space"}}})
	q := []netip.Prefix{prefix("172.21.0.0/16")}
	rev = s.commit(t, route("*", "172.21.0.0/16", "192.168.0.9", 5))
	expectInstalled(t, wait(rev, q), routers("r1", "r2", "r3"), nil, nil, nil)
	q = []netip.Prefix{prefix("10.9.9.0/24")}
	rev = s.commit(t, route("*", "10.9.9.0/24", "192.168.0.9", 5))
	expectInstalled(t, wait(rev, q), routers("r1", "r2"), nil, nil, routers("r3"))
	if l := h.server.List(); l[2].Failed != 1 || l[2].Sinks[0].Failures[0].Reason != "no space" {
		t.Errorf("listed as %+v", l[2])
	}
	// A sink that does not say where has failed everywhere.
	planes["r3"].SetSinks(&fibpb.SinkStatus{Name: "memory", Failed: 1})
	rev = s.commit(t, route("*", "172.22.0.0/16", "192.168.0.9", 5))
	expectInstalled(t, wait(rev, []netip.Prefix{prefix("172.22.0.0/16")}), routers("r1", "r2"), nil, nil, routers("r3"))
	// Gone: named, and waited for only where required.
	cuts["r2"]()
	rev = s.commit(t, route("*", "172.23.0.0/16", "192.168.0.9", 5))
	gone := []netip.Prefix{prefix("172.23.0.0/16")}
	expectInstalled(t, wait(rev, gone), routers("r1"), routers("r2"), nil, routers("r3"))
	ctx, cancel := context.WithTimeout(h.ctx, 10*time.Millisecond)
	defer cancel()
	result, err := h.server.WaitInstalled(ctx, rev, gone, routers("r2", "never"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	expectInstalled(t, result, routers("r1"), routers("never", "r2"), routers("never", "r2"), routers("r3"))
	// It comes back while someone waits.
	done := make(chan InstalledResult, 1)
	go func() {
		result, _ := h.server.WaitInstalled(h.ctx, rev, gone, routers("r2"))
		done <- result
	}()
	h.connect(t, planes["r2"], nil)
	expectInstalled(t, <-done, routers("r1", "r2"), nil, nil, routers("r3"))
	// After a day a gone one is forgotten.
	cuts["r1"]()
	h.clock.advance(25 * time.Hour)
	if l := h.server.List(); len(l) != 2 || h.server.Known("r1") {
		t.Errorf("%d are listed", len(l))
	}
}

func TestPendingWhileNotAcked(t *testing.T) {
	s := newSource(t, logA, 1)
	h := start(t, s, Options{})
	p := fibtest.NewPlane("r1", "i1")
	stream, err := p.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	receive := func() *fibpb.DeltaChunk {
		m, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		return m.GetDelta()
	}
	if err := stream.Ack(receive()); err != nil {
		t.Fatal(err)
	}
	q := prefix("10.0.0.0/8")
	rev := s.commit(t, route("*", q.String(), "192.168.0.1", 1))
	d := receive()
	ctx, cancel := context.WithTimeout(h.ctx, 10*time.Millisecond)
	defer cancel()
	result, err := h.server.WaitInstalled(ctx, rev, []netip.Prefix{q}, nil)
	if err == nil {
		t.Fatal("installed without an ack")
	}
	expectInstalled(t, result, nil, nil, routers("r1"), nil)
	if err := stream.Ack(d); err != nil {
		t.Fatal(err)
	}
	result, err = h.server.WaitInstalled(h.ctx, rev, []netip.Prefix{q}, nil)
	if err != nil {
		t.Fatal(err)
	}
	expectInstalled(t, result, routers("r1"), nil, nil, nil)
	stream.Cut()
}

// TestPendingForWhatWasChangedBefore: a commit that leaves the FIB alone is not
// installed while the deltas before it that touch its prefixes are not acked.
func TestPendingForWhatWasChangedBefore(t *testing.T) {
	s := newSource(t, logA, 1)
	h := start(t, s, Options{})
	p := fibtest.NewPlane("r1", "i1")
	stream, err := p.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Cut()
	receive := func() *fibpb.DeltaChunk {
		m, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		return m.GetDelta()
	}
	if err := stream.Ack(receive()); err != nil {
		t.Fatal(err)
	}
	q, other := prefix("10.0.0.0/8"), prefix("172.16.0.0/12")
	first := s.commit(t, route("*", q.String(), "192.168.0.1", 1))
	d := receive()
	again := s.commit(t, route("*", q.String(), "192.168.0.1", 1))
	elsewhere := s.commit(t, route("r2", other.String(), "192.168.0.1", 1))
	examined := func() bool {
		h.server.registry.mu.Lock()
		defer h.server.registry.mu.Unlock()
		p := h.server.registry.planes["r1"]
		// The ack of the first delta, which concerns everything, must have come in too.
		return reaches(p.examined, 1, elsewhere) && reaches(p.installed, 1, first-1)
	}
	for !examined() {
		h.server.registry.mu.Lock()
		changed := h.server.registry.changed
		h.server.registry.mu.Unlock()
		if examined() {
			break
		}
		select {
		case <-changed:
		case <-h.ctx.Done():
			t.Fatal("not examined")
		}
	}
	ended, end := context.WithCancel(h.ctx)
	end()
	for _, c := range []struct {
		what        string
		first, last eventlog.Revision
		prefixes    []netip.Prefix
		pending     []eventlog.RouterID
	}{
		{"the commit itself", first, first, []netip.Prefix{q}, routers("r1")},
		{"the same again", again, again, []netip.Prefix{q}, routers("r1")},
		{"another prefix, of another router", elsewhere, elsewhere, []netip.Prefix{other}, nil},
		{"anything", elsewhere, elsewhere, nil, routers("r1")},
		{"a range whose end leaves the FIB alone", first, elsewhere, []netip.Prefix{q, other}, routers("r1")},
	} {
		result, err := h.server.WaitInstalledRange(ended, c.first, c.last, c.prefixes, nil)
		t.Log(c.what)
		expectInstalled(t, result, nil, nil, c.pending, nil)
		if (err != nil) != (c.pending != nil) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	// Who waits when the ack comes is told the data plane by name.
	done := make(chan InstalledResult, 1)
	go func() {
		result, _ := h.server.WaitInstalled(h.ctx, again, []netip.Prefix{q}, nil)
		done <- result
	}()
	if err := stream.Ack(d); err != nil {
		t.Fatal(err)
	}
	if r := <-done; len(r.Pending) != 0 || len(r.Failed) != 0 {
		t.Errorf("%+v", r)
	}
	result, err := h.server.WaitInstalledRange(h.ctx, first, elsewhere, []netip.Prefix{q}, nil)
	if err != nil {
		t.Fatal(err)
	}
	expectInstalled(t, result, routers("r1"), nil, nil, nil)
}

func TestLookup(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, route("*", "10.0.0.0/8", "192.168.0.1", 1), route("*", "10.1.0.0/16", "192.168.0.2", 1))
	h := start(t, s, Options{})
	p := fibtest.NewPlane("r1", "i1")
	cut := h.connect(t, p, nil)
	h.synced(t, p)
	a, err := h.server.Lookup(h.ctx, "r1", netip.MustParseAddr("10.1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := s.State().Lookup("r1", netip.MustParseAddr("10.1.2.3"))
	if a.Prefix != want.Prefix || a.Class != want.Class || fmt.Sprint(a.NextHops) != fmt.Sprint(want.NextHops) || a.Position != s.State().Position() {
		t.Fatalf("got %+v, want %+v", a, want)
	}
	if _, err := h.server.Lookup(h.ctx, "r1", netip.MustParseAddr("11.1.2.3")); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	cut()
	if _, err := h.server.Lookup(h.ctx, "r1", netip.MustParseAddr("10.1.2.3")); !errors.Is(err, ErrNoDataPlane) {
		t.Fatalf("got %v", err)
	}
}

func TestAudit(t *testing.T) {
	s := newSource(t, logA, 1)
	h := start(t, s, Options{})
	if _, err := h.server.Audit(h.ctx, "r1"); !errors.Is(err, ErrNoDataPlane) {
		t.Fatalf("got %v", err)
	}
	p := fibtest.NewPlane("r1", "i1")
	cut := h.connect(t, p, nil)
	h.synced(t, p)
	got, err := h.server.Audit(h.ctx, "r1")
	if err != nil || got == nil || len(got) != 0 {
		t.Fatalf("without a sink to audit: %v %v", got, err)
	}
	long := strings.Repeat("x", 2*maxReason)
	many := make([]*fibpb.SinkAudit_Difference, 2*maxDifferences)
	for i := range many {
		many[i] = &fibpb.SinkAudit_Difference{Prefix: "10.0.0.0/8", Cause: long, Count: uint64(i)}
	}
	p.SetAudits(&fibpb.SinkAudit{Name: "kernel", Complete: true, Entries: 7, Failed: 2, TookMs: 1500, Differences: many})
	got, err = h.server.Audit(h.ctx, "r1")
	if err != nil || len(got) != 1 {
		t.Fatalf("%v %v", got, err)
	}
	a := got[0]
	if a.Name != "kernel" || !a.Complete || a.Entries != 7 || a.Failed != 2 || a.Took != 1500*time.Millisecond {
		t.Errorf("%+v", a)
	}
	if len(a.Differences) != maxDifferences || a.Differences[1].Count != 1 || a.Differences[0].Prefix != "10.0.0.0/8" || len(a.Differences[0].Cause) != maxReason {
		t.Errorf("%d differences, the second %+v", len(a.Differences), a.Differences[1])
	}
	cut()
	if _, err := h.server.Audit(h.ctx, "r1"); !errors.Is(err, ErrNoDataPlane) {
		t.Fatalf("got %v", err)
	}
}

// TestQuestionsOfALostDataPlane: who waits for a data plane that never answers
// hears when it goes, and no more than a few may wait.
func TestQuestionsOfALostDataPlane(t *testing.T) {
	s := newSource(t, logA, 1)
	h := start(t, s, Options{})
	stream, err := fibtest.NewPlane("r1", "i1").Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.server.registry.mu.Lock()
	x := h.server.registry.planes["r1"].session
	h.server.registry.mu.Unlock()
	waiting := func() int {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.audits)
	}
	errs := make(chan error)
	for i := range maxQuestions {
		go func() {
			_, err := h.server.Audit(h.ctx, "r1")
			errs <- err
		}()
		for deadline := time.Now().Add(10 * time.Second); waiting() <= i; time.Sleep(time.Millisecond) { // other goroutines
			if time.Now().After(deadline) {
				t.Fatal("nobody waits")
			}
		}
	}
	if _, err := h.server.Audit(h.ctx, "r1"); !errors.Is(err, ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	stream.Cut()
	for range maxQuestions {
		if err := <-errs; !errors.Is(err, ErrNoDataPlane) {
			t.Errorf("got %v", err)
		}
	}
}

func TestObservationsAndCounters(t *testing.T) {
	s := newSource(t, logA, 1)
	got := make(chan string, 4)
	h := start(t, s, Options{OnObservation: func(r eventlog.RouterID, o *fibpb.Observation) {
		got <- fmt.Sprintf("%s %s %v", r, o.GetLink().GetInterface(), o.GetLink().GetUp())
	}})
	p := fibtest.NewPlane("r1", "i1")
	stream, err := p.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*fibpb.DataPlaneMessage{
		{Kind: &fibpb.DataPlaneMessage_Counters{Counters: &fibpb.Counters{Lookups: 7, More: map[string]uint64{"x": 1, "lookups": 9}}}},
		{Kind: &fibpb.DataPlaneMessage_Observation{Observation: &fibpb.Observation{
			What: &fibpb.Observation_Link_{Link: &fibpb.Observation_Link{Interface: "eth0", Up: false}}}}},
	} {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	if o := <-got; o != "r1 eth0 false" {
		t.Fatalf("observed %q", o)
	}
	if c := h.server.List()[0].Counters; c["lookups"] != 7 || c["x"] != 1 {
		t.Fatalf("counters %v", c)
	}
	stream.Cut()
}

// One that was found pending is looked at alone until it is not; then it says so, also
// where it has gone.
func TestStillPending(t *testing.T) {
	s := newSource(t, logA, 1)
	h := start(t, s, Options{})
	p := fibtest.NewPlane("r1", "i")
	cut := h.connect(t, p, nil)
	h.synced(t, p)
	h.acked(t, "r1")
	at := s.State().Position()
	r := h.server.registry
	w := func(last eventlog.Revision) *wait {
		return &wait{epoch: at.Epoch, first: last, last: last, was: map[eventlog.RouterID]bool{}}
	}
	if changed := r.stillPending(w(at.Revision+1), "r1"); changed == nil {
		t.Error("not pending for a revision to come")
	}
	if changed := r.stillPending(w(at.Revision), "r1"); changed != nil {
		t.Error("pending for what it has acked")
	}
	if changed := r.stillPending(w(at.Revision+1), "r2"); changed != nil {
		t.Error("one that is not known is pending")
	}
	cut()
	if changed := r.stillPending(w(at.Revision+1), "r1"); changed != nil {
		t.Error("one that has gone is pending")
	}
}
