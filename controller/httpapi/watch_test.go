package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/projector"
)

// tape is what a reader of a stream has, as the standard says: a blank line
// dispatches an event and commits the id; what it has not ended is lost.
type tape struct {
	lastID string
	events []sse
}

// play reads the stream at the address, resumed after the last id, until it has
// read most bytes, or until enough says so.
func (p *tape) play(t *testing.T, address string, most int, enough func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.lastID != "" {
		req.Header.Set("Last-Event-ID", p.lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err) // not always called by the test's goroutine
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		body, _ := io.ReadAll(resp.Body)
		t.Errorf("%d %s", resp.StatusCode, body)
		return
	}
	var e sse
	id, data, line := "", "", []byte(nil)
	buf := make([]byte, 512)
	for !enough() {
		n, err := resp.Body.Read(buf[:min(len(buf), max(most, 0))])
		for _, c := range buf[:n] {
			if c != '\n' {
				line = append(line, c)
				continue
			}
			name, value, _ := strings.Cut(string(line), ": ")
			switch line = line[:0]; name {
			case "id":
				id = value
			case "event":
				e.kind = value
			case "data":
				data = value
			case "":
				if value != "" { // a comment
					continue
				}
				if id != "" {
					p.lastID = id
				}
				if data != "" {
					if err := json.Unmarshal([]byte(data), &e.data); err != nil {
						t.Error(err)
					}
					e.id = id
					p.events = append(p.events, e)
				}
				e, id, data = sse{}, "", ""
			}
		}
		if most -= n; err != nil || most <= 0 {
			return
		}
	}
}

// busy changes things at random, n commits.
func (a *api) busy(r *rand.Rand, n int) {
	a.t.Helper()
	for range n {
		switch r.IntN(8) {
		case 0:
			a.put(fmt.Sprint("k", r.IntN(3)), fmt.Sprint(r.IntN(100)))
		case 1:
			a.must("PUT", fmt.Sprintf("/v1/links/r1/r%d", 2+r.IntN(2)), fmt.Sprintf(`{"cost_ab":%d,"down":%v}`, 1+r.IntN(9), r.IntN(3) == 0))
		case 2:
			a.do("DELETE", fmt.Sprintf("/routes/10.%d.0.0/16", r.IntN(4)), "")
		case 3: // many events
			var b strings.Builder
			for i := range 300 + r.IntN(300) {
				fmt.Fprintf(&b, `,{"kind":"route.announced","router":"r%d","destination":"10.%d.%d.0/24","next_hop":"192.0.2.%d","metric":1}`, 1+r.IntN(3), i/256, i%256, 1+r.IntN(9))
			}
			a.must("POST", "/v1/commits", `{"events":[{"kind":"key.put","key":"k9","value":"x"}`+b.String()+`]}`)
		default:
			a.must("POST", "/routes", fmt.Sprintf(`{"destination":"10.%d.0.0/16","next_hop":"192.0.2.%d","metric":%d,"router":"r%d"}`, r.IntN(4), 1+r.IntN(4), r.IntN(5), 1+r.IntN(3)))
		}
	}
}

// states are those at every revision.
func (a *api) states() []*projector.State {
	a.t.Helper()
	f := projector.NewFold(testLog)
	list := []*projector.State{f.State()}
	if err := a.log.Read(context.Background(), 0, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			if err := f.Apply(&b.Commits[i], eventlog.Hash{}); err != nil {
				return err
			}
			list = append(list, f.State())
		}
		return nil
	}); err != nil {
		a.t.Fatal(err)
	}
	return list
}

func (e *sse) text() string {
	raw, _ := json.Marshal(e.data)
	return e.kind + " " + string(raw)
}

