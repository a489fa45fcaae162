package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"dvr/controller/auth"
	"dvr/controller/certs"
	"dvr/controller/certs/certstest"
	"dvr/controller/fibpb"
	"dvr/controller/peerpb"
	"dvr/controller/settings"
)

// secured is the environment of a node in TLS.
func secured(t *testing.T, f certs.Files) []string {
	return append(environment(t, t.TempDir()), "CA_FILE="+f.CA, "CERT_FILE="+f.Cert, "KEY_FILE="+f.Key, "CRL_FILE="+f.CRL)
}

// secureClient is an HTTP client with a certificate, or none.
func secureClient(t *testing.T, c *certs.Credentials) *http.Client {
	t.Helper()
	k := &http.Client{Timeout: patience, Transport: &http.Transport{DialTLSContext: c.Dial(patience, certs.Node)}}
	t.Cleanup(k.CloseIdleConnections)
	return k
}

// ask gives the status and the body of an answer, 0 where there is none.
func ask(t *testing.T, c *http.Client, method, url, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-DVR-Actor", "mallory")
	resp, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

const aRoute = `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1"}`

// TestWhoMayDoWhat: one node in TLS, and everybody at every port of it.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	ca, other := certstest.New(t), certstest.New(t)
	n, out, _ := start(t, secured(t, ca.Make(certs.Node, "node-1")))
	if !strings.Contains(out.String(), "API https://") {
		t.Errorf("it announces %s", out)
	}
	bare, err := certs.Load(certs.Files{CA: ca.CAFile()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	alice, node2, r1, bob := ca.Load(certs.Operator, "alice"), ca.Load(certs.Node, "node-2"), ca.Load(certs.DataPlane, "r1"), ca.Load(certs.Inspector, "bob")
	revoked := ca.Load(certs.Operator, "mallory")
	if _, err := ca.Revoke(revoked.Own().SerialNumber); err != nil {
		t.Fatal(err)
	}
	// A foreigner trusts this node and shows a certificate of its own authority.
	foreign := other.Make(certs.Operator, "alice")
	both := t.TempDir() + "/both.crt"
	one, err := os.ReadFile(ca.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(foreign.CA)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(both, append(one, two...), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign.CA, foreign.CRL = both, ""
	stranger, err := certs.Load(foreign, nil)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("API", func(t *testing.T) {
		base := "https://" + n.APIAddr()
		for _, c := range []struct {
			who    string
			c      *certs.Credentials
			method string
			path   string
			body   string
			want   int // 0: not even a connection
		}{
			{"an operator", alice, "POST", "/routes", aRoute, 201},
			{"an operator", alice, "GET", "/routes", "", 200},
			{"nobody", bare, "GET", "/livez", "", 200},
			{"nobody", bare, "GET", "/readyz", "", 200},
			{"nobody", bare, "GET", "/docs", "", 200},
			{"nobody", bare, "POST", "/livez", "", 401},
			{"nobody", bare, "GET", "/routes", "", 401},
			{"nobody", bare, "GET", "/v1/backup", "", 401},
			{"nobody", bare, "GET", "/metrics", "", 401},
			{"nobody", bare, "POST", "/routes", aRoute, 401},
			{"nobody", bare, "OPTIONS", "/routes", "", 401},
			{"nobody", bare, "GET", "/nowhere", "", 401},
			{"a node", node2, "GET", "/v1/cluster/members", "", 200},
			{"a node", node2, "GET", "/routes", "", 403},
			{"a node", node2, "POST", "/routes", aRoute, 403},
			{"a node", node2, "GET", "/v1/backup", "", 403},
			{"a data plane", r1, "GET", "/routes", "", 0},
			{"an inspector", bob, "GET", "/routes", "", 0},
			{"a revoked operator", revoked, "GET", "/routes", "", 0},
			{"a stranger", stranger, "GET", "/routes", "", 0},
		} {
			if got, body := ask(t, secureClient(t, c.c), c.method, base+c.path, c.body); got != c.want {
				t.Errorf("%s: %s %s: %d, want %d: %s", c.who, c.method, c.path, got, c.want, body)
			}
		}
		// The certificate says who it was, whatever the header said.
		if _, body := ask(t, secureClient(t, alice), "GET", base+"/v1/commits/2", ""); !strings.Contains(body, `"actor":"alice"`) {
			t.Errorf("made by %s", body)
		}
		if _, body := ask(t, secureClient(t, bare), "GET", base+"/readyz", ""); !strings.Contains(body, `"transport":"tls"`) {
			t.Errorf("readyz: %s", body)
		}
		if _, body := ask(t, secureClient(t, alice), "GET", base+"/v1/status", ""); !strings.Contains(body, `"alarm":"this node's certificate expires in 0 days`) {
			t.Errorf("status: %s", body)
		}
		if _, body := ask(t, secureClient(t, alice), "GET", base+"/metrics", ""); !strings.Contains(body, `dvr_certificate_expiry_days{certificate="node"} 0.9`) {
			t.Error("metrics lack the certificate's end")
		}
	})
	t.Run("clear text", func(t *testing.T) {
		if code, body := ask(t, http.DefaultClient, "GET", "http://"+n.APIAddr()+"/livez", ""); code != 400 || !strings.Contains(body, "--cacert") {
			t.Errorf("API: %d, %s", code, body)
		}
		for what, address := range map[string]string{"Raft": n.settings.Raft.Advertise, "etcd clients": n.settings.Client.Advertise} {
			if code, body := ask(t, http.DefaultClient, "GET", "http://"+address+"/version", ""); code == 200 {
				t.Errorf("%s: %d, %s", what, code, body)
			}
		}
		if err := subscribe(t, n, grpc.WithTransportCredentials(insecure.NewCredentials()), "r1"); status.Code(err) != codes.Unavailable {
			t.Errorf("FIB: %v", err)
		}
	})
	t.Run("TLS 1.2", func(t *testing.T) {
		for what, address := range map[string]string{"API": n.APIAddr(), "FIB": n.FIBAddr(), "Raft": n.settings.Raft.Advertise, "etcd clients": n.settings.Client.Advertise} {
			config := node2.Client(certs.Node)
			config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			if conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", address); err == nil {
				conn.Close()
				t.Errorf("%s speaks it", what)
			}
		}
	})
	t.Run("FIB", func(t *testing.T) {
		if err := subscribe(t, n, r1.DialRPC(certs.Node), "r1"); err != nil {
			t.Errorf("its own: %v", err)
		}
		for _, c := range []struct {
			who  string
			c    *certs.Credentials
			want codes.Code
		}{{"of r1 as r2", r1, codes.PermissionDenied}, {"of a node", node2, codes.PermissionDenied}, {"of an operator", alice, codes.Unavailable}, {"none", bare, codes.Unavailable}, {"of a stranger", stranger, codes.Unavailable}} {
			if err := subscribe(t, n, c.c.DialRPC(certs.Node), "r2"); status.Code(err) != c.want {
				t.Errorf("with a certificate %s: %v", c.who, err)
			}
		}
	})
	t.Run("between nodes", func(t *testing.T) {
		for _, c := range []struct {
			who, as string
			c       *certs.Credentials
			want    codes.Code
		}{{"node-2", "node-2", node2, codes.FailedPrecondition}, {"node-2", "node-3", node2, codes.PermissionDenied}, {"a data plane", "r1", r1, codes.PermissionDenied}, {"an operator", "alice", alice, codes.Unavailable}} {
			conn := dialRPC(t, n, c.c.DialRPC(certs.Node))
			stream, err := peerpb.NewPeerClient(conn).Link(within(t, patience))
			if err == nil {
				// Another log's: who passes by the certificate is refused for that.
				log := "another log"
				if c.want == codes.PermissionDenied {
					log = n.store.ID()
				}
				_ = stream.Send(&peerpb.Frame{Introduction: &peerpb.Introduction{Protocol: 1, Node: c.as, LogId: log}})
				_, err = stream.Recv()
			}
			if status.Code(err) != c.want {
				t.Errorf("%s as %s: %v", c.who, c.as, err)
			}
		}
		// An entry of the directory tells others where a node is reached.
		conn := dialRPC(t, n, node2.DialNode(n.settings.NodeID))
		if _, err := peerpb.NewPeerClient(conn).Announce(within(t, patience), &peerpb.Announcement{Node: "node-3", Value: []byte("{}")}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("node-2 announces node-3: %v", err)
		}
	})
	t.Run("etcd", func(t *testing.T) {
		for _, c := range []struct {
			who  string
			c    *certs.Credentials
			want codes.Code
		}{{"an inspector", bob, codes.OK}, {"a node", node2, codes.OK}, {"a data plane", r1, codes.PermissionDenied}, {"an operator", alice, codes.PermissionDenied}, {"nobody", bare, codes.Unavailable}, {"a revoked one", revoked, codes.Unavailable}} {
			client, err := clientv3.New(clientv3.Config{Endpoints: []string{n.settings.Client.Advertise}, Logger: zap.NewNop(), MaxUnaryRetries: 1, DialOptions: []grpc.DialOption{c.c.DialRPC(certs.Node)}})
			if err != nil {
				t.Fatal(err)
			}
			limit := patience
			if c.want == codes.Unavailable {
				limit = time.Second // the client tries again until then
			}
			_, err = client.Get(within(t, limit), "/dvr/log/head")
			if got := status.Code(err); got != c.want && !(c.want == codes.Unavailable && errors.Is(err, context.DeadlineExceeded)) {
				t.Errorf("%s: %v", c.who, err)
			}
			client.Close()
		}
		for _, c := range []struct {
			who string
			c   *certs.Credentials
			ok  bool
		}{{"a node", node2, true}, {"a data plane", r1, false}, {"an operator", alice, false}, {"an inspector", bob, false}, {"nobody", bare, false}} {
			code, body := ask(t, secureClient(t, c.c), "GET", "https://"+n.settings.Raft.Advertise+"/members", "")
			if (code == 200) != c.ok {
				t.Errorf("Raft, %s: %d, %s", c.who, code, body)
			}
		}
	})
}

// TestRevokedWhileConnected: what was begun with a certificate ends within
// seconds of its revocation, at every port where it stands, and nothing new is
// served on what stood.
func TestRevokedWhileConnected(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	n, _, _ := start(t, secured(t, ca.Make(certs.Node, "node-1")))
	mallory, r1, node2, bob := ca.Load(certs.Operator, "mallory"), ca.Load(certs.DataPlane, "r1"), ca.Load(certs.Node, "node-2"), ca.Load(certs.Inspector, "bob")
	ended := map[string]chan error{"API": make(chan error, 1), "FIB": make(chan error, 1), "between nodes": make(chan error, 1), "etcd": make(chan error, 1)}

	web := secureClient(t, mallory)
	web.Timeout = 0
	watch, err := web.Get("https://" + n.APIAddr() + "/v1/watch")
	if err != nil || watch.StatusCode != 200 {
		t.Fatal(watch, err)
	}
	defer watch.Body.Close()
	go func() {
		_, err := io.Copy(io.Discard, watch.Body)
		ended["API"] <- err
	}()

	fib, err := fibpb.NewFibClient(dialRPC(t, n, r1.DialRPC(certs.Node))).Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = fib.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Hello{Hello: &fibpb.Hello{Protocol: 1, Router: "r1", Instance: "i", DigestVersions: []uint32{1}, Credit: 4}}})
	if _, err := fib.Recv(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if _, err := fib.Recv(); err != nil {
				ended["FIB"] <- err
				return
			}
		}
	}()

	link, err := peerpb.NewPeerClient(dialRPC(t, n, node2.DialNode("node-1"))).Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = link.Send(&peerpb.Frame{Introduction: &peerpb.Introduction{Protocol: 1, Node: "node-2", LogId: n.store.ID()}})
	if _, err := link.Recv(); err != nil {
		t.Fatal(err)
	}
	go func() { // a node that says nothing is cut anyway
		for t := time.NewTicker(200 * time.Millisecond); link.Send(&peerpb.Frame{}) == nil; {
			<-t.C
		}
	}()
	go func() {
		for {
			if _, err := link.Recv(); err != nil {
				ended["between nodes"] <- err
				return
			}
		}
	}()

	client, err := clientv3.New(clientv3.Config{Endpoints: []string{n.settings.Client.Advertise}, Logger: zap.NewNop(), MaxUnaryRetries: 1, DialOptions: []grpc.DialOption{bob.DialRPC(certs.Node)}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	raw, err := etcdserverpb.NewWatchClient(client.ActiveConnection()).Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Send(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{CreateRequest: &etcdserverpb.WatchCreateRequest{Key: []byte("/dvr/log/head")}}})
	if r, err := raw.Recv(); err != nil || !r.Created {
		t.Fatal(r, err)
	}
	go func() {
		for {
			if _, err := raw.Recv(); err != nil {
				ended["etcd"] <- err
				return
			}
		}
	}()

	begun := time.Now()
	for _, c := range []*certs.Credentials{mallory, r1, node2, bob} {
		if _, err := ca.Revoke(c.Own().SerialNumber); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range ended {
		select {
		case err := <-c:
			t.Logf("%s: ended after %s: %v", what, time.Since(begun).Round(time.Millisecond), err)
		case <-time.After(patience):
			t.Errorf("%s: it goes on after %s", what, time.Since(begun))
		}
	}
	if _, err := etcdserverpb.NewKVClient(client.ActiveConnection()).Range(within(t, patience), &etcdserverpb.RangeRequest{Key: []byte("/dvr/log/head")}); status.Code(err) == codes.OK {
		t.Error("etcd: what stood reads on")
	}
}

func dialRPC(t *testing.T, n *Node, o grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+n.FIBAddr(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// subscribe is how a data plane's stream begins: nil where it was welcomed.
func subscribe(t *testing.T, n *Node, o grpc.DialOption, router string) error {
	t.Helper()
	stream, err := fibpb.NewFibClient(dialRPC(t, n, o)).Subscribe(within(t, patience))
	if err != nil {
		return err
	}
	_ = stream.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Hello{Hello: &fibpb.Hello{
		Protocol: 1, Router: router, Instance: "i", DigestVersions: []uint32{1}, Credit: 4,
	}}})
	_, err = stream.Recv()
	return err
}

// TestRenewedUnderLoad: certificates are replaced while callers come and go, and
// no call fails. At the end the newest one is shown.
func TestRenewedUnderLoad(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	f := ca.Make(certs.Node, "node-1")
	n, _, _ := start(t, secured(t, f))
	alice := ca.Load(certs.Operator, "alice")
	var calls atomic.Int64
	stop, callers := make(chan struct{}), sync.WaitGroup{}
	for i := range 4 {
		c := secureClient(t, alice)
		c.Transport.(*http.Transport).DisableKeepAlives = i < 2 // a handshake each, and none
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code, body := ask(t, c, "POST", "https://"+n.APIAddr()+"/routes?wait=logged", aRoute); code != 201 && code != 200 {
					t.Errorf("%d, %s", code, body)
					return
				}
				calls.Add(1)
			}
		})
	}
	serial := ""
	for range 5 {
		cert, err := ca.Renew(f.Cert, 30*24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		serial = cert.SerialNumber.Text(16)
		for before := calls.Load(); calls.Load() < before+20 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
	}
	close(stop)
	callers.Wait()
	for what, address := range map[string]string{"API": n.APIAddr(), "FIB": n.FIBAddr(), "Raft": n.settings.Raft.Advertise, "etcd clients": n.settings.Client.Advertise} {
		conn, err := ca.Load(certs.Node, "node-2").Dial(patience, certs.Node)(t.Context(), "tcp", address)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Text(16); got != serial {
			t.Errorf("%s shows serial %s, the newest is %s", what, got, serial)
		}
		conn.Close()
	}
}

