package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"dvr/controller/fibpb"
	"dvr/controller/service"
	"dvr/eventlog"
)

func installed(r answer, t *testing.T, key string) string {
	t.Helper()
	list, ok := r.json(t)[key].([]any)
	if !ok {
		return "absent"
	}
	return fmt.Sprint(list)
}

func TestWaitInstalled(t *testing.T) {
	a := newAPI(t)
	post := func(n int, query string) answer {
		return a.do("POST", "/routes?wait=installed"+query, fmt.Sprintf(`{"destination":"10.%d.0.0/16","next_hop":"192.0.2.1"}`, n))
	}
	if r := post(1, ""); r.Code != 201 || installed(r, t, "installed") != "[]" || installed(r, t, "pending") != "absent" {
		t.Errorf("without data planes: %d %s", r.Code, r.Body)
	}
	p := a.connect("r1")
	if r := post(2, ""); r.Code != 201 || installed(r, t, "installed") != "[r1]" {
		t.Errorf("one data plane: %d %s", r.Code, r.Body)
	}
	if p.Len() != 2 {
		t.Errorf("the data plane holds %d prefixes", p.Len())
	}
	// Other waits do not tell.
	if r := a.must("POST", "/routes?wait=logged", `{"destination":"10.3.0.0/16","next_hop":"192.0.2.1"}`); strings.Contains(r.Body, "installed") {
		t.Errorf("wait=logged: %s", r.Body)
	}
	if r := a.must("PUT", "/v1/routers/r9?wait=installed&require=r1", `{}`); installed(r, t, "installed") != "[r1]" {
		t.Errorf("require: %s", r.Body)
	}
	if r := a.importLines("/v1/routes/import?wait=installed", manyRoutes(1500)); r.Code != 200 || installed(r, t, "installed") != "[r1]" {
		t.Errorf("import: %d %s", r.Code, r.Body)
	}

	// A data plane that does not ack: the commit stands, 202.
	_, _ = a.attach("r2")
	r := post(4, "&timeout=150ms")
	if r.Code != 202 || installed(r, t, "installed") != "[r1]" || installed(r, t, "pending") != "[r2]" || a.revision() == 0 {
		t.Errorf("a silent data plane: %d %s", r.Code, r.Body)
	}
	if got := a.must("GET", "/routes/10.4.0.0/16", ""); got.Code != 200 {
		t.Errorf("the commit does not stand: %d", got.Code)
	}
}

// stall connects a data plane that takes everything and acks only what there
// is now. Each delta that it got after that is a value of the channel.
func (a *api) stall(router string) <-chan struct{} {
	a.t.Helper()
	_, s := a.attach(router)
	acked, got := make(chan error, 1), make(chan struct{}, 100)
	go func() {
		for first := true; ; {
			m, err := s.Receive()
			if err != nil {
				return
			}
			_ = s.Grant(1) // fails with Receive
			switch d := m.GetDelta(); {
			case !d.GetEnd():
			case first:
				first = false
				acked <- s.Ack(d)
			default:
				got <- struct{}{}
			}
		}
	}()
	if err := <-acked; err != nil {
		a.t.Fatal(err)
	}
	return got
}

// TestInstalledIsNotClaimedBefore: what a stalled data plane was sent earlier
// is not forgotten because the last commit leaves its FIB alone.
func TestInstalledIsNotClaimedBefore(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/v1/routers/r2", `{}`)
	got := a.stall("r1")
	pending := func(what string, r answer) {
		t.Helper()
		if r.Code != 202 || installed(r, t, "installed") != "[]" || installed(r, t, "pending") != "[r1]" {
			t.Errorf("%s: %d %s", what, r.Code, r.Body)
		}
	}
	const one = `{"destination":"172.16.0.0/16","next_hop":"192.0.2.1"}`
	a.must("POST", "/routes?wait=logged", one)
	<-got
	pending("the same route again", a.do("POST", "/routes?wait=installed&timeout=200ms", one))

	read, write := io.Pipe()
	go func() {
		_, _ = io.WriteString(write, manyRoutes(service.ChunkEvents))
		for i := range 5 {
			fmt.Fprintf(write, `{"router":"r2","destination":"172.20.%d.0/24","next_hop":"192.0.2.1"}`+"\n", i)
			if i == 0 {
				<-got // the first commit, by itself
			}
		}
		_ = write.Close()
	}()
	pending("an import", a.send("POST", "/v1/routes/import?wait=installed&timeout=1s", read, "Content-Type: application/x-ndjson"))
}