// Cut at random bytes and resumed with the id that it keeps, a reader gets each
// message of the log once, in order; FIBs are told without a gap: each
// difference is the one between the two positions that it names.
func TestWatchesResumeExactly(t *testing.T) {
	for seed, query := range []string{
		"kinds=commits", "kinds=routes,kv,commits", "kinds=routes&router=r1&within=10.1.0.0/16", "kinds=kv&prefix=k1", "kinds=topology,kv,routes,commits",
		"kinds=fib&router=r1", "kinds=fib,commits,routes&router=r1",
	} {
		t.Run(query, func(t *testing.T) {
			a := newAPI(t)
			a.server.heartbeat = 5 * time.Millisecond
			address := a.serve()
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			a.must("PUT", "/v1/links/r1/r2", `{}`)
			a.must("PUT", "/v1/links/r1/r3", `{}`)
			first := uint64(a.revision())
			end := func(p *tape) func() bool {
				return func() bool {
					at, _, _ := strings.Cut(p.lastID, "+")
					return strings.HasSuffix(at, fmt.Sprintf("/%d", a.revision())) && !strings.Contains(p.lastID, "+")
				}
			}
			a.busy(r, 25)
			cut := &tape{lastID: fmt.Sprintf("%s/1/%d", testLog, first)}
			for n := 0; !end(cut)() && n < 1000; n++ {
				cut.play(t, address+"/v1/watch?"+query, 1+r.IntN(100000), end(cut))
				if r.IntN(4) == 0 && n < 40 {
					a.busy(r, 2)
				}
			}
			whole := &tape{lastID: fmt.Sprintf("%s/1/%d", testLog, first)}
			whole.play(t, address+"/v1/watch?"+query, 1<<30, end(whole))
			var got, want []string
			for _, e := range cut.events {
				if e.kind != "fib" {
					got = append(got, e.text())
				}
			}
			for _, e := range whole.events {
				if e.kind != "fib" {
					want = append(want, e.text())
				}
			}
			if len(want) == 0 && query != "kinds=fib&router=r1" {
				t.Fatal("nothing happened")
			}
			if !slices.Equal(got, want) {
				t.Fatalf("cut: %d messages, whole: %d\n%.3000s\n\n%.3000s", len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if strings.Contains(query, "fib") {
				states := a.states()
				toldFIBs(t, states, first, cut.events)
				toldFIBs(t, states, first, whole.events)
			}
		})
	}
}

// toldFIBs holds the differences against the states. Parts without a last one
// were cut, and come again.
func toldFIBs(t *testing.T, states []*projector.State, at uint64, events []sse) {
	t.Helper()
	var parts []any
	lines := func(from, to uint64) []string {
		x := states[from].FIB("r1", nil)
		d := states[to].FIB("r1", nil).Difference(x)
		var out []string
		for _, g := range d.Groups {
			out = append(out, fmt.Sprintf("group %x %d %d", g.Class, g.Prefixes, len(g.After)))
		}
		for c := range d.Entries() {
			out = append(out, fmt.Sprintf("entry %s %d", c.Prefix, len(c.After)))
		}
		return out
	}
	n := 0
	for _, e := range events {
		if e.kind != "fib" {
			continue
		}
		if e.data["part"] == 0.0 {
			parts = nil
		}
		parts = append(parts, e.data["changes"].([]any)...)
		if e.data["last"] != true {
			continue
		}
		from, to := uint64(e.data["from"].(float64)), uint64(e.data["revision"].(float64))
		if from < at || len(lines(at, from)) > 0 {
			t.Fatalf("told up to %d, then from %d to %d", at, from, to)
		}
		var got []string
		for _, c := range parts {
			c := c.(map[string]any)
			after, _ := c["after"].([]any)
			if c["kind"] == "group" {
				got = append(got, fmt.Sprintf("group %s %v %d", c["class"], c["prefixes"], len(after)))
			} else {
				got = append(got, fmt.Sprintf("entry %s %d", c["destination"], len(after)))
			}
		}
		if want := lines(from, to); !slices.Equal(got, want) {
			t.Fatalf("from %d to %d: %v, want %v", from, to, got, want)
		}
		at = to
		n++
	}
	if rest := lines(at, uint64(len(states)-1)); len(rest) > 0 || n == 0 {
		t.Fatalf("%d differences told, not told is %v", n, rest)
	}
}

func TestWatchTellsWhatIsAsked(t *testing.T) {
	a := newAPI(t)
	address := a.serve()
	w := watch(t, address+"/v1/watch?kinds=commits,routes,topology,kv")
	a.must("POST", "/v1/commits?reason=all", `{"events":[{"kind":"key.put","key":"a","value":"1"},{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1","router":"r1","metric":1},{"kind":"router.set","router":"r1"}]}`, "X-DVR-Actor: alice")
	for i, want := range []struct{ kind, id, has string }{
		{"commits", testLog + "/1/1+1", ""}, {"routes", testLog + "/1/1+2", "10.0.0.0/8"}, {"topology", testLog + "/1/1+3", "router.set"}, {"kv", testLog + "/1/2", "key.put"},
	} {
		e := w.must()
		if e.kind != want.kind || e.id != want.id || !strings.Contains(e.text(), want.has) || e.data["actor"] != "alice" || e.data["reason"] != "all" || e.data["n"] != 3.0 || e.data["revision"] != 2.0 {
			t.Errorf("message %d: %+v", i, e)
		}
	}
}

func TestWatchRefusesWhatItCannot(t *testing.T) {
	a := newAPI(t)
	for range 5 {
		a.put("a", fmt.Sprint(a.revision()))
	}
	a.connect("r1")
	for _, c := range []struct {
		query, id, field string
		code             int
	}{
		{"kinds=x", "", "kinds", 400}, {"kinds=", "", "kinds", 400}, {"kinds=fib", "", "router", 400}, {"kinds=fib&router=*", "", "router", 400}, {"kinds=routes&router=nobody", "", "router", 404},
		{"within=10", "", "within", 400}, {"after=x", "", "after", 400}, {"after=99", "", "after", 400}, {"", "1+x", "Last-Event-ID", 400}, {"", "7f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11/1/2", "", 409}, {"", testLog + "/0/2", "", 409}, {"at=1", "", "at", 400},
		// Ids that no stream has given would pass over what there is.
		{"", testLog + "/1/2+1", "Last-Event-ID", 400}, {"", testLog + "/1/2+1000000", "Last-Event-ID", 400}, {"kinds=commits,kv", testLog + "/1/2+2", "Last-Event-ID", 400},
		{"kinds=routes", testLog + "/1/2+1", "Last-Event-ID", 400}, {"", testLog + "/1/6+1", "Last-Event-ID", 400}, {"after=2%2B1", "", "after", 400},
		{"kinds=commits,fib&router=r1", testLog + "/1/2+6", "Last-Event-ID", 400}, {"kinds=fib&router=r1", testLog + "/1/2+1", "Last-Event-ID", 400},
	} {
		r := a.do("GET", "/v1/watch?"+c.query, "", "Last-Event-ID: "+c.id)
		if field, _ := r.json(t)["field"].(string); r.Code != c.code || field != c.field {
			t.Errorf("%s %s: %d %s", c.query, c.id, r.Code, r.Body)
		}
	}
	a.truncate()
	for _, kinds := range []string{"commits", "kv", "fib&router=r1"} {
		a.must("PUT", "/v1/routers/r1", `{}`)
		if r := a.do("GET", "/v1/watch?after=2&kinds="+kinds, ""); r.Code != 410 || !strings.Contains(r.Body, "watch after the revision that was read") {
			t.Errorf("%s: %d %s", kinds, r.Code, r.Body)
		}
	}
	a.server.watchers.Store(maxWatchers)
	if r := a.do("GET", "/v1/watch", ""); r.Code != 429 || r.Header.Get("Retry-After") == "" {
		t.Errorf("one watch too many: %d %s", r.Code, r.Body)
	}
	a.server.watchers.Store(0)
}

// Data planes and nodes are told as they are, then as they change.
func TestWatchOfWhatIsNotInTheLog(t *testing.T) {
	a := newAPI(t)
	a.server.heartbeat = 50 * time.Millisecond
	address := a.serve()
	a.must("PUT", "/v1/routers/r1", `{}`)
	_, run := a.attach("r1")
	go func() { _ = run.Run() }()
	w := watch(t, address+"/v1/watch?kinds=dataplanes,nodes&router=r1")
	for {
		e := w.must()
		if e.kind == "dataplanes" && e.data["router"] == "r1" && e.data["connected"] == true {
			break
		}
	}
	if err := run.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Counters{Counters: &fibpb.Counters{Lookups: 7, Packets: 9, ResidentBytes: 1}}}); err != nil {
		t.Fatal(err)
	}
	for {
		if e := w.must(); e.kind == "dataplanes" && e.data["lookups"] == 7.0 {
			if e.data["packets"] != 9.0 || e.data["bytes"] != nil || e.data["resident_bytes"] != nil {
				t.Errorf("forwarded: %v", e.data)
			}
			break
		}
	}
	run.Cut()
	for {
		if e := w.must(); e.kind == "dataplanes" && e.data["connected"] == false {
			break
		}
	}
}