func TestCertificatesThatDoNotSuit(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	f := ca.Make(certs.Node, "node-1")
	plane := ca.Make(certs.DataPlane, "node-1")
	for name, c := range map[string]struct {
		environ []string
		want    string
	}{
		"another node's":                {[]string{"NODE_ID=node-2"}, "dvr cert issue node node-2"},
		"of another kind":               {[]string{"CERT_FILE=" + plane.Cert, "KEY_FILE=" + plane.Key}, "dvr://dataplane/node-1"},
		"absent":                        {[]string{"CERT_FILE=/nowhere"}, "/nowhere"},
		"without the host that is told": {[]string{"API_ADVERTISE=node-1.example.net:9090"}, "--host node-1.example.net"},
	} {
		replaced := slices.DeleteFunc(secured(t, f), func(kv string) bool {
			name, _, _ := strings.Cut(kv, "=")
			return slices.ContainsFunc(c.environ, func(other string) bool { return strings.HasPrefix(other, name+"=") })
		})
		s := load(t, append(replaced, c.environ...)...)
		_, err := Start(within(t, patience), s, Options{Version: "test", Logs: io.Discard})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestInsecureShows: in the log, at /readyz and in the metrics.
func TestInsecureShows(t *testing.T) {
	t.Parallel()
	n, _, logs := start(t, append(environment(t, t.TempDir()), "INSECURE=true"))
	if !strings.Contains(logs.String(), "INSECURE") {
		t.Error("the log does not say it")
	}
	if _, body := call(t, n, "GET", "/readyz", ""); !strings.Contains(body, `"transport":"insecure"`) {
		t.Errorf("readyz: %s", body)
	}
	if _, body := call(t, n, "GET", "/metrics", ""); !strings.Contains(body, "dvr_insecure 1") {
		t.Error("the metrics do not say it")
	}
}

// tokenSet is what gives root all rights and puts authorization in force.
func tokenSet() (token, body string) {
	text, id, hash := auth.NewToken()
	return text, fmt.Sprintf(`{"events":[{"kind":"token.set","id":%q,"actor":"root","sha256":"%x"},{"kind":"role.set","actor":"root","grants":[{"role":"admin"}]},{"kind":"auth.enabled"}]}`, id, hash)
}

// TestAuthorizationInClearText: it is not put in force where a port that asks
// nobody for a token is open to others; where it is in force already, that port
// is closed to them, and loopback goes on.
func TestAuthorizationInClearText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	far := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 9}})
	clear := grpc.WithTransportCredentials(insecure.NewCredentials())
	var open []string
	for _, kv := range environment(t, dir) {
		if kv == "FIB_ADDR=:0" {
			kv = "FIB_ADDR=0.0.0.0:0"
		}
		open = append(open, kv)
	}
	open = append(open, "INSECURE=true", "FIB_ADVERTISE=127.0.0.1:9190")
	_, enable := tokenSet()

	n, _, _ := start(t, open)
	if code, body := call(t, n, "POST", "/v1/commits", enable); code != 409 || !strings.Contains(body, "CA_FILE") {
		t.Errorf("with a port open to others: %d %s", code, body)
	}
	if err := n.clearText(far); err != nil {
		t.Errorf("from afar, without authorization: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n, _, _ = start(t, environment(t, dir))
	if code, body := call(t, n, "POST", "/v1/commits", enable); code != 201 && code != 200 {
		t.Fatalf("on loopback: %d %s", code, body)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n, _, logs := start(t, open)
	if !strings.Contains(logs.String(), "beyond this machine are refused") {
		t.Error("the log does not say it")
	}
	if err := n.clearText(far); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "CA_FILE") {
		t.Errorf("from afar: %v", err)
	}
	if err := n.clearText(t.Context()); status.Code(err) != codes.PermissionDenied {
		t.Errorf("from nowhere: %v", err)
	}
	conn, err := grpc.NewClient(fmt.Sprintf("passthrough:///127.0.0.1:%d", n.fib.Addr().(*net.TCPAddr).Port), clear)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := fibpb.NewFibClient(conn).Subscribe(within(t, patience))
	if err == nil {
		_ = stream.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Hello{Hello: &fibpb.Hello{Protocol: 1, Router: "r1", Instance: "i", DigestVersions: []uint32{1}, Credit: 4}}})
		_, err = stream.Recv()
	}
	if err != nil {
		t.Errorf("from loopback: %v", err)
	}
}

