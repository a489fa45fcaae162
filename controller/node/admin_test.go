package node

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// consult is one request to a handler, addressed to localhost unless a header says otherwise.
func consult(h http.Handler, method, path, body string, headers ...string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost:9990"
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestAdminCalls(t *testing.T) {
	level := zap.NewAtomicLevelAt(zap.InfoLevel)
	core, logs := observer.New(level)
	a := &admin{logging: &logging{level, newSampling(core, 0)}, log: zap.New(core)}
	h := a.handler()
	for _, c := range []struct {
		method, path, body string
		headers            []string
		code               int
		answer             string
	}{
		{method: "GET", path: "/log/level", code: 200, answer: `{"level":"info"}` + "\n"},
		{method: "PUT", path: "/log/level", body: `{"level":"debug"}`, code: 200, answer: `{"level":"debug"}` + "\n"},
		{method: "PUT", path: "/log/level", body: `{"level":"error"}`, code: 200, answer: `{"level":"error"}` + "\n"},
		{method: "PUT", path: "/log/level", body: `{"level":"error"}`, code: 200, answer: `{"level":"error"}` + "\n"},
		{method: "PUT", path: "/log/level", body: `{"level":"warn"}`, code: 200, answer: `{"level":"warn"}` + "\n"},
		{method: "PUT", path: "/log/level", body: `{"level":"fatal"}`, code: 400, answer: "debug, info, warn, error"},
		{method: "PUT", path: "/log/level", body: `{"level":"INFO"}`, code: 400, answer: "INFO"},
		{method: "PUT", path: "/log/level", body: `{}`, code: 400},
		{method: "PUT", path: "/log/level", body: `info`, code: 400, answer: "want"},
		{method: "PUT", path: "/log/level", body: `{"level":"info","for":"1h"}`, code: 400, answer: "for"},
		{method: "PUT", path: "/log/level", body: `{"level":"` + strings.Repeat("x", 2000) + `"}`, code: 400, answer: "too large"},
		{method: "GET", path: "/log/level", code: 200, answer: `{"level":"warn"}` + "\n"},
		{method: "DELETE", path: "/log/level", code: 405},
		{method: "GET", path: "/log/sample", code: 200, answer: `{"first":0}` + "\n"},
		{method: "PUT", path: "/log/sample", body: `{"first":7}`, code: 200, answer: `{"first":7}` + "\n"},
		{method: "PUT", path: "/log/sample", body: `{"first":-1}`, code: 400, answer: "first"},
		{method: "PUT", path: "/log/sample", body: `{"first":1048577}`, code: 400, answer: "1048576"},
		{method: "PUT", path: "/log/sample", body: `{}`, code: 400, answer: "first"},
		{method: "PUT", path: "/log/sample", body: `{"first":1,"then":2}`, code: 400, answer: "then"},
		{method: "PUT", path: "/log/sample", body: `{"first":1.5}`, code: 400},
		{method: "GET", path: "/log/sample", code: 200, answer: `{"first":7}` + "\n"},
		{method: "PUT", path: "/log/sample", body: `{"first":9}`, headers: []string{"Origin", "http://other.example"}, code: 403},
		{method: "GET", path: "/debug/pprof/", code: 200, answer: "goroutine"},
		{method: "GET", path: "/debug/pprof/heap?debug=1", code: 200, answer: "heap profile"},
		{method: "GET", path: "/debug/pprof/cmdline", code: 200},
		{method: "POST", path: "/debug/pprof/profile", code: 405},
		{method: "GET", path: "/", code: 404},
		{method: "GET", path: "/metrics", code: 404},
		{method: "GET", path: "/log/level", headers: []string{"Host", "rebound.example"}, code: 403},
		{method: "PUT", path: "/log/level", body: `{"level":"debug"}`, headers: []string{"Origin", "http://other.example"}, code: 403},
		{method: "GET", path: "/debug/pprof/goroutine", headers: []string{"Sec-Fetch-Site", "cross-site"}, code: 403},
	} {
		if code, answer := consult(h, c.method, c.path, c.body, c.headers...); code != c.code || !strings.Contains(answer, c.answer) {
			t.Errorf("%s %s %.60s %v: %d %.200q, want %d and %q", c.method, c.path, c.body, c.headers, code, answer, c.code, c.answer)
		}
	}
	if level.Level() != zap.WarnLevel {
		t.Errorf("a refused call set the level to %s", level)
	}
	var told []string
	for _, e := range logs.FilterMessageSnippet("the level").All() {
		told = append(told, e.ContextMap()["from"].(string)+" "+e.ContextMap()["to"].(string))
	}
	if got := strings.Join(told, ", "); got != "info debug, debug error, error warn" {
		t.Errorf("told: %s", got)
	}
}

// TestAdminOfANode: it is there from the start on, changes what all parts log,
// and a profile that goes on does not hold up the stop. The API has none of it.
func TestAdminOfANode(t *testing.T) {
	t.Parallel()
	n, _, logs := start(t, append(environment(t, t.TempDir()), "ADMIN_ADDR=:0"))
	at := "http://" + n.admin.listener.Addr().String()
	if !strings.Contains(logs.String(), `"admin":"`+at+`"`) {
		t.Errorf("the log does not say where it is:\n%s", logs.String())
	}
	if code, _ := call(t, n, "GET", "/debug/pprof/heap", ""); code != 404 {
		t.Errorf("profiles at the API's port: %d", code)
	}
	n.log.Named("part").Debug("unheard")
	r, err := http.NewRequest("PUT", at+"/log/level", strings.NewReader(`{"level":"debug"}`))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(body) != `{"level":"debug"}`+"\n" {
		t.Errorf("%d %s %v", resp.StatusCode, body, err)
	}
	_ = resp.Body.Close()
	n.log.Named("part").Debug("heard")
	if all := logs.String(); strings.Contains(all, "unheard") || !strings.Contains(all, `"heard"`) {
		t.Errorf("the level was not followed:\n%s", all)
	}
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		close(began)
		resp, err := client.Get(at + "/debug/pprof/trace?seconds=600")
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		ended <- err
	}()
	<-began
	stop(t, n)
	<-ended // cut, or refused where it came too late
	if c, err := net.Dial("tcp", strings.TrimPrefix(at, "http://")); err == nil {
		_ = c.Close()
		t.Error("it listens after the stop")
	}
}

