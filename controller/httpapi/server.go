package httpapi

import (
	"encoding/hex"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"dvr/controller/auth"
	"dvr/controller/cluster"
	"dvr/controller/gate"
	"dvr/controller/service"
	"dvr/controller/tracing"
	"dvr/eventlog"
)

// Node is what the API tells of the node beyond the service.
type Node interface {
	// Status is cheap; it is asked by every probe.
	Status() NodeStatus
}

// NodeStatus describes the node and its store.
type NodeStatus struct {
	NodeID    string
	RaftState string // Leader, Follower, Learner, Candidate, Shutdown; External with an external etcd
	Quorum    bool
	Term      uint64
	Committed uint64 // Raft index
	Applied   uint64
	Peers     int // other voters
	Leader    string
	Etcd      string // embedded or external
	DBSize    int64
	Quota     int64
	API, FIB  string // advertised
	Raft      string
	Client    string // of the embedded etcd, for reading the log
	Started   time.Time
	KVQuota   int64          // bytes that keys and values may take together
	Archive   *ArchiveStatus // nil: nothing is archived
	Backup    *BackupStatus  // nil: none are made by themselves
	Alarms    []Alarm        // what somebody has to care for
	Security  Security
}

// Security is how the node's ports are protected.
type Security struct {
	// Transport is "tls", "loopback" (clear text that does not leave the machine)
	// or "insecure" (clear text beyond it, as was asked for).
	Transport string
	// Expires and AuthorityExpires are when the node's certificate and its
	// authority's end; zero in clear text.
	Expires, AuthorityExpires time.Time
	// Alarm says what of these ends soon and what to do; empty: nothing.
	Alarm string
}

// Alarm is something that somebody has to care for, and how; its name is one of alarmNames.
type Alarm = cluster.Alarm

// The alarms that there are.
const (
	AlarmDiskFull    = "disk_full"
	AlarmStoreFull   = "store_full"
	AlarmKeysFull    = "keys_full"
	AlarmDiskSlow    = "disk_slow"
	AlarmClock       = "clock"
	AlarmCertificate = "certificate"
	AlarmArchive     = "archive"
	AlarmBackup      = "backup"
)

var alarmNames = []string{AlarmDiskFull, AlarmStoreFull, AlarmKeysFull, AlarmDiskSlow, AlarmClock, AlarmCertificate, AlarmArchive, AlarmBackup}

// BackupStatus describes the backups that the node makes by itself.
type BackupStatus struct {
	Directory string
	Every     time.Duration
	Keep      int
	Good      int               // that can be restored
	Revision  eventlog.Revision // of the newest of these; 0: there is none
	Made      time.Time         // when it was
	Since     time.Time         // when the node began to make them
	Problem   string            // why the last one could not be made, or which files are damaged; empty: neither
}

// ArchiveStatus describes the archive that the node writes to and reads.
type ArchiveStatus struct {
	Directory   string
	First, Last eventlog.Revision // of the newest history without a gap; 0: there is none
	Problem     string            // why it cannot be written or read; empty: it can
}

// Config of a Server.
type Config struct {
	Service *service.Service
	Node    Node
	Cluster Cluster // nil with an external etcd
	// Hosts are the names and addresses beside loopback that requests may be
	// addressed to, without port.
	Hosts   []string
	Version string
	Logger  *zap.Logger // nil: none
	Metrics *Metrics    // nil: a fresh one
	// Auth says whose credentials are; nil: tokens alone are known.
	Auth *auth.Authenticator
	// RateLimit is how many calls a second an authenticated actor may make; 0: any.
	RateLimit float64
	// Strangers bounds what is spent on callers whom nobody knows; nil: nothing does.
	Strangers *gate.Sources
	// Refusals keeps what was refused; nil: in memory alone.
	Refusals *Refusals
	// Trace makes the traces of calls; nil: tracing is off.
	Trace *tracing.Tracer
}

// Server is the HTTP API; a Front listens for it.
type Server struct {
	service *service.Service
	node    Node
	cluster Cluster
	hosts   *gate.Hosts
	version string
	log     *zap.Logger
	metrics *Metrics
	echo    *echo.Echo
	prefix  atomic.Pointer[positionPrefix]
	bodies  budget
	auth    *auth.Authenticator
	refused *Refusals
	trace   *tracing.Tracer

	rateLimit float64
	rates     *gate.Rates[string] // of actors; nil: any
	strangers *gate.Sources

	rendered   renderings
	planesSeen sampler
	nodesSeen  sampler

	watchers  atomic.Int64
	watching  shares        // by actor
	heartbeat time.Duration // the longest silence of a watch
	stopping  chan struct{} // closed by EndWatches
	end       func()
}

// positionPrefix is the part of DVR-Position that rarely changes.
type positionPrefix struct {
	logID string
	epoch uint64
	text  string
}

// Headers of ours, in canonical form.
const (
	headerPosition = "Dvr-Position"
	headerStale    = "Dvr-Stale"
	headerReplayed = "Dvr-Replayed"
	headerCursor   = "Dvr-Next-Cursor"
)

// Values that are set without allocation; never changed.
var (
	jsonType    = []string{"application/json"}
	ndjsonType  = []string{"application/x-ndjson"}
	octetType   = []string{"application/octet-stream"}
	problemType = []string{"application/problem+json"}
	yes         = []string{"true"}
)

