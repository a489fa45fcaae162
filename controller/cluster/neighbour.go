package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/client/pkg/v3/types"

	"dvr/controller/certs"
)

// Addresses of a node as others dial them, host:port.
type Addresses struct {
	API    string `json:"api"`
	Raft   string `json:"raft"`
	FIB    string `json:"fib"`
	Client string `json:"client"`
}

// handshake is what a blank node says of itself on its Raft address before etcd has it.
type handshake struct {
	Format         int       `json:"format"`
	NodeID         string    `json:"node_id"`
	Blank          bool      `json:"blank"`
	InitialCluster string    `json:"initial_cluster"`
	Nonce          string    `json:"nonce"`
	Ready          string    `json:"ready,omitempty"` // the token on which all agree, as this node knows
	ClusterID      string    `json:"cluster_id,omitempty"`
	Addresses      Addresses `json:"addresses"`
}

const (
	handshakePath = "/dvr/handshake"
	membersPath   = "/members"     // etcd's, on the same port once it runs
	raftStream    = "/raft/stream" // likewise
	clusterHeader = "X-Etcd-Cluster-ID"
	maxAnswer     = 1 << 20
)

// sighting is what answers on a Raft address: a blank node, or a member of a cluster.
type sighting struct {
	blank   *handshake
	cluster uint64
}

var errStranger = errors.New("what answers there is no DVR node")

// httpClient asks nodes, in TLS or clear text.
type httpClient struct {
	http.Client
	scheme string
}

func (c *httpClient) url(address, path string) string { return c.scheme + "://" + address + path }

// newHTTPClient is for small questions to other nodes: no connection is kept,
// since the port changes its owner.
func newHTTPClient(timeout time.Duration, tls *certs.Credentials) *httpClient {
	dial := tls.Dial(timeout, certs.Node)
	return &httpClient{http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{DialContext: dial, DialTLSContext: dial, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, tls.Scheme()}
}

// look asks what answers on a Raft address.
func look(ctx context.Context, client *httpClient, address string) (sighting, error) {
	status, _, raw, err := get(ctx, client, client.url(address, handshakePath))
	if err != nil {
		return sighting{}, err
	}
	if status == http.StatusOK {
		h := new(handshake)
		if err := json.Unmarshal(raw, h); err != nil || h.Format != identityFormat {
			return sighting{}, errStranger
		}
		return sighting{blank: h}, nil
	}
	id, err := clusterAt(ctx, client, address)
	return sighting{cluster: id}, err
}

// clusterAt asks the etcd behind a Raft address for its cluster.
func clusterAt(ctx context.Context, client *httpClient, address string) (uint64, error) {
	status, header, _, err := get(ctx, client, client.url(address, membersPath))
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(header.Get(clusterHeader), 16, 64)
	if status != http.StatusOK || err != nil {
		return 0, errStranger
	}
	return id, nil
}

// listAt asks the etcd behind a Raft address for the members that it has
// applied: their ids by Raft address.
func listAt(ctx context.Context, client *httpClient, address string) (map[string]string, error) {
	status, header, raw, err := get(ctx, client, client.url(address, membersPath))
	if err != nil {
		return nil, err
	}
	var members []struct {
		ID   uint64   `json:"id"`
		URLs []string `json:"peerURLs"`
	}
	if status != http.StatusOK || header.Get(clusterHeader) == "" || json.Unmarshal(raw, &members) != nil {
		return nil, errStranger
	}
	out := map[string]string{}
	for _, m := range members {
		for _, u := range m.URLs {
			out[strings.TrimPrefix(u, client.scheme+"://")] = FormatID(m.ID)
		}
	}
	return out, nil
}

// buried asks the etcd behind a Raft address whether it has applied the removal
// of a member, which etcd keeps for ever and answers with 410 to whoever opens a
// Raft stream as that member. The question names no receiver, so that no stream
// is opened with a member that is not removed.
func buried(ctx context.Context, client *httpClient, address string, cluster, member uint64) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, client.url(address, raftStream+"/message/"+types.ID(member).String()), nil)
	if err != nil {
		return false, err
	}
	req.Header.Set(clusterHeader, types.ID(cluster).String())
	req.Header.Set("X-Server-From", types.ID(member).String())
	req.Header.Set("X-Server-Version", version.Version)
	req.Header.Set("X-Min-Cluster-Version", version.MinClusterVersion)
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	own := resp.Header.Get(clusterHeader) == types.ID(cluster).String()
	return own && resp.StatusCode == http.StatusGone, nil
}

func get(ctx context.Context, client *httpClient, url string) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("read the answer: %w", err)
	}
	return resp.StatusCode, resp.Header, raw, nil
}
