package cluster

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dvr/controller/certs"
	"dvr/controller/etcdserver"
	"dvr/controller/settings"
)

// formation is one node's part in forming a cluster. All first members tell
// each other who they are, that they are blank, and a random nonce. Once a node
// has heard all, it knows the token (over the list and the nonces), stores it,
// and says that it is ready; once all others are ready with the same token, it
// starts etcd. So a node that finds etcd running on another's address may go on
// exactly when it stored the token that makes that cluster's id: everybody was
// blank then, itself included. Any other blank node that meets a cluster refuses.
type formation struct {
	config *Config
	list   string
	id     *Identity
	said   atomic.Pointer[handshake]
	client *httpClient
}

// Pauses between two rounds of questions: short at first, since the nodes are
// usually started together.
const (
	roundLeast    = 25 * time.Millisecond
	roundMost     = time.Second
	roundShortFor = 10 * time.Second
	askTimeout    = time.Second
)

// form returns the token with which to start etcd. It waits for as long as it
// takes to reach all others. Errors: ErrRefused, ctx's.
func form(ctx context.Context, c *Config, id *Identity) (*Identity, error) {
	f := &formation{config: c, list: settings.FormatMembers(c.InitialCluster), client: newHTTPClient(askTimeout, c.TLS)}
	if id != nil && id.State == Forming && id.InitialCluster == f.list {
		f.id = id
	} else {
		f.id = &Identity{NodeID: c.NodeID, State: Forming, InitialCluster: f.list, Nonce: randomText()}
	}
	f.speak()
	if len(c.InitialCluster) == 1 {
		if err := f.agree(nil); err != nil {
			return nil, err
		}
		return f.id, nil
	}
	stop, err := f.listen()
	if err != nil {
		return nil, err
	}
	defer stop()
	began := time.Now()
	pause := roundLeast
	for {
		done, waiting, err := f.round(ctx)
		if err != nil {
			return nil, err
		}
		if done {
			return f.id, nil
		}
		c.await("forming the cluster: " + waiting)
		if time.Since(began) > roundShortFor {
			pause = min(2*pause, roundMost)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("forming the cluster: %s: %w", waiting, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// speak publishes what the handshake says.
func (f *formation) speak() {
	f.said.Store(&handshake{
		Format: identityFormat, NodeID: f.config.NodeID, Blank: true, InitialCluster: f.list,
		Nonce: f.id.Nonce, Ready: f.id.Token, ClusterID: f.id.ClusterID, Addresses: f.config.Addresses,
	})
}

// listen answers the handshake on the Raft address until stop, which frees the port.
func (f *formation) listen() (stop func(), err error) {
	l, err := net.Listen("tcp", f.config.RaftListen)
	if err != nil {
		return nil, fmt.Errorf("RAFT_ADDR: %w", err)
	}
	if f.config.TLS != nil {
		l = tls.NewListener(l, f.config.TLS.Server(false, []string{"http/1.1"}, certs.Node))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+handshakePath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(f.said.Load()) // who went away asks again
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: askTimeout, WriteTimeout: askTimeout, MaxHeaderBytes: 8 << 10, ErrorLog: zap.NewStdLog(zap.NewNop())}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(l) })
	return func() {
		_ = s.Close()
		served.Wait()
	}, nil
}

// round asks all others once. waiting says what is missing when it is not done.
func (f *formation) round(ctx context.Context) (done bool, waiting string, err error) {
	others := slices.Sorted(maps.Keys(f.config.InitialCluster))
	others = slices.DeleteFunc(others, func(n string) bool { return n == f.config.NodeID })
	seen := make([]sighting, len(others))
	errs := make([]error, len(others))
	var asking sync.WaitGroup
	for i, n := range others {
		asking.Go(func() { seen[i], errs[i] = look(ctx, f.client, f.config.InitialCluster[n]) })
	}
	asking.Wait()

	nonces := map[string]string{f.config.NodeID: f.id.Nonce}
	var missing []string
	ready := 0
	for i, n := range others {
		s := seen[i]
		if s.cluster != 0 {
			// Nothing that others say meanwhile may change the token.
			return f.met(n, s.cluster)
		}
		switch h := s.blank; {
		case errs[i] != nil:
			missing = append(missing, fmt.Sprintf("%s at %s does not answer (%v)", n, f.config.InitialCluster[n], plain(errs[i])))
		case h.NodeID != n:
			missing = append(missing, fmt.Sprintf("%s answers as %s", f.config.InitialCluster[n], h.NodeID))
		case h.InitialCluster != f.list:
			missing = append(missing, fmt.Sprintf("%s has another INITIAL_CLUSTER, %s", n, h.InitialCluster))
		case !h.Blank:
			missing = append(missing, n+" is not blank")
		default:
			nonces[n] = h.Nonce
			if h.Ready != "" && h.Ready == f.id.Token {
				ready++
			}
		}
	}
	if len(missing) > 0 {
		return false, strings.Join(missing, "; "), nil
	}
	agreed := f.id.Token
	if err := f.agree(nonces); err != nil {
		return false, "", err
	}
	return ready == len(others) && agreed == f.id.Token, "the others have not all heard each other yet", nil
}

// met decides what a cluster on another's address means.
func (f *formation) met(name string, cluster uint64) (bool, string, error) {
	if f.id.Token != "" && f.id.ClusterID == FormatID(cluster) {
		return true, "", nil
	}
	return false, "", fmt.Errorf("%w: %s at %s is a member of cluster %016x already and this node is blank, so its data are gone or it never was a member. %s",
		ErrRefused, name, f.config.InitialCluster[name], cluster, rejoin(f.config.NodeID))
}

// agree stores the token over the nonces and announces that this node is ready.
func (f *formation) agree(nonces map[string]string) error {
	if nonces == nil {
		nonces = map[string]string{f.config.NodeID: f.id.Nonce}
	}
	h := sha256.New()
	fmt.Fprintf(h, "dvr formation 1\n%s\n", f.list)
	for _, n := range slices.Sorted(maps.Keys(nonces)) {
		fmt.Fprintf(h, "%s %s\n", n, nonces[n])
	}
	token := hex.EncodeToString(h.Sum(nil)[:16])
	if token == f.id.Token {
		return nil
	}
	cluster, err := etcdserver.ClusterIDOf(token, f.config.InitialCluster, f.config.TLS != nil)
	if err != nil {
		return fmt.Errorf("%w: INITIAL_CLUSTER: %w", ErrRefused, err)
	}
	f.id.Token, f.id.ClusterID = token, FormatID(cluster)
	if err := f.id.Save(f.config.DataDir); err != nil {
		return err
	}
	f.speak()
	return nil
}

func randomText() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// rejoin tells how a node without its data comes back.
func rejoin(node string) string {
	return fmt.Sprintf("To bring it back: `dvr cluster remove %s` at another node, empty this node's DATA_DIR, and start it with JOIN=<API address of a member> instead of INITIAL_CLUSTER", node)
}
