package launcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dvr/controller/durable"
	"dvr/controller/gate"
)

// Options of Run.
type Options struct {
	DataDir string
	Listen  string // host:port of the control API; no host means loopback
	// Insecure admits a Listen beyond loopback: who reaches it controls the cluster.
	Insecure bool
	// TLS, of the first start, puts the cluster and the control API into mutual
	// TLS, with certificates of an authority in DataDir/certs. It stays so.
	TLS bool

	// Of the first start, which makes the configuration.
	Nodes                      int
	APIBase, APIStep, RaftBase int

	DataPlanes  bool
	Binary      string // dvr, absolute
	PlaneBinary string // dvr-dataplane, absolute; it must be there with DataPlanes only

	// AskPlane asks the data plane at host:port what it says of itself: "in sync",
	// "empty", or "stale: " and why; nil: they are not asked.
	AskPlane func(ctx context.Context, address string) (string, error) `json:"-"`

	Environ []string    `json:"-"` // what processes inherit, as os.Environ
	Out     io.Writer   `json:"-"` // gets where everything is; nil: none
	Logger  *zap.Logger `json:"-"` // nil: none
}

// drainHTTP is what calls in progress get when the launcher stops.
const drainHTTP = 2 * time.Second

// most is the number of nodes that one launcher runs.
const most = 64

// Launcher runs a cluster's nodes. Its operations are safe for concurrent use.
type Launcher struct {
	options   Options
	dir       string
	log       *zap.Logger
	refused   *zap.Logger // of calls, a few of many
	lock      *os.File
	nodes     *os.Root // <dir>/nodes: what is deleted is inside
	store     *store
	caller    *caller
	hosts     *gate.Hosts
	strangers *gate.Sources
	listener  net.Listener
	http      *http.Server

	certificates *certificates // nil: clear text

	ctx      context.Context // of supervision
	cancel   context.CancelFunc
	serving  context.Context // of event streams and logs that are followed
	silence  context.CancelFunc
	work     sync.WaitGroup
	streams  chan struct{} // one token a stream
	founding bool          // this start made the configuration

	mu      sync.Mutex
	managed map[string]*managed
	moved   chan struct{} // closed at the next change of anything that is shown
	leader  string        // as logged last
}

// managed is a configured node at run time.
type managed struct {
	id        string
	node      *supervisor
	plane     *supervisor // wants none without Options.DataPlanes, and ends what an earlier launcher left
	met       bool        // under Launcher.mu: its node was seen in the cluster, so that its data plane may take its log
	ending    bool        // likewise: its processes end for good
	poke      chan struct{}
	cancel    context.CancelFunc
	leaving   sync.Mutex // held by the one decommission
	observed  observation
	planeSays string // likewise: its data plane of itself; empty: nothing
}

// Run launches the cluster and serves until ctx ends; then it stops the nodes
// and itself. What cannot be started at all is an error; a node that does not
// stay up is retried and shown.
func Run(ctx context.Context, o Options) error {
	l, err := open(o)
	if err != nil {
		return err
	}
	return l.serve(ctx)
}

// serve is Run after open.
func (l *Launcher) serve(ctx context.Context) (err error) {
	failed := make(chan error, 1)
	l.begin()
	go func() { failed <- l.http.Serve(l.secured(&limited{l.listener, writeLimit})) }()
	l.announce()
	select {
	case <-ctx.Done():
		l.log.Info("stopping")
	case err = <-failed:
		err = fmt.Errorf("serve HTTP: %w", err)
	}
	return errors.Join(err, l.close())
}

