package etcdserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"dvr/controller/porttest"
	"dvr/controller/stalltest"
)

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func loneConfig(t *testing.T) Config {
	t.Helper()
	return Config{Name: "n1", DataDir: t.TempDir(), PeerListen: "127.0.0.1:0", ClientListen: "127.0.0.1:0", PeerAdvertise: "127.0.0.1:1"}
}

func start(t *testing.T, config Config) *Server {
	t.Helper()
	ctx := testContext(t)
	s, err := Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, s *Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.ClientAddr().String()}, Logger: zap.NewNop(), DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestLifeAndRestart(t *testing.T) {
	ctx := testContext(t)
	config := loneConfig(t)
	if config.Initialized() {
		t.Fatal("a blank directory counts as initialized")
	}
	s := start(t, config)
	if !config.Initialized() {
		t.Fatal("a started member's directory does not count as initialized")
	}
	if !s.Leader() || s.RaftState() != "Leader" {
		t.Fatalf("a lone ready member is %s", s.RaftState())
	}
	if s.MemberID() == 0 || s.ClusterID() == 0 || s.LeaderID() != s.MemberID() {
		t.Fatalf("ids: member %x, cluster %x, leader %x", s.MemberID(), s.ClusterID(), s.LeaderID())
	}
	if _, err := s.Client().Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	if err := s.Defragment(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close() // a second time does nothing
	if s.Err() != nil || s.RaftState() != "Shutdown" {
		t.Fatalf("after Close: %v, %s", s.Err(), s.RaftState())
	}

	again := start(t, config)
	if again.MemberID() != s.MemberID() || again.ClusterID() != s.ClusterID() {
		t.Fatal("ids changed over a restart")
	}
	got, err := again.Client().Get(ctx, "k")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v" {
		t.Fatalf("after restart: %v, %v", got, err)
	}
}

func TestListenerRefusesWrites(t *testing.T) {
	ctx := testContext(t)
	s := start(t, loneConfig(t))
	if _, err := s.Client().Put(ctx, "k", "v"); err != nil {
		t.Fatalf("in process: %v", err)
	}
	conn, err := grpc.NewClient(s.ClientAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	// What etcd serves today; the test fails when a new version adds a call,
	// so that its nature gets decided.
	writes := map[string]bool{}
	for _, m := range []string{
		"KV/Put", "KV/DeleteRange", "KV/Compact", "Lease/LeaseGrant", "Lease/LeaseRevoke", "Lease/LeaseKeepAlive",
		"Cluster/MemberAdd", "Cluster/MemberRemove", "Cluster/MemberUpdate", "Cluster/MemberPromote",
		"Maintenance/Defragment", "Maintenance/MoveLeader", "Maintenance/Downgrade",
		"Auth/AuthEnable", "Auth/AuthDisable", "Auth/Authenticate", "Auth/UserAdd", "Auth/UserGet", "Auth/UserList", "Auth/UserDelete",
		"Auth/UserChangePassword", "Auth/UserGrantRole", "Auth/UserRevokeRole", "Auth/RoleAdd", "Auth/RoleGet", "Auth/RoleList",
		"Auth/RoleDelete", "Auth/RoleGrantPermission", "Auth/RoleRevokePermission",
	} {
		writes["/etcdserverpb."+m] = true
	}
	for _, m := range []string{"/v3electionpb.Election/Campaign", "/v3electionpb.Election/Proclaim", "/v3electionpb.Election/Resign", "/v3lockpb.Lock/Lock", "/v3lockpb.Lock/Unlock"} {
		writes[m] = true
	}
	if _, err := dial(t, s).Get(ctx, "k"); err != nil { // it serves
		t.Fatal(err)
	}
	s.grpcMu.Lock()
	served := s.grpc[0].GetServiceInfo()
	s.grpcMu.Unlock()
	seen := 0
	for service, info := range served {
		for _, m := range info.Methods {
			method := "/" + service + "/" + m.Name
			seen++
			if method == txnCall || method == alarmCall {
				continue // below
			}
			if writes[method] == readCalls[method] {
				t.Errorf("%s is neither a read nor a write, or both", method)
				continue
			}
			if !writes[method] {
				continue
			}
			var err error
			if m.IsClientStream || m.IsServerStream {
				var stream grpc.ClientStream
				stream, err = conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
				if err == nil {
					err = stream.RecvMsg(&emptypb.Empty{})
				}
			} else {
				err = conn.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{})
			}
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s: %v, want PermissionDenied", method, err)
			} else if !strings.Contains(err.Error(), "--etcd-writable") || !strings.Contains(err.Error(), "HTTP API") {
				t.Errorf("%s: the refusal does not say what to do: %v", method, err)
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d calls were looked at", seen)
	}

	kv, maintenance := pb.NewKVClient(conn), pb.NewMaintenanceClient(conn)
	get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k")}}}
	del := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("k")}}}
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k")}}}
	nest := func(r *pb.TxnRequest) *pb.TxnRequest {
		return &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}}}
	}
	for name, c := range map[string]struct {
		request *pb.TxnRequest
		refused bool
	}{
		"reads":         {&pb.TxnRequest{Success: []*pb.RequestOp{get}, Failure: []*pb.RequestOp{get}}, false},
		"nested reads":  {nest(&pb.TxnRequest{Success: []*pb.RequestOp{get}}), false},
		"put":           {&pb.TxnRequest{Success: []*pb.RequestOp{get, put}}, true},
		"delete":        {&pb.TxnRequest{Success: []*pb.RequestOp{del}}, true},
		"put otherwise": {&pb.TxnRequest{Failure: []*pb.RequestOp{put}}, true},
		"nested put":    {nest(nest(&pb.TxnRequest{Failure: []*pb.RequestOp{put}})), true},
	} {
		_, err := kv.Txn(ctx, c.request)
		if refused := status.Code(err) == codes.PermissionDenied; refused != c.refused || !c.refused && err != nil {
			t.Errorf("transaction %s: %v", name, err)
		}
	}
	for action, refused := range map[pb.AlarmRequest_AlarmAction]bool{pb.AlarmRequest_GET: false, pb.AlarmRequest_ACTIVATE: true, pb.AlarmRequest_DEACTIVATE: true} {
		_, err := maintenance.Alarm(ctx, &pb.AlarmRequest{Action: action, Alarm: pb.AlarmType_NOSPACE})
		if (status.Code(err) == codes.PermissionDenied) != refused {
			t.Errorf("alarm %v: %v", action, err)
		}
	}
	if got, err := s.Client().Get(ctx, "k"); err != nil || string(got.Kvs[0].Value) != "v" {
		t.Errorf("the key was changed: %v, %v", got, err)
	}
}