func TestWaitInstalledTellsFailures(t *testing.T) {
	a := newAPI(t)
	p := a.connect("r1")
	p.SetSinks(&fibpb.SinkStatus{Name: "kernel", Entries: 4, Failed: 1, Repaired: 2, Deviates: true, Failures: []*fibpb.Failure{{Prefix: "10.1.0.0/16", Reason: "no such interface"}}})
	r := a.do("POST", "/routes?wait=installed&timeout=2s", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`)
	if r.Code != 202 || !strings.Contains(r.Body, `"failed":[{"router":"r1","sink":"kernel","prefix":"10.1.0.0/16","reason":"no such interface"}]`) {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	m := a.must("GET", "/v1/dataplanes", "").json(t)["dataplanes"].([]any)[0].(map[string]any)
	if m["router"] != "r1" || m["node"] != "node-1" || m["connected"] != true || m["failed"] != float64(1) || m["instance"] == "" {
		t.Errorf("%v", m)
	}
	if got := a.must("GET", "/v1/dataplanes", "").Body; !strings.Contains(got, `{"name":"kernel","entries":4,"failed":1,"repaired":2,"deviates":true,"failures":[{"prefix":"10.1.0.0/16","reason":"no such interface"}]}`) {
		t.Errorf("the sink's state is missing: %s", got)
	}
	if !strings.Contains(a.must("GET", "/metrics", "").Body, `dvr_dataplane_failed_prefixes{router="r1"} 1`) {
		t.Error("the metric does not tell")
	}
}

// TestRepairsAreTold: with their cause, the newest last.
func TestRepairsAreTold(t *testing.T) {
	a := newAPI(t)
	_, stream := a.attach("r1")
	for i, r := range []*fibpb.Observation_Repair{{Prefix: "10.1.0.0/16", Cause: "removed", Count: 1}, {Cause: "flushed", Count: 40}} {
		if err := stream.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Observation{Observation: &fibpb.Observation{
			TimeMs: uint64(1000 * i), What: &fibpb.Observation_Repair_{Repair: r},
		}}}); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _ = stream.Run() }()
	a.must("POST", "/routes?wait=installed&timeout=5s", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`) // acked behind them
	want := `"repairs":[{"time":"1970-01-01T00:00:00.000Z","prefix":"10.1.0.0/16","cause":"removed","count":1},{"time":"1970-01-01T00:00:01.000Z","cause":"flushed","count":40}]`
	if got := a.must("GET", "/v1/dataplanes", "").Body; !strings.Contains(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// TestUndoingsAreTold: what a data plane, cut off, undid by itself is in its entry and the metrics.
func TestUndoingsAreTold(t *testing.T) {
	a := newAPI(t)
	_, stream := a.attach("r1")
	if err := stream.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Observation{Observation: &fibpb.Observation{
		TimeMs: 1000, What: &fibpb.Observation_Undone_{Undone: &fibpb.Observation_Undone{Revision: 17}},
	}}}); err != nil {
		t.Fatal(err)
	}
	go func() { _ = stream.Run() }()
	a.must("POST", "/routes?wait=installed&timeout=5s", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`) // acked behind it
	if got := a.must("GET", "/v1/dataplanes", "").Body; !strings.Contains(got, `"undone":[{"time":"1970-01-01T00:00:01.000Z","revision":17}]`) {
		t.Errorf("%s", got)
	}
	if got := a.must("GET", "/metrics", "").Body; !strings.Contains(got, "dvr_dataplane_undone_total 1") {
		t.Error("the metric does not tell")
	}
}

func TestAuditOfADataPlane(t *testing.T) {
	a := newAPI(t)
	p := a.connect("r1")
	if r := a.must("POST", "/v1/dataplanes/r1/audit", ""); r.Body != `{"router":"r1","sinks":[],"revision":1}`+"\n" || !strings.HasSuffix(r.Header.Get("DVR-Position"), "/1") {
		t.Errorf("without a sink to audit: %q", r.Body)
	}
	p.SetAudits(&fibpb.SinkAudit{Name: "kernel", Complete: true, Entries: 7, Failed: 1, TookMs: 20, Differences: []*fibpb.SinkAudit_Difference{{Prefix: "10.0.0.0/8", Cause: "left over", Count: 3}}})
	want := `{"router":"r1","sinks":[{"name":"kernel","complete":true,"entries":7,"failed":1,"took_ms":20,"differences":[{"prefix":"10.0.0.0/8","cause":"left over","count":3}]}],"revision":1}` + "\n"
	if r := a.must("POST", "/v1/dataplanes/r1/audit?timeout=5s", ""); r.Body != want {
		t.Errorf("%s", r.Body)
	}
	a.must("PUT", "/v1/routers/r2", `{}`)
	for path, code := range map[string]int{"r2/audit": 409, "nobody/audit": 404, "-/audit": 400, "r1/audit?timeout=never": 400, "r1/audit?router=r1": 400} {
		if r := a.do("POST", "/v1/dataplanes/"+path, ""); r.Code != code {
			t.Errorf("%s: %d %s", path, r.Code, r.Body)
		}
	}
}

// TestMetricsOfADataPlane: what it told is re-exported.
func TestMetricsOfADataPlane(t *testing.T) {
	a := newAPI(t)
	p, stream := a.attach("r1")
	go func() { _ = stream.Run() }()
	p.SetSinks(&fibpb.SinkStatus{Name: "memory", Entries: 5}, &fibpb.SinkStatus{Name: "kernel", Entries: 4, Failed: 1, Repaired: 2, Deviates: true})
	a.must("POST", "/routes?wait=installed&timeout=2s", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`)
	if err := stream.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Counters{Counters: &fibpb.Counters{Lookups: 7, ResidentBytes: 9, More: map[string]uint64{"kernel_audits": 3}}}}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`dvr_dataplane_sink_entries{router="r1",sink="kernel"} 4`, `dvr_dataplane_sink_entries{router="r1",sink="memory"} 5`,
		`dvr_dataplane_sink_failed_prefixes{router="r1",sink="kernel"} 1`, `dvr_dataplane_sink_repaired_total{router="r1",sink="kernel"} 2`,
		`dvr_dataplane_events_total{event="kernel_audits",router="r1"} 3`, `dvr_dataplane_events_total{event="lookups",router="r1"} 7`,
		`dvr_dataplane_resident_bytes{router="r1"} 9`,
	}
	var body string
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // the counters come on a stream
		body = a.must("GET", "/metrics", "").Body
		missing := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return strings.Contains(body, line+"\n") })
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("missing %q in\n%s", missing, body)
		}
	}
	if strings.Contains(body, `event="resident_bytes"`) {
		t.Error("memory is no counter")
	}
}

