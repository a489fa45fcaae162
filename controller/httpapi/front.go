package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dvr/controller/certs"
	"dvr/controller/gate"
	"dvr/eventlog"
)

// Waiting is why a node does not serve yet.
type Waiting struct {
	// Reason is the sentence that every refused call is answered with.
	Reason string
	// Fault is the damage that keeps the node from serving; empty while the
	// start takes its course.
	Fault string
	// Outdated: no damage, but a log that only a newer program reads.
	Outdated bool
	Revision eventlog.Revision // folded so far
	Head     eventlog.Revision // of the log; 0: not known yet
	// Retry is when it is worth to ask again; at least a second is told.
	Retry time.Duration
}

// FrontConfig of a Front.
type FrontConfig struct {
	// Node tells of the node; what its store would have to tell may be missing. It
	// is asked by every call before Open.
	Node Node
	// Waiting is asked likewise.
	Waiting func() Waiting
	// Hosts are as in Config.
	Hosts   []string
	Version string
	Logger  *zap.Logger // nil: none
	Pages   Pages       // nil: none
	// TLS of the listener; nil: clear text.
	TLS *certs.Credentials
	// Admit refuses a request for who sends it; it is not asked for Pages. nil: nobody is refused.
	Admit func(*http.Request) error
	// Strangers bounds what is spent on whom Admit does not know; nil: nothing does.
	Strangers *gate.Sources
	// Refusals keeps whom Admit refused; nil: nothing does.
	Refusals *Refusals
}

// Pages are files that need no node, such as the dashboard.
type Pages interface {
	// Serve answers a request for one of them and reports whether it was one.
	Serve(w http.ResponseWriter, r *http.Request) bool
}

// Front is the node's HTTP listener. It answers from the node's first moment
// on: probes and the version by itself, everything else with 503 and what is
// waited for, until Open puts the API in its place. Serve may be called once.
type Front struct {
	config  FrontConfig
	hosts   *gate.Hosts
	api     atomic.Pointer[http.Handler]
	http    *http.Server
	writing time.Duration // limit of one write
}

// NewFront makes a front that waits.
func NewFront(c FrontConfig) *Front {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	f := &Front{config: c, hosts: newHosts(c.Hosts), writing: writeLimit}
	f.http = &http.Server{
		Handler:           f,
		ConnContext:       withConnection,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute, // a slow body holds no handler for longer; imports set their own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          log.New(complaints{c.Logger.Named("http")}, "", 0),
	}
	return f
}

// Open makes api answer every call that comes from now on.
func (f *Front) Open(api http.Handler) { f.api.Store(&api) }

// OnShutdown has end called when Shutdown begins.
func (f *Front) OnShutdown(end func()) { f.http.RegisterOnShutdown(end) }

// Serve answers on l until Shutdown.
func (f *Front) Serve(l net.Listener) error {
	if c := f.config.TLS; c != nil {
		l = tls.NewListener(c.Listen(l), c.Server(true, []string{"http/1.1"}, certs.Operator, certs.Node))
	}
	if err := f.http.Serve(&listener{l, f.writing}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// Shutdown waits for calls in progress until ctx ends, then cuts them.
func (f *Front) Shutdown(ctx context.Context) error {
	if err := f.http.Shutdown(ctx); err != nil {
		_ = f.http.Close()
		return fmt.Errorf("stop HTTP: %w", err)
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secured(r)
	if f.config.Pages != nil && r.Method != http.MethodPost && f.hosts.AdmitHost(r) == nil && f.config.Pages.Serve(w, r) {
		return
	}
	var stranger error
	if f.config.Admit != nil {
		if stranger = f.config.Admit(r); stranger != nil {
			stranger = unheard(f.config.Strangers, r, stranger)
			f.config.Refusals.note(r, unclassified, stranger)
		}
	}
	if api := f.api.Load(); api != nil && stranger == nil {
		(*api).ServeHTTP(w, r)
		return
	}
	b := getBuffer()
	defer putBuffer(b)
	status, contentType := f.answer(b, w.Header(), r, stranger)
	w.Header()["Content-Type"] = contentType
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(b.b, '\n'))
	}
}

// answer is what is said before Open, and at any time to a stranger.
func (f *Front) answer(b *buffer, h http.Header, r *http.Request, stranger error) (int, []string) {
	err := f.hosts.Admit(r)
	if err == nil {
		err = stranger
	}
	if err != nil {
		row, field := rowOf(err)
		if row.retry > 0 {
			h.Set("Retry-After", strconv.Itoa(row.retry))
		}
		o := b.object()
		o.problem(row, err.Error(), r.URL.Path)
		o.optional("field", field)
		o.end()
		return row.status, problemType
	}
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	if get {
		switch r.URL.Path {
		case "/livez":
			alive(b)
			return http.StatusOK, jsonType
		case "/version":
			versions(b, f.config.Version)
			return http.StatusOK, jsonType
		}
	}
	n, waiting := f.config.Node.Status(), f.config.Waiting()
	h.Set("Retry-After", strconv.FormatInt(int64(max(waiting.Retry, time.Second).Round(time.Second)/time.Second), 10))
	o := b.object()
	if get && r.URL.Path == "/health" {
		status := "starting"
		if waiting.Fault != "" {
			status = "damaged"
		}
		if waiting.Outdated {
			status = "outdated"
		}
		o.str("status", status)
		o.str("raft_state", n.RaftState)
		o.str("node_id", n.NodeID)
		o.uint("revision", uint64(waiting.Revision))
		o.str("reason", waiting.Reason)
		o.end()
		return http.StatusServiceUnavailable, jsonType
	}
	row := kind{status: http.StatusServiceUnavailable, slug: "starting", title: "The node is starting"}
	if waiting.Fault != "" {
		row.slug, row.title = "damaged", "The log is damaged"
	}
	if waiting.Outdated {
		row.slug, row.title = "outdated", "The log needs a newer program"
	}
	o.problem(row, waiting.Reason, r.URL.Path)
	o.str("node_id", n.NodeID)
	o.str("version", f.config.Version)
	o.str("raft_state", n.RaftState)
	o.bool("quorum", n.Quorum)
	o.time("since", n.Started)
	o.uint("revision", uint64(waiting.Revision))
	if waiting.Head > 0 {
		o.uint("head", uint64(waiting.Head))
	}
	o.optional("fault", waiting.Fault)
	nodeAddresses(o, n)
	o.end()
	return row.status, problemType
}

// complaints are what net/http writes of connections: one text, so that a logger
// can spare those of a flood.
type complaints struct{ log *zap.Logger }

func (c complaints) Write(p []byte) (int, error) {
	c.log.Info("of a connection", zap.String("what", strings.TrimSpace(string(p))))
	return len(p), nil
}
