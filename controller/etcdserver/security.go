package etcdserver

import (
	"context"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/certs"
)

// clientTLS is for the client port: any certificate of the authority; of what
// kind it is the interceptors ask. etcd reads certificate, key and revocations
// again at each handshake, the authorities only once.
func clientTLS(c *certs.Credentials) transport.TLSInfo {
	f := c.Files()
	return transport.TLSInfo{
		CertFile: f.Cert, KeyFile: f.Key, TrustedCAFile: f.CA, CRLFile: f.CRL, ClientCertAuth: true,
		// Who it is says the certificate, not the address that it comes from.
		SkipClientSANVerify: true,
	}
}

// peerTLS is for the Raft port: nodes only, on both sides of a connection.
func peerTLS(c *certs.Credentials) transport.TLSInfo {
	t := clientTLS(c)
	t.AllowedHostnames = []string{certs.PeerName}
	return t
}

// stranger refuses who may not read the log as a whole. The context is the
// call's, and ends with the caller's right to it; end is to be called.
func stranger(ctx context.Context, c *certs.Credentials) (held context.Context, end func(), err error) {
	id, err := certs.OfPeer(ctx)
	if err = certs.Require(id, err, certs.Node, certs.Inspector); err == nil {
		held, end, err = c.Hold(ctx)
	}
	if err != nil {
		return nil, nil, status.Errorf(codes.PermissionDenied, "the etcd client port shows all of the log: %v", err)
	}
	return held, end, nil
}

func refuseUnaryStrangers(c *certs.Credentials) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, end, err := stranger(ctx, c)
		if err != nil {
			return nil, err
		}
		defer end()
		return handler(ctx, request)
	}
}

func refuseStreamStrangers(c *certs.Credentials) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, end, err := stranger(stream.Context(), c)
		if err != nil {
			return err
		}
		defer end()
		return handler(srv, heldStream{stream, ctx})
	}
}

// heldStream is a stream that ends with its context.
type heldStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s heldStream) Context() context.Context { return s.ctx }