func TestListenerAdmitsReads(t *testing.T) {
	ctx := testContext(t)
	s := start(t, loneConfig(t))
	c := dial(t, s)
	watch := c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	if r := <-watch; r.Err() != nil || !r.Created {
		t.Fatalf("watch: %+v", r)
	}
	if _, err := s.Client().Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	if r := <-watch; r.Err() != nil || len(r.Events) != 1 {
		t.Fatalf("watch: %+v", r)
	}
	if got, err := c.Get(ctx, "k"); err != nil || len(got.Kvs) != 1 {
		t.Errorf("get: %v, %v", got, err)
	}
	if _, err := c.Status(ctx, c.Endpoints()[0]); err != nil {
		t.Errorf("status: %v", err)
	}
	if r, err := c.MemberList(ctx); err != nil || len(r.Members) != 1 {
		t.Errorf("members: %v, %v", r, err)
	}
	if _, err := c.AlarmList(ctx); err != nil {
		t.Errorf("alarms: %v", err)
	}
	if _, err := c.HashKV(ctx, c.Endpoints()[0], 0); err != nil {
		t.Errorf("hash: %v", err)
	}
	snapshot, err := c.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, snapshot); err != nil || n == 0 {
		t.Errorf("snapshot: %d bytes, %v", n, err)
	}

	// The attached watch must not hold up the end.
	took := stalltest.Begin(t)
	s.Close()
	if d := took(); d > 4*time.Second {
		t.Errorf("Close took %v beside an attached watch", d)
	}
}

func TestWritable(t *testing.T) {
	config := loneConfig(t)
	config.Writable = true
	c := dial(t, start(t, config))
	if _, err := c.Put(testContext(t), "k", "v"); err != nil {
		t.Fatal(err)
	}
}

