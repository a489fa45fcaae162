package httpapi

import (
	"net/http"
	"slices"
	"sort"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dvr/controller/service"
)

// Metrics is the node's own registry: HTTP, appender, log, data planes, state, Go.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	commits  prometheus.Histogram
	page     http.Handler
	options  promhttp.HandlerOpts
	watchers func() int64 // set by the Server
}

// NewMetrics registers everything that is told of the service and the node.
func NewMetrics(s *service.Service, n Node) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dvr_http_requests_total", Help: "Calls answered."}, []string{"method", "route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dvr_http_request_seconds", Help: "Time to answer a call.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route"}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dvr_commit_seconds", Help: "Time to answer a call that made a commit, imports apart; neither previews nor refusals nor repetitions.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.commits,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&stateCollector{s, n, m})
	m.page = promhttp.HandlerFor(m.registry, m.options)
	return m
}

// ShowExemplars answers in OpenMetrics who asks for it, which alone has the traces
// of samples. It must come before the page is served, and before Beside.
func (m *Metrics) ShowExemplars() {
	m.options.EnableOpenMetrics = true
	m.page = promhttp.HandlerFor(m.registry, m.options)
}

// Add adds what other parts of the node measure. It must come before the page
// is served; it panics where two have one name.
func (m *Metrics) Add(list ...prometheus.Collector) { m.registry.MustRegister(list...) }

// Beside shows what g gathers after the node's own; at most one. It
// must come before the page is served.
func (m *Metrics) Beside(g prometheus.Gatherer) {
	m.page = promhttp.HandlerFor(prometheus.Gatherers{m.registry, g}, m.options)
}

// routeMetrics are the series of one call, found once and not per request.
type routeMetrics struct {
	requests *prometheus.CounterVec
	duration prometheus.Observer
	byCode   [600]atomic.Pointer[prometheus.Counter]
}

func (m *Metrics) route(method, path string) *routeMetrics {
	return &routeMetrics{
		requests: m.requests.MustCurryWith(prometheus.Labels{"method": method, "route": path}),
		duration: m.duration.WithLabelValues(method, path),
	}
}

// observe counts a call; trace, where it has one, becomes the exemplar of its time.
func (r *routeMetrics) observe(code int, d time.Duration, trace string) {
	if code < 0 || code >= len(r.byCode) {
		code = 0
	}
	c := r.byCode[code].Load()
	if c == nil {
		found := r.requests.WithLabelValues(strconv.Itoa(code))
		c = &found
		r.byCode[code].Store(c)
	}
	(*c).Inc()
	if trace != "" {
		r.duration.(prometheus.ExemplarObserver).ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": trace})
		return
	}
	r.duration.Observe(d.Seconds())
}

func (s *Server) metricsPage(c echo.Context) error {
	if err := s.plain(c); err != nil {
		return err
	}
	s.metrics.page.ServeHTTP(c.Response(), c.Request())
	return nil
}

// stateCollector reads the service and the node when it is scraped.
type stateCollector struct {
	service *service.Service
	node    Node
	metrics *Metrics
}

func (s *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range described {
		ch <- d
	}
}