// New makes the server and its routes.
func New(c Config) *Server {
	s := &Server{service: c.Service, node: c.Node, cluster: c.Cluster, version: c.Version, log: c.Logger, metrics: c.Metrics, hosts: newHosts(c.Hosts), heartbeat: heartbeat, stopping: make(chan struct{})}
	s.end = sync.OnceFunc(func() { close(s.stopping) })
	s.bodies.left.Store(bodyBudget)
	s.auth, s.refused, s.trace = authenticator(&c), c.Refusals, c.Trace
	s.rateLimit, s.rates, s.strangers = c.RateLimit, gate.NewRates[string](c.RateLimit, int(2*c.RateLimit), maxLimited), c.Strangers
	if s.refused == nil {
		s.refused = NewRefusals("")
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.metrics == nil {
		s.metrics = NewMetrics(c.Service, c.Node)
	}
	s.metrics.watchers = s.watchers.Load
	s.echo = echo.New()
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = func(err error, c echo.Context) {
		if !c.Response().Committed {
			if e := s.hosts.Admit(c.Request()); e != nil {
				err = e
			}
			s.problem(c, err)
		}
	}
	s.routes()
	return s
}

// Handler is the API as an http.Handler.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// serve admits OPTIONS, which echo answers by itself, as handlers admit theirs.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		if err := s.hosts.Admit(r); err != nil {
			s.problem(s.echo.NewContext(r, w), err)
			return
		}
		s.setPosition(w.Header(), s.service.Position())
	}
	s.echo.ServeHTTP(w, r)
}

// EndWatches ends the streams that would go on for ever, now and from now on.
func (s *Server) EndWatches() { s.end() }

// handler answers a call or returns the error to answer with.
type handler func(c echo.Context) error

// add registers a call, and HEAD beside GET.
func (s *Server) add(method, path string, h handler) {
	m := s.metrics.route(method, path)
	k := classes[method+" "+path]
	one := !strings.HasSuffix(path, "/import") // an import is many commits
	wrapped := func(c echo.Context) error {
		start := time.Now()
		var span *tracing.Span
		if s.trace.On() {
			span = s.traced(c, method, path)
		}
		err := s.guarded(c, k, h)
		if err != nil {
			err = unheard(s.strangers, c.Request(), err)
			s.refused.note(c.Request(), k, err)
		}
		if err != nil && !c.Response().Committed {
			s.problem(c, err)
		} else if err != nil {
			// The answer has begun: only cutting it tells the client.
			s.log.Warn("answer cut", logRequest(c, err)...)
			m.observe(499, time.Since(start), span.TraceID())
			span.Answer(499)
			panic(http.ErrAbortHandler)
		}
		took := time.Since(start)
		m.observe(c.Response().Status, took, span.TraceID())
		if one && c.Get(madeCommit) != nil {
			s.metrics.commits.Observe(took.Seconds())
		}
		span.Answer(c.Response().Status)
		return nil
	}
	s.echo.Add(method, path, wrapped)
	if method == http.MethodGet {
		s.echo.Add(http.MethodHead, path, wrapped)
	}
}

// traced begins the span of a call that changes something, or that comes with a
// trace; nil: it is not traced. Probes and pages of others are nobody's change.
func (s *Server) traced(c echo.Context, method, path string) *tracing.Span {
	r := c.Request()
	if (method == http.MethodGet || method == http.MethodHead) && len(r.Header["Traceparent"]) == 0 {
		return nil
	}
	ctx, span := s.trace.Request(r.Context(), r.Header, method+" "+path)
	if span != nil {
		c.SetRequest(r.WithContext(ctx))
	}
	return span
}

// guarded admits the request and turns a panic into an error.
func (s *Server) guarded(c echo.Context, k class, h handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.Error("panic in a handler", zap.Any("panic", p), zap.String("path", c.Request().URL.Path), zap.ByteString("stack", debug.Stack()))
			err = errPanic
		}
	}()
	if err := s.hosts.Admit(c.Request()); err != nil {
		return err
	}
	if err := s.admit(c.Request(), k); err != nil {
		return err
	}
	if (k == reads || k == administers) && authenticated(c.Request()) != "" {
		c.Response().Writer = &leashed{c.Response().Writer, s.leash(c.Request(), k)}
	}
	return h(c)
}

// setPosition puts DVR-Position.
func (s *Server) setPosition(h http.Header, p eventlog.Position) {
	cached := s.prefix.Load()
	if cached == nil || cached.epoch != p.Epoch || cached.logID != p.LogID {
		cached = &positionPrefix{p.LogID, p.Epoch, p.LogID + "/" + strconv.FormatUint(p.Epoch, 10) + "/"}
		s.prefix.Store(cached)
	}
	var b [96]byte
	h[headerPosition] = []string{string(strconv.AppendUint(append(b[:0], cached.text...), uint64(p.Revision), 10))}
}

func (s *Server) setView(h http.Header, v service.View) {
	s.setPosition(h, v.State.Position())
	if v.Stale {
		h[headerStale] = yes
	}
}

// etag is "<epoch>-<revision of the last change>-<hash of what is shown>".
func etag(t service.Tag, shown []byte) string {
	b := append(make([]byte, 0, 64), '"')
	b = append(strconv.AppendUint(b, t.Epoch, 10), '-')
	b = append(strconv.AppendUint(b, uint64(t.Revision), 10), '-')
	return string(append(hex.AppendEncode(b, shown), '"'))
}

// send answers with the JSON in b and a newline.
func send(c echo.Context, status int, b *buffer) error {
	b.b = append(b.b, '\n')
	w := c.Response()
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(b.b)
	return err
}

func logRequest(c echo.Context, err error) []zap.Field {
	r := c.Request()
	return []zap.Field{zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.String("source", source(r)), zap.Error(err)}
}

// source is the address of the peer without its port.
func source(r *http.Request) string {
	if i := strings.LastIndexByte(r.RemoteAddr, ':'); i > 0 {
		return strings.Trim(r.RemoteAddr[:i], "[]")
	}
	return r.RemoteAddr
}