// open takes the data directory and the port, and reads or makes the configuration.
func open(o Options) (_ *Launcher, err error) {
	l := &Launcher{options: o, log: o.Logger, managed: map[string]*managed{}, moved: make(chan struct{}), streams: make(chan struct{}, maxStreams), strangers: gate.NewSources(strangerLimit, nil)}
	if l.log == nil {
		l.log = zap.NewNop()
	}
	l.refused = l.log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, 10, 1000)
	}))
	defer func() {
		if err != nil {
			l.release()
		}
	}()
	if l.dir, err = filepath.Abs(o.DataDir); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err = os.MkdirAll(filepath.Join(l.dir, "nodes"), 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if l.lock, err = lockDirectory(l.dir); err != nil {
		return nil, err
	}
	if err = durable.Sweep(l.dir, configurationName); err != nil {
		return nil, err
	}
	if l.nodes, err = os.OpenRoot(filepath.Join(l.dir, "nodes")); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	known, err := readConfiguration(l.dir)
	if err != nil {
		return nil, err
	}
	if known != nil && o.TLS && !known.TLS {
		return nil, fmt.Errorf("--tls: the cluster in %s was made in clear text, which its Raft ports keep: restore a backup of it into a new cluster, or choose another --data-dir", l.dir)
	}
	if l.listener, err = listen(o.Listen, o.Insecure || o.TLS || known != nil && known.TLS); err != nil {
		return nil, err
	}
	if err = l.configure(); err != nil {
		return nil, err
	}
	if l.store.get().TLS {
		if l.certificates, err = openCertificates(l.dir, l.founding, l.listener, l.log); err != nil {
			return nil, err
		}
	}
	l.caller = newCaller(l.certificates)
	host, _, _ := net.SplitHostPort(l.listener.Addr().String())
	l.hosts = gate.NewHosts("the launcher answers to loopback and to the address of --listen", host)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.serving, l.silence = context.WithCancel(l.ctx)
	l.http = &http.Server{
		Handler: l.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 32 << 10, ErrorLog: zap.NewStdLog(l.log.Named("http")),
	}
	return l, nil
}

// lockDirectory keeps a second launcher out; the system drops the lock with the process.
func lockDirectory(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another launcher (process %s): stop it, or choose another --data-dir", dir, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

func listen(address string, insecure bool) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--listen: %q is not host:port", address)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--listen: %s is in use by another program: stop it, or choose another", address)
	}
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() && !insecure {
		_ = l.Close()
		return nil, fmt.Errorf("--listen: %s reaches beyond this machine, and would be in clear text: listen on loopback, make the cluster with --tls, or accept that everyone who reaches it controls the cluster, with --insecure", address)
	}
	return l, nil
}

// configure reads the configuration. Only where there is none and no node has
// data, one is made: that is the only moment at which a cluster can come to be.
func (l *Launcher) configure() error {
	c, err := readConfiguration(l.dir)
	if err != nil {
		return err
	}
	l.store = &store{dir: l.dir, now: c}
	if c != nil {
		return nil
	}
	left, err := os.ReadDir(filepath.Join(l.dir, "nodes"))
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: %s holds nodes (%s) but no %s: restore it, or remove the nodes' directories to begin anew", ErrConfiguration, l.dir, left[0].Name(), configurationName)
	}
	o := l.options
	l.store.now = &Configuration{Format: configurationFormat, APIBase: o.APIBase, APIStep: o.APIStep, RaftBase: o.RaftBase, TLS: o.TLS, Nodes: map[string]Node{}}
	l.founding = true
	return l.store.update(func(c *Configuration) error {
		if o.Nodes < 1 || o.Nodes > voters {
			return fmt.Errorf("--nodes: a cluster begins with 1 to %d nodes, not %d", voters, o.Nodes)
		}
		for i := range o.Nodes {
			id, ports := "node"+strconv.Itoa(i+1), c.slot(i)
			if err := checkPorts(ports.list()); err != nil {
				return fmt.Errorf("%s: %w: stop it, or choose others with --api-base, --api-step, --raft-base", id, err)
			}
			c.Founders = append(c.Founders, id)
			c.Nodes[id] = Node{Ports: ports}
		}
		return nil
	})
}

