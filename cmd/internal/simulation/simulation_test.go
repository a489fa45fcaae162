package simulation

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"dvr/eventlog"
	"dvr/projector"
)

// reach is how many routers one reaches.
func reach(t *testing.T, topo *Topology, from eventlog.RouterID) (n int) {
	t.Helper()
	r := &run{fold: projector.NewFold("test")}
	if err := r.apply(topo.Events(0)...); err != nil {
		t.Fatal(err)
	}
	p := r.state.Paths(from, nil)
	for _, to := range topo.Routers {
		if _, ok := p.Distance(to); ok {
			n++
		}
	}
	return n
}

func TestGeneratedTopologies(t *testing.T) {
	for _, test := range []struct {
		name           string
		routers, links int // links 0: not fixed
	}{
		{"grid:1024", 1024, 1984}, {"grid:9", 9, 12}, {"ring:3", 3, 3}, {"fattree:2", 5, 4}, {"ring:7", 7, 7}, {"fattree:4", 20, 32}, {"fattree:8", 80, 256},
		{"random:50", 50, 0}, {"isp:400", 400, 0},
	} {
		topo, err := Generate(test.name, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(topo.Routers) != test.routers || test.links != 0 && len(topo.Links) != test.links {
			t.Errorf("%s: %d routers, %d links", test.name, len(topo.Routers), len(topo.Links))
		}
		if n := reach(t, topo, topo.Routers[0]); n != len(topo.Routers) {
			t.Errorf("%s: %d of %d routers can be reached", test.name, n, len(topo.Routers))
		}
		met := map[eventlog.LinkID]bool{}
		for _, l := range topo.Links {
			if err := l.Validate(); err != nil || met[l.LinkID] {
				t.Errorf("%s: %+v: %v, twice %v", test.name, l, err, met[l.LinkID])
			}
			met[l.LinkID] = true
		}
		again, _ := Generate(test.name, 3)
		if !reflect.DeepEqual(topo.Links, again.Links) {
			t.Errorf("%s: another topology from the same seed", test.name)
		}
	}
	a, _ := Generate("random:50", 1)
	b, _ := Generate("random:50", 2)
	if reflect.DeepEqual(a.Links, b.Links) {
		t.Error("the same topology from another seed")
	}
	for _, name := range []string{"grid", "grid:", "grid:x", "grid:1", "grid:-4", "torus:9", ":9", "grid:99999999", "grid:15", "grid:2", "ring:2", "fattree:5", "fattree:1024", "isp:7"} {
		if _, err := Generate(name, 1); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestTopologyFiles(t *testing.T) {
	f, err := os.Open("testdata/square.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	topo, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{fold: projector.NewFold("test")}
	if err := r.apply(topo.Events(0)...); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		from, to eventlog.RouterID
		want     uint64
	}{{"a", "d", 3}, {"d", "a", 4}, {"a", "c", 1}, {"a", "e", 7}, {"e", "d", 11}} {
		if d, ok := r.state.Paths(test.from, nil).Distance(test.to); !ok || d != test.want {
			t.Errorf("from %s to %s: %d, %v", test.from, test.to, d, ok)
		}
	}
	if d, ok := r.state.Best("a", netip.MustParsePrefix("10.4.0.0/16")); !ok || d.Metric != 8 {
		t.Errorf("%+v", d)
	}
	for _, bad := range []string{
		"", "# nothing", "link a", "link a b cost", "link a a", "link a b cost 0", "link a b cost x", "link a b speed 7", "router r drained",
		"router r drained never", "prefix 10.0.0.1/8 router r", "prefix x router r", "prefix 10.0.0.0/8 router r metric -1", "node a",
		`{"kind":"key.put","key":"k","value":"v"}`, `{"kind":`, "prefix 10.0.0.0/8",
	} {
		if _, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := Read(strings.NewReader("link a b\nlink a\n")); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Errorf("%v", err)
	}
}

// Everything incremental equals the same from nothing after each event, on
// every kind of network.
func TestSimulationsVerify(t *testing.T) {
	for _, name := range []string{"grid:25", "ring:9", "fattree:4", "random:30", "isp:40"} {
		t.Run(name, func(t *testing.T) {
			topo, err := Generate(name, 1)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Prefixes: 2, Vectors: 20, DataPlanes: 5, Events: 40, Seed: 4, Verify: true}
			rep, err := Run(t.Context(), topo, o)
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Churn) != 40 || rep.Prefixes != 2*rep.Routers || rep.Decisions == 0 || rep.Work.Settled == 0 {
				t.Errorf("%+v", rep)
			}
			var told, groups int
			for _, e := range rep.Churn {
				told += e.Told
				groups += e.Groups
				if e.Told > 0 && (e.Routers == 0 || e.Messages == 0) || e.Told != e.Work.Changed {
					t.Errorf("%+v", e)
				}
			}
			if told == 0 || groups == 0 {
				t.Errorf("%d entries, %d groups", told, groups)
			}
			// The same seeds give the same events and counts.
			topo, _ = Generate(name, 1)
			o.Verify = false
			again, err := Run(t.Context(), topo, o)
			if err != nil {
				t.Fatal(err)
			}
			for i := range rep.Churn {
				a, b := rep.Churn[i], again.Churn[i]
				a.Fold, a.Vectors, a.FIBs, b.Fold, b.Vectors, b.FIBs = 0, 0, 0, 0, 0, 0
				if a != b {
					t.Errorf("event %d: %+v, then %+v", i, a, b)
				}
			}
			var out bytes.Buffer
			rep.Print(&out, true)
			for _, want := range []string{"vectors from nothing", "classes decided anew", rep.Churn[39].What} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in\n%s", want, out.String())
				}
			}
		})
	}
}

