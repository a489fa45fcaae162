package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/tlsutil"
	"go.etcd.io/etcd/pkg/v3/featuregate"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"dvr/controller/certs"
)

const (
	// DefaultQuota is the size that the database may reach, in bytes, when
	// Config.Quota is 0.
	DefaultQuota = 8 << 30

	// catchUpEntries and snapshotCount bound the raft entries held in memory:
	// the first in operation (etcd adds up to 100), the second after a restart,
	// which loads all entries since the last snapshot. Times the size of a
	// batch, 256 KiB, both stay within 128 MiB.
	catchUpEntries = 400
	snapshotCount  = 512

	// Compaction in large slices: with etcd's defaults (1000, 10 ms) a
	// compaction of 1M revisions takes 26 s instead of 2.
	compactionBatchLimit    = 20000
	compactionSleepInterval = time.Millisecond

	maxTxnOps       = 512
	maxRequestBytes = 2 << 20 // a commit alone in its batch is up to 1 MiB

	watchProgressInterval = 5 * time.Second

	defaultHeartbeat = 100 * time.Millisecond
	defaultElection  = time.Second

	defaultToken = "dvr"
)

// Config is what a member is started with. Addresses are host:port; port 0 is
// allowed where the address is only listened on.
type Config struct {
	Name    string // the node's id; required
	DataDir string // the node's data directory; etcd's own is DataDir/etcd; required

	PeerListen      string // Raft between members; required
	PeerAdvertise   string // as members reach it; empty: PeerListen
	ClientListen    string // required
	ClientAdvertise string // empty: ClientListen

	// TLS is that of both ports: members show each other nodes' certificates,
	// clients those of nodes or inspectors. nil: clear text.
	TLS *certs.Credentials

	// Members maps names to advertised peer addresses of all first members,
	// this one included; empty: a lone member. It matters only on the first
	// start.
	Members map[string]string
	// Join is set when the cluster exists already and has this member added.
	Join bool
	// Recover makes the member the only one of its cluster, whatever the list in
	// its data says: the way out when the majority is lost for ever.
	Recover bool
	// Token tells clusters apart that are formed with equal addresses.
	Token string

	// Quota is the size in bytes that the database may reach before etcd
	// refuses writes; 0: DefaultQuota.
	Quota int64
	// Writable opens the client listener for writes, which pass by all
	// validation. The default admits reads only.
	Writable bool
	// Hosts are further names that the client port's HTTP side answers to.
	Hosts []string

	Heartbeat time.Duration // 0: 100 ms
	Election  time.Duration // 0: 1 s

	Logger *zap.Logger // nil: none
}

// Dir is etcd's own directory below the node's data directory.
func (c *Config) Dir() string { return filepath.Join(c.DataDir, "etcd") }

// Initialized tells whether the directory holds a member already.
func (c *Config) Initialized() bool { return wal.Exist(c.wal()) }

