package robustness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"dvr/cmd/internal/testbed"
)

// Campaign is one run: nodes, load, faults, judgement.
type Campaign struct {
	Options
	Seed     uint64
	Duration time.Duration
	Faults   []Fault
	// Plan, when set, names the faults in order instead of drawing them:
	// each step is names joined by "+".
	Plan    []string
	Hold    time.Duration // how long a fault lasts, about: 2 s
	Callers int           // 16
	Rate    int           // calls a second: 200
	Keys    bool
	// Imports: a table of its own is imported again and again, this often; 0: not.
	Imports   time.Duration
	DataPlane bool // one of router r1, from bin/
	// Impatient: nodes that do not recover are given up after 15 s, as broken
	// ones may never do.
	Impatient bool
	Logf      func(format string, args ...any)
}

// Report says what a run has seen.
type Report struct {
	Seed        uint64
	Took        time.Duration
	Calls       int
	Outcomes    map[Outcome]int
	Repeated    int // calls that repeated another one under its idempotency key
	Faults      map[string]int
	Items       int // histories checked with porcupine
	Commits     int
	Snapshots   int
	Sightings   int
	Compared    int // revisions at which several nodes were seen
	Watched     int // changes that watchers were told
	Resumed     int // streams of theirs
	Imports     int // acknowledged
	Batches     int // commits of several items that were tried
	PlaneChecks int // times that the data plane's digest was compared
	LongestGap  time.Duration
	Violations  *Violations
}

func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %v: %d calls (", r.Seed, r.Took.Round(time.Second), r.Calls)
	for _, o := range slices.Sorted(maps.Keys(r.Outcomes)) {
		fmt.Fprintf(&b, "%d %v, ", r.Outcomes[o], o)
	}
	fmt.Fprintf(&b, "%d repeated), %d commits, %d snapshots, %d item histories\n", r.Repeated, r.Commits, r.Snapshots, r.Items)
	fmt.Fprintf(&b, "%d commits of several items tried, %d imports acknowledged, %d changes told to watchers over %d streams\n", r.Batches, r.Imports, r.Watched, r.Resumed)
	fmt.Fprintf(&b, "%d sightings of states, %d revisions on several nodes, %d comparisons with a data plane, longest time without a change %v\nfaults:",
		r.Sightings, r.Compared, r.PlaneChecks, r.LongestGap.Round(time.Millisecond))
	for _, f := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(&b, " %s %d,", f, r.Faults[f])
	}
	fmt.Fprintf(&b, "\nviolations: %d", r.Violations.Count(""))
	if s := r.Violations.String(); s != "" {
		b.WriteString("\n" + s)
	}
	return b.String()
}

// run is a Campaign under way.
type run struct {
	*Campaign
	cluster   *Cluster
	recorder  *Recorder
	archive   *Archive
	sightings Sightings
	report    *Report
	v         *Violations
	watchers  []*Watcher
	imports   *Imports
	plane     *testbed.DataPlane
	unequal   int // looks on end at which its digest was another
}