// Behind the first that there are of a kind a watch is told so, once, and of none, too.
func TestWatchEndsTheFirstPicture(t *testing.T) {
	a := newAPI(t)
	a.server.heartbeat = 50 * time.Millisecond
	address := a.serve()
	a.must("PUT", "/v1/routers/r1", `{}`)
	told := func(w *watched) (before []string) {
		t.Helper()
		for kinds := 0; kinds < 2; {
			switch e := w.must(); {
			case e.kind != "told":
				before = append(before, e.kind)
			case e.data["kind"] == "dataplanes" && kinds == 0, e.data["kind"] == "nodes" && kinds == 1:
				kinds++
				before = append(before, "told")
			default:
				t.Fatalf("told of %v", e.data)
			}
		}
		return before
	}
	if got := told(watch(t, address+"/v1/watch?kinds=dataplanes,nodes")); !slices.Equal(got, []string{"told", "told"}) {
		t.Errorf("of a cluster without members and data planes: %q", got)
	}
	_, run := a.attach("r1")
	go func() { _ = run.Run() }()
	for { // until a watch of it has seen that it is connected
		if got := a.must("GET", "/v1/dataplanes", ""); strings.Contains(got.Body, `"connected":true`) {
			break
		}
	}
	w := watch(t, address+"/v1/watch?kinds=dataplanes,nodes")
	told(w)
	run.Cut()
	for {
		switch e := w.must(); {
		case e.kind == "told":
			t.Fatalf("told again: %v", e.data)
		case e.kind == "dataplanes" && e.data["connected"] == false:
			return
		}
	}
}

