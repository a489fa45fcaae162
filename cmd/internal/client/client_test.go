package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// record is a node that answers with the given codes in turn, the last for ever.
type record struct {
	mu    sync.Mutex
	codes []int
	keys  []string
	actor string
	body  string
}

func (r *record) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, req.Header.Get("Idempotency-Key"))
	r.actor = req.Header.Get("X-DVR-Actor")
	b, _ := io.ReadAll(req.Body)
	r.body = string(b)
	code := r.codes[0]
	if len(r.codes) > 1 {
		r.codes = r.codes[1:]
	}
	w.WriteHeader(code)
	if code >= 400 {
		io.WriteString(w, `{"title":"t","detail":"said so","field":"metric","id":"x1"}`)
		return
	}
	io.WriteString(w, `{"revision":7}`)
}

func node(t *testing.T, codes ...int) (*record, string) {
	t.Helper()
	r := &record{codes: codes}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return r, s.URL
}

func dial(t *testing.T, endpoints ...string) *Client {
	t.Helper()
	c, err := New(endpoints, "alice")
	if err != nil {
		t.Fatal(err)
	}
	c.pause = time.Millisecond
	return c
}

func TestFailOverKeepsTheKey(t *testing.T) {
	for _, code := range []int{429, 503, 504} {
		a, urlA := node(t, code)
		b, urlB := node(t, 201)
		var out struct{ Revision int }
		answer, err := dial(t, urlA, urlB).Do(t.Context(), Call{Method: "POST", Path: "/routes", Body: []byte("{}")}, &out)
		if err != nil {
			t.Fatalf("%d: %v", code, err)
		}
		if out.Revision != 7 || answer.Endpoint != urlB || b.actor != "alice" || b.body != "{}" {
			t.Errorf("%d: got %+v from %s, actor %q, body %q", code, out, answer.Endpoint, b.actor, b.body)
		}
		if a.keys[0] == "" || a.keys[0] != b.keys[0] {
			t.Errorf("%d: keys %q and %q must be equal and not empty", code, a.keys, b.keys)
		}
	}
}

// TestARefusalInDoubt: where an attempt before may have been carried out, the
// refusal says so; one that was refused for its rate, or reached nobody, was not.
func TestARefusalInDoubt(t *testing.T) {
	for code, want := range map[int]bool{503: true, 504: true, 429: false, 0: false} {
		first := "http://127.0.0.1:1" // nothing listens there
		if code != 0 {
			_, first = node(t, code)
		}
		_, second := node(t, 409)
		_, err := dial(t, first, second).Do(t.Context(), Call{Method: "POST", Path: "/x"}, nil)
		var p *Problem
		if !errors.As(err, &p) || p.Status != 409 || p.Doubt != want {
			t.Errorf("after %d: %#v, in doubt %v", code, err, p != nil && p.Doubt)
		}
	}
}

func TestARefusalIsNotRetried(t *testing.T) {
	a, urlA := node(t, 400)
	b, urlB := node(t, 201)
	_, err := dial(t, urlA, urlB).Do(t.Context(), Call{Method: "POST", Path: "/routes"}, nil)
	var p *Problem
	if !errors.As(err, &p) || p.Status != 400 || p.Field != "metric" || p.Error() != "said so" {
		t.Fatalf("got %v", err)
	}
	if len(a.keys) != 1 || len(b.keys) != 0 {
		t.Errorf("%d and %d calls, want 1 and 0", len(a.keys), len(b.keys))
	}
}