func TestDataPlaneIsAKnownRouter(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	if r := a.do("GET", "/routes?router=edge", ""); r.Code != 404 {
		t.Errorf("before: %d", r.Code)
	}
	a.connect("edge")
	if r := a.must("GET", "/routes?router=edge", ""); !strings.Contains(r.Body, "10.1.0.0/16") {
		t.Errorf("an undeclared router gets the routes of *: %s", r.Body)
	}
	if r := a.must("GET", "/v1/routers/edge", "").json(t); r["declared"] != false || r["dataplane"] != true {
		t.Errorf("%v", r)
	}
	if r := a.must("GET", "/v1/routers", ""); !strings.Contains(r.Body, `"router":"edge"`) {
		t.Errorf("%s", r.Body)
	}
	l := a.must("GET", "/v1/lookup?address=10.1.2.3&router=edge&source=dataplane", "").json(t)
	if l["destination"] != "10.1.0.0/16" || l["source"] != "dataplane" {
		t.Errorf("%v", l)
	}
	if r := a.do("GET", "/v1/lookup?address=10.9.2.3&router=edge&source=dataplane", ""); r.Code != 404 {
		t.Errorf("no match: %d %s", r.Code, r.Body)
	}
}

// TestLookupWithoutDataPlane: told at once and without an invitation to retry.
func TestLookupWithoutDataPlane(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/v1/routers/r1", `{}`)
	r := a.do("GET", "/v1/lookup?address=10.1.2.3&router=r1&source=dataplane", "")
	if m := r.json(t); r.Code != 409 || m["type"] != "/problems/no-dataplane" || m["detail"] != "no data plane of router r1 is connected" || r.Header.Get("Retry-After") != "" {
		t.Errorf("%d %v %s", r.Code, r.Header, r.Body)
	}
}