var described = func() map[string]*prometheus.Desc {
	m := map[string]*prometheus.Desc{}
	add := func(name, help string, labels ...string) {
		m[name] = prometheus.NewDesc("dvr_"+name, help, labels, nil)
	}
	add("revision", "Revision of the newest state of this node.")
	add("epoch", "Epoch of the log.")
	add("destinations", "Destinations in the state.", "family")
	add("routes", "Candidates in the state.")
	add("classes", "Path classes in the state.")
	add("routers", "Routers known to the state.")
	add("links", "Links in the state.")
	add("kv_keys", "Keys in the key-value store.")
	add("kv_bytes", "Bytes of the keys and values in the key-value store.")
	add("kv_quota_bytes", "Bytes at which the key-value store refuses to grow.")
	add("archive_revision", "Newest revision that is archived; of nodes with ARCHIVE_DIR.")
	add("archive_problem", "1 while the archive cannot be written, or not be read as far back as it goes.")
	add("backup_age_seconds", "Age of the newest backup that the node made by itself, or since when there is none; of nodes with BACKUP_DIR.")
	add("backup_interval_seconds", "BACKUP_INTERVAL.")
	add("backup_good", "Backups in BACKUP_DIR that can be restored.")
	add("backup_problem", "1 while a backup cannot be made, or one in BACKUP_DIR is damaged.")
	add("alarm", "1 while the alarm is raised: alarms of /v1/status says what it is and what to do.", "alarm")
	add("kv_watchers", "Watches of keys that are in progress on this node.")
	add("idempotency_window_commits", "Commits whose ids are remembered.")
	add("appended_batches_total", "Batches appended by this node.")
	add("appended_commits_total", "Commits appended by this node.")
	add("appended_bytes_total", "Bytes appended by this node.")
	add("requests_refused_total", "Requests that the appender refused.")
	add("requests_replayed_total", "Requests answered from the idempotency window.")
	add("requests_busy_total", "Requests refused for back pressure.")
	add("head_moved_total", "Batches that another node's came before.")
	add("no_space_total", "Batches refused by a full store.")
	add("followed_batches_total", "Batches of other nodes that were folded as they came.")
	add("folded_batches_total", "Batches that were folded, at the start or later, by whomever appended.")
	add("folded_bytes_total", "Bytes of log that were folded, at the start or later.")
	add("queued_requests", "Requests accepted and not yet answered.")
	add("queued_bytes", "Bytes of requests accepted and not yet answered.")
	add("folding", "1 while this node folds the log.")
	add("quorum", "1 while there is a quorum.")
	add("leader", "1 while this node leads.")
	add("insecure", "1 where the node's ports are in clear text beyond the machine.")
	add("certificate_expiry_days", "Days until the certificate of this node, and of its authority, ends; less than 0 after.", "certificate")
	add("raft_term", "Raft term.")
	add("raft_commit_index", "Raft commit index.")
	add("raft_applied_index", "Raft applied index.")
	add("store_bytes", "Size of the log's store.")
	add("store_quota_bytes", "Size at which the store refuses writes.")
	add("dataplane_connected", "1 while the router's data plane is connected.", "router")
	add("dataplane_lag_revisions", "Revisions that the data plane lacks.", "router")
	add("dataplane_failed_prefixes", "Prefixes that the data plane could not install.", "router")
	add("dataplane_digest_equal", "1 while what the data plane holds equals the controller's FIB.", "router")
	add("dataplane_deviates", "1 while the data plane forwards without a next hop that cannot be used for now.", "router")
	add("dataplane_sink_entries", "Prefixes that the sink has installed.", "router", "sink")
	add("dataplane_sink_failed_prefixes", "Prefixes that the sink could not install.", "router", "sink")
	add("dataplane_sink_repaired_total", "Prefixes that others had changed and the sink has set right.", "router", "sink")
	add("dataplane_resident_bytes", "Memory of the data plane's process.", "router")
	add("dataplane_events_total", "What the data plane has counted since it was started.", "router", "event")
	return m
}()

