package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	rpc "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"dvr/controller/etcdserver"
	"dvr/controller/settings"
	"dvr/eventlog/etcdlog"
)

// foreignQuota is etcd's default, for an external one that does not tell its
// own (before 3.6).
const foreignQuota = 2 << 30

// etcdTLS is how an external etcd is spoken to in TLS: the certificate is read
// again for each connection, the authorities once. nil in clear text.
func etcdTLS(s *settings.Settings) (*tls.Config, error) {
	if !s.EtcdSecure() {
		return nil, nil
	}
	info := transport.TLSInfo{TrustedCAFile: s.EtcdTLS.CA, CertFile: s.EtcdTLS.Cert, KeyFile: s.EtcdTLS.Key, MinVersion: tls.VersionTLS13}
	c, err := info.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("ETCD_CA_FILE, ETCD_CERT_FILE, ETCD_KEY_FILE: %w", err)
	}
	return c, nil
}

// dialExternal is a client of the external etcd of the settings.
func dialExternal(s *settings.Settings, log *zap.Logger) (*clientv3.Client, error) {
	c, err := etcdTLS(s)
	switch {
	case err != nil:
		return nil, err
	case c == nil:
		return dialEtcd(s.EtcdEndpoints, grpc.WithTransportCredentials(insecure.NewCredentials()), log)
	}
	return dialEtcd(s.EtcdEndpoints, grpc.WithTransportCredentials(rpc.NewTLS(c)), log)
}

// dialEtcd is a client of an etcd at the endpoints, which need not be there yet.
//
// gRPC's own pauses between attempts to connect grow to two minutes, in which a
// node would stay away from an etcd that is back; without pings a connection
// whose other side vanished without a word lasts a quarter of an hour.
func dialEtcd(endpoints []string, security grpc.DialOption, log *zap.Logger) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{
		Endpoints:   endpoints,
		DialTimeout: 5 * time.Second,
		// Every failed attempt of a call is a warning there; health says once what matters.
		Logger:             log.Named("etcd-client").WithOptions(zap.IncreaseLevel(zap.ErrorLevel)),
		MaxCallSendMsgSize: 4 << 20, MaxCallRecvMsgSize: 64 << 20,
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second, // etcd admits a ping every 5 s
		DialOptions: []grpc.DialOption{security, grpc.WithConnectParams(grpc.ConnectParams{
			MinConnectTimeout: 5 * time.Second,
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		})},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %v: %w", endpoints, err)
	}
	return c, nil
}

// reachTime is for a connection to one endpoint.
const reachTime = 2 * time.Second

// unreached is why no endpoint takes a connection; nil: one does, or there are
// none. etcd's client keeps such reasons to itself. Cost: reachTime an endpoint at most.
func unreached(ctx context.Context, endpoints []string) error {
	var errs []error
	for _, e := range endpoints {
		address := e
		if _, after, ok := strings.Cut(e, "://"); ok {
			address = strings.TrimSuffix(after, "/")
		}
		d := net.Dialer{Timeout: reachTime}
		c, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = c.Close()
			return nil
		}
		errs = append(errs, err)
	}
	if ctx.Err() != nil || len(errs) == 0 {
		return nil
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}

// quota is the size in bytes at which the store refuses writes: of the members
// that answer the least, for what the log may take follows from it.
func (n *Node) quota(ctx context.Context) int64 {
	if n.etcd != nil {
		if q := n.settings.EtcdQuota; q > 0 {
			return q
		}
		return etcdserver.DefaultQuota
	}
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	members, _ := n.store.StoreStatus(ctx) // those that answered count
	return leastQuota(members)
}

func leastQuota(members []etcdlog.MemberStatus) int64 {
	least := int64(0)
	for _, m := range members {
		if m.Quota > 0 && (least == 0 || m.Quota < least) {
			least = m.Quota
		}
	}
	if least == 0 {
		return foreignQuota
	}
	return least
}