func TestWebSide(t *testing.T) {
	s := start(t, loneConfig(t))
	base := "http://" + s.ClientAddr().String()
	for _, c := range []struct {
		method, path, host, origin string
		status                     int
	}{
		{"GET", "/health", "", "", 200},
		{"GET", "/version", "", "", 200},
		{"GET", "/health", "evil.example", "", http.StatusMisdirectedRequest},
		{"GET", "/health", "", "http://evil.example", 200},
		{"GET", "/metrics", "", "", 404},
		{"GET", "/debug/vars", "", "", 404},
		{"GET", "/debug/pprof/", "", "", 404},
		{"POST", "/v3/kv/put", "", "", 404},
		{"POST", "/v3/kv/range", "", "", 404},
		{"POST", "/v3beta/kv/range", "", "", 404},
		{"GET", "/", "", "", 404},
	} {
		r, err := http.NewRequestWithContext(testContext(t), c.method, base+c.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if c.host != "" {
			r.Host = c.host
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("%s %s (host %q): %d, want %d", c.method, c.path, c.host, response.StatusCode, c.status)
		}
		if allow := response.Header.Get("Access-Control-Allow-Origin"); allow != "" {
			t.Errorf("%s %s: readable from pages of %q", c.method, c.path, allow)
		}
	}
}

func TestStartFailures(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, change := range map[string]func(*Config){
		"no name":         func(c *Config) { c.Name = "" },
		"no directory":    func(c *Config) { c.DataDir = "" },
		"no client port":  func(c *Config) { c.ClientListen = "127.0.0.1" },
		"no peer port":    func(c *Config) { c.PeerListen = "" },
		"negative quota":  func(c *Config) { c.Quota = -1 },
		"port in use":     func(c *Config) { c.ClientListen = taken.Addr().String() },
		"not among them":  func(c *Config) { c.Members = map[string]string{"other": "127.0.0.1:2"} },
		"short elections": func(c *Config) { c.Election = 10 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			config := loneConfig(t)
			change(&config)
			if s, err := Start(testContext(t), config); err == nil {
				s.Close()
				t.Error("started")
			}
		})
	}
}