// What verifies finds a difference.
func TestVerificationCanFail(t *testing.T) {
	topo, _ := Generate("ring:6", 1)
	r := &run{Options: Options{Vectors: 6}, topology: topo, fold: projector.NewFold("test"), routers: topo.Routers}
	if err := r.apply(topo.Events(1)...); err != nil {
		t.Fatal(err)
	}
	for _, id := range r.routers {
		r.paths = append(r.paths, r.state.Paths(id, nil))
	}
	if err := r.verify(); err != nil {
		t.Fatal(err)
	}
	r.fibs = append(r.fibs, r.state.FIB("r0", nil))
	cut := *topo.Links[0]
	cut.Down = true
	if err := r.apply(&cut); err != nil {
		t.Fatal(err)
	}
	// Neither was brought up to date.
	if err := r.verify(); !errors.Is(err, ErrVerify) || !strings.Contains(err.Error(), "FIB of r0") {
		t.Errorf("%v", err)
	}
	r.fibs = nil
	if err := r.verify(); !errors.Is(err, ErrVerify) || !strings.Contains(err.Error(), "distance from r0 to r1") {
		t.Errorf("%v", err)
	}
}

func TestSimulationsRefuseNonsense(t *testing.T) {
	topo, _ := Generate("ring:6", 1)
	for _, o := range []Options{{Events: -1}, {Prefixes: -1}, {Vectors: -1}, {DataPlanes: -1}, {Verify: true}} {
		if _, err := Run(t.Context(), topo, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// TestVerificationIsTold: of what was verified, also without churn.
func TestVerificationIsTold(t *testing.T) {
	topo, _ := Generate("ring:6", 1)
	for events, want := range map[int]string{0: "after each of 0 events", 4: "verified: 6 vectors and 2 FIBs are equal to those computed from nothing, at the beginning and after each of 4 events"} {
		r, err := Run(t.Context(), topo, Options{Prefixes: 1, Vectors: 6, DataPlanes: 2, Events: events, Verify: true})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if r.Print(&out, false); !strings.Contains(out.String(), want) {
			t.Errorf("%s", &out)
		}
	}
	r, err := Run(t.Context(), topo, Options{Vectors: 6, Events: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if r.Print(&out, false); strings.Contains(out.String(), "verified") {
		t.Errorf("%s", &out)
	}
}

// cutOff is a context that is cancelled once it was looked at so often.
type cutOff struct {
	context.Context
	left int
}

func (c *cutOff) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestACutIsTold: the report of a simulation that was interrupted does not look whole.
func TestACutIsTold(t *testing.T) {
	topo, _ := Generate("ring:6", 1)
	r, err := Run(&cutOff{t.Context(), 6 + 3}, topo, Options{Prefixes: 1, Vectors: 6, Events: 1000, Verify: true})
	if !errors.Is(err, context.Canceled) || r == nil || !r.Interrupted || r.Asked != 1000 || len(r.Churn) != 3 {
		t.Fatalf("%v %+v", err, r)
	}
	var out strings.Builder
	if r.Print(&out, false); !strings.Contains(out.String(), "interrupted after 3 of 1000 events") {
		t.Errorf("%s", &out)
	}
	if r, err = Run(t.Context(), topo, Options{Prefixes: 1, Vectors: 6, Events: 3}); err != nil || r.Interrupted {
		t.Errorf("%v %+v", err, r)
	}
}

func TestASimulationEndsWithItsContext(t *testing.T) {
	topo, _ := Generate("ring:6", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, topo, Options{Vectors: 6, Events: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestChurnIsOfLinks: without links it is refused, and no cost leaves its range.
func TestChurnIsOfLinks(t *testing.T) {
	alone, err := Read(strings.NewReader("prefix 10.0.0.0/8 router Z\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), alone, Options{Vectors: 1, Events: 1}); !errors.Is(err, ErrNoLinks) {
		t.Errorf("%v", err)
	}
	if _, err := Run(t.Context(), alone, Options{Vectors: 1}); err != nil {
		t.Error(err)
	}
	dear, err := Read(strings.NewReader("link A B cost 16777216\nlink B C cost 16777216\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), dear, Options{Vectors: 3, Events: 300, Verify: true}); err != nil {
		t.Error(err)
	}
}
