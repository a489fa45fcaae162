package certs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"dvr/controller/certs"
	"dvr/controller/certs/certstest"
)

// serve answers every connection with who is at its other side, until the test ends.
func serve(t *testing.T, c *certs.Credentials, optional bool, kinds ...certs.Kind) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = tls.NewListener(c.Listen(l), c.Server(optional, nil, kinds...))
	t.Cleanup(func() { l.Close() })
	go func() { // ends with l
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection, which its caller closes
				defer conn.Close()
				k := conn.(*tls.Conn)
				if k.Handshake() != nil {
					return
				}
				state := k.ConnectionState()
				id, err := certs.OfState(&state)
				if errors.Is(err, certs.ErrNoCertificate) {
					_, _ = io.WriteString(k, "nobody\n")
				} else {
					_, _ = io.WriteString(k, id.String()+"\n")
				}
				_, _ = io.Copy(io.Discard, k)
			}()
		}
	}()
	return l.Addr().String()
}

// greeting is what the server says first, and the connection, which is open.
func greeting(t *testing.T, conn net.Conn, err error) (string, net.Conn, error) {
	t.Helper()
	if err != nil {
		return "", nil, err
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	line := make([]byte, 256)
	n, err := conn.Read(line)
	_ = conn.SetReadDeadline(time.Time{})
	return strings.TrimSpace(string(line[:n])), conn, err
}

func dial(t *testing.T, c *certs.Credentials, address string, kinds ...certs.Kind) (string, net.Conn, error) {
	t.Helper()
	conn, err := c.Dial(20*time.Second, kinds...)(t.Context(), "tcp", address)
	return greeting(t, conn, err)
}

// TestAttacksOnAListener: who is admitted, and everybody else is not.
func TestAttacksOnAListener(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	past := ca.At(time.Now().Add(-48 * time.Hour)) // whose certificates end a day ago
	future := ca.At(time.Now().Add(48 * time.Hour))
	revoked := ca.Load(certs.Operator, "mallory")
	if _, err := ca.Revoke(revoked.Own().SerialNumber); err != nil {
		t.Fatal(err)
	}
	address := serve(t, ca.Load(certs.Node, "node-1"), false, certs.Operator)

	if got, _, err := dial(t, ca.Load(certs.Operator, "alice"), address, certs.Node); err != nil || got != "dvr://operator/alice" {
		t.Fatalf("a good operator: %q, %v", got, err)
	}
	only := func(c *certs.Credentials, change func(*tls.Config)) func() (net.Conn, error) {
		return func() (net.Conn, error) {
			config := c.Client(certs.Node)
			change(config)
			return (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", address)
		}
	}
	shown := func(c *certs.Credentials) func() (net.Conn, error) {
		return only(c, func(config *tls.Config) { config.InsecureSkipVerify, config.VerifyConnection = true, nil })
	}
	bare, err := certs.Load(certs.Files{CA: ca.CAFile()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, attack := range map[string]func() (net.Conn, error){
		"no certificate":  shown(bare),
		"wrong authority": shown(other.Load(certs.Operator, "alice")),
		"wrong kind":      shown(ca.Load(certs.DataPlane, "r1")),
		"a peer":          shown(ca.Load(certs.Node, "node-2")),
		"expired":         shown(past.Load(certs.Operator, "late")),
		"not yet valid":   shown(future.Load(certs.Operator, "early")),
		"revoked":         shown(revoked),
		"TLS 1.2": only(ca.Load(certs.Operator, "alice"), func(config *tls.Config) {
			config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		}),
		"clear text": func() (net.Conn, error) {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			}
			return conn, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := attack()
			if got, _, err := greeting(t, conn, err); err == nil && strings.HasPrefix(got, "dvr://") || err == nil && got == "nobody" {
				t.Errorf("admitted as %q", got)
			}
		})
	}
}

// TestAttacksOnACaller: what a caller does not take for a node.
func TestAttacksOnACaller(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	alice := ca.Load(certs.Operator, "alice")
	if got, _, err := dial(t, alice, serve(t, ca.Load(certs.Node, "node-1"), true, certs.Operator), certs.Node); err != nil || got != "dvr://operator/alice" {
		t.Fatalf("a good node: %q, %v", got, err)
	}
	named, err := ca.Issue(certs.Identity{Kind: certs.Node, Name: "elsewhere"}, []string{"10.9.9.9", "other.example.net"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := certs.Load(ca.Files(certs.Identity{Kind: certs.Node, Name: named.Subject.CommonName}), nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := ca.Load(certs.Node, "gone")
	if _, err := ca.Revoke(gone.Own().SerialNumber); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server *certs.Credentials
		want   string
	}{
		"wrong name":               {elsewhere, "x509:"},
		"wrong authority":          {other.Load(certs.Node, "node-1"), "x509:"},
		"expired":                  {ca.At(time.Now().Add(-48*time.Hour)).Load(certs.Node, "late"), "expired"},
		"revoked":                  {gone, "revoked"},
		"a data plane as the node": {ca.Load(certs.DataPlane, "r1"), "x509:"},
		"an operator as the node":  {ca.Load(certs.Operator, "bob"), "x509:"},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, c.server, true, certs.Operator)
			if got, _, err := dial(t, alice, address, certs.Node); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("taken for a node: %q, %v", got, err)
			}
		})
	}
	t.Run("a node where another kind is called", func(t *testing.T) {
		address := serve(t, ca.Load(certs.Node, "node-1"), true, certs.Operator)
		if _, _, err := dial(t, alice, address, certs.DataPlane); !errors.Is(err, certs.ErrKind) {
			t.Error(err)
		}
	})
	t.Run("a server of TLS 1.2", func(t *testing.T) {
		f := ca.Make(certs.Node, "node-1")
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			t.Fatal(err)
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if conn, err := l.Accept(); err == nil {
				_ = conn.(*tls.Conn).Handshake()
				conn.Close()
			}
		}()
		if _, _, err := dial(t, alice, l.Addr().String(), certs.Node); err == nil {
			t.Error("spoken")
		}
	})
}