// TestReadYourWrites: a position is a promise that later reads keep.
func TestReadYourWrites(t *testing.T) {
	a := newAPI(t)
	for i := range 200 {
		r := a.must("POST", "/routes?wait=logged", fmt.Sprintf(`{"destination":"10.0.%d.0/24","next_hop":"192.0.2.1"}`, i))
		at := r.Header.Get("DVR-Position")
		got := a.must("GET", fmt.Sprintf("/routes/10.0.%d.0/24?consistency=local&min_revision=%s", i, at), "")
		if got.Header.Get("DVR-Position") != at {
			t.Fatalf("wrote %s, read at %s", at, got.Header.Get("DVR-Position"))
		}
	}
}

func TestWithoutQuorum(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	a.log.Faults().Down(eventlog.ErrUnavailable)
	for _, path := range []string{"/routes", "/routes/10.1.0.0/16"} {
		r := a.do("GET", path, "")
		if r.Code != 200 || !strings.Contains(r.Body, `"stale":true`) || r.Header.Get("DVR-Stale") != "true" {
			t.Errorf("GET %s: %d %v %s", path, r.Code, r.Header, r.Body)
		}
		r = a.do("GET", path+"?consistency=linearizable&timeout=200ms", "")
		if r.Code != 503 || r.Header.Get("Retry-After") == "" {
			t.Errorf("GET %s linearizable: %d %s", path, r.Code, r.Body)
		}
		r = a.do("GET", path+"?consistency=local", "")
		if r.Code != 200 || strings.Contains(r.Body, "stale") {
			t.Errorf("GET %s local: %d %s", path, r.Code, r.Body)
		}
	}
	r := a.do("GET", "/v1/commits", "")
	if r.Code != 503 {
		t.Errorf("the log: %d %s", r.Code, r.Body)
	}
	a.log.Faults().Down(nil)
	if r := a.do("GET", "/routes?consistency=linearizable", ""); r.Code != 200 || strings.Contains(r.Body, "stale") {
		t.Errorf("healed: %d %s", r.Code, r.Body)
	}
}