func TestWatchHeartbeatsMoveTheID(t *testing.T) {
	a := newAPI(t)
	a.server.heartbeat = 5 * time.Millisecond
	address := a.serve()
	p := &tape{}
	a.put("a", "1")
	p.play(t, address+"/v1/watch?kinds=routes", 1<<20, func() bool {
		if p.lastID == testLog+"/1/2" && a.revision() == 2 {
			a.put("a", "2") // nothing that is watched
		}
		return p.lastID == testLog+"/1/3"
	})
	if len(p.events) > 0 {
		t.Errorf("%v", p.events)
	}
}

// A thousand watchers of the same get all of it while writes go on, rendered
// once, and end with the node.
func TestAThousandWatchers(t *testing.T) {
	const watchers, commits = 1000, 50
	a := newAPI(t)
	address := a.serve()
	a.must("PUT", "/v1/routers/r1", `{}`)
	first := a.revision()
	var all sync.WaitGroup
	begun := make(chan struct{}, watchers)
	for n := range watchers {
		query := []string{"kinds=commits", "kinds=routes", "kinds=routes&router=r1"}[n%3]
		all.Add(1)
		go func() {
			defer all.Done()
			p := &tape{}
			once := sync.OnceFunc(func() { begun <- struct{}{} })
			p.play(t, address+"/v1/watch?"+query, 1<<30, func() bool {
				if p.lastID != "" {
					once()
				}
				return len(p.events) == commits
			})
			once()
			for i, e := range p.events {
				if e.data["revision"] != float64(int(first)+i+1) {
					t.Errorf("watcher %d: event %d is %v", n, i, e)
					return
				}
			}
			if len(p.events) != commits {
				t.Errorf("watcher %d has %d events", n, len(p.events))
			}
		}()
	}
	for range watchers {
		<-begun
	}
	slowest := time.Duration(0)
	for i := range commits {
		start := time.Now()
		a.add(fmt.Sprintf("10.%d.0.0/16", i), "192.0.2.1", 1)
		slowest = max(slowest, time.Since(start))
	}
	all.Wait()
	t.Logf("the slowest write took %v", slowest)
}

// Who does not read is cut by the limit of a write; the writer does not wait.
func TestWatchersThatDoNotReadAreCut(t *testing.T) {
	a := newAPI(t)
	address := a.serve(func(f *Front) { f.writing = 50 * time.Millisecond })
	req, err := http.NewRequest("GET", address+"/v1/watch?kinds=kv", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	value := strings.Repeat("x", 60<<10)
	for i := 0; a.server.watchers.Load() > 0; i++ {
		if i > 2000 {
			t.Fatal("it is not cut")
		}
		a.put("k", value)
	}
}
