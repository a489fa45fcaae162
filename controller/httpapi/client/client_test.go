package client_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dvr/controller/appender"
	"dvr/controller/fibstream"
	"dvr/controller/httpapi"
	"dvr/controller/httpapi/client"
	"dvr/controller/service"
	"dvr/eventlog/memlog"
)

type status struct{}

func (status) Status() httpapi.NodeStatus {
	return httpapi.NodeStatus{NodeID: "node-1", RaftState: "Leader", Quorum: true, Etcd: "embedded", Started: time.Unix(0, 0), Security: httpapi.Security{Transport: "loopback"}}
}

// node is a whole one but for etcd; end ends it.
func node() (base string, end func()) {
	log := memlog.New("6f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11")
	app, err := appender.Open(context.Background(), log, appender.Options{Node: "node-1"})
	if err != nil {
		panic(err)
	}
	planes := fibstream.New(app, fibstream.Options{Node: "node-1"})
	api := httpapi.New(httpapi.Config{Service: service.New(service.Writer(app), service.Planes(planes, "node-1"), log), Node: status{}, Version: "test"})
	s := httptest.NewServer(api.Handler())
	return s.URL, func() {
		api.EndWatches()
		s.Close()
		planes.Close()
		_ = app.Close()
	}
}

func connect(t *testing.T) *client.Client {
	t.Helper()
	base, end := node()
	t.Cleanup(end)
	return client.New(base+"/", nil)
}

