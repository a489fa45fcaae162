package node

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"dvr/controller/fibstream/fibtest"
	"dvr/controller/tracing/tracingtest"
)

// A change through a follower of three nodes, waited for until the data planes of
// all three have it, is one trace: from the call over the node that leads and the
// log to each acknowledgement.
func TestOneTraceThroughTheCluster(t *testing.T) {
	t.Parallel()
	c := tracingtest.Start(t)
	seats := newSeats(t, 3)
	for _, s := range seats {
		s.env = append(s.env, "TRACE_ENDPOINT="+c.GRPC)
	}
	form(t, seats...)
	ctx := within(t, patience)
	for i, s := range seats {
		conn, err := grpc.NewClient(s.node.FIBAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		plane := fibtest.NewPlane(fmt.Sprintf("r%d", i+1), "i")
		stream, err := plane.Connect(ctx, conn, nil)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- stream.Run() }()
		t.Cleanup(func() { stream.Cut(); <-ended })
	}
	leader := leaderOf(t, seats...)
	follower := others(leader, seats)[0]
	eventually(t, "all know each other's data planes", func() bool {
		code, body := call(t, follower.node, "GET", "/v1/dataplanes", "")
		return code == 200 && strings.Count(body, `"connected":true`) == 3
	})
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+follower.api()+"/routes?wait=installed&require=r1,r2,r3&timeout=60s", strings.NewReader(fmt.Sprintf(routeBody, 7)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Traceparent", "00-"+trace+"-"+caller+"-01")
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	// The paths of the spans, each with its node: parents are followed to the caller's.
	paths := func(spans []tracingtest.Span) (out []string) {
		byID := map[string]tracingtest.Span{}
		for _, s := range spans {
			byID[s.ID] = s
		}
		for _, s := range spans {
			path, up := s.Node+":"+s.Name, s
			for up.Parent != caller {
				parent, ok := byID[up.Parent]
				if !ok {
					path = "?/" + path
					break
				}
				up = parent
				path = up.Node + ":" + up.Name + "/" + path
			}
			out = append(out, path)
		}
		slices.Sort(out)
		return out
	}
	third := others(leader, seats)[1]
	root := follower.id + ":POST /routes"
	appended := root + "/" + follower.id + ":forward to the leader/" + leader.id + ":append"
	want := []string{root, root + "/" + follower.id + ":forward to the leader", appended, root + "/" + follower.id + ":wait until installed"}
	for _, stage := range []string{"queue", "fold", "batch", "etcd transaction"} {
		want = append(want, appended+"/"+leader.id+":"+stage)
	}
	want = append(want, root+"/"+follower.id+":fold", root+"/"+third.id+":fold")
	for i, s := range seats {
		under := map[string]string{leader.id: appended, follower.id: root, third.id: root}[s.id]
		plane := fmt.Sprintf("%s/%s:data plane r%d", under, s.id, i+1)
		want = append(want, plane)
		for _, stage := range []string{"compile FIB", "stream", "ack"} {
			want = append(want, plane+"/"+s.id+":"+stage)
		}
	}
	slices.Sort(want)
	got, err := c.Await(ctx, trace, func(spans []tracingtest.Span) bool { return slices.Equal(paths(spans), want) })
	if err != nil {
		t.Fatalf("the spans\n%s\nwant\n%s", strings.Join(paths(got), "\n"), strings.Join(want, "\n"))
	}

	// The latency histograms name the trace where OpenMetrics is asked for, and only there.
	for _, c := range []struct {
		at     *seat
		series string
	}{
		{follower, `dvr_http_request_seconds_bucket{method="POST",route="/routes"`},
		{leader, `dvr_append_seconds_bucket{phase="store"`},
		{leader, `dvr_dataplane_ack_seconds_bucket{`},
	} {
		for accept, want := range map[string]bool{"application/openmetrics-text; version=1.0.0": true, "text/plain": false} {
			found := false
			for line := range strings.Lines(scrape(t, c.at, accept)) {
				found = found || strings.HasPrefix(line, c.series) && strings.Contains(line, `# {trace_id="`+trace+`"}`)
			}
			if found != want {
				t.Errorf("exemplar of %s on %s as %s: %v", c.series, c.at.id, accept, found)
			}
		}
	}
}

// scrape is /metrics in one of its forms.
func scrape(t *testing.T, s *seat, accept string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t, patience), http.MethodGet, "http://"+s.api()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// Without a collector there is no tracer: its parts are nil, so that nothing asks.
func TestTracingIsOff(t *testing.T) {
	tracer, err := newTracer(within(t, patience), load(t), "test", nil)
	if tracer != nil || err != nil || followed(tracer) != nil || delivered(tracer) != nil {
		t.Errorf("%v, %v", tracer, err)
	}
}
