package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"dvr/controller/certs"
	"dvr/controller/etcdserver"
)

// Config of a node's start.
type Config struct {
	NodeID         string
	DataDir        string
	RaftListen     string
	Addresses      Addresses // advertised
	InitialCluster map[string]string
	Join           []string // API addresses
	Observer       bool
	JoinToken      string // of a cluster that asks for one
	ClusterID      string // 16 hex digits, or empty
	// TLS is that of the cluster's Raft addresses and APIs; nil: clear text.
	TLS *certs.Credentials
	// Attempt tells the admissions that this process asks for from those of an
	// earlier one; NewAttempt makes it.
	Attempt string
	// Await is told what the start waits for, whenever that changes. nil: nobody.
	Await  func(string)
	Logger *zap.Logger // nil: none

	awaited string
}

// NewAttempt is a fresh Config.Attempt.
func NewAttempt() string { return randomText() }

func (c *Config) await(what string) {
	if what == c.awaited {
		return
	}
	c.awaited = what
	if c.Logger != nil && what != "" {
		c.Logger.Info("waiting", zap.String("for", what))
	}
	if c.Await != nil {
		c.Await(what)
	}
}

// Plan is how the node is to start.
type Plan struct {
	Identity *Identity
	// Observer: there is no etcd to start; the log is read at Identity.Members.
	Observer bool
	// Members, Token and Join are those of etcdserver.Config; they matter on
	// the first start only.
	Members map[string]string
	Token   string
	Join    bool
	// First: etcd has no data here yet.
	First bool
}

// Prepare decides how the node starts. It returns at once where the data
// directory holds a member, and otherwise waits for as long as it takes to form
// or join a cluster. etcd's port is free when it returns. Errors: ErrRemoved,
// ErrRefused, ctx's.
func Prepare(ctx context.Context, c *Config) (*Plan, error) {
	defer c.await("")
	etcd := etcdserver.Config{DataDir: c.DataDir}
	initialized := etcd.Initialized()
	id, err := LoadIdentity(c.DataDir)
	if err != nil {
		return nil, err
	}
	if initialized {
		if initialized, err = c.finished(&etcd, id); err != nil {
			return nil, err
		}
	}
	if err := c.check(ctx, id, initialized); err != nil {
		return nil, err
	}
	if !initialized && id != nil && id.State == Forming {
		// Nothing that a first start left behind says anything.
		if err := etcd.Discard(); err != nil {
			return nil, err
		}
	}
	switch {
	case initialized:
		return c.resume(&etcd, id)
	case id != nil && id.State == Observer:
		return &Plan{Identity: id, Observer: true}, nil
	case len(c.InitialCluster) > 0:
		if id, err = form(ctx, c, id); err != nil {
			return nil, err
		}
		return &Plan{Identity: id, Members: c.InitialCluster, Token: id.Token, First: true}, nil
	case len(c.Join) > 0:
		return c.join(ctx)
	}
	if id == nil || id.State != Forming || id.Token == "" || id.InitialCluster != "" {
		id = &Identity{NodeID: c.NodeID, State: Forming, Token: randomText()}
		if err := id.Save(c.DataDir); err != nil {
			return nil, err
		}
	}
	return &Plan{Identity: id, Token: id.Token, First: true}, nil
}

// finished tells whether etcd's data are those of a member. A founder that was
// killed in its first start, before it could vote or acknowledge anything, is no
// member yet: it is put back to forming, with the token that it has.
func (c *Config) finished(etcd *etcdserver.Config, id *Identity) (bool, error) {
	if id == nil || id.Token == "" || id.NodeID != c.NodeID || id.State != Forming && id.State != Member {
		return true, nil
	}
	unfinished, err := etcd.Unfinished()
	if err != nil || !unfinished {
		return true, nil // etcd says what is wrong with its log
	}
	if c.Logger != nil {
		c.Logger.Info("the first start of this node was cut short before it took part in anything; it is done again")
	}
	id.State, id.MemberID = Forming, ""
	if err := id.Save(c.DataDir); err != nil {
		return false, err
	}
	return false, etcd.Discard()
}