func TestTheNodeThatAnsweredIsPreferred(t *testing.T) {
	a, urlA := node(t, 503)
	_, urlB := node(t, 200)
	c := dial(t, urlA, urlB)
	for range 3 {
		if _, err := c.Do(t.Context(), Call{Method: "GET", Path: "/health"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.keys) != 1 {
		t.Errorf("the failing node was asked %d times, want once", len(a.keys))
	}
	if a.keys[0] != "" {
		t.Error("a GET must not carry an idempotency key")
	}
}

func TestUntilTheDeadline(t *testing.T) {
	_, urlA := node(t, 503, 503, 503, 200)
	if _, err := dial(t, urlA).Do(t.Context(), Call{Method: "GET", Path: "/"}, nil); err != nil {
		t.Errorf("the fourth answer was good, got %v", err)
	}
	_, urlB := node(t, 503)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var p *Problem
	if _, err := dial(t, urlB).Do(ctx, Call{Method: "GET", Path: "/"}, nil); !errors.As(err, &p) && !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want the problem or unreachable", err)
	}
}

// A read that a node refused and then did not answer in time ends with the
// refusal; a change does not, for its last attempt may have been stored.
func TestTheRefusalBeforeTheDeadline(t *testing.T) {
	for method, refused := range map[string]bool{"GET": true, "POST": false} {
		first := true
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if first {
				first = false
				w.WriteHeader(503)
				return
			}
			_, _ = io.ReadAll(req.Body) // lets the server see that the client goes
			<-req.Context().Done()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := dial(t, s.URL).Do(ctx, Call{Method: method, Path: "/"}, nil)
		var p *Problem
		if errors.As(err, &p) != refused || errors.Is(err, ErrUnreachable) == refused {
			t.Errorf("%s: %v", method, err)
		}
		cancel()
		s.Close()
	}
}

// The answer of a node that is there says more than that another one is not,
// whichever was asked last; who waits is told why, and once.
func TestTheAnswerOfWhoAnswered(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, method := range []string{"GET", "POST"} {
		_, busy := node(t, 503)
		for _, endpoints := range [][]string{{gone.URL, busy}, {busy, gone.URL}} {
			c := dial(t, endpoints...)
			c.pause = 600 * time.Millisecond // no attempt is under way at the deadline: of a change it would be in doubt
			var told []string
			c.Waiting = func(why error, until time.Time) {
				told = append(told, why.Error())
				if left := time.Until(until); left <= 0 || left > time.Second {
					t.Errorf("%s: %s left", method, left)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 1700*time.Millisecond)
			_, err := c.Do(ctx, Call{Method: method, Path: "/"}, nil)
			cancel()
			var p *Problem
			if !errors.As(err, &p) || p.Detail != "said so" {
				t.Errorf("%s at %v: %v", method, endpoints, err)
			}
			if len(told) != 1 || told[0] != "said so" {
				t.Errorf("%s at %v: told %q", method, endpoints, told)
			}
		}
	}
}

// An answer that is no HTTP/1 is of another port than the API's.
func TestAnotherService(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00@\x00") // SETTINGS, as gRPC servers greet
			_, _ = conn.Read(make([]byte, 4096))
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	_, err = dial(t, l.Addr().String()).Do(t.Context(), Call{Method: "GET", Path: "/"}, nil)
	if !errors.Is(err, ErrOtherService) || !strings.Contains(err.Error(), "100 below") {
		t.Errorf("got %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	url := s.URL
	s.Close()
	if _, err := dial(t, url).Do(t.Context(), Call{Method: "GET", Path: "/"}, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	for _, bad := range []string{"", "ftp://x", "http://"} {
		if _, err := New([]string{bad}, ""); !errors.Is(err, ErrBadEndpoint) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	c, err := New([]string{":9090", "node-2:9091", "https://n3/", "localhost", "::1", "[fd00::1]", "http://n4"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.endpoints, " "); got != "http://127.0.0.1:9090 http://node-2:9091 https://n3 http://localhost:9090 http://[::1]:9090 http://[fd00::1]:9090 http://n4" {
		t.Error(got)
	}
}

func TestUpload(t *testing.T) {
	r, url := node(t, 200)
	var out struct{ Revision int }
	if _, err := dial(t, url).Upload(t.Context(), Call{Method: "POST", Path: "/v1/routes/import", IdempotencyKey: "k"}, strings.NewReader("a\nb\n"), &out); err != nil {
		t.Fatal(err)
	}
	if out.Revision != 7 || r.body != "a\nb\n" || r.keys[0] != "k" {
		t.Errorf("%+v %q %q", out, r.body, r.keys)
	}
}

// A node that takes a call and says nothing gets its share of the time only.
func TestASilentNodeDoesNotUseUpTheTime(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(release) })
	b, urlB := node(t, 201)
	c := dial(t, silent.URL, urlB)
	c.attempt = time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	answer, err := c.Do(ctx, Call{Method: "POST", Path: "/routes", Body: []byte("{}")}, nil)
	if err != nil || answer.Endpoint != urlB || len(b.keys) != 1 {
		t.Fatalf("%+v %v", answer, err)
	}
	// Without another node it has all the time there is.
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := dial(t, silent.URL).Do(ctx, Call{Method: "GET", Path: "/"}, nil); !errors.Is(err, ErrUnreachable) || errors.Is(err, errSilent) {
		t.Errorf("got %v", err)
	}
}

// A node that was told how long it may take, and lives, is waited for: what became
// of the change it alone can say.
func TestANodeThatWorksIsWaitedFor(t *testing.T) {
	for _, alive := range []bool{true, false} {
		var asked atomic.Int32
		twice := make(chan struct{}) // it was asked whether it lives
		working := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/livez" && alive {
				if asked.Add(1) == 2 {
					close(twice)
				}
				return
			}
			_, _ = io.ReadAll(r.Body) // else the end of the caller is not seen
			select {
			case <-twice:
				w.WriteHeader(202)
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(working.Close)
		_, other := node(t, 201)
		c := dial(t, working.URL, other)
		c.attempt = 20 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		answer, err := c.Do(ctx, Call{Method: "POST", Path: "/routes", Query: url.Values{"timeout": {"4s"}}, Body: []byte("{}")}, nil)
		cancel()
		if want := map[bool]int{true: 202, false: 201}[alive]; err != nil || answer.Status != want {
			t.Errorf("alive %v: %+v %v", alive, answer, err)
		}
	}
}

// What is read after the answer began is not cut by the attempt's limit.
func TestALongAnswerIsReadToItsEnd(t *testing.T) {
	more := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-more
		io.WriteString(w, "end")
	}))
	t.Cleanup(s.Close)
	_, other := node(t, 200)
	c := dial(t, s.URL, other)
	c.attempt = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	body, _, err := c.Stream(ctx, Call{Method: "GET", Path: "/v1/routes"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	close(more)
	if got, err := io.ReadAll(body); err != nil || string(got) != "end" {
		t.Errorf("%q %v", got, err)
	}
}

func TestRetryAfter(t *testing.T) {
	asked := 0
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(503)
	}))
	t.Cleanup(busy.Close)
	_, flaky := node(t, 503, 503, 503, 200)
	answer, err := dial(t, busy.URL, flaky).Do(t.Context(), Call{Method: "GET", Path: "/"}, nil)
	if err != nil || answer.Endpoint != flaky || asked != 1 {
		t.Errorf("%v: asked %d times within its minute", err, asked)
	}
	// It says that waiting for the deadline cannot help: the answer comes at once.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var p *Problem
	if _, err := dial(t, busy.URL).Do(ctx, Call{Method: "GET", Path: "/"}, nil); !errors.As(err, &p) || p.Status != 503 || ctx.Err() != nil {
		t.Errorf("got %v, deadline %v", err, ctx.Err())
	}
}

// An upload that can be read again goes to the next node whole, others do not.
func TestUploadElsewhere(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, test := range []struct {
		name string
		body io.Reader
		want int // calls of the good node
	}{
		{"seekable", strings.NewReader("xx12345"), 1},
		{"pipe", io.MultiReader(strings.NewReader("12345")), 0},
	} {
		full, urlFull := node(t, 503)
		good, urlGood := node(t, 200)
		if test.want > 0 { // it goes on from where it stood
			if _, err := io.CopyN(io.Discard, test.body, 2); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := dial(t, urlFull, gone.URL, urlGood).Upload(t.Context(), Call{Method: "POST", Path: "/v1/routes/import", IdempotencyKey: "k"}, test.body, nil)
		if len(full.keys) != 1 || len(good.keys) != test.want {
			t.Errorf("%s: %d and %d calls", test.name, len(full.keys), len(good.keys))
		}
		var p *Problem
		if test.want == 0 {
			if !errors.As(err, &p) || p.Status != 503 || !strings.Contains(string(p.Body), "said so") {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || answer.Endpoint != urlGood || good.body != "12345" || good.keys[0] != "k" {
			t.Errorf("%s: %+v %v %q %q", test.name, answer, err, good.body, good.keys)
		}
	}
	refusing, urlRefusing := node(t, 400)
	good, urlGood := node(t, 200)
	if _, err := dial(t, urlRefusing, urlGood).Upload(t.Context(), Call{Method: "POST"}, strings.NewReader("1"), nil); err == nil || len(refusing.keys) != 1 || len(good.keys) != 0 {
		t.Errorf("a refusal: %v, %d and %d calls", err, len(refusing.keys), len(good.keys))
	}
}

// TestTransportSendsNothingTwice: a change whose connection broke is sent again
// by the client, which knows then that it was sent, and by nobody else.
func TestTransportSendsNothingTwice(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int32
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if taken.Add(1) == 1 {
			io.WriteString(w, `{"revision":7}`) // the connection is kept for the next
			return
		}
		_ = l.Close() // whoever comes again is turned away
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			c.Close()
		}
	})}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	c := dial(t, "http://"+l.Addr().String())
	call := Call{Method: "POST", Path: "/routes", Body: []byte(`{}`), IdempotencyKey: "k"}
	resp, err := c.try(t.Context(), c.endpoints[0], call, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := finish(resp, c.endpoints[0], nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.try(t.Context(), c.endpoints[0], call, 0); err == nil || Unsent(err) || taken.Load() != 2 {
		t.Errorf("%d attempts, and what was sent counts as unsent: %v", taken.Load(), err)
	}
}

// TestNobodyListens: where every endpoint refuses the connection a call ends
// within its patience, and names each; without one it goes on, as a node may be
// starting, until its context ends.
func TestNobodyListens(t *testing.T) {
	var dead []string
	for range 3 {
		s := httptest.NewServer(nil)
		dead = append(dead, s.URL)
		s.Close()
	}
	named := func(err error) bool {
		for _, e := range dead {
			if err == nil || !strings.Contains(err.Error(), e+": connection refused") {
				return false
			}
		}
		return errors.Is(err, ErrUnreachable) && !strings.Contains(err.Error(), "\n")
	}
	for _, method := range []string{"GET", "POST"} {
		c := dial(t, dead...)
		c.Patience = 20 * time.Millisecond
		c.Waiting = func(why error, _ time.Time) { t.Errorf("told to wait: %v", why) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if _, err := c.Do(ctx, Call{Method: method, Path: "/routes"}, nil); !named(err) || ctx.Err() != nil {
			t.Errorf("%s: %v, context %v", method, err, ctx.Err())
		}
		cancel()
	}
	c := dial(t, dead...)
	const patience = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	// It may end a little before its context, when that leaves no time for a try.
	if _, err := c.Do(ctx, Call{Method: "GET", Path: "/"}, nil); !named(err) || time.Since(began) < patience/2 {
		t.Errorf("without patience: %v after %s", err, time.Since(began))
	}
	// One that is there and not ready is waited for.
	busy, urlBusy := node(t, 503, 503, 503, 200)
	c = dial(t, append(dead, urlBusy)...)
	c.Patience = time.Nanosecond
	if _, err := c.Do(t.Context(), Call{Method: "GET", Path: "/"}, nil); err != nil || len(busy.keys) != 4 {
		t.Errorf("beside a node that starts: %v after %d calls", err, len(busy.keys))
	}
}