func must[T any](t *testing.T) func(*client.Answer[T], error) *client.Answer[T] {
	return func(a *client.Answer[T], err error) *client.Answer[T] {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

func TestItems(t *testing.T) {
	c, ctx := connect(t), context.Background()
	put := must[client.KeyChanged](t)(c.PutKey(ctx, "a/b c%", client.PutKeyBody{Value: "1"}, client.PutKeyOptions{IdempotencyKey: "k"}))
	again := must[client.KeyChanged](t)(c.PutKey(ctx, "a/b c%", client.PutKeyBody{Value: "1"}, client.PutKeyOptions{IdempotencyKey: "k"}))
	if put.Value.Key != "a/b c%" || put.ETag == "" || put.Replayed || !again.Replayed || put.Position != again.Position {
		t.Errorf("%+v, then %+v", put, again)
	}
	got := must[client.Key](t)(c.GetKey(ctx, "a/b c%", client.GetKeyOptions{}))
	if got.Value.Value != "1" || got.Value.Modified != put.Value.Revision {
		t.Errorf("%+v", got)
	}
	if same := must[client.Key](t)(c.GetKey(ctx, "a/b c%", client.GetKeyOptions{IfNoneMatch: got.ETag})); same.Status != http.StatusNotModified || same.Value.Key != "" {
		t.Errorf("%+v", same)
	}
	_, err := c.PutKey(ctx, "a/b c%", client.PutKeyBody{Value: "2"}, client.PutKeyOptions{IfMatch: `"1-1-0011223344556677"`})
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != http.StatusPreconditionFailed || p.Field != "If-Match" || !strings.Contains(err.Error(), p.Detail) {
		t.Errorf("%v", err)
	}
	for range 2 {
		must[client.KeyChanged](t)(c.PutKey(ctx, "x", client.PutKeyBody{Value: "1"}, client.PutKeyOptions{}))
	}
	page := must[map[string]string](t)(c.ListKeys(ctx, client.ListKeysOptions{Limit: 1}))
	rest := must[map[string]string](t)(c.ListKeys(ctx, client.ListKeysOptions{Limit: 1, Cursor: page.Cursor}))
	if len(page.Value) != 1 || page.Cursor == "" || rest.Value["x"] != "1" || rest.Cursor != "" {
		t.Errorf("%+v, then %+v", page, rest)
	}
}

func TestPreferenceZeroIsSent(t *testing.T) {
	c, ctx := connect(t), context.Background()
	zero := int64(0)
	must[client.RouteChanged](t)(c.AddRoute(ctx, client.RouteRequest{Destination: "10.1.0.0/16", NextHop: "192.0.2.1", Preference: &zero}, client.AddRouteOptions{}))
	must[client.RouteChanged](t)(c.AddRoute(ctx, client.RouteRequest{Destination: "10.1.0.0/16", NextHop: "192.0.2.2"}, client.AddRouteOptions{}))
	got := must[client.Destination](t)(c.GetRoute(ctx, "10.1.0.0/16", client.GetRouteOptions{}))
	if got.Value.Best.NextHop != "192.0.2.1" || got.Value.Candidates[0].Preference != 0 || got.Value.Candidates[1].Preference != 1 {
		t.Errorf("%+v", got.Value)
	}
}

// TestEventsKeepTheirNumbers: what a commit is given as events the log gives back
// so, also where zero and nothing are two things.
func TestEventsKeepTheirNumbers(t *testing.T) {
	c, ctx := connect(t), context.Background()
	numbers := map[string]*int64{"10.1.0.0/16": nil}
	for i, destination := range []string{"10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"} {
		numbers[destination] = new(int64)
		*numbers[destination] = int64(i)
	}
	var body client.CommitRequest
	for destination, n := range numbers {
		raw, err := json.Marshal(client.EventRouteAnnounced{Kind: "route.announced", Destination: destination, NextHop: "192.0.2.1", Preference: n})
		if err != nil {
			t.Fatal(err)
		}
		body.Events = append(body.Events, raw)
	}
	must[client.Committed](t)(c.Commit(ctx, body, client.CommitOptions{}))
	preference := func(p *int64) int64 {
		if p == nil {
			return 1
		}
		return *p
	}
	for destination, n := range numbers {
		if got := must[client.Destination](t)(c.GetRoute(ctx, destination, client.GetRouteOptions{})); got.Value.Candidates[0].Preference != preference(n) {
			t.Errorf("%s: preference %d is stored as %d", destination, preference(n), got.Value.Candidates[0].Preference)
		}
	}
	page := must[client.CommitPage](t)(c.ListCommits(ctx, client.ListCommitsOptions{}))
	seen := 0
	for _, commit := range page.Value.Commits {
		for _, raw := range commit.Events {
			var e client.EventRouteAnnounced
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Fatal(err)
			}
			if e.Kind != "route.announced" {
				continue
			}
			seen++
			if want := preference(numbers[e.Destination]); preference(e.Preference) != want {
				t.Errorf("%s: preference %d is read from %s", e.Destination, preference(e.Preference), raw)
			}
		}
	}
	if seen != len(numbers) {
		t.Errorf("%d events of %d", seen, len(numbers))
	}
}

func TestLinesAndImport(t *testing.T) {
	c, ctx := connect(t), context.Background()
	const text = `{"kind":"route.announced","destination":"10.1.0.0/16","next_hop":"192.0.2.1"}` + "\n" + `{"kind":"route.announced","destination":"10.2.0.0/16","next_hop":"192.0.2.1"}` + "\n"
	if got := must[client.Imported](t)(c.ImportRoutes(ctx, strings.NewReader(text), client.ImportRoutesOptions{Atomic: true})); got.Value.Accepted != 2 {
		t.Errorf("%+v", got.Value)
	}
	body, h, err := c.ListRoutesLines(ctx, client.ListRoutesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if raw, err := io.ReadAll(body); err != nil || string(raw) != text || h.Get("DVR-Position") == "" {
		t.Errorf("%v %s", err, raw)
	}
	if lines, _, err := c.Metrics(ctx); err != nil || !strings.HasPrefix(firstLine(lines), "# HELP") {
		t.Errorf("%v", err)
	}
}

func firstLine(r io.ReadCloser) string {
	defer r.Close()
	line, _ := bufio.NewReader(r).ReadString('\n')
	return line
}

func TestWatch(t *testing.T) {
	c, ctx := connect(t), context.Background()
	events, err := c.Watch(ctx, client.WatchOptions{Kinds: "routes", After: "0"})
	if err != nil {
		t.Fatal(err)
	}
	must[client.RouteChanged](t)(c.AddRoute(ctx, client.RouteRequest{Destination: "10.1.0.0/16", NextHop: "192.0.2.1"}, client.AddRouteOptions{Actor: "alice"}))
	e, err := events.Next()
	var m client.CommitMessage
	if err != nil || e.Kind != "routes" || json.Unmarshal(e.Data, &m) != nil || m.Actor != "alice" || m.Revision != 2 || len(m.Events) != 1 {
		t.Fatalf("%v %+v %s", err, m, e.Data)
	}
	if err := events.Close(); err != nil {
		t.Error(err)
	}
	must[client.RouteChanged](t)(c.DeleteRoute(ctx, "10.1.0.0/16", client.DeleteRouteOptions{}))
	if events, err = c.Watch(ctx, client.WatchOptions{Kinds: "routes", LastEventID: e.ID, Timeout: "10ms"}); err != nil {
		t.Fatal(err)
	}
	if e, err := events.Next(); err != nil || !strings.Contains(string(e.Data), "route.withdrawn") {
		t.Errorf("%v %s", err, e.Data)
	}
	if _, err := events.Next(); err != io.EOF || events.ID() == "" {
		t.Errorf("%v", err)
	}
}

// TestForeignAnswers: what is no answer of the API is an error, not a value.
func TestForeignAnswers(t *testing.T) {
	for _, test := range []struct {
		code       int
		kind, body string
		want       string
	}{
		{502, "text/html", "<h1>Bad gateway</h1>", "502 Bad Gateway"},
		{500, "application/problem+json", "{", "500 Internal Server Error"},
		{409, "application/problem+json", `{"status":200,"title":"Conflict"}`, "Conflict"},
		{200, "application/json", "{", "unexpected end"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", test.kind)
			w.WriteHeader(test.code)
			_, _ = io.WriteString(w, test.body)
		}))
		_, err := client.New(s.URL, nil).Health(context.Background())
		s.Close()
		var p *client.Problem
		if err == nil || !strings.Contains(err.Error(), test.want) || test.code != 200 && (!errors.As(err, &p) || p.Status != int64(test.code)) {
			t.Errorf("%d %s: %v", test.code, test.body, err)
		}
	}
	if _, err := client.New("http://127.0.0.1:1", nil).Health(context.Background()); err == nil {
		t.Error("nobody answered")
	}
}