// TestWithoutALeader: as long as nobody leads, reads are marked, nothing is said
// to be absent, and refusals name who leads where that is known, or who led last.
func TestWithoutALeader(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/kv/there", `{"value":"v"}`)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	unled := &service.UnledError{Err: service.ErrUnavailable, Node: "n2", API: "192.0.2.2:9090"}
	a.throne.why.Store(unled)
	for _, path := range []string{"/routes", "/routes/10.1.0.0%2F16", "/kv/there", "/kv", "/kv?consistency=local", "/v1/routes", "/v1/routers", "/v1/lookup?address=10.1.0.1"} {
		r := a.do("GET", path, "")
		if r.Code != 200 || r.Header.Get("DVR-Stale") != "true" || !strings.HasPrefix(path, "/kv?") && path != "/kv" && r.json(t)["stale"] != true {
			t.Errorf("GET %s: %d %v %s", path, r.Code, r.Header, r.Body)
		}
	}
	for _, path := range []string{"/kv/absent", "/routes/10.2.0.0%2F16", "/v1/routers/r9", "/v1/links/r1/r2", "/routes?router=r9", "/v1/lookup?address=10.2.0.1", "/v1/kv/history/absent"} {
		if r := a.do("GET", path, ""); r.Code != 503 || r.Header.Get("Retry-After") == "" {
			t.Errorf("GET %s: %d %s", path, r.Code, r.Body)
		}
	}
	if r := a.do("GET", "/kv/absent?consistency=local", ""); r.Code != 404 || r.Header.Get("DVR-Stale") != "true" {
		t.Errorf("what this node has: %d %s", r.Code, r.Body)
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/kv/there?consistency=linearizable", ""}, {"PUT", "/kv/x", `{"value":"v"}`}, {"POST", "/routes", `{"destination":"10.2.0.0/16","next_hop":"192.0.2.1"}`},
	} {
		r := a.do(c.method, c.path, c.body)
		got, _ := r.json(t)["last_leader"].(map[string]any)
		if r.Code != 503 || got["node_id"] != "n2" || got["api"] != "192.0.2.2:9090" || r.json(t)["leader"] != nil {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.Code, r.Body)
		}
	}
	leads := *unled
	leads.Leads = true
	a.throne.why.Store(&leads)
	r := a.do("PUT", "/kv/x", `{"value":"v"}`)
	if got, _ := r.json(t)["leader"].(map[string]any); r.Code != 503 || got["api"] != "192.0.2.2:9090" || r.json(t)["last_leader"] != nil {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	a.throne.why.Store(nil)
	if r := a.do("GET", "/kv/absent", ""); r.Code != 404 {
		t.Errorf("with a leader: %d %s", r.Code, r.Body)
	}
}

// TestReadsOfV1AreLocalByDefault: they ask no quorum unless they are told to,
// and all of them can be told.
func TestReadsOfV1AreLocalByDefault(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/v1/links/r1/r2", `{}`)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	reads := []string{
		"/v1/routes?limit=5", "/v1/lookup?address=10.1.0.1", "/v1/commits?after=0", "/v1/commits/1?", "/v1/routers?", "/v1/routers/r1?",
		"/v1/routers/r1/vector?", "/v1/links?", "/v1/links/r1/r2?", "/v1/dataplanes?", "/v1/status?",
	}
	for _, path := range reads {
		if r := a.do("GET", path+"&consistency=linearizable&min_revision=2", ""); r.Code != 200 {
			t.Errorf("GET %s linearizable: %d %s", path, r.Code, r.Body)
		}
		if r := a.do("GET", path+"&min_revision=99&timeout=10ms", ""); r.Code != 503 {
			t.Errorf("GET %s of the future: %d %s", path, r.Code, r.Body)
		}
	}
	a.log.Faults().Down(eventlog.ErrUnavailable)
	for _, path := range reads {
		if r := a.do("GET", path+"&consistency=linearizable&timeout=50ms", ""); r.Code != 503 {
			t.Errorf("GET %s linearizable without quorum: %d %s", path, r.Code, r.Body)
		}
		if r := a.do("GET", path, ""); !strings.HasPrefix(path, "/v1/commits") && (r.Code != 200 || strings.Contains(r.Body, "stale")) {
			t.Errorf("GET %s without quorum: %d %s", path, r.Code, r.Body)
		}
	}
}

// TestUnknownOutcome: past the deadline the answer is 504 with the id, and the
// same id finds out what happened.
func TestUnknownOutcome(t *testing.T) {
	a := newAPI(t)
	resolve := a.log.Faults().LoseAnswers(1)
	const body = `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`
	r := a.do("POST", "/routes?timeout=100ms", body, "Idempotency-Key: k")
	if r.Code != 504 || r.json(t)["id"] != "k" {
		t.Fatalf("%d %s", r.Code, r.Body)
	}
	resolve()
	r = a.must("POST", "/routes", body, "Idempotency-Key: k")
	if r.Code != 201 || a.revision() != 2 {
		t.Errorf("again: %d %s, revision %d", r.Code, r.Body, a.revision())
	}
	// Without a key an id is made and told.
	resolve = a.log.Faults().LoseAnswers(1)
	r = a.do("POST", "/routes?timeout=100ms", body)
	if id, _ := r.json(t)["id"].(string); r.Code != 504 || len(id) != 26 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	resolve()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := a.app.Wait(ctx, 3); err != nil {
		t.Error(err)
	}
}