// TestExposed: which ports count.
func TestExposed(t *testing.T) {
	at := func(fib, raft, client string) *settings.Settings {
		return &settings.Settings{FIB: settings.Address{Listen: fib}, Raft: settings.Address{Listen: raft}, Client: settings.Address{Listen: client}}
	}
	const here, there = "127.0.0.1:1", "192.0.2.1:1"
	external := at(here, there, there)
	external.EtcdEndpoints = []string{"127.0.0.1:2379"}
	for _, c := range []struct {
		s    *settings.Settings
		tls  *certs.Credentials
		want bool
	}{
		{at(here, "[::1]:1", "localhost:1"), nil, false}, {at(there, here, here), nil, true}, {at(here, there, here), nil, true}, {at(here, here, "0.0.0.0:1"), nil, true},
		{at("[::]:1", here, here), nil, true}, {external, nil, false}, {at(there, there, there), &certs.Credentials{}, false},
	} {
		if got := (&Node{settings: c.s, tls: c.tls}).exposed(); got != c.want {
			t.Errorf("%+v: %t", c.s, got)
		}
	}
}

// TestSlowHandshakes: who begins a handshake and says no more holds up nobody
// and is cut.
func TestSlowHandshakes(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	n, _, _ := start(t, secured(t, ca.Make(certs.Node, "node-1")))
	for range 50 {
		conn, err := net.Dial("tcp", n.APIAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte{22, 3, 1, 2, 0, 1}); err != nil { // a hello's first bytes
			t.Fatal(err)
		}
	}
	if code, body := ask(t, secureClient(t, ca.Load(certs.Operator, "alice")), "GET", "https://"+n.APIAddr()+"/v1/status", ""); code != 200 {
		t.Errorf("%d, %s", code, body)
	}
}