// embedConfig translates c. It resolves host names that are listened on, since
// etcd binds to addresses only.
func (c *Config) embedConfig(ctx context.Context, services func(*grpc.Server)) (*embed.Config, error) {
	if c.Name == "" || c.DataDir == "" {
		return nil, errors.New("a member needs a name and a data directory")
	}
	quota := c.Quota
	if quota == 0 {
		quota = DefaultQuota
	}
	if quota < 0 {
		return nil, fmt.Errorf("quota %d is negative", quota)
	}
	scheme := c.TLS.Scheme()
	peerListen, err := listenURL(ctx, scheme, c.PeerListen)
	if err != nil {
		return nil, fmt.Errorf("peer address: %w", err)
	}
	clientListen, err := listenURL(ctx, scheme, c.ClientListen)
	if err != nil {
		return nil, fmt.Errorf("client address: %w", err)
	}
	peerAdvertise := url.URL{Scheme: scheme, Host: orElse(c.PeerAdvertise, c.PeerListen)}
	clientAdvertise := url.URL{Scheme: scheme, Host: orElse(c.ClientAdvertise, c.ClientListen)}

	cfg := embed.NewConfig()
	cfg.Name = c.Name
	cfg.Dir = c.Dir()
	cfg.ListenPeerUrls = []url.URL{peerListen}
	cfg.AdvertisePeerUrls = []url.URL{peerAdvertise}
	cfg.ListenClientUrls = []url.URL{clientListen}
	cfg.AdvertiseClientUrls = []url.URL{clientAdvertise}
	if c.TLS != nil {
		cfg.PeerTLSInfo, cfg.ClientTLSInfo = peerTLS(c.TLS), clientTLS(c.TLS)
		cfg.TlsMinVersion = string(tlsutil.TLSVersion13)
	}

	cfg.InitialClusterToken = orElse(c.Token, defaultToken)
	cfg.InitialCluster = initialCluster(scheme, c.Members)
	if len(c.Members) == 0 {
		cfg.InitialCluster = c.Name + "=" + peerAdvertise.String()
	}
	cfg.ClusterState = embed.ClusterStateFlagNew
	if c.Join {
		cfg.ClusterState = embed.ClusterStateFlagExisting
	}

	cfg.ForceNewCluster = c.Recover
	// Its rules refuse to add or promote while any voter has been away within
	// 5 s; package cluster asks what matters, whether a majority is there afterwards.
	cfg.StrictReconfigCheck = false

	cfg.QuotaBackendBytes = quota
	cfg.SnapshotCount = snapshotCount
	cfg.SnapshotCatchUpEntries = catchUpEntries
	cfg.CompactionBatchLimit = compactionBatchLimit
	cfg.CompactionSleepInterval = compactionSleepInterval
	cfg.AutoCompactionMode = embed.CompactorModePeriodic
	cfg.AutoCompactionRetention = "0" // off: etcdlog's Care compacts
	cfg.BackendFreelistType = "map"   // the array is quadratic after large deletions
	cfg.MaxTxnOps = maxTxnOps
	cfg.MaxRequestBytes = maxRequestBytes
	cfg.WatchProgressNotifyInterval = watchProgressInterval
	cfg.TickMs = uint(orElse(c.Heartbeat, defaultHeartbeat) / time.Millisecond)
	cfg.ElectionMs = uint(orElse(c.Election, defaultElection) / time.Millisecond)

	cfg.EnableGRPCGateway = false
	cfg.EnablePprof = false
	// An empty set would allow every origin.
	cfg.CORS = map[string]struct{}{"none.invalid": {}}
	cfg.HostWhitelist = hostSet(append(c.Hosts, clientListen.Hostname(), clientAdvertise.Hostname()))
	cfg.UserHandlers = map[string]http.Handler{
		"/debug/":  http.NotFoundHandler(), // expvar: command line and memory
		"/metrics": http.NotFoundHandler(), // the node serves its own
	}
	cfg.ServiceRegister = services
	// A call reads the database; without this it may be closed under it.
	cfg.GRPCAdditionalServerOptions = append(cfg.GRPCAdditionalServerOptions, grpc.WaitForHandlers(true))
	if c.TLS != nil {
		cfg.GRPCAdditionalServerOptions = append(cfg.GRPCAdditionalServerOptions,
			grpc.ChainUnaryInterceptor(refuseUnaryStrangers(c.TLS)), grpc.ChainStreamInterceptor(refuseStreamStrangers(c.TLS)))
	}
	if !c.Writable {
		cfg.GRPCAdditionalServerOptions = append(cfg.GRPCAdditionalServerOptions,
			grpc.ChainUnaryInterceptor(refuseUnaryWrites), grpc.ChainStreamInterceptor(refuseStreamWrites))
	}
	// A member whose data differs from its peers' refuses to start, and the
	// leader compares at every compaction. Unreachable peers do not hinder.
	gate, ok := cfg.ServerFeatureGate.(featuregate.MutableFeatureGate)
	if !ok {
		return nil, errors.New("etcd's feature gates cannot be set")
	}
	if err := gate.Set("CompactHashCheck=true"); err != nil {
		return nil, fmt.Errorf("etcd's feature gates: %w", err)
	}
	return cfg, nil
}

// listenURL resolves the host of a host:port; an empty host is loopback.
func listenURL(ctx context.Context, scheme, address string) (url.URL, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return url.URL{}, err
	}
	switch {
	case host == "":
		host = "127.0.0.1"
	case host == "localhost" || net.ParseIP(host) != nil:
	default:
		ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
		if err != nil {
			return url.URL{}, err
		}
		host = ips[0].String()
	}
	return url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)}, nil
}

func initialCluster(scheme string, members map[string]string) string {
	parts := make([]string, 0, len(members))
	for name, address := range members {
		parts = append(parts, name+"="+scheme+"://"+address)
	}
	sort.Strings(parts)
	return strings.Join(parts, ",")
}

func hostSet(hosts []string) map[string]struct{} {
	set := map[string]struct{}{"localhost": {}, "127.0.0.1": {}, "::1": {}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); h != "" && (ip == nil || !ip.IsUnspecified()) {
			set[h] = struct{}{}
		}
	}
	return set
}

func orElse[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