// check refuses what cannot go on.
func (c *Config) check(ctx context.Context, id *Identity, initialized bool) error {
	if id == nil {
		if c.ClusterID != "" && !initialized {
			return fmt.Errorf("%w: DATA_DIR %s is blank, and CLUSTER_ID says that it was of cluster %s. %s", ErrDataLost, c.DataDir, c.ClusterID, rejoin(c.NodeID))
		}
		return nil
	}
	switch {
	case id.NodeID != c.NodeID:
		return fmt.Errorf("%w: DATA_DIR %s is that of node %s, not of %s: set NODE_ID or DATA_DIR right", ErrRefused, c.DataDir, id.NodeID, c.NodeID)
	case id.State == Removed:
		return fmt.Errorf("%w %s: to let it join anew, empty DATA_DIR %s and start it with JOIN=<API address of a member>", ErrRemoved, id.ClusterID, c.DataDir)
	case c.ClusterID != "" && id.ClusterID != "" && id.ClusterID != c.ClusterID:
		return fmt.Errorf("%w: DATA_DIR %s is of cluster %s, CLUSTER_ID says %s. Nothing was changed", ErrForeign, c.DataDir, id.ClusterID, c.ClusterID)
	case id.State == Member && !initialized:
		return fmt.Errorf("%w: this node is member %s of cluster %s, and etcd's directory in %s is missing. Starting it empty could undo what was acknowledged. %s",
			ErrDataLost, id.MemberID, id.ClusterID, c.DataDir, rejoin(c.NodeID))
	case id.State == Observer && !c.Observer:
		return fmt.Errorf("%w: this node is an observer of cluster %s: start it with OBSERVER=true; or, to make it a voter, `dvr cluster remove %s`, empty its DATA_DIR and join anew", ErrRefused, id.ClusterID, c.NodeID)
	case id.State == Member && c.Observer:
		return fmt.Errorf("%w: this node is a voter of cluster %s: start it without OBSERVER; or, to make it an observer, `dvr cluster remove %s`, empty its DATA_DIR and join anew", ErrRefused, id.ClusterID, c.NodeID)
	}
	if id.State == Member || id.State == Observer {
		return c.compare(ctx, id.ClusterID)
	}
	return nil
}

// resume goes on with the data that are there.
func (c *Config) resume(etcd *etcdserver.Config, id *Identity) (*Plan, error) {
	member, cluster, err := etcd.Identity()
	switch {
	case err != nil && id == nil:
		return nil, err
	case err != nil: // etcd says what is wrong with its log
		return &Plan{Identity: id}, nil
	}
	if id == nil {
		id = &Identity{NodeID: c.NodeID, State: Member, ClusterID: FormatID(cluster), MemberID: FormatID(member)}
	}
	if id.ClusterID == "" {
		id.ClusterID = FormatID(cluster)
	}
	if id.ClusterID != FormatID(cluster) || id.MemberID != "" && id.MemberID != FormatID(member) {
		return nil, fmt.Errorf("%w: DATA_DIR %s says that this node is member %s of cluster %s, and its etcd data are of member %016x of cluster %016x. Nothing was changed",
			ErrForeign, c.DataDir, id.MemberID, id.ClusterID, member, cluster)
	}
	if c.ClusterID != "" && c.ClusterID != FormatID(cluster) {
		return nil, fmt.Errorf("%w: DATA_DIR %s is of cluster %016x, CLUSTER_ID says %s. Nothing was changed", ErrForeign, c.DataDir, cluster, c.ClusterID)
	}
	return &Plan{Identity: id}, nil
}

// compareTimeout bounds the look at the neighbours before a member goes on: it
// is a courtesy to whoever mixed up settings, not a condition. Enough for a
// handshake with a node far away; nobody waits for one whose port is closed.
const compareTimeout = time.Second

// compare refuses when a node that the settings name is of another cluster.
// Nodes that do not answer are passed over.
func (c *Config) compare(ctx context.Context, cluster string) error {
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	client := newHTTPClient(compareTimeout, c.TLS)
	var mu sync.Mutex
	var foreign error
	note := func(where, other string) {
		mu.Lock()
		defer mu.Unlock()
		if other != "" && other != cluster {
			foreign = fmt.Errorf("%w: this node's data are of cluster %s, and %s is of cluster %s. Nothing was changed", ErrForeign, cluster, where, other)
		}
	}
	var asking sync.WaitGroup
	for name, address := range c.InitialCluster {
		if name == c.NodeID {
			continue
		}
		asking.Go(func() {
			if id, err := clusterAt(ctx, client, address); err == nil {
				note(name+" at "+address, FormatID(id))
			}
		})
	}
	for _, address := range c.Join {
		asking.Go(func() {
			var v View
			if err := call(ctx, client, http.MethodGet, address, "/v1/cluster/members", nil, &v); err == nil {
				note(address, v.ClusterID)
			}
		})
	}
	asking.Wait()
	return foreign
}

// Started records that etcd runs with these ids. What a founder formed the
// cluster with is kept until Settle: its log may still be empty.
func (c *Config) Started(id *Identity, member, cluster uint64) error {
	if id.State == Member && id.ClusterID == FormatID(cluster) && id.MemberID == FormatID(member) {
		return id.Save(c.DataDir) // an adopted directory has no file yet
	}
	id.State, id.ClusterID, id.MemberID = Member, FormatID(cluster), FormatID(member)
	return id.Save(c.DataDir)
}

// plain is the innermost reason of a failed call.
func plain(err error) error {
	var no syscall.Errno
	var op *net.OpError
	var u *url.Error
	switch {
	case errors.As(err, &no):
		return no
	case errors.As(err, &op):
		return op.Err
	case errors.As(err, &u) && u.Timeout():
		return context.DeadlineExceeded
	case errors.As(err, &u):
		return u.Err
	}
	return err
}
