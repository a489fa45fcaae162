package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"dvr/controller/appender"
	"dvr/controller/fibstream"
	"dvr/controller/fibstream/fibtest"
	"dvr/controller/httpapi/openapi/openapitest"
	"dvr/controller/service"
	"dvr/eventlog"
	"dvr/eventlog/memlog"
	"dvr/projector"
)

const testLog = "6f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11"

// fakeNode is a Node whose status tests set.
type fakeNode struct{ status atomic.Pointer[NodeStatus] }

func (f *fakeNode) Status() NodeStatus { return *f.status.Load() }

// api is a whole node but for etcd: the log is in memory, everything else real.
type api struct {
	t      testing.TB
	log    *memlog.Log
	app    *appender.Appender
	planes *fibstream.Server
	svc    *service.Service
	server *Server
	node   *fakeNode
	nodes  *fakeCluster
	throne *throne
	quota  atomic.Int64 // of keys
}

// throne is an appender that tests leave without a leader.
type throne struct {
	service.LocalAppender
	why atomic.Pointer[service.UnledError] // nil: a node leads
}

func (o *throne) Unled() (since time.Time, why error) {
	if e := o.why.Load(); e != nil {
		return since, e
	}
	return since, nil
}

func (o *throne) Append(ctx context.Context, c service.Change) (service.Appended, error) {
	if e := o.why.Load(); e != nil {
		return service.Appended{ID: "id-1"}, e
	}
	return o.LocalAppender.Append(ctx, c)
}

func newAPI(t testing.TB) *api {
	t.Helper()
	a := openAPI(t)
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// close ends what openAPI began.
func (a *api) close() error {
	a.planes.Close()
	return a.app.Close()
}

// openAPI is newAPI for those that close it themselves.
func openAPI(t testing.TB) *api {
	t.Helper()
	a := &api{t: t, log: memlog.New(testLog), node: &fakeNode{}, nodes: &fakeCluster{}}
	a.node.status.Store(&NodeStatus{NodeID: "node-1", RaftState: "Leader", Quorum: true, Etcd: "embedded", Started: time.Unix(0, 0), Security: Security{Transport: "tls", Expires: time.Unix(4e9, 0), AuthorityExpires: time.Unix(5e9, 0), Alarm: "renew it"}})
	a.quota.Store(64 << 20)
	judge := func(st *projector.State, c *eventlog.Commit) error {
		return service.KeyQuota(a.quota.Load()).Judge(st, c)
	}
	var err error
	if a.app, err = appender.Open(context.Background(), a.log, appender.Options{Node: "node-1", ReadTimeout: time.Second, Judge: judge}); err != nil {
		t.Fatal(err)
	}
	a.planes = fibstream.New(a.app, fibstream.Options{Node: "node-1"})
	a.throne = &throne{LocalAppender: service.Writer(a.app)}
	a.svc = service.New(a.throne, service.Planes(a.planes, "node-1"), a.log)
	metrics := NewMetrics(a.svc, a.node)
	metrics.Add(append(a.app.Collectors(), a.planes.Collectors()...)...)
	a.server = New(Config{Service: a.svc, Metrics: metrics, Node: a.node, Cluster: a.nodes, Version: "test", Hosts: []string{"r1.example", "192.0.2.7"}})
	return a
}

// front listens for the API from the start.
func (a *api) front() *Front {
	f := NewFront(FrontConfig{Node: a.node})
	f.Open(a.server.Handler())
	return f
}

// answer is a response with its body read.
type answer struct {
	Code   int
	Header http.Header
	Body   string
}

// json decodes the body.
func (r answer) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.Body), &m); err != nil {
		t.Fatalf("%v in %d %q", err, r.Code, r.Body)
	}
	return m
}

// do sends a request; headers are "Name: value". A body of JSON gets its type.
func (a *api) do(method, target, body string, headers ...string) answer {
	a.t.Helper()
	return a.send(method, target, strings.NewReader(body), headers...)
}

func (a *api) send(method, target string, body io.Reader, headers ...string) answer {
	a.t.Helper()
	r := httptest.NewRequest(method, target, body)
	r.Host = "127.0.0.1:9090"
	if r.ContentLength > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch {
		case name == "Remote":
			r.RemoteAddr = value
		case name == "Host":
			r.Host = value
		case value == "":
			r.Header.Del(name)
		default:
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	var sent bytes.Buffer
	r.Body = io.NopCloser(io.TeeReader(r.Body, &sent))
	a.server.Handler().ServeHTTP(w, r)
	a.described(r, sent.Bytes(), w)
	return answer{w.Code, w.Header(), w.Body.String()}
}

var contract = sync.OnceValues(openapitest.Load)

// described holds an exchange of any test to the API's description.
func (a *api) described(r *http.Request, sent []byte, w *httptest.ResponseRecorder) {
	const most = 64 << 10 // larger ones are the same again
	if _, ok := a.t.(*testing.T); !ok || w.Body.Len() > most || len(sent) > most {
		return
	}
	a.t.Helper()
	c, err := contract()
	if err != nil {
		a.t.Fatal(err)
	}
	if r.Header.Get("Content-Encoding") != "" {
		sent = nil
	}
	if err := c.Check(openapitest.Exchange{Method: r.Method, URL: r.URL, Header: r.Header, Body: sent, Code: w.Code, Answer: w.Header(), Got: w.Body.Bytes()}); err != nil {
		a.t.Error(err)
	}
}

// must is do for a call that succeeds.
func (a *api) must(method, target, body string, headers ...string) answer {
	a.t.Helper()
	r := a.do(method, target, body, headers...)
	if r.Code/100 != 2 {
		a.t.Fatalf("%s %s %s: %d %s", method, target, body, r.Code, r.Body)
	}
	return r
}

func (a *api) add(destination, nextHop string, metric int) answer {
	a.t.Helper()
	return a.must("POST", "/routes", fmt.Sprintf(`{"destination":%q,"next_hop":%q,"metric":%d}`, destination, nextHop, metric))
}

func (a *api) revision() eventlog.Revision {
	a.t.Helper()
	h, err := a.log.Head(context.Background())
	if err != nil {
		a.t.Fatal(err)
	}
	return h.Revision
}

// connect subscribes a fake data plane and returns when it has the newest FIB.
func (a *api) connect(router string) *fibtest.Plane {
	p, run := a.attach(router)
	go func() { _ = run.Run() }()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := p.Await(ctx, func() bool { return p.Revision() >= uint64(a.revision()) }); err != nil {
		a.t.Fatal(err)
	}
	return p
}

// attach subscribes a fake data plane that does nothing until it is run.
func (a *api) attach(router string) (*fibtest.Plane, *fibtest.Stream) {
	a.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	g := grpc.NewServer(fibstream.ServerOptions()...)
	a.planes.Register(g)
	go func() { _ = g.Serve(l) }()
	a.t.Cleanup(g.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = conn.Close() })
	p := fibtest.NewPlane(router, "instance-"+router)
	s, err := p.Connect(context.Background(), conn, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(s.Cut)
	return p, s
}

func lines(list ...string) string { return strings.Join(list, "\n") + "\n" }

func (a *api) importLines(target, body string, headers ...string) answer {
	a.t.Helper()
	return a.send("POST", target, bytes.NewReader([]byte(body)), append([]string{"Content-Type: application/x-ndjson"}, headers...)...)
}
