package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"dvr/controller/appender"
	"dvr/controller/auth"
	"dvr/controller/certs"
	"dvr/controller/cluster"
	"dvr/controller/dashboard"
	"dvr/controller/durable"
	"dvr/controller/etcdserver"
	"dvr/controller/fibpb"
	"dvr/controller/fibstream"
	"dvr/controller/gate"
	"dvr/controller/httpapi"
	"dvr/controller/httpapi/openapi"
	"dvr/controller/service"
	"dvr/controller/settings"
	"dvr/controller/systemd"
	"dvr/controller/tracing"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
	"dvr/projector"
)

// Options of Start and Run.
type Options struct {
	Version string
	// Out gets the one line that says where the node listens; nil: none.
	Out io.Writer
	// Logs is where the log lines go; nil: standard error.
	Logs io.Writer
	// Now is the wall clock, of which log time is made; nil: time.Now.
	Now func() time.Time
	// Manager is told how the node is; nil: nobody.
	Manager *systemd.Notifier
}

// Limits of the stop, summing up to about 5 s.
const (
	drainHTTP = 2 * time.Second
	drainGRPC = time.Second
	// drainTraces is for spans that were not sent yet; they are worth no longer stop.
	drainTraces = 500 * time.Millisecond
	// brokenLimit is for the whole stop once etcd gave up.
	brokenLimit = 5 * time.Second
)

// The log that makes a snapshot due and that is retained; less under a small quota.
const (
	snapshotBytes = 64 << 20
	retainBytes   = 2 << 30
)

// Node is a running node.
type Node struct {
	settings  *settings.Settings
	log       *zap.Logger
	now       func() time.Time
	version   string
	manager   *systemd.Notifier
	broken    chan struct{} // closed when the embedded etcd gave up
	brokenBy  error         // why, once broken is closed
	started   time.Time
	unstarted bool // the start failed
	keyQuota  service.KeyQuota

	tls      *certs.Credentials // nil: clear text
	lock     *dirLock
	api, fib net.Listener
	etcd     *etcdserver.Server // nil with an external one
	client   *clientv3.Client
	store    *etcdlog.Log
	appender *appender.Appender
	planes   *fibstream.Server
	roster   *roster
	grpc     *grpc.Server
	front    *httpapi.Front
	admin    *admin // nil without ADMIN_ADDR
	startup  *startup
	health   *health
	peers    *peers
	service  *service.Service
	auth     *auth.Authenticator
	refusals *httpapi.Refusals
	cluster  *cluster.Manager  // nil with an external etcd
	identity *cluster.Identity // nil with an external etcd
	pressure *pressure
	archive  *archiving // nil without ARCHIVE_DIR
	backups  *backups   // nil without BACKUP_DIR
	alarms   alarms
	levels   *levels
	trace    *tracing.Tracer                 // nil without TRACE_ENDPOINT
	keeper   atomic.Pointer[appender.Keeper] // set when the log is folded

	cancel context.CancelFunc // of the background work
	work   sync.WaitGroup
	abort  context.CancelCauseFunc // ends a start that is under way
	failed chan error              // the first part that ended by itself
	once   sync.Once
	err    error
}