func (s *stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(name string, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(described[name], prometheus.GaugeValue, v, labels...)
	}
	count := func(name string, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(described[name], prometheus.CounterValue, float64(v), labels...)
	}
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	st := s.service.Status()
	gauge("revision", float64(st.Position.Revision))
	gauge("epoch", float64(st.Position.Epoch))
	gauge("destinations", float64(st.Stats.Destinations4), "ipv4")
	gauge("destinations", float64(st.Stats.Destinations6), "ipv6")
	gauge("routes", float64(st.Stats.Routes))
	gauge("classes", float64(st.Stats.Classes))
	gauge("routers", float64(st.Stats.Routers))
	gauge("links", float64(st.Stats.Links))
	gauge("kv_keys", float64(st.Stats.Keys))
	gauge("kv_bytes", float64(st.Stats.KeyBytes))
	if s.metrics.watchers != nil {
		gauge("kv_watchers", float64(s.metrics.watchers()))
	}
	gauge("idempotency_window_commits", float64(st.Window.Commits))
	a := st.Appender
	count("appended_batches_total", a.Batches)
	count("appended_commits_total", a.Commits)
	count("appended_bytes_total", a.Bytes)
	count("requests_refused_total", a.Refused)
	count("requests_replayed_total", a.Replayed)
	count("requests_busy_total", a.Busy)
	count("head_moved_total", a.HeadMoved)
	count("no_space_total", a.NoSpace)
	count("followed_batches_total", a.Followed)
	count("folded_batches_total", a.FoldedBatches)
	count("folded_bytes_total", a.FoldedBytes)
	gauge("queued_requests", float64(a.Queued))
	gauge("queued_bytes", float64(a.QueuedBytes))
	gauge("folding", flag(st.Fault == nil))
	n := s.node.Status()
	gauge("quorum", flag(n.Quorum))
	gauge("leader", flag(n.RaftState == "Leader"))
	gauge("insecure", flag(n.Security.Transport == "insecure"))
	if e := n.Security.Expires; !e.IsZero() {
		gauge("certificate_expiry_days", time.Until(e).Hours()/24, "node")
		gauge("certificate_expiry_days", time.Until(n.Security.AuthorityExpires).Hours()/24, "authority")
	}
	gauge("raft_term", float64(n.Term))
	gauge("raft_commit_index", float64(n.Committed))
	gauge("raft_applied_index", float64(n.Applied))
	gauge("store_bytes", float64(n.DBSize))
	gauge("store_quota_bytes", float64(n.Quota))
	gauge("kv_quota_bytes", float64(n.KVQuota))
	if a := n.Archive; a != nil {
		gauge("archive_revision", float64(a.Last))
		gauge("archive_problem", flag(a.Problem != ""))
	}
	if b := n.Backup; b != nil {
		since := b.Made
		if b.Good == 0 {
			since = b.Since
		}
		gauge("backup_age_seconds", time.Since(since).Seconds())
		gauge("backup_interval_seconds", b.Every.Seconds())
		gauge("backup_good", float64(b.Good))
		gauge("backup_problem", flag(b.Problem != ""))
	}
	for _, name := range alarmNames {
		gauge("alarm", flag(slices.ContainsFunc(n.Alarms, func(a Alarm) bool { return a.Name == name })), name)
	}
	for _, d := range s.service.DataPlanes() {
		r := string(d.Router)
		gauge("dataplane_connected", flag(d.Connected), r)
		gauge("dataplane_lag_revisions", float64(d.Lag), r)
		gauge("dataplane_failed_prefixes", float64(d.Failed), r)
		gauge("dataplane_digest_equal", flag(d.DigestEqual), r)
		gauge("dataplane_deviates", flag(d.Deviates), r)
		for _, k := range d.SinkStates {
			gauge("dataplane_sink_entries", float64(k.Entries), r, k.Name)
			gauge("dataplane_sink_failed_prefixes", float64(k.Failed), r, k.Name)
			count("dataplane_sink_repaired_total", int64(k.Repaired), r, k.Name)
		}
		for name, v := range d.Counters {
			if name == residentBytes {
				gauge("dataplane_resident_bytes", float64(v), r)
			} else {
				count("dataplane_events_total", int64(v), r, name)
			}
		}
	}
}

// residentBytes is the one counter of a data plane that may fall.
const residentBytes = "resident_bytes"

// counters puts a map in the order of its keys.
func counters(b *buffer, m map[string]uint64) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	o := b.object()
	for _, k := range keys {
		b.text(k)
		b.b = append(b.b, ':')
		b.num(m[k])
	}
	o.end()
	b.next()
}