// begin supervises every configured node and starts those that were not stopped.
// It returns when every process that an earlier launcher left is found, so that
// nobody is told of a node that answers and yet has no process.
func (l *Launcher) begin() {
	c := l.store.get()
	l.work.Go(l.renew)
	if own := l.tls(); own != nil {
		l.work.Go(func() { own.Watch(l.ctx) })
	}
	for _, id := range c.ids() {
		m := l.manage(id)
		n := c.Nodes[id]
		switch {
		case n.Leaving: // adopted, stopped and deleted
			l.work.Go(func() {
				m.leaving.Lock()
				defer m.leaving.Unlock()
				if err := l.finish(m); err != nil && l.ctx.Err() == nil {
					l.log.Error("decommission", zap.String("node", id), zap.Error(err))
				}
			})
			continue
		case !n.Stopped:
			m.node.Start()
		}
		l.startPlane(m)
	}
	l.work.Go(func() { l.rotate(l.ctx) })
	for _, id := range c.ids() {
		if m := l.find(id); m != nil { // a decommission may have ended by now
			<-m.node.looked
			<-m.plane.looked
		}
	}
}

// startPlane wants the node's data plane running, at the latest when see has met
// the node. One that has state knows its log and starts at once, for forwarding
// survives the control plane; a new one would take the log of whoever answers.
func (l *Launcher) startPlane(m *managed) {
	if !l.options.DataPlanes {
		return
	}
	_, err := os.Stat(filepath.Join(l.nodeDir(m.id), planeState))
	l.mu.Lock()
	defer l.mu.Unlock()
	if (err == nil || m.met) && !m.ending {
		m.plane.Start()
	}
}

// manage makes the supervisors and the watcher of a configured node.
func (l *Launcher) manage(id string) *managed {
	ctx, cancel := context.WithCancel(l.ctx)
	m := &managed{id: id, poke: make(chan struct{}, 1), cancel: cancel}
	m.node = newSupervisor(&nodeRunner{l, id}, func() {
		select {
		case m.poke <- struct{}{}:
		default:
		}
		l.broadcast()
	})
	m.plane = newSupervisor(&planeRunner{l, id}, l.broadcast)
	l.mu.Lock()
	l.managed[id] = m
	l.mu.Unlock()
	l.work.Go(func() { m.node.run(ctx) })
	l.work.Go(func() { m.plane.run(ctx) })
	l.work.Go(func() { l.watch(ctx, m) })
	if l.options.DataPlanes && l.options.AskPlane != nil {
		l.work.Go(func() { l.watchPlane(ctx, m) })
	}
	return m
}

func (l *Launcher) broadcast() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.moved)
	l.moved = make(chan struct{})
}

// Nodes is every configured node now, and a channel that closes when something
// of it changes.
func (l *Launcher) Nodes() (map[string]NodeStatus, <-chan struct{}) {
	v, moved := l.view()
	out := make(map[string]NodeStatus, len(v.configuration.Nodes))
	for id := range v.configuration.Nodes {
		var node supervised
		var plane *supervised
		if m := l.find(id); m != nil {
			node = m.node.Status()
			if l.options.DataPlanes {
				p := m.plane.Status()
				plane = &p
			}
		}
		out[id] = v.status(id, &node, plane)
	}
	return out, moved
}

func (l *Launcher) find(id string) *managed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.managed[id]
}

func (l *Launcher) view() (*view, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &view{configuration: l.store.get(), observed: make(map[string]observation, len(l.managed)), planes: make(map[string]string, len(l.managed))}
	for id, m := range l.managed {
		v.observed[id], v.planes[id] = m.observed, m.planeSays
	}
	return v, l.moved
}