// A damaged write-ahead log must end in an error of Start, not in the end of
// the process.
func TestDamagedLogIsAnError(t *testing.T) {
	config := loneConfig(t)
	s := start(t, config)
	for range 50 {
		if _, err := s.Client().Put(testContext(t), "k", strings.Repeat("v", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	files, err := filepath.Glob(filepath.Join(config.Dir(), "member", "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no log: %v", err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 20_000; i < 20_100; i++ {
		raw[i] ^= 0xff
	}
	if err := os.WriteFile(files[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Start(testContext(t), config); err == nil {
		s.Close()
		t.Fatal("started on a damaged log")
	}
}

func TestFatalEntriesEndTheMemberNotTheProcess(t *testing.T) {
	for _, level := range []zapcore.Level{zapcore.FatalLevel, zapcore.PanicLevel} {
		s := start(t, loneConfig(t))
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			s.etcd.GetLogger().Log(level, "cannot save", zap.Error(io.ErrShortWrite))
			t.Error("the code after a fatal entry ran on")
		}()
		<-wrote
		<-s.Done()
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), "cannot save: short write") {
			t.Errorf("Err is %v", err)
		}
		s.Close()
	}
}

// Three members form a cluster, a removed one notices, and the end of the
// leader hands leadership on.
func TestThreeMembers(t *testing.T) {
	ctx := testContext(t)
	names := []string{"n1", "n2", "n3"}
	members := map[string]string{}
	for _, n := range names {
		members[n] = porttest.Address(t)
	}
	servers := map[uint64]*Server{}
	for _, n := range names {
		s, err := Start(ctx, Config{Name: n, DataDir: t.TempDir(), PeerListen: members[n], ClientListen: "127.0.0.1:0", Members: members})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		servers[s.MemberID()] = s
	}
	var any *Server
	for _, s := range servers {
		if err := s.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		any = s
	}
	if _, err := any.Client().Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	leader := servers[any.LeaderID()]
	if leader == nil || !leader.Leader() {
		t.Fatalf("no leader: %x", any.LeaderID())
	}
	var removed *Server
	for _, s := range servers {
		if s != leader {
			removed = s
			if s.RaftState() != "Follower" {
				t.Errorf("state %s", s.RaftState())
			}
		}
	}
	for { // refused for the first seconds of a cluster's life
		_, err := leader.Client().MemberRemove(ctx, removed.MemberID())
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // polling etcd's own timer
	}
	select {
	case <-removed.Done():
	case <-ctx.Done():
		t.Fatal("a removed member runs on")
	}
	if !errors.Is(removed.Err(), ErrStopped) {
		t.Errorf("a removed member ended with %v", removed.Err())
	}
	leader.Close()
	for _, s := range servers {
		if s != leader && s != removed {
			if _, err := s.Client().Get(ctx, "k", clientv3.WithSerializable()); err != nil {
				t.Error(err)
			}
			if s.Err() != nil {
				t.Error(s.Err())
			}
		}
	}
}

// TestMemberWhoseDataDifferEnds: a database that was changed behind etcd's back
// is noticed after the start, and peers that start at the same time do not wait
// for each other.
func TestMemberWhoseDataDifferEnds(t *testing.T) {
	ctx := testContext(t)
	members, configs := map[string]string{}, map[string]*Config{}
	for _, n := range []string{"n1", "n2", "n3"} {
		members[n] = porttest.Address(t)
	}
	for n, a := range members {
		configs[n] = &Config{Name: n, DataDir: t.TempDir(), PeerListen: a, ClientListen: "127.0.0.1:0", Members: members}
	}
	all := func() map[string]*Server {
		out := map[string]*Server{}
		for n, c := range configs {
			s, err := Start(ctx, *c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			out[n] = s
		}
		return out
	}
	servers := all()
	for _, s := range servers {
		if err := s.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
	const value = "a value that is found in the file"
	if _, err := servers["n1"].Client().Put(ctx, "k", value); err != nil {
		t.Fatal(err)
	}
	for _, s := range servers { // all have it before they stop
		if _, err := s.Client().Get(ctx, "k"); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range servers {
		s.Close()
	}
	db := filepath.Join(configs["n2"].Dir(), "member", "snap", "db")
	raw, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), value) {
		t.Fatal("the value is not in the file")
	}
	if err := os.WriteFile(db, []byte(strings.ReplaceAll(string(raw), value, strings.ToUpper(value))), 0o600); err != nil {
		t.Fatal(err)
	}
	took := stalltest.Begin(t)
	servers = all()
	for n, s := range servers {
		if err := s.WaitReady(ctx); err != nil && (n != "n2" || !errors.Is(err, ErrDiffers)) {
			t.Fatal(err)
		}
	}
	if d := took(); d > 5*time.Second {
		t.Errorf("three members that start together took %v", d)
	}
	ended := 0
	for ended == 0 {
		select {
		case <-servers["n2"].Done():
			ended++
			if err := servers["n2"].Err(); !errors.Is(err, ErrDiffers) {
				t.Errorf("the changed member ended with %v", err)
			}
		case <-ctx.Done():
			t.Fatal("the changed member runs on")
		}
	}
	for _, n := range []string{"n1", "n3"} {
		<-servers[n].checked
		if err := servers[n].Err(); err != nil {
			t.Errorf("%s, which has the majority's data, ended with %v", n, err)
		}
	}
}

// TestMembersAndIdentity: what the list and the data directory tell of a member.
func TestMembersAndIdentity(t *testing.T) {
	config := loneConfig(t)
	if _, _, err := config.Identity(); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("of a blank directory: %v", err)
	}
	config.Token = "a token"
	s := start(t, config)
	list := s.Members()
	if len(list) != 1 || list[0].ID != s.MemberID() || list[0].Name != "n1" || list[0].Peer != config.PeerAdvertise || list[0].Learner || s.Learner() || s.Removed() {
		t.Errorf("%+v", list)
	}
	member, cluster, err := config.Identity()
	if err != nil || member != s.MemberID() || cluster != s.ClusterID() {
		t.Errorf("the data say member %x of cluster %x (%v), etcd %x of %x", member, cluster, err, s.MemberID(), s.ClusterID())
	}
	if id, err := ClusterIDOf("a token", map[string]string{"n1": config.PeerAdvertise}, false); err != nil || id != s.ClusterID() {
		t.Errorf("the cluster's id was foretold as %x (%v)", id, err)
	}
	if id, _ := ClusterIDOf("another", map[string]string{"n1": config.PeerAdvertise}, false); id == s.ClusterID() {
		t.Error("the token does not matter")
	}
	if err := s.HandOver(); err == nil {
		// A lone voter has nobody to hand over to; etcd passes that over.
		if !s.Leader() {
			t.Error("a lone voter gave up leadership")
		}
	}
	s.Close()
	files, _ := filepath.Glob(filepath.Join(config.Dir(), "member", "wal", "*.wal"))
	for _, damage := range []string{"", "short", strings.Repeat("\xff", 4096)} {
		if err := os.WriteFile(files[0], []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := config.Identity(); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("of a damaged log: %v", err)
		}
	}
}