// Run is the whole of it. An error is a run that could not be made; broken
// promises are in the report.
func (c *Campaign) Run(ctx context.Context) (*Report, error) {
	if c.Hold == 0 {
		c.Hold = 2 * time.Second
	}
	if c.Callers == 0 {
		c.Callers, c.Rate = 16, 200
	}
	v := &Violations{}
	r := &run{Campaign: c, v: v, report: &Report{Seed: c.Seed, Faults: map[string]int{}, Outcomes: map[Outcome]int{}, Violations: v}}
	var err error
	if r.cluster, err = NewCluster(c.Options); err != nil {
		return nil, err
	}
	defer r.cluster.Close()
	forming, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if err := r.cluster.Form(forming); err != nil {
		return nil, err
	}
	if c.DataPlane {
		if err := r.startPlane(); err != nil {
			return nil, err
		}
		defer r.plane.Kill()
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	r.judge()
	return r.report, nil
}

func (c *Campaign) patience() time.Duration {
	if c.Impatient {
		return 15 * time.Second
	}
	return longest
}

// load runs callers, observers and faults, and mends and reads everything when
// the time is over.
func (r *run) load(ctx context.Context) error {
	first := r.cluster.Seats[0]
	st, err := first.Status(ctx)
	if err != nil {
		return err
	}
	r.archive = NewArchive("the archive", st.Position.LogID)
	r.recorder = NewRecorder()
	client := NewClient(r.recorder, 3*time.Second, r.cluster.Network.Dial)
	defer client.Close()
	traffic := &Traffic{Client: client, Nodes: r.cluster.Askable, Seed: r.Seed, Callers: r.Callers, Rate: r.Rate, Keys: r.Keys}

	loading, endLoad := context.WithCancel(ctx)
	var observers, callers sync.WaitGroup
	callers.Go(func() { traffic.Run(loading) })
	if r.Imports > 0 {
		r.imports = &Imports{Client: client, Nodes: r.cluster.Askable, Seed: r.Seed, Every: r.Imports}
		callers.Go(func() { r.imports.Run(loading, r.v) })
	}
	watching, endWatches := context.WithCancel(ctx)
	var watches sync.WaitGroup
	defer watches.Wait()
	defer endWatches()
	if r.Keys {
		for i, prefix := range []string{"", "item 1"} {
			w := &Watcher{Prefix: prefix, Nodes: r.cluster.Askable, HTTP: client.http, Seed: r.Seed + uint64(i)}
			w.Begin(st.Revision)
			r.watchers = append(r.watchers, w)
			watches.Go(func() { w.Run(watching, r.v) })
		}
	}
	for _, s := range r.cluster.Seats {
		observers.Go(func() { r.watch(loading, s) })
	}
	observers.Go(func() { r.gather(loading) })
	observers.Go(func() { r.supervise(loading) })

	began := time.Now()
	s := &scene{Cluster: r.cluster, patience: r.patience(), v: r.v, hold: r.Hold, logf: r.Logf, rng: rand.New(rand.NewPCG(r.Seed, 1<<32))}
	err = r.faults(ctx, s)
	endLoad()
	callers.Wait()
	observers.Wait()
	r.report.Took = time.Since(began)
	if err != nil {
		r.v.Addf("recovers", "%v", err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(r.settle(ctx, s), r.watchesSettle(ctx, s))
}

// watchesSettle waits until the watchers have been told all that the log has.
func (r *run) watchesSettle(ctx context.Context, s *scene) error {
	bounded, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	for _, w := range r.watchers {
		for {
			at, _ := w.At()
			left := keyChanges(r.archive.Entries, w.Prefix, at, uint64(len(r.archive.Entries)))
			if len(left) == 0 {
				break
			}
			if pause(bounded) != nil {
				r.v.Addf("watch", "a watcher of %q has heard of nothing after revision %d, where %d changes are", w.Prefix, at, len(left))
				break
			}
		}
	}
	return ctx.Err()
}

// faults makes one fault, or several at once, after the other.
func (r *run) faults(ctx context.Context, s *scene) error {
	began := time.Now()
	rng := s.rng
	for step := 0; ; step++ {
		var now []Fault
		if r.Plan != nil {
			if step == len(r.Plan) {
				return nil
			}
			for name := range strings.SplitSeq(r.Plan[step], "+") {
				i := slices.IndexFunc(Faults, func(f Fault) bool { return f.Name == name })
				if i < 0 {
					return fmt.Errorf("no fault is called %q", name)
				}
				now = append(now, Faults[i])
			}
		} else {
			if time.Since(began) >= r.Duration {
				return nil
			}
			now = draw(rng, r.Faults)
		}
		var names []string
		for _, f := range now {
			names = append(names, f.Name)
			r.report.Faults[f.Name]++
		}
		r.Logf("%6.1f s: %s", time.Since(began).Seconds(), strings.Join(names, " + "))
		bounded, cancel := context.WithTimeout(ctx, s.patience)
		var acting sync.WaitGroup
		for i, f := range now {
			part := *s
			part.rng = rand.New(rand.NewPCG(r.Seed, uint64(step)<<8|uint64(i)|1<<40))
			acting.Go(func() {
				if err := f.run(bounded, &part); err != nil && ctx.Err() == nil {
					r.v.Addf("fault", "%s: %v", f.Name, err)
				}
			})
		}
		acting.Wait()
		cancel()
		if err := s.mend(ctx); err != nil {
			return fmt.Errorf("after %s: %w", strings.Join(names, " + "), err)
		}
	}
}

// draw chooses a fault and at times a second and a third, of other classes.
func draw(rng *rand.Rand, from []Fault) []Fault {
	var out []Fault
	for n := 1 + rng.IntN(5)/2; len(out) < n; {
		f := from[rng.IntN(len(from))]
		if !slices.ContainsFunc(out, func(o Fault) bool { return o.class == f.class }) {
			out = append(out, f)
		} else if rng.IntN(8) == 0 {
			break
		}
	}
	return out
}

// watch notes what a node says of its state until ctx ends.
func (r *run) watch(ctx context.Context, s *Seat) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if s.Running() {
				r.sight(ctx, s)
			}
		}
	}
}