// close stops the nodes, all at once and while calls in progress end, then
// everything of the launcher's own.
func (l *Launcher) close() error {
	var errs []error
	l.silence()
	l.halt()
	ctx, cancel := context.WithTimeout(context.Background(), drainHTTP)
	if err := l.http.Shutdown(ctx); err != nil {
		_ = l.http.Close()
	}
	cancel()
	names := l.halt() // also what such a call has started
	ctx, cancel = context.WithTimeout(context.Background(), stopTime+5*time.Second)
	defer cancel()
	for s := range names {
		if err := s.Ended(ctx); err != nil {
			errs = append(errs, fmt.Errorf("node %s has not ended: %w", names[s], err))
		}
	}
	l.cancel()
	l.work.Wait()
	l.release()
	l.log.Info("stopped")
	return errors.Join(errs...)
}

// halt wants everything ended, and gives the supervisors with their nodes' names.
func (l *Launcher) halt() map[*supervisor]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := map[*supervisor]string{}
	for id, m := range l.managed {
		m.ending = true
		for _, s := range []*supervisor{m.plane, m.node} {
			names[s] = id
			s.Stop()
		}
	}
	return names
}

// release gives back what open took.
func (l *Launcher) release() {
	if l.cancel != nil {
		l.cancel()
	}
	if l.caller != nil {
		l.caller.close()
	}
	if l.listener != nil {
		_ = l.listener.Close()
	}
	if l.nodes != nil {
		_ = l.nodes.Close()
	}
	if l.lock != nil {
		_ = l.lock.Close()
	}
}

func (l *Launcher) announce() {
	if l.options.Out == nil {
		return
	}
	c := l.store.get()
	w := l.options.Out
	what := "The cluster of " + l.dir + " goes on"
	if l.founding {
		what = "A new cluster forms, its data in " + l.dir
	}
	fmt.Fprintf(w, "%s. Ctrl-C stops its nodes; the data is kept.\n  page and control API  %s://%s\n", what, l.tls().Scheme(), l.listener.Addr())
	for _, id := range c.ids() {
		p := c.Nodes[id].Ports
		note := ""
		if c.Nodes[id].Stopped {
			note = "   (stopped)"
		}
		fmt.Fprintf(w, "  %-12s API %s://%s   etcdctl --endpoints %s   log %s%s\n", id, l.tls().Scheme(), loopback(p.API), loopback(p.Client), filepath.Join(l.dir, "nodes", id, nodeLog), note)
	}
	if l.certificates != nil {
		f := l.certificates.authority.Files(personID)
		fmt.Fprintf(w, "All of it is in mutual TLS. Try:\n  export DVR_CA_FILE=%s DVR_CERT_FILE=%s DVR_KEY_FILE=%s DVR_ENDPOINTS=%s\n  dvr status\n  curl --cacert $DVR_CA_FILE --cert $DVR_CERT_FILE --key $DVR_KEY_FILE https://%s/api/control/nodes\nFor a browser: openssl pkcs12 -export -in $DVR_CERT_FILE -inkey $DVR_KEY_FILE -out operator.p12\n",
			f.CA, f.Cert, f.Key, loopback(c.Nodes[c.ids()[0]].Ports.API), l.listener.Addr())
		return
	}
	first := loopback(c.Nodes[c.ids()[0]].Ports.API)
	fmt.Fprintf(w, "Try:\n  curl http://%s/api/control/nodes\n  curl -X POST http://%s/routes -H 'Content-Type: application/json' -d '{\"destination\":\"10.1.0.0/16\",\"next_hop\":\"192.168.1.1\",\"metric\":100}'\n  curl http://%s/routes\n",
		l.listener.Addr(), first, first)
}

// candidates are the nodes that could change the membership, best first: the
// leader, then those that are online; the node itself last.
func (v *view) candidates(id string) []int {
	leader := v.leader()
	ids := slices.DeleteFunc(v.configuration.ids(), func(other string) bool { return !v.observed[other].online })
	rank := func(other string) int {
		switch other {
		case id:
			return 2
		case leader:
			return 0
		}
		return 1
	}
	slices.SortStableFunc(ids, func(a, b string) int { return rank(a) - rank(b) })
	ports := make([]int, len(ids))
	for i, other := range ids {
		ports[i] = v.configuration.Nodes[other].Ports.API
	}
	return ports
}
