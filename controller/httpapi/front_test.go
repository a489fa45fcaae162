package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dvr/eventlog"
)

func ask(t *testing.T, h http.Handler, method, path string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(`{"destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`))
	r.Host = "127.0.0.1:9090"
	for _, v := range headers {
		k, v, _ := strings.Cut(v, ": ")
		if k == "Host" {
			r.Host = v
		}
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// TestFrontWaits: before the API is open probes are answered, everything else
// is refused with what is waited for; afterwards nothing is left of that.
func TestFrontWaits(t *testing.T) {
	a := newAPI(t)
	waiting := Waiting{Reason: "the node is starting: folding the log, revision 7 of 9", Revision: 7, Head: 9}
	f := NewFront(FrontConfig{Node: a.node, Waiting: func() Waiting { return waiting }, Version: "v1", Hosts: []string{"r1.example"}})
	for _, c := range []struct {
		method, path string
		code         int
		problem      string
	}{
		{"GET", "/livez", 200, ""}, {"HEAD", "/livez", 200, ""}, {"GET", "/livez?probe=1", 200, ""}, {"GET", "/version", 200, ""},
		{"GET", "/health", 503, ""}, {"GET", "/readyz", 503, "starting"}, {"GET", "/v1/status", 503, "starting"}, {"GET", "/metrics", 503, "starting"},
		{"GET", "/routes", 503, "starting"}, {"POST", "/routes", 503, "starting"}, {"DELETE", "/routes/10.0.0.0%2F8", 503, "starting"},
		{"POST", "/livez", 503, "starting"}, {"GET", "/nothing", 503, "starting"}, {"HEAD", "/routes", 503, "starting"},
	} {
		r := ask(t, f, c.method, c.path)
		if r.Code != c.code || (r.Header.Get("Retry-After") != "") != (c.code == 503) {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, r.Code, r.Header, r.Body)
		}
		if c.method == "HEAD" {
			if r.Body != "" {
				t.Errorf("%s %s: a body: %s", c.method, c.path, r.Body)
			}
			continue
		}
		m := r.json(t)
		if want := "application/json"; c.problem == "" && r.Header.Get("Content-Type") != want {
			t.Errorf("%s %s: %v", c.method, c.path, r.Header)
		}
		if c.problem == "" {
			continue
		}
		if r.Header.Get("Content-Type") != "application/problem+json" || m["type"] != "/problems/"+c.problem || m["detail"] != waiting.Reason || m["error"] != waiting.Reason ||
			m["status"] != 503.0 || m["revision"] != 7.0 || m["head"] != 9.0 || m["node_id"] != "node-1" || m["version"] != "v1" || m["instance"] != strings.SplitN(strings.ReplaceAll(c.path, "%2F", "/"), "?", 2)[0] {
			t.Errorf("%s %s: %s", c.method, c.path, r.Body)
		}
	}
	if r := ask(t, f, "GET", "/health"); r.Body != `{"status":"starting","raft_state":"Leader","node_id":"node-1","revision":7,"reason":"`+waiting.Reason+"\"}\n" {
		t.Errorf("health: %s", r.Body)
	}
	// What the API answers, the front answers alike.
	for _, path := range []string{"/livez", "/version"} {
		one, other := ask(t, f, "GET", path), ask(t, New(Config{Service: a.svc, Node: a.node, Version: "v1"}).Handler(), "GET", path)
		if one.Body != other.Body || one.Header.Get("Content-Type") != other.Header.Get("Content-Type") {
			t.Errorf("%s: %s, then %s", path, one.Body, other.Body)
		}
	}
	for _, header := range []string{"Host: evil.example", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"} {
		if r := ask(t, f, "GET", "/readyz", header); r.Code != 403 || !strings.Contains(r.Body, `"field":"`+strings.Split(header, ":")[0]+`"`) || strings.Contains(r.Body, waiting.Reason) {
			t.Errorf("%s: %d %s", header, r.Code, r.Body)
		}
	}
	if r := ask(t, f, "GET", "/livez", "Host: r1.example"); r.Code != 200 {
		t.Errorf("its own name: %d", r.Code)
	}

	waiting = Waiting{Reason: "the log is damaged: a batch is missing", Fault: "a batch is missing", Revision: 3, Retry: 29400 * time.Millisecond}
	if m, r := ask(t, f, "GET", "/readyz").json(t), ask(t, f, "GET", "/v1/status"); m["type"] != "/problems/damaged" || m["fault"] != waiting.Fault || m["head"] != nil || r.Header.Get("Retry-After") != "29" {
		t.Errorf("damaged: %v, %v", m, r.Header)
	}
	var health map[string]any
	if err := json.Unmarshal([]byte(ask(t, f, "GET", "/health").Body), &health); err != nil || health["status"] != "damaged" {
		t.Errorf("health: %v, %v", health, err)
	}
	waiting.Outdated, waiting.Fault = true, "upgrade it"
	if m := ask(t, f, "GET", "/readyz").json(t); m["type"] != "/problems/outdated" || m["fault"] != "upgrade it" {
		t.Errorf("outdated: %v", m)
	}
	if err := json.Unmarshal([]byte(ask(t, f, "GET", "/health").Body), &health); err != nil || health["status"] != "outdated" {
		t.Errorf("outdated: %v %v", health, err)
	}

	f.Open(a.server.Handler())
	if r := ask(t, f, "GET", "/readyz"); r.Code != 200 {
		t.Errorf("open: %d %s", r.Code, r.Body)
	}
	if r := ask(t, f, "POST", "/routes", "Content-Type: application/json"); r.Code != 201 || a.revision() != eventlog.Revision(2) {
		t.Errorf("open: %d %s", r.Code, r.Body)
	}
}

// somePages serve / alone.
type somePages struct{}

func (somePages) Serve(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/" || r.Method != http.MethodGet {
		return false
	}
	_, _ = io.WriteString(w, "page")
	return true
}

// TestFrontPages: pages are there from the first moment on, also by a link from
// another site, and never under a foreign name.
func TestFrontPages(t *testing.T) {
	a := newAPI(t)
	f := NewFront(FrontConfig{Node: a.node, Waiting: func() Waiting { return Waiting{Reason: "starting"} }, Pages: somePages{}})
	for range 2 {
		for _, header := range []string{"", "Sec-Fetch-Site: cross-site"} {
			if r := ask(t, f, "GET", "/", header); r.Code != 200 || r.Body != "page" {
				t.Errorf("%s: %d %s", header, r.Code, r.Body)
			}
		}
		if r := ask(t, f, "GET", "/", "Host: evil.example"); r.Code != 403 || r.Body == "page" {
			t.Errorf("a foreign host: %d %s", r.Code, r.Body)
		}
		if r := ask(t, f, "POST", "/"); r.Code == 200 {
			t.Errorf("POST: %d %s", r.Code, r.Body)
		}
		if r := ask(t, f, "GET", "/livez"); r.Code != 200 || r.Body == "page" {
			t.Errorf("/livez: %d %s", r.Code, r.Body)
		}
		f.Open(New(Config{Service: a.svc, Node: a.node, Version: "v1"}).Handler())
	}
}
