package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"dvr/controller/appender"
	"dvr/eventlog"
)

// watched is a watch as an EventSource sees it.
type watched struct {
	t      *testing.T
	resp   *http.Response
	lines  *bufio.Reader
	lastID string // as the browser would send it
}

// sse is one dispatched event; data is decoded.
type sse struct {
	kind, id string
	data     map[string]any
}

// serve runs the API on a port until the test ends.
func (a *api) serve(adjust ...func(*Front)) string {
	a.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	f := a.front()
	f.OnShutdown(a.server.EndWatches)
	if len(adjust) > 0 {
		adjust[0](f)
	}
	done := make(chan error, 1)
	go func() { done <- f.Serve(l) }()
	a.t.Cleanup(func() {
		_ = f.http.Close()
		if err := <-done; err != nil {
			a.t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func watch(t *testing.T, address string, headers ...string) *watched {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-cache" {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	return &watched{t: t, resp: resp, lines: bufio.NewReader(resp.Body)}
}

// next is the next event that a browser would dispatch, or io.EOF. ids moved by
// heartbeats count as a browser counts them.
func (w *watched) next() (sse, error) {
	w.t.Helper()
	var e sse
	data := ""
	for {
		line, err := w.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
		case "id":
			e.id, w.lastID = value, value
		case "event":
			e.kind = value
		case "data":
			data = value
		case "":
			if value != "" || data == "" {
				if line == "\n" {
					e = sse{}
				}
				continue // a comment, or nothing to dispatch
			}
			if err := json.Unmarshal([]byte(data), &e.data); err != nil {
				w.t.Fatal(err)
			}
			return e, nil
		case "retry":
		default:
			w.t.Fatalf("line %q", line)
		}
	}
}

func (w *watched) must() sse {
	w.t.Helper()
	e, err := w.next()
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

func TestWatchKeys(t *testing.T) {
	a := newAPI(t)
	address := a.serve()
	a.put("a/0", "before")
	w := watch(t, address+"/v1/kv/watch?prefix=a/")
	if got := w.resp.Header.Get("DVR-Position"); got != testLog+"/1/2" {
		t.Errorf("it begins at %s", got)
	}
	a.put("a/1", "1\n2", "X-DVR-Actor: alice")
	a.put("b", "not here")
	a.must("POST", "/v1/commits", `{"reason":"both","events":[{"kind":"key.deleted","key":"a/0"},{"kind":"key.put","key":"a/2","value":"2"},{"kind":"key.put","key":"c","value":"2"}]}`)
	for i, want := range []struct{ kind, id, key, value, revision string }{
		{"put", testLog + "/1/3", "a/1", "1\n2", "3"}, {"delete", "", "a/0", "<nil>", "5"}, {"put", testLog + "/1/5", "a/2", "2", "5"},
	} {
		e := w.must()
		if e.kind != want.kind || e.id != want.id || e.data["key"] != want.key || fmt.Sprint(e.data["value"]) != want.value || fmt.Sprint(e.data["revision"]) != want.revision {
			t.Errorf("event %d: %+v, want %+v", i, e, want)
		}
		if i == 0 && (e.data["actor"] != "alice" || len(e.data["time"].(string)) != 24) {
			t.Errorf("%+v", e.data)
		}
	}
}

// TestWatchResumes: cut at any event, the id that a browser keeps gives the
// rest, a commit that was cut in the middle whole, and nothing is missed.
func TestWatchResumes(t *testing.T) {
	a := newAPI(t)
	address := a.serve()
	a.must("POST", "/v1/commits", `{"events":[{"kind":"key.put","key":"a","value":"1"},{"kind":"key.put","key":"b","value":"1"},{"kind":"key.put","key":"c","value":"1"}]}`)
	a.put("a", "2")
	a.must("POST", "/v1/commits", `{"events":[{"kind":"key.put","key":"a","value":"3"},{"kind":"key.deleted","key":"c"}]}`)
	var all []string
	text := func(e sse) string { return fmt.Sprint(e.data["revision"], e.kind, e.data["key"], e.data["value"]) }
	for w := watch(t, address+"/v1/kv/watch?after=1"); len(all) < 6; {
		all = append(all, text(w.must()))
	}
	whole := []int{0, 0, 0, 3, 4, 4} // events before the commit that the nth belongs to
	for cut := range 6 {
		w := watch(t, address+"/v1/kv/watch?after=1")
		for range cut {
			w.must()
		}
		again := watch(t, address+"/v1/kv/watch?after=1", "Last-Event-ID: "+w.lastID)
		for i := whole[cut]; i < len(all); i++ {
			if got := text(again.must()); got != all[i] {
				t.Errorf("cut after %d events: %s, want %s", cut, got, all[i])
			}
		}
	}
	w := watch(t, address+"/v1/kv/watch?after="+testLog+"/1/3")
	if got := text(w.must()); got != all[4] {
		t.Errorf("after a position: %s", got)
	}
}

func TestWatchRefuses(t *testing.T) {
	a := newAPI(t)
	for range 5 {
		a.put("a", fmt.Sprint(a.revision()))
	}
	for _, c := range []struct {
		target, id string
		code       int
	}{
		{"?after=7f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11/1/2", "", 409}, {"?after=" + testLog + "/0/2", "", 409},
		{"", "7f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11/1/2", 409}, {"", "x", 400}, {"", testLog + "/1/99", 400},
	} {
		if r := a.do("GET", "/v1/kv/watch"+c.target, "", "Last-Event-ID: "+c.id); r.Code != c.code {
			t.Errorf("%s %s: %d %s", c.target, c.id, r.Code, r.Body)
		}
	}
	a.truncate()
	for _, target := range []string{"/v1/kv/watch?after=3", "/v1/kv/history/a?before=3", "/kv/a?at=3", "/kv?at=3"} {
		if r := a.do("GET", target, ""); r.Code != 410 || !strings.Contains(r.Body, "the log begins at revision 7") && !strings.Contains(r.Body, "the oldest that can be rebuilt is 6") {
			t.Errorf("%s of a truncated log: %d %s", target, r.Code, r.Body)
		}
	}
	a.server.watchers.Store(maxWatchers)
	if r := a.do("GET", "/v1/kv/watch?timeout=1ms", ""); r.Code != 429 || r.Header.Get("Retry-After") == "" {
		t.Errorf("one watch too many: %d %s", r.Code, r.Body)
	}
	if n := a.server.watchers.Load(); n != maxWatchers {
		t.Errorf("%d watches are counted", n)
	}
	a.server.watchers.Store(0)
	a.log.Faults().Down(eventlog.ErrUnavailable)
	if r := a.do("GET", "/v1/kv/watch?consistency=linearizable&timeout=5ms", ""); r.Code != 503 {
		t.Errorf("without quorum: %d %s", r.Code, r.Body)
	}
}

// truncate cuts the log behind a snapshot of the newest state.
func (a *api) truncate() {
	a.t.Helper()
	st := a.app.State()
	ctx := context.Background()
	if _, err := a.log.WriteSnapshot(ctx, appender.Describe(st), st.Save); err != nil {
		a.t.Fatal(err)
	}
	if err := a.log.Truncate(ctx, st.Position().Revision+1); err != nil {
		a.t.Fatal(err)
	}
}

// TestWatchBeats: a silent watch lives, beyond the limit of reading a request,
// and its position moves on with the log.
func TestWatchBeats(t *testing.T) {
	a := newAPI(t)
	a.server.heartbeat = 20 * time.Millisecond
	w := watch(t, a.serve(func(f *Front) { f.http.ReadTimeout = 100 * time.Millisecond })+"/v1/kv/watch?prefix=a")
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	end := time.Now().Add(400 * time.Millisecond)
	for beats := 0; time.Now().Before(end) || beats == 0 || w.lastID != testLog+"/1/2"; {
		line, err := w.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("after %d heartbeats: %v", beats, err)
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			w.lastID = strings.TrimSpace(id)
		}
		if line == ": heartbeat\n" {
			beats++
		}
	}
	a.put("a", "1")
	if e := w.must(); e.data["key"] != "a" {
		t.Errorf("%+v", e)
	}
}

// TestWatchEndsWithTheServer: in order, at once, and no other call waits for it.
func TestWatchEndsWithTheServer(t *testing.T) {
	a := newAPI(t)
	var f *Front
	w := watch(t, a.serve(func(front *Front) { f = front })+"/v1/kv/watch")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := f.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if _, err := w.next(); err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
	if n := a.server.watchers.Load(); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

func TestWatchEndsAtItsTimeout(t *testing.T) {
	a := newAPI(t)
	a.put("a", "1")
	if all, begun := a.must("GET", "/v1/kv/watch?after=0&timeout=50ms", "").Body, a.must("GET", "/v1/kv/watch?timeout=5ms", "").Body; !strings.Contains(all, `"key":"a"`) || strings.Contains(begun, "data") {
		t.Errorf("from the beginning %q, from now %q", all, begun)
	}
	r := a.must("GET", "/v1/kv/watch?after=1&timeout=50ms", "")
	if want := "event: put\ndata: {\"key\":\"a\",\"value\":\"1\",\"revision\":2,"; !strings.Contains(r.Body, want) || !strings.HasPrefix(r.Body, "retry: 1000\nid: "+testLog+"/1/1\n: heartbeat\n\n") {
		t.Errorf("%q", r.Body)
	}
}

// TestSlowWatcherIsCut: who stops reading loses its watch; others do not wait for it.
func TestSlowWatcherIsCut(t *testing.T) {
	a := newAPI(t)
	f := a.front()
	f.writing = 200 * time.Millisecond
	p := newPipes()
	done := make(chan error, 1)
	go func() { done <- f.Serve(p) }()
	defer func() {
		_ = f.http.Close()
		<-done
	}()
	slow, quick := p.dial(), p.dial()
	for _, c := range []net.Conn{slow, quick} {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
		fmt.Fprint(c, "GET /v1/kv/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	// The slow one reads its head and no further.
	for _, c := range []net.Conn{slow, quick} {
		resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		if err != nil {
			t.Fatal(err)
		}
		if c == quick {
			go func() { _, _ = io.Copy(io.Discard, resp.Body) }()
		}
	}
	for end := time.Now().Add(2 * time.Minute); a.server.watchers.Load() > 1; {
		if time.Now().After(end) {
			t.Fatal("the slow watch is not cut")
		}
		a.put("a", strings.Repeat("x", 10000))
	}
	if n := a.server.watchers.Load(); n != 1 {
		t.Errorf("%d watches are left", n)
	}
}

func TestKeyHistory(t *testing.T) {
	a := newAPI(t)
	a.put("a/b", "1", "X-DVR-Actor: alice", "Idempotency-Key: k1")
	a.put("other", "x")
	a.must("PUT", "/kv/a/b?reason=better", body("2"))
	a.must("DELETE", "/kv/a/b", "")
	a.put("a/b", "3")
	a.put("other", "y")
	first := a.must("GET", "/v1/kv/history/a/b?limit=3", "")
	m := first.json(t)
	var got []string
	add := func(m map[string]any) {
		for _, c := range m["changes"].([]any) {
			c := c.(map[string]any)
			got = append(got, fmt.Sprint(c["revision"], " ", c["event"], " ", c["value"], " ", c["actor"], " ", c["reason"]))
		}
	}
	add(m)
	if m["next"] != float64(4) || first.Header.Get("DVR-Next-Cursor") != "4" || m["log_begins"] != float64(1) || m["revision"] != float64(7) || m["key"] != "a/b" {
		t.Errorf("%s", first.Body)
	}
	last := a.must("GET", "/v1/kv/history/a/b?limit=3&cursor=4", "").json(t)
	add(last)
	if want := "[6 put 3 anonymous <nil> 5 delete <nil> anonymous <nil> 4 put 2 anonymous better 2 put 1 alice <nil>]"; fmt.Sprint(got) != want || last["next"] != nil {
		t.Errorf("%s, want %s; %v", got, want, last["next"])
	}
	if c := last["changes"].([]any)[0].(map[string]any); c["id"] != "k1" || len(c["time"].(string)) != 24 {
		t.Errorf("%v", c)
	}
	if r := a.do("GET", "/v1/kv/history/never", ""); r.Code != 404 {
		t.Errorf("never there: %d %s", r.Code, r.Body)
	}
}

func TestKeysAtARevision(t *testing.T) {
	a := newAPI(t)
	a.put("a", "1") // 2
	a.put("b", "1") // 3
	a.must("DELETE", "/kv/a", "")
	a.put("b", "2") // 5
	a.put("c", "1") // 6
	for _, c := range []struct {
		target, want string
		code         int
	}{
		{"/kv/a?at=1", "", 404}, {"/kv/a?at=2", `{"key":"a","value":"1","modified":2,"revision":2}`, 200}, {"/kv/a?at=3", `{"key":"a","value":"1","modified":2,"revision":3}`, 200},
		{"/kv/a?at=4", "", 404}, {"/kv/b?at=4", `{"key":"b","value":"1","modified":3,"revision":4}`, 200}, {"/kv/b?at=5", `{"key":"b","value":"2","modified":5,"revision":5}`, 200},
		{"/kv/b?at=6", `{"key":"b","value":"2","modified":5,"revision":6}`, 200},
		{"/kv?at=1", `{}`, 200}, {"/kv?at=3", `{"a":"1","b":"1"}`, 200}, {"/kv?at=4", `{"b":"1"}`, 200}, {"/kv?at=6", `{"b":"2","c":"1"}`, 200},
		{"/kv?at=3&prefix=b", `{"b":"1"}`, 200},
	} {
		r := a.do("GET", c.target, "")
		if r.Code != c.code || c.code == 200 && r.Body != c.want+"\n" {
			t.Errorf("%s: %d %s", c.target, r.Code, r.Body)
		}
		at, _, _ := strings.Cut(c.target[strings.Index(c.target, "at=")+3:], "&")
		if got := r.Header.Get("DVR-Position"); got != testLog+"/1/"+at {
			t.Errorf("%s: position %s", c.target, got)
		}
	}
	// The version is the same, whenever it is asked for.
	if x, y := a.must("GET", "/kv/b?at=5", "").Header.Get("ETag"), a.must("GET", "/kv/b", "").Header.Get("ETag"); x != y {
		t.Errorf("ETags %s, %s", x, y)
	}
	page := a.must("GET", "/kv?at=3&limit=1", "")
	a.put("ab", "new")
	next := page.Header.Get("DVR-Next-Cursor")
	if r := a.must("GET", "/kv?at=3&limit=1&cursor="+next, ""); page.Body != "{\"a\":\"1\"}\n" || r.Body != "{\"b\":\"1\"}\n" || r.Header.Get("DVR-Next-Cursor") != "" {
		t.Errorf("%s then %s", page.Body, r.Body)
	}
}

// FuzzKeyPath: a path gives a key that is well formed and that its own
// canonical path gives again, or a field error.
func FuzzKeyPath(f *testing.F) {
	for _, s := range []string{"a", "a%2Fb", "a/b", "%25", "%252F", "ü", "..", "//", "", "%", "%zz", "%FF", "a%00", "?", "%3F"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI("/kv/" + path)
		if err != nil {
			return // net/http refuses it
		}
		key, err := pathKey(u, "/kv/")
		if err != nil {
			if _, ok := err.(*eventlog.FieldError); !ok {
				t.Fatalf("%q: %v is no field error", path, err)
			}
			return
		}
		if err := eventlog.CheckKey(key); err != nil {
			t.Fatalf("%q gives %q: %v", path, key, err)
		}
		again, err := url.ParseRequestURI(keyPath(key))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pathKey(again, "/kv/"); err != nil || got != key {
			t.Fatalf("%q gives %q, its path gives %q: %v", path, key, got, err)
		}
	})
}

// FuzzKeyBody: any bytes give a value that a key may have, as encoding/json
// reads it, or an error.
func FuzzKeyBody(f *testing.F) {
	for _, s := range []string{`{"value":"v"}`, `{"value":""}`, `{}`, `{"value":null}`, `{"value":"\u0061\ud83d\ude00"}`, `{"value":"x","value":"y"}`, `{"value":"\ud800"}`, "null"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		value, err := decodeKeyBody(raw)
		if err != nil {
			return
		}
		if value == "" || eventlog.CheckValue(value) != nil {
			t.Fatalf("%q gives %q", raw, value)
		}
		var want struct{ Value string }
		if err := json.Unmarshal(raw, &want); err != nil || want.Value != value {
			t.Fatalf("%q gives %q, encoding/json %q %v", raw, value, want.Value, err)
		}
		if again, err := decodeKeyBody([]byte(body(value))); err != nil || again != value {
			t.Fatalf("%q: %q comes back as %q %v", raw, value, again, err)
		}
	})
}