// TestMetricsOfTheEtcdInside: they are on the node's page beside its own, nothing twice.
func TestMetricsOfTheEtcdInside(t *testing.T) {
	t.Parallel()
	n, _, _ := start(t, environment(t, t.TempDir()))
	if code, body := call(t, n, "POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`); code != 201 {
		t.Fatalf("POST: %d %s", code, body)
	}
	code, page := call(t, n, "GET", "/metrics", "")
	for _, want := range []string{"\netcd_disk_wal_fsync_duration_seconds_bucket{", "\netcd_server_has_leader 1\n", "\netcd_disk_backend_commit_duration_seconds_bucket{", "\netcd_server_leader_changes_seen_total ", "\ndvr_log_lines_dropped_total 0\n", "\ndvr_batch_commits_count ", "\ndvr_append_seconds_count{phase=\"store\"} ", "\ndvr_dataplane_ack_seconds_count 0\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("%d: no %q", code, want)
		}
	}
	if strings.Contains(page, "etcd_debugging_") || strings.Count(page, "# TYPE go_goroutines ") != 1 {
		t.Error("what etcd calls debugging is there, or Go's own metrics twice")
	}
	t.Logf("%d bytes", len(page))
}

func TestAdminBeyondLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "[::]:0"} {
		a, err := newAdmin(address, &logging{zap.NewAtomicLevel(), newSampling(zapcore.NewNopCore(), 0)}, zap.NewNop())
		if err == nil {
			_ = a.close()
		}
		if err == nil || !strings.Contains(err.Error(), "ADMIN_ADDR") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
