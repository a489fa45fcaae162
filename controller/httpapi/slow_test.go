package httpapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSlowImportIsCutAtItsTimeout: a body that stops coming ends at the call's
// own timeout with what was stored, not with the connection's.
func TestSlowImportIsCutAtItsTimeout(t *testing.T) {
	a := newAPI(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	f := a.front()
	go func() { done <- f.Serve(l) }()
	defer func() {
		_ = f.http.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	fmt.Fprintf(conn, "POST /v1/routes/import?timeout=300ms HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000000\r\n\r\n%s", l.Addr(), manyRoutes(1200))
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	told := answer{Body: string(text)}.json(t)
	if detail, _ := told["detail"].(string); err != nil || r.StatusCode != 408 || told["field"] != "body" || told["accepted"] != float64(1000) || told["last_revision"] != float64(2) ||
		!strings.Contains(detail, "body did not end in time") || !strings.Contains(detail, "1000 routes are stored") || !strings.Contains(detail, told["key"].(string)) {
		t.Errorf("%d %s, %v", r.StatusCode, text, err)
	}
	if a.revision() != 2 {
		t.Errorf("revision %d: the first thousand lines are a commit, the rest is none", a.revision())
	}
}

// pipes is a listener of connections without buffers: a write ends when it was read.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// TestStalledReaderIsCut: a client that stops reading in the middle of a
// stream or before a small answer loses its connection; one that reads on does
// not, however long the whole takes.
func TestStalledReaderIsCut(t *testing.T) {
	a := newAPI(t)
	a.importLines("/v1/routes/import", manyRoutes(3000))
	const limit = 300 * time.Millisecond
	f := a.front()
	f.writing = limit
	closed := make(chan net.Conn, 16)
	f.http.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- c
		}
	}
	p := newPipes()
	done := make(chan error, 1)
	go func() { done <- f.Serve(p) }()
	defer func() {
		_ = f.http.Close()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		target string
		read   int
	}{{"/routes", 50000}, {"/v1/routes?limit=3000", 50000}, {"/health", 0}, {"/nothing", 0}, {"/metrics", 10}} {
		conn := p.dial()
		_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", c.target)
		if _, err := io.ReadFull(conn, make([]byte, c.read)); err != nil {
			t.Errorf("GET %s: %v", c.target, err)
		}
		select {
		case <-closed:
		case <-time.After(2 * time.Minute):
			t.Errorf("GET %s: the connection of a stalled reader is still open", c.target)
		}
		_ = conn.Close()
	}
	// Slow is not stalled: each read comes in time, the whole takes longer than the limit.
	conn := p.dial()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	fmt.Fprintf(conn, "GET /v1/routes HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\nConnection: close\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReaderSize(&slow{conn, limit / 10}, 32<<10), nil)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	text, err := io.ReadAll(r.Body)
	if err != nil || strings.Count(string(text), "\n") != 3000 || time.Since(begun) < limit {
		t.Errorf("a slow reader: %d bytes in %s, %v", len(text), time.Since(begun), err)
	}
}

// slow waits before each read.
type slow struct {
	r     io.Reader
	pause time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(s.pause) // the slowness itself, nothing is awaited
	return s.r.Read(p)
}

// TestBodiesShareABudget: what calls in progress hold in memory is bounded;
// past the bound a call is refused at once, and what ended is given back.
func TestBodiesShareABudget(t *testing.T) {
	a := newAPI(t)
	refused := func(what string, r answer) {
		t.Helper()
		if r.Code != 429 || r.Header.Get("Retry-After") == "" || r.json(t)["type"] != "/problems/overloaded" {
			t.Errorf("%s: %d %s", what, r.Code, r.Body)
		}
	}
	const commit, put = `{"events":[{"kind":"router.set","router":"r1"}]}`, `{"next_hop":"192.0.2.1"}`
	const hold = bodyBudget - 20
	if err := a.server.bodies.take("", hold); err != nil {
		t.Fatal(err)
	}
	at := a.revision()
	refused("a commit", a.do("POST", "/v1/commits", commit))
	refused("candidates", a.do("PUT", "/routes/10.1.0.0/16", put))
	refused("an import", a.importLines("/v1/routes/import", manyRoutes(1)))
	refused("a body without length", a.send("POST", "/v1/commits", io.MultiReader(strings.NewReader(commit)), "Content-Type: application/json"))
	if a.revision() != at {
		t.Error("something was stored")
	}
	a.add("10.9.0.0/16", "192.0.2.1", 1) // small ones are not counted
	a.server.bodies.give("", hold)
	a.must("POST", "/v1/commits", commit)
	a.must("PUT", "/routes/10.1.0.0/16", put)
	if r := a.importLines("/v1/routes/import", manyRoutes(1)); r.Code != 200 {
		t.Errorf("an import: %d %s", r.Code, r.Body)
	}
	if r := a.do("PUT", "/routes/10.1.0.0/16", `{"next_hop":"192.0.2.1"`+strings.Repeat(" ", maxCandidatesBody)+`}`); r.Code != 413 {
		t.Errorf("more than a destination can need: %d", r.Code)
	}
	if left := a.server.bodies.left.Load(); left != bodyBudget {
		t.Errorf("%d bytes were not given back", bodyBudget-left)
	}
}

// TestSharesOfAnActor: one actor alone takes neither all room for bodies nor all
// watches from the others, and what ended is given back.
func TestSharesOfAnActor(t *testing.T) {
	a, k := enforced(t)
	oscar, root := k.as("oscar"), k.as("root")
	const commit = `{"events":[{"kind":"router.set","router":"r1"}]}`
	const hold = actorBudget - 20
	if err := a.server.bodies.take("oscar", hold); err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]answer{
		"a commit":  a.do("POST", "/v1/commits", commit, oscar),
		"an import": a.do("POST", "/v1/routes/import", manyRoutes(1), oscar, "Content-Type: application/x-ndjson"),
	} {
		if r.Code != 429 || r.Header.Get("Retry-After") == "" || !strings.Contains(r.Body, "of oscar alone") {
			t.Errorf("%s: %d %s", what, r.Code, r.Body)
		}
	}
	a.must("POST", "/v1/commits", commit, root)
	a.server.bodies.give("oscar", hold)
	a.must("POST", "/v1/commits", commit, oscar)
	if left := a.server.bodies.left.Load(); left != bodyBudget || len(a.server.bodies.actors.of) != 0 {
		t.Errorf("%d bytes were not given back, %v", bodyBudget-left, a.server.bodies.actors.of)
	}
	vera := k.as("vera")
	if !a.server.watching.take("vera", actorWatchers, actorWatchers) {
		t.Fatal("no room at the beginning")
	}
	if r := a.do("GET", "/v1/watch?timeout=1ms", "", vera); r.Code != 429 || !strings.Contains(r.Body, "of vera") {
		t.Errorf("one watch more: %d %s", r.Code, r.Body)
	}
	a.must("GET", "/v1/kv/watch?timeout=1ms", "", oscar)
	a.server.watching.give("vera", actorWatchers)
	a.must("GET", "/v1/watch?timeout=1ms", "", vera)
	if len(a.server.watching.of) != 0 || a.server.watchers.Load() != 0 {
		t.Errorf("%v, %d watches", a.server.watching.of, a.server.watchers.Load())
	}
}