func TestFullStore(t *testing.T) {
	a := newAPI(t)
	a.log.Faults().RefuseAppends(1, eventlog.ErrNoSpace)
	r := a.do("POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`)
	if r.Code != 503 || r.Header.Get("Retry-After") == "" || r.json(t)["id"] == "" || r.json(t)["type"] != "/problems/no-space" {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}

// TestStoredAndUnseen: what is stored is told apart from what was refused.
func TestStoredAndUnseen(t *testing.T) {
	row, _ := rowOf(&service.MutationError{ID: "id-1", Err: fmt.Errorf("%w: %w", service.ErrUnseen, service.ErrUnavailable)})
	if row.status != http.StatusGatewayTimeout || row.slug != "stored-unseen" {
		t.Errorf("%+v", row)
	}
}

// TestPreviewWarnsOfUnknownRouters: a preview asks about the name of a router
// that routes are given to and that nothing stands for.
func TestPreviewWarnsOfUnknownRouters(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/v1/routers/vie", `{}`)
	a.must("PUT", "/v1/links/fra/ams", `{"cost_ab":1,"cost_ba":1}`)
	a.connect("edge")
	announce := func(router, destination string) string {
		return fmt.Sprintf(`{"kind":"route.announced","router":%q,"destination":%q,"next_hop":"192.0.2.1"}`, router, destination)
	}
	strays := func(events ...string) (names []string) {
		t.Helper()
		m := a.must("POST", "/v1/commits?dry_run=true", `{"events":[`+strings.Join(events, ",")+`]}`).json(t)
		for _, w := range m["warnings"].([]any) {
			w := w.(map[string]any)
			if w["kind"] != "unknown-router" {
				continue
			}
			names = append(names, fmt.Sprint(w["router"], " ", w["prefixes"], " ", w["examples"]))
			if want := fmt.Sprintf("router %s is not declared, has no link and no data plane: is the name right?", w["router"]); w["text"] != want {
				t.Errorf("%v, want %s", w["text"], want)
			}
		}
		return names
	}
	known := []string{announce("vie", "10.1.0.0/16"), announce("fra", "10.1.0.0/16"), announce("ams", "10.1.0.0/16"), announce("edge", "10.1.0.0/16"), announce("*", "10.1.0.0/16")}
	if got := strays(known...); got != nil {
		t.Errorf("known ones: %q", got)
	}
	got := strays(append(known, announce("vei", "10.1.0.0/16"), announce("vei", "10.2.0.0/16"), announce("arm", "10.1.0.0/16"))...)
	if want := []string{"arm 1 [10.1.0.0/16]", "vei 2 [10.1.0.0/16 10.2.0.0/16]"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	a.must("POST", "/v1/commits", `{"events":[`+announce("vei", "10.1.0.0/16")+`]}`)
	if got := strays(announce("vei", "10.2.0.0/16")); len(got) != 1 {
		t.Errorf("one with routes alone: %q", got)
	}
	if got := strays(`{"kind":"link.set","a":"vei","b":"vie","cost_ab":1,"cost_ba":1}`, announce("vei", "10.2.0.0/16")); got != nil {
		t.Errorf("one that the same change links: %q", got)
	}
	var many []string
	for i := range 20 {
		many = append(many, announce(fmt.Sprintf("x%02d", i), "10.1.0.0/16"))
	}
	if got := strays(many...); len(got) != 8 || got[0] != "x00 1 [10.1.0.0/16]" {
		t.Errorf("many: %q", got)
	}
}