// TestANodeIsCalledByItsName: a node is not taken for another one, whose
// certificate is as good.
func TestANodeIsCalledByItsName(t *testing.T) {
	ca := certstest.New(t)
	server := grpc.NewServer(ca.Load(certs.Node, "node-1").ServeRPC(certs.Node)...)
	health := health.NewServer()
	healthpb.RegisterHealthServer(server, health)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	caller := ca.Load(certs.Node, "node-2")
	for id, want := range map[string]string{"node-1": "", "node-3": "dvr://node/node-3 is wanted", "": "is wanted"} {
		conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), caller.DialNode(id))
		if err != nil {
			t.Fatal(err)
		}
		_, err = healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("called as %q: %v", id, err)
		}
		conn.Close()
	}
	if conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), (*certs.Credentials)(nil).DialNode("node-1")); err != nil {
		t.Error(err)
	} else if _, err = healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err == nil {
		t.Error("clear text was answered")
	}
}

// TestRenewedFilesAreReadAgain: the next handshake has the new certificate,
// without a restart; what cannot be used leaves the old one in force, and is said once.
func TestRenewedFilesAreReadAgain(t *testing.T) {
	ca := certstest.New(t)
	f := ca.Make(certs.Node, "node-1")
	core, logs := observer.New(zap.WarnLevel)
	node, err := certs.Load(f, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	address := serve(t, node, true, certs.Operator)
	alice := ca.Load(certs.Operator, "alice")
	serial := func() string {
		t.Helper()
		_, conn, err := dial(t, alice, address, certs.Node)
		if err != nil {
			t.Fatal(err)
		}
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Text(16)
	}
	first := serial()
	if _, err := ca.Renew(f.Cert, time.Hour); err != nil {
		t.Fatal(err)
	}
	second := serial()
	if second == first {
		t.Error("the old certificate was shown")
	}
	if err := os.WriteFile(f.Cert, []byte("half a cert"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := serial(); got != second {
			t.Errorf("shown was %s", got)
		}
	}
	if n := logs.FilterMessageSnippet("cannot be used").Len(); n != 1 {
		t.Errorf("said %d times", n)
	}
	if err := os.Remove(f.Cert); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != second {
		t.Errorf("shown was %s", got)
	}
}

// TestRevocationCutsConnections: a connection that was made before ends too.
func TestRevocationCutsConnections(t *testing.T) {
	ca := certstest.New(t)
	node := ca.Load(certs.Node, "node-1")
	address := serve(t, node, false, certs.Operator)
	mallory, alice := ca.Load(certs.Operator, "mallory"), ca.Load(certs.Operator, "alice")
	_, bad, err := dial(t, mallory, address, certs.Node)
	if err != nil {
		t.Fatal(err)
	}
	_, good, err := dial(t, alice, address, certs.Node)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Revoke(mallory.Own().SerialNumber); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go node.Watch(ctx) // its first round comes at once
	_ = bad.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := bad.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection stands: %v", err)
	}
	_ = good.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := good.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the other was cut, too: %v", err)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	f := ca.Make(certs.Node, "node-1")
	foreign := other.Make(certs.Node, "node-1")
	garbage := t.TempDir() + "/garbage"
	if err := os.WriteFile(garbage, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files certs.Files
		want  string
	}{
		"no authority":        {certs.Files{Cert: f.Cert, Key: f.Key}, "whom to trust"},
		"no key":              {certs.Files{CA: f.CA, Cert: f.Cert}, "come together"},
		"absent":              {certs.Files{CA: f.CA, Cert: f.Cert, Key: f.Key + "x"}, "no such file"},
		"another's key":       {certs.Files{CA: f.CA, Cert: f.Cert, Key: foreign.Key}, "private key does not match"},
		"another's authority": {certs.Files{CA: foreign.CA, Cert: f.Cert, Key: f.Key}, "was not issued by an authority of"},
		"no authority at all": {certs.Files{CA: f.Cert, Cert: f.Cert, Key: f.Key}, "is no authority"},
		"garbage":             {certs.Files{CA: garbage}, garbage},
		"no PEM":              {certs.Files{CA: f.CRL}, "no certificate in PEM"},
		"another's CRL":       {certs.Files{CA: f.CA, Cert: f.Cert, Key: f.Key, CRL: foreign.CRL}, "was not signed by"},
		"CRL in PEM":          {certs.Files{CA: f.CA, CRL: f.CA}, "-outform DER"},
	} {
		if _, err := certs.Load(c.files, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAlarm(t *testing.T) {
	ca := certstest.New(t)
	if a := ca.Load(certs.Node, "short").Alarm(); !strings.Contains(a, "expires in 0 days") || !strings.Contains(a, "dvr cert renew") {
		t.Errorf("ends in a day: %q", a)
	}
	if a := ca.At(time.Now().Add(-48*time.Hour)).Load(certs.Node, "late").Alarm(); !strings.Contains(a, "has expired") {
		t.Errorf("ended: %q", a)
	}
	id := certs.Identity{Kind: certs.Node, Name: "long"}
	if _, err := ca.Issue(id, nil, 15*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	long, err := certs.Load(ca.Files(id), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := long.Alarm(); a != "" {
		t.Errorf("ends in 15 days: %q", a)
	}
	if a := (*certs.Credentials)(nil).Alarm(); a != "" {
		t.Errorf("clear text: %q", a)
	}
	now := time.Now()
	for d, want := range map[time.Duration]int{-time.Second: -1, -25 * time.Hour: -2, 0: 0, 23 * time.Hour: 0, 24 * time.Hour: 1} {
		if got := certs.Days(now.Add(d), now); got != want {
			t.Errorf("%v: %d days, want %d", d, got, want)
		}
	}
}