// Run starts a node and serves until ctx ends or a part fails; then it stops
// everything. The error says what failed; nil after an ordinary stop.
func Run(ctx context.Context, s *settings.Settings, o Options) error {
	defer Tune()()
	n, err := Start(ctx, s, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	var failure error
	select {
	case <-ctx.Done():
		n.log.Info("stopping")
	case failure = <-n.failed:
		n.log.Error("a part of the node ended", zap.Error(failure))
	}
	return errors.Join(failure, n.Close())
}

// Start returns when the node has folded the log and answers on every port;
// until then HTTP tells what is waited for (startup). A log that is damaged or
// away is tried again for as long as ctx allows. What was opened is closed
// again when the start fails, unless an etcd that gave up meanwhile holds that
// up: then the error comes after brokenLimit, and the rest is left to the
// process's end.
func Start(ctx context.Context, s *settings.Settings, o Options) (*Node, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	n := &Node{settings: s, now: o.Now, version: o.Version, manager: o.Manager, started: time.Now(), failed: make(chan error, 8), broken: make(chan struct{})}
	if err := n.begin(func() error { return n.start(ctx, o) }, brokenLimit); err != nil {
		return nil, err
	}
	return n, nil
}

// begin runs a start, for no longer than the limit once etcd gave up. An error
// after that names its cause first.
func (n *Node) begin(start func() error, limit time.Duration) error {
	err := bounded("start", start, n.broken, limit)
	if err == nil {
		return nil
	}
	select {
	case <-n.broken:
		return fmt.Errorf("%w: %w", n.brokenBy, err)
	default:
		return err
	}
}

// start is Start on a node that holds nothing yet.
func (n *Node) start(ctx context.Context, o Options) (err error) {
	s := n.settings
	var logs *logging
	if n.log, logs, err = newLogger(s, o.Logs); err != nil {
		return err
	}
	n.log = n.log.With(zap.String("node", s.NodeID))
	ctx, n.abort = context.WithCancelCause(ctx)
	defer n.abort(nil)
	defer func() {
		if err != nil {
			n.unstarted = true
			if closing := n.Close(); closing != nil {
				n.log.Warn("after a failed start", zap.Error(closing))
			}
		}
	}()
	if n.tls, err = credentials(s, sparing(n.log.Named("tls"))); err != nil {
		return err
	}
	if n.lock, err = lockDir(s.DataDir); err != nil {
		return err
	}
	if err := durable.Sweep(s.DataDir, "*.json"); err != nil {
		n.log.Warn("what a node that was killed left is not removed", zap.Error(err))
	}
	if n.api, err = listen("API_ADDR", s.API.Listen); err != nil {
		return err
	}
	if n.fib, err = listen("FIB_ADDR", s.FIB.Listen); err != nil {
		return err
	}
	if s.Admin != "" {
		if n.admin, err = newAdmin(s.Admin, logs, n.log); err != nil {
			return err
		}
		n.serve("the admin address", n.admin.serve)
	}
	limitMemory(s.MemoryLimit, n.log)
	n.startup = newStartup(n)
	n.refusals = httpapi.NewRefusals(s.DataDir)
	strangers := gate.NewSources(float64(s.StrangerLimit), s.StrangerExempt)
	n.front = httpapi.NewFront(httpapi.FrontConfig{
		Node: n.startup, Waiting: n.startup.waiting, Hosts: hostsOf(s.API), Version: o.Version, Logger: sparing(n.log), Pages: pages{dashboard.New(dashboard.Node), openapi.NewSite(openapi.Node)},
		TLS: n.tls, Admit: n.admitCall(), Strangers: strangers, Refusals: n.refusals,
	})
	n.serve("HTTP", func() error { return n.front.Serve(n.api) })

	background, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	if n.manager != nil {
		told := &supervision{manager: n.manager, probes: n.front, log: n.log, every: askReadiness}
		n.run(func() { told.run(background) })
	}
	if n.tls != nil {
		n.run(func() { n.tls.Watch(background) })
	}
	n.levels = newLevels(n)
	if n.trace, err = newTracer(ctx, s, o.Version, n.log); err != nil {
		return err
	}
	if err = n.openStore(ctx, background); err != nil {
		return err
	}
	n.watchEtcd(background)
	n.health = newHealth(n)
	n.pressure = &pressure{log: n.log, recover: n.recoverSpace, now: time.Now}
	quota := n.quota(ctx)
	if n.keyQuota = keyQuotaOf(s.KVQuota, quota); int64(n.keyQuota) < s.KVQuota {
		n.log.Info("KV_QUOTA is more than its share of ETCD_QUOTA", zap.String("kv_quota", settings.FormatSize(int64(n.keyQuota))))
	}
	err = n.startup.persist(ctx, awaitsFold, func() (err error) {
		n.appender, err = appender.Open(ctx, n.store, appender.Options{
			Node:      s.NodeID,
			Now:       n.now,
			Judge:     n.judge,
			Ready:     n.health.writable,
			OnNoSpace: n.recoverSpace,
			OnDamage: func(err error) {
				if errors.Is(err, eventlog.ErrLevel) {
					n.levels.hurry() // which says it
					return
				}
				n.log.Error("damage to the log", zap.Error(err))
			},
			OnFold:     n.startup.folded,
			OnFollowed: followed(n.trace),
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("fold the log: %w", err)
	}
	if n.exposed() && n.appender.State().Access().Enabled() {
		n.log.Error("data planes and nodes beyond this machine are refused", zap.Error(errClearText))
	}
	n.auth = &auth.Authenticator{State: n.appender.State, Now: n.now, Certificates: n.tls != nil}
	if p := s.OIDC; p.Issuer != "" {
		n.auth.OIDC = auth.NewOIDC(auth.OIDCOptions{Issuer: p.Issuer, Audience: p.Audience, ActorClaim: p.ActorClaim, GroupsClaim: p.GroupsClaim, Now: n.now})
	}
	n.pressure.volume = func() int64 { return inFile(n.appender.Volume()) }
	n.peers = newPeers(n)
	observer := n.observer()
	roster, known := n.newRoster()
	n.planes = fibstream.New(n.appender, fibstream.Options{
		Node: s.NodeID, Controllers: []string{n.advertised(s.FIB, n.fib)}, Elsewhere: n.peers.exchange, Admit: n.admitPlane(), Roster: known,
		OnStream: func(r eventlog.RouterID, began bool) {
			observer.Stream(r, began)
			roster.nudge()
		},
		OnDelivered: delivered(n.trace),
		OnObservation: func(r eventlog.RouterID, o *fibpb.Observation) {
			n.observed(r, o)
			observer.Observe(r, o)
		},
	})
	n.grpc = grpc.NewServer(append(fibstream.ServerOptions(), n.rpcOptions()...)...)
	n.planes.Register(n.grpc)
	planes := n.peers.attach()
	n.archive, n.backups = newArchiving(n), newBackups(n)
	n.service = service.New(n.peers.exchange.Appender(), planes, n.past())
	n.service.Management = n.management
	metrics := httpapi.NewMetrics(n.service, n.health)
	metrics.Add(append(n.appender.Collectors(), n.planes.Collectors()...)...)
	metrics.Add(logs.sample.dropped)
	if n.trace.On() {
		metrics.ShowExemplars()
	}
	if n.etcd != nil {
		metrics.Beside(etcdserver.Metrics())
	}
	api := httpapi.New(httpapi.Config{
		Service: n.service, Metrics: metrics, Node: n.health, Cluster: n.members(), Hosts: hostsOf(s.API), Version: o.Version, Logger: n.log,
		Auth: n.auth, RateLimit: float64(s.RateLimit), Strangers: strangers, Refusals: n.refusals, Trace: n.trace,
	})

	keeper := appender.NewKeeper(n.store, n.appender, &upkeep{store: n.store}, appender.KeeperOptions{
		Now:         n.now,
		Bytes:       min(snapshotBytes, quota/16),
		RetainBytes: min(retainBytes, quota/4),
		Archive:     n.archive.truncatable(),
		Active:      func() bool { return n.levels.below() == nil && n.peers.leads() },
		OnError:     func(err error) { n.log.Warn("keeping the log short", zap.Error(err)) },
	})
	n.keeper.Store(keeper)
	n.run(func() { keeper.Run(background) })
	if n.archive != nil {
		n.runBeside(background, "ARCHIVE_DIR", n.archive.dir.Path(), n.archive.run)
	}
	if n.backups != nil {
		n.runBeside(background, "BACKUP_DIR", n.backups.rotation.Dir, n.backups.run)
	}
	n.run(func() { n.watchAlarms(background) })
	n.run(func() { n.timekeeper().Run(background) })
	passed := n.appender.Passed()
	n.run(func() { n.service.FollowPast(background, passed) })
	n.run(func() { observer.Run(background) })
	n.roster = roster
	n.run(func() { roster.run(background) })
	n.run(func() { n.health.watch(background) })
	n.serve("the FIB stream", func() error { return n.grpc.Serve(n.tls.Listen(n.fib)) })
	n.runMembership(background)
	n.peers.run(background)
	n.levels.serve()
	n.run(func() { n.makeAdmin(background) })
	n.front.OnShutdown(api.EndWatches)
	n.front.Open(api.Handler())
	n.announce(o.Out)
	return nil
}

// judge is asked about every commit, on the appender's loop.
func (n *Node) judge(st *projector.State, c *eventlog.Commit) error {
	if err := n.pressure.judge(st, c); err != nil {
		return err
	}
	if err := n.judgeEnabling(c); err != nil {
		return err
	}
	if c.Actor == eventlog.SystemActor {
		return nil // what is undone was within the quota before
	}
	return n.keyQuota.Judge(st, c)
}

// keyShare is the part of etcd's quota that keys may take. The log keeps up to
// a quarter of it and there are up to ten snapshots, each with every key: so
// keys do not fill the store, which would stop routing, too.
const keyShare = 16

// keyQuotaOf is KV_QUOTA, or less under a small quota of etcd's.
func keyQuotaOf(wanted, store int64) service.KeyQuota {
	return service.KeyQuota(min(wanted, store/keyShare))
}

// recoverSpace makes room in the store: etcd's alarm is lifted, what the log
// can spare is deleted, then the space goes back to the file and the file
// shrinks. What stops one of these does not stop the next.
func (n *Node) recoverSpace(ctx context.Context) error {
	return n.pressure.makeRoom(func() error {
		if err := n.store.LiftAlarm(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("lifting etcd's alarm to make room", zap.Error(err))
		}
		if k := n.keeper.Load(); k != nil {
			if err := k.Free(ctx); err != nil && ctx.Err() == nil {
				n.log.Warn("shortening the log to make room", zap.Error(err))
			}
		}
		return n.store.RecoverSpace(ctx)
	})
}

func (n *Node) run(f func()) {
	n.work.Add(1)
	go func() {
		defer n.work.Done()
		f()
	}()
}

func (n *Node) serve(what string, f func() error) {
	n.run(func() {
		if err := f(); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			n.fail(fmt.Errorf("%s: %w", what, err))
		}
	})
}

func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
	n.abort(err)
}

// Failed tells of the first part that ended by itself.
func (n *Node) Failed() <-chan error { return n.failed }

// APIAddr is where HTTP listens, with the real port.
func (n *Node) APIAddr() string { return n.api.Addr().String() }

// Service is what the HTTP API calls, for callers in this process.
func (n *Node) Service() *service.Service { return n.service }

// Etcd is the node's own client of its etcd. The node owns it.
func (n *Node) Etcd() *clientv3.Client { return n.client }

// FIBAddr is where data planes connect, with the real port.
func (n *Node) FIBAddr() string { return n.fib.Addr().String() }

func (n *Node) openStore(ctx, background context.Context) error {
	s := n.settings
	if len(s.EtcdEndpoints) > 0 {
		c, err := dialExternal(s, n.log)
		if err != nil {
			return err
		}
		n.client = c
	} else {
		if err := n.openMember(ctx); err != nil {
			return err
		}
	}
	options := etcdlog.Options{Node: s.NodeID, Now: n.now, Logger: n.log.Named("log")}
	if n.etcd != nil {
		options.Defragment = n.etcd.Defragment
		options.Disturbed = n.etcd.LeaderChanged
	}
	if n.identity != nil {
		options.LogID = n.identity.LogID
	}
	n.run(func() { n.levels.run(background) })
	err := n.startup.persist(ctx, awaitsLog, func() (err error) {
		n.store, err = etcdlog.Open(ctx, n.client, options)
		return n.logError(err)
	})
	if err != nil {
		return err
	}
	return n.belong()
}

// hostsOf are the names that a listener answers to beyond loopback.
func hostsOf(a settings.Address) []string {
	var out []string
	for _, v := range []string{a.Advertise, a.Listen} {
		if h, _, err := net.SplitHostPort(v); err == nil && h != "0.0.0.0" && h != "::" {
			out = append(out, h)
		}
	}
	return out
}

// advertised is the address that others are told, with the real port where 0 was asked for.
func (n *Node) advertised(a settings.Address, l net.Listener) string {
	host, port, err := net.SplitHostPort(a.Advertise)
	if err == nil && port == "0" {
		if _, real, err := net.SplitHostPort(l.Addr().String()); err == nil {
			return net.JoinHostPort(host, real)
		}
	}
	return a.Advertise
}

func (n *Node) announce(out io.Writer) {
	s := n.settings
	api, fib := n.advertised(s.API, n.api), n.advertised(s.FIB, n.fib)
	at := n.appender.State().Position()
	store := "etcd clients " + s.Client.Advertise
	switch {
	case n.observes():
		store = fmt.Sprintf("observing %v", n.client.Endpoints())
	case n.etcd == nil:
		store = fmt.Sprintf("external etcd %v", s.EtcdEndpoints)
	}
	n.log.Info("serving", zap.String("api", api), zap.String("fib", fib), zap.String("log_id", at.LogID),
		zap.Uint64("revision", uint64(at.Revision)), zap.String("data_dir", s.DataDir), zap.Duration("took", time.Since(n.started)))
	if s.Insecure {
		n.log.Warn("INSECURE: whoever reaches these addresses controls the routes")
	}
	if out != nil {
		fmt.Fprintf(out, "dvr node %s: API %s://%s, data planes %s, %s, revision %d\n", s.NodeID, n.tls.Scheme(), api, fib, store, at.Revision)
	}
}

// Close stops the node in order: another voter takes over leadership, calls that wait for data planes end, no new
// calls, calls in progress end or are cut after 2 s, the appender ends, then etcd. The error names every part that did not stop well.
func (n *Node) Close() error {
	n.once.Do(func() {
		if err := n.manager.Tell(systemd.Stopping); err != nil {
			n.log.Warn("the service manager does not hear this node", zap.Error(err))
		}
		n.err = bounded("stop", n.stop, n.gaveUp(), brokenLimit)
	})
	return n.err
}

// bounded runs a start or a stop, and no longer waits for it when the limit has
// passed after broken was closed: reads that are in a broken etcd never return,
// whatever their context says, and everything waits for them.
func bounded(what string, run func() error, broken <-chan struct{}, limit time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- run() }()
	select {
	case err := <-ended:
		return err
	case <-broken:
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case err := <-ended:
		return err
	case <-t.C:
		return fmt.Errorf("etcd holds up the %s: after %v the rest is left to the end of the process", what, limit)
	}
}

// gaveUp is closed when the embedded etcd is beyond repair.
func (n *Node) gaveUp() <-chan struct{} {
	if n.etcd == nil {
		return nil
	}
	return n.etcd.GaveUp()
}

func (n *Node) stop() error {
	var errs []error
	note := func(what string, err error) {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	if n.etcd != nil {
		if err := n.etcd.HandOver(); err != nil {
			n.log.Info("leadership was not handed over", zap.Error(err))
		}
	}
	if n.planes != nil {
		n.planes.Close() // ends the calls that wait for data planes, too
	}
	if n.front != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainHTTP)
		switch err := n.front.Shutdown(ctx); {
		case errors.Is(err, context.DeadlineExceeded):
			n.log.Info("calls that were still in progress were cut", zap.Duration("after", drainHTTP))
		default:
			note("HTTP", err)
		}
		cancel()
	}
	if n.admin != nil {
		note("admin address", n.admin.close())
	}
	if n.api != nil {
		note("API listener", n.api.Close())
	}
	if n.peers != nil {
		n.peers.exchange.Close()
	}
	if n.grpc != nil {
		stopGRPC(n.grpc)
	}
	if n.fib != nil {
		note("FIB listener", n.fib.Close())
	}
	if n.cancel != nil {
		n.cancel()
	}
	n.work.Wait()
	if n.roster != nil {
		n.roster.save() // every stream has ended
	}
	if n.appender != nil {
		note("appender", n.appender.Close())
	}
	switch {
	case n.etcd != nil:
		n.etcd.Close()
	case n.client != nil:
		note("etcd client", n.client.Close())
	}
	if n.refusals != nil {
		note("refusals", n.refusals.Close())
	}
	if n.trace.On() {
		ctx, cancel := context.WithTimeout(context.Background(), drainTraces)
		if err := n.trace.Close(ctx); err != nil {
			n.log.Info("the last traces were not sent", zap.Error(err))
		}
		cancel()
	}
	if n.lock != nil {
		note("data directory", n.lock.release())
	}
	if n.log != nil {
		if !n.unstarted { // else the error says it
			n.log.Info("stopped")
		}
		_ = n.log.Sync() // a terminal cannot be synced
	}
	return errors.Join(errs...)
}

// stopGRPC ends streams gently and, when that takes too long, at once.
func stopGRPC(g *grpc.Server) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.GracefulStop()
	}()
	t := time.NewTimer(drainGRPC)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		g.Stop()
		<-done
	}
}

// limitMemory sets the soft limit of the heap, unless the environment did.
func limitMemory(limit int64, log *zap.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" && limit == 0 {
		return
	}
	if limit == 0 {
		limit = machineMemory() / 4 * 3
	}
	if limit > 0 {
		debug.SetMemoryLimit(limit)
		log.Debug("memory limit", zap.String("limit", settings.FormatSize(limit)))
	}
}
