package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

var http2 = []string{"h2"}

// ServeRPC are the options of a gRPC server whose callers are of one of the
// kinds; none where c is nil.
func (c *Credentials) ServeRPC(kinds ...Kind) []grpc.ServerOption {
	if c == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.Creds(credentials.NewTLS(c.Server(false, http2, kinds...)))}
}

// DialRPC is the option of a gRPC client that calls one of the kinds.
func (c *Credentials) DialRPC(kinds ...Kind) grpc.DialOption {
	if c == nil {
		return grpc.WithTransportCredentials(insecure.NewCredentials())
	}
	return grpc.WithTransportCredentials(&caller{func() *tls.Config { return c.Client(kinds...) }})
}

// DialNode is the option of a gRPC client that calls the node of that id and no
// other one: what is sent there is meant for it.
func (c *Credentials) DialNode(id string) grpc.DialOption {
	if c == nil {
		return grpc.WithTransportCredentials(insecure.NewCredentials())
	}
	return grpc.WithTransportCredentials(&caller{func() *tls.Config {
		config := c.Client(Node)
		admit := config.VerifyConnection
		config.VerifyConnection = func(s tls.ConnectionState) error {
			if err := admit(s); err != nil {
				return err
			}
			owner, err := Of(s.PeerCertificates[0])
			if want := (Identity{Node, id}); err == nil && owner != want {
				err = fmt.Errorf("%w: this is of %s, and %s is wanted", ErrName, owner, want)
			}
			return err
		}
		return config
	}})
}

// caller makes each connection with the files as they are then.
type caller struct {
	config func() *tls.Config
}

func (k *caller) now() credentials.TransportCredentials {
	return credentials.NewTLS(k.config())
}

// ClientHandshake implements credentials.TransportCredentials.
func (k *caller) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return k.now().ClientHandshake(ctx, authority, raw)
}

// ServerHandshake implements credentials.TransportCredentials; it is not used.
func (k *caller) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return k.now().ServerHandshake(raw)
}

// Info implements credentials.TransportCredentials.
func (k *caller) Info() credentials.ProtocolInfo { return k.now().Info() }

// Clone implements credentials.TransportCredentials.
func (k *caller) Clone() credentials.TransportCredentials { return &caller{k.config} }

// OverrideServerName implements credentials.TransportCredentials; gRPC has
// replaced it by an option of its own.
func (k *caller) OverrideServerName(string) error { return nil }