// supervise starts again what ends by itself, until ctx ends.
func (r *run) supervise(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, s := range r.cluster.Seats {
			if err := s.Supervise(); err != nil {
				r.v.Addf("fault", "start %s: %v", s.Name, err)
			}
		}
	}
}

func (r *run) sight(ctx context.Context, s *Seat) {
	st, err := s.Status(ctx)
	if err != nil {
		return
	}
	if st.Fault != "" {
		r.v.Addf("folds", "%s stopped folding at revision %d: %s", s.Name, st.Revision, st.Fault)
	}
	r.sightings.Add(Sighting{s.Name, st.Revision, st.Hash, st.Digest})
}

// gather reads the log as it grows, from one member or another, before it is
// truncated, until ctx ends.
func (r *run) gather(ctx context.Context) {
	t := time.NewTicker(300 * time.Millisecond)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		members := r.cluster.Members()
		s := members[n%len(members)]
		if !s.Running() || r.v.Count("chain")+r.v.Count("dense") > 0 {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, time.Second)
		_ = r.archive.Read(bounded, s.etcd, r.v) // away, or behind: the next one is asked
		cancel()
		if r.plane != nil {
			r.comparePlane(ctx, s)
		}
	}
}

// settle reads the rest of the log and compares all members when nothing
// changes any more.
func (r *run) settle(ctx context.Context, s *scene) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	if err := r.cluster.Recovered(ctx); err != nil {
		r.v.Addf("recovers", "%v", err)
		return nil
	}
	members := r.cluster.Members()
	if r.v.Count("chain")+r.v.Count("dense") == 0 {
		if err := r.archive.Read(ctx, members[0].etcd, r.v); err != nil && ctx.Err() == nil {
			r.v.Addf("chain", "%v", err)
		}
	}
	for _, m := range members {
		for {
			head, err := r.archive.Verify(ctx, m.Name, m.etcd, r.v)
			if err != nil || r.v.Count("same log")+r.v.Count("dense")+r.v.Count("chain") > 0 {
				break
			}
			st, err := m.Status(ctx)
			if err == nil && head == st.Revision && head >= uint64(len(r.archive.Entries)) {
				r.sight(ctx, m)
				break
			}
			if pause(ctx) != nil {
				r.v.Addf("converges", "%s stores revision %d and stands at %d; the log ends at %d", m.Name, head, st.Revision, len(r.archive.Entries))
				break
			}
		}
	}
	if r.plane != nil {
		r.planeSettles(ctx, members[0])
	}
	got, err := members[0].etcd.Get(ctx, "/dvr/snap/", snapshotManifests...)
	if err != nil {
		return err
	}
	for _, kv := range got.Kvs {
		if strings.HasSuffix(string(kv.Key), "/manifest") {
			r.report.Snapshots++
		}
	}
	return errors.Join(ctx.Err())
}

// judge lets every judge look at what was recorded.
func (r *run) judge() {
	calls, report := r.recorder.Calls(), r.report
	report.Calls = len(calls)
	ids, batches := map[string]bool{}, map[int]bool{}
	var changes []time.Duration
	for _, c := range calls {
		report.Outcomes[c.Outcome]++
		attempt := c.ID
		if c.Batch > 0 {
			attempt += " " + c.Name
			batches[c.Batch] = true
		}
		if c.ID != "" && ids[attempt] {
			report.Repeated++
		}
		ids[attempt] = true
		if c.write() && c.Outcome == Done {
			changes = append(changes, c.End)
		}
	}
	slices.Sort(changes)
	for i := 1; i < len(changes); i++ {
		report.LongestGap = max(report.LongestGap, changes[i]-changes[i-1])
	}
	report.Commits = len(r.archive.Entries)
	report.Batches = len(batches)
	CheckCalls(calls, r.archive.Entries, r.v)
	if r.imports != nil {
		report.Imports = CheckImports(r.imports.List(), r.archive.Entries, r.v)
	}
	for _, w := range r.watchers {
		_, resumed := w.At()
		report.Watched += CheckWatch(w, r.archive.Entries, r.v)
		report.Resumed += resumed
	}
	report.Sightings, report.Compared = CheckDigests(&r.sightings, r.archive.Entries, r.v)
	report.Items = Linearizable(Witnessed(calls, r.archive.Entries), 2*time.Minute, r.v)
}
