package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"dvr/controller/certs"
	"dvr/controller/fibpb"
	"dvr/controller/httpapi"
	"dvr/controller/peerpb"
	"dvr/controller/service"
	"dvr/controller/settings"
	"dvr/eventlog"
)

// Check tells what Start would refuse of the settings beside what
// settings.Load finds: certificates that cannot be used. It reads their files
// and opens nothing else.
func Check(s *settings.Settings) error {
	_, err := credentials(s, nil)
	_, external := etcdTLS(s)
	return errors.Join(err, external)
}

// credentials reads the certificates, and refuses what others would refuse
// later; nil without them. log may be nil.
func credentials(s *settings.Settings, log *zap.Logger) (*certs.Credentials, error) {
	if s.TLS.None() {
		return nil, nil
	}
	c, err := certs.Load(s.TLS, log)
	if err != nil {
		return nil, fmt.Errorf("CA_FILE, CERT_FILE, KEY_FILE: %w", err)
	}
	if err := suits(c.Own(), s); err != nil {
		return nil, fmt.Errorf("CERT_FILE %s: %w", s.TLS.Cert, err)
	}
	return c, nil
}

// suits tells whether the certificate is this node's and has the names by which others dial it.
func suits(own *x509.Certificate, s *settings.Settings) error {
	id, err := certs.Of(own)
	if err != nil {
		return err
	}
	want := certs.Identity{Kind: certs.Node, Name: s.NodeID}
	if id != want {
		return fmt.Errorf("it is of %s and this is %s: dvr cert issue node %s", id, want, s.NodeID)
	}
	for _, a := range []struct {
		setting string
		address settings.Address
	}{{"API_ADVERTISE", s.API}, {"FIB_ADVERTISE", s.FIB}, {"RAFT_ADVERTISE", s.Raft}, {"CLIENT_ADVERTISE", s.Client}} {
		host, _, _ := net.SplitHostPort(a.address.Advertise)
		if err := own.VerifyHostname(host); err != nil {
			return fmt.Errorf("%s tells others the host %s, which is not in it: dvr cert issue node %s --host %s (%w)", a.setting, host, s.NodeID, host, err)
		}
	}
	return nil
}

// handshakeTime is how long a handshake at the FIB port may take, as at the others.
const handshakeTime = 10 * time.Second

// rpcOptions are those of the port that data planes and nodes share: each
// service has its kind of caller.
func (n *Node) rpcOptions() []grpc.ServerOption {
	admit := func(ctx context.Context, method string) error {
		if n.tls == nil {
			return n.clearText(ctx)
		}
		kind := certs.Node
		if strings.HasPrefix(method, "/"+fibpb.Fib_ServiceDesc.ServiceName+"/") {
			kind = certs.DataPlane
		} else if !strings.HasPrefix(method, "/"+peerpb.Peer_ServiceDesc.ServiceName+"/") {
			return status.Errorf(codes.Unimplemented, "unknown method %s", method)
		}
		id, err := certs.OfPeer(ctx)
		return denied(certs.Require(id, err, kind))
	}
	return append(n.tls.ServeRPC(certs.Node, certs.DataPlane), grpc.ConnectionTimeout(handshakeTime),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if err := admit(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return handler(ctx, request)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if err := admit(stream.Context(), info.FullMethod); err != nil {
				return err
			}
			return handler(srv, stream)
		}))
}

// errClearText: authorization would guard the API alone.
var errClearText = errors.New("authorization needs TLS where a port is reached from beyond this machine: give the nodes and data planes certificates (CA_FILE, CERT_FILE, KEY_FILE; `dvr cert`)")

// clearText admits who comes from this machine; everybody else as long as no
// authorization is in force: whom it keeps from the API could go past it here, as
// a data plane, or as a node to which changes are forwarded with their tokens.
func (n *Node) clearText(ctx context.Context) error {
	if p, ok := peer.FromContext(ctx); ok {
		if a, ok := p.Addr.(*net.TCPAddr); ok && a.IP.IsLoopback() {
			return nil
		}
	}
	if n.appender.State().Access().Enabled() {
		return status.Errorf(codes.PermissionDenied, "this port speaks clear text, with loopback alone now: %v", errClearText)
	}
	return nil
}

// exposed reports whether a port that asks nobody for a token speaks clear text
// beyond this machine.
func (n *Node) exposed() bool {
	if n.tls != nil {
		return false
	}
	ports := []settings.Address{n.settings.FIB}
	if len(n.settings.EtcdEndpoints) == 0 {
		ports = append(ports, n.settings.Raft, n.settings.Client)
	}
	return slices.ContainsFunc(ports, func(a settings.Address) bool {
		host, _, _ := net.SplitHostPort(a.Listen)
		return !settings.IsLoopback(host)
	})
}

// judgeEnabling refuses to put authorization in force where it would guard one
// port of several. Cost: a look at each event.
func (n *Node) judgeEnabling(c *eventlog.Commit) error {
	for _, e := range c.Events {
		if _, ok := e.(*eventlog.AuthEnabled); ok && n.exposed() {
			return fmt.Errorf("%w: %w", service.ErrConflict, errClearText)
		}
	}
	return nil
}

func denied(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codes.PermissionDenied, err.Error())
}

// named admits a caller under the name that its certificate has; nil in clear text.
func (n *Node) named(kind certs.Kind, what string) func(context.Context, string) error {
	if n.tls == nil {
		return nil
	}
	return func(ctx context.Context, name string) error {
		id, err := certs.OfPeer(ctx)
		if err := certs.Require(id, err, kind); err != nil {
			return denied(err)
		}
		if id.Name != name {
			n.log.Warn("a caller says that it is somebody else", zap.Stringer("certificate", id), zap.String("says", name))
			return status.Errorf(codes.PermissionDenied, "the certificate is of %s, not of %s %s", id, what, name)
		}
		return nil
	}
}

func (n *Node) admitPlane() func(context.Context, string) error {
	return n.named(certs.DataPlane, "router")
}

func (n *Node) admitPeer() func(context.Context, string) error { return n.named(certs.Node, "node") }

// public are the calls that need no certificate: what probes ask.
var public = map[string]bool{"/livez": true, "/readyz": true, "/health": true, "/version": true}

// admitCall is who may call the API; nil in clear text. Operators may; a node
// asks for what concerns the membership only. What an operator may do is
// decided behind it.
func (n *Node) admitCall() func(*http.Request) error {
	if n.tls == nil {
		return nil
	}
	return func(r *http.Request) error {
		if public[r.URL.Path] && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			return nil
		}
		id, err := certs.OfRequest(r)
		if err == nil && id.Kind == certs.Node && strings.HasPrefix(r.URL.Path, "/v1/cluster/") {
			return nil
		}
		if errors.Is(err, certs.ErrNoCertificate) && len(r.Header["Authorization"]) > 0 {
			return nil // the API asks whose it is, or for a certificate
		}
		if err := certs.Require(id, err, certs.Operator); err != nil {
			return err
		}
		r.Header["X-Dvr-Actor"] = []string{id.Name} // whatever the header says
		return nil
	}
}

// security is what the API tells of it.
func (n *Node) security() httpapi.Security {
	switch {
	case n.tls != nil:
		own, authority := n.tls.Expiry()
		return httpapi.Security{Transport: "tls", Expires: own, AuthorityExpires: authority, Alarm: n.tls.Alarm()}
	case n.settings.Insecure:
		return httpapi.Security{Transport: "insecure"}
	}
	return httpapi.Security{Transport: "loopback"}
}
